"""What the operands of an op take, everything that is needed to decode them included."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from simulator.formats import Encoded, Format, Storage, TensorEncoding
from simulator.study.hardware import Hardware
from simulator.workload import Op

__all__ = ["storage_of"]


def storage_of(hardware: Hardware, op: Op, operands: list[tuple[Encoded, Encoded]]) -> dict[str, Storage | None]:
    """Storage of ``act`` and ``weight`` over all GEMMs; None where it depends on values that are not known.

    One scale for a tensor is stored once, however many GEMMs share it.
    """
    datapath, how = hardware.datapath, hardware.design.quantisation
    return {
        "act": _stored(datapath.act_format, op.M, op, how.activations.granularity, [a for a, _ in operands]),
        "weight": _stored(datapath.weight_format, op.N, op, how.weights.granularity, [w for _, w in operands]),
    }


def _stored(encoding: TensorEncoding, lines: int, op: Op, granularity: str, operands: list[Encoded]) -> Storage | None:
    if isinstance(encoding, Format):
        rows = op.count * lines
        return encoding.storage((rows, op.K), scales=1 if granularity == "tensor" else rows)
    return _total(encoding.stored(operand) for operand in operands) if operands else None


def _total(parts: Iterable[Storage]) -> Storage:
    return reduce(lambda a, b: a + b, parts)
