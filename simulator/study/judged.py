"""What the values of an op are on a datapath, found once for the same tensors and numbers and kept in bounded memory.

Codes, exact results and errors depend on the tensors, the encoding, its calibration and how products are summed. Of all
that, points of a sweep that differ in anything else need the verdict alone, and where costs depend on values, what they
look at (``Datapath.seen_by_costs``): lists of outliers and the like, a small part of the tensors. Tensors and codes are
let go as soon as an op is judged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.config.study import Fidelity
from simulator.datapath import Datapath
from simulator.datapath.edp import EdpRun
from simulator.datapath.memory import Memory, Remembers
from simulator.formats import Encoded, Storage
from simulator.formats.streamed import Streamed
from simulator.study.hardware import Hardware
from simulator.study.operands import encode, marks
from simulator.study.programs import program_hardware
from simulator.study.quality import Quality, check_values
from simulator.study.storage import storage_of
from simulator.study.workloads import TensorSource
from simulator.workload import Op

__all__ = ["MEMORY", "Judged", "costs_know_values", "is_judged_alone", "judged", "numbers_of"]

MEMORY = Memory(256 << 20)
"""Of this process: verdicts, lists of outliers and what costs are made of."""


@dataclass(frozen=True)
class Judged:
    """What is kept of an op's values.

    Attributes:
        quality: None where results were not asked for.
        operands: of each GEMM what its costs look at; none where they look at nothing.
        key: of these values in this process.
    """

    quality: Quality | None
    storage: dict[str, Storage | None]
    operands: tuple[tuple[Encoded, Encoded], ...]
    key: Hashable = field(default_factory=object)

    @cached_property
    def looks(self) -> tuple[bytes, ...]:
        """What costs look at of each GEMM, as a digest: equal where that is."""
        return tuple(_digest(*pair) for pair in self.operands)

    @property
    def op_memory(self) -> Remembers:
        """What was found of all of them together."""
        return MEMORY.within(self.key)

    def memory(self, gemm: int) -> Remembers:
        """What was found of one GEMM's operands, in the memory of this process."""
        return MEMORY.within(self.key, gemm)


def _digest(*operands: Encoded) -> bytes:
    found = hashlib.sha256()
    for operand in operands:
        parts: dict[str, NDArray[Any]] = {"codes": operand.codes, "scale": operand.scale, **operand.extras}
        found.update(repr((operand.length, operand.group)).encode())
        for name, array in parts.items():
            found.update(repr((name, array.dtype.str, array.shape)).encode() + np.ascontiguousarray(array).tobytes())
    return found.digest()


def is_judged_alone(fidelity: Fidelity) -> bool:
    """Whether values are the datapath's own, not those of an array's registers."""
    return fidelity != "pe_array"


def costs_know_values(hardware: Hardware) -> bool:
    """Whether cycles or counts may depend on values."""
    kind = type(hardware.datapath)
    if program_hardware(hardware):
        return kind.outlier_columns is not Datapath.outlier_columns
    silent = kind.tile_costs is Datapath.tile_costs and kind.kernel_costs is Datapath.kernel_costs
    return not silent


def judged(hardware: Hardware, op: Op, sums: EdpRun | None, source: TensorSource) -> Judged:
    """The verdict on an op's values.

    Args:
        sums: how tensor cores add; None of a systolic array.
    Raises: as ``encode`` and ``check_values``.
    """
    numbers = numbers_of(hardware) if sums is None else _numbers(hardware, sums)
    return MEMORY.get(("judged", source.key, numbers), lambda: _judge(hardware, op, sums, source))


def numbers_of(hardware: Hardware) -> Hashable:
    """Equal for systolic arrays on which the same tensors have the same codes, results and errors."""
    if "numbers" not in hardware.known:
        hardware.known["numbers"] = same(_numbers(hardware, None))
    found: Hashable = hardware.known["numbers"]
    return found


def same(key: Hashable) -> Hashable:
    """An object that stands for all equal keys, quicker to compare; the key itself where it has no hash."""
    try:
        return _standing_for(key)
    except TypeError:
        return key


@lru_cache(maxsize=4096)
def _standing_for(key: Hashable) -> object:
    return object()


def _numbers(hardware: Hardware, sums: EdpRun | None) -> tuple[Hashable, ...]:
    """All that decides codes, results and errors besides the tensors."""
    how = hardware.design.quantisation
    scales = [(x.granularity, x.calibration) for x in (how.activations, how.weights)]
    order = None if sums is None else (tuple(sorted(sums.orders.items())), sums.regions)
    return hardware.datapath.value_options(), *scales, order, costs_know_values(hardware)


def _judge(hardware: Hardware, op: Op, sums: EdpRun | None, source: TensorSource) -> Judged:
    if source.counted is not None:
        return _count(hardware, op, source.counted)
    act, weight = source.load()
    datapath = hardware.datapath
    operands = encode(hardware.design, datapath, act, weight)
    values: list[Any] = [
        datapath.matmul(*pair) if sums is None else datapath.edp_matmul(*pair, sums) for pair in operands
    ]
    quality = check_values(op.name, datapath, operands, values, act, weight, sums)
    storage = storage_of(hardware, op, operands)
    seen = tuple(datapath.seen_by_costs(*pair) for pair in operands) if costs_know_values(hardware) else ()
    return Judged(quality, storage, seen)


def _count(hardware: Hardware, op: Op, operands_of: Callable[[], tuple[Streamed, Streamed]]) -> Judged:
    """What costs look at of the values; neither codes nor results are made unless they cannot be found otherwise."""
    if not costs_know_values(hardware):
        return Judged(None, storage_of(hardware, op, []), ())
    operands = marks(hardware.design, hardware.datapath, *operands_of())
    seen = tuple(hardware.datapath.seen_by_costs(*pair) for pair in operands)
    return Judged(None, storage_of(hardware, op, operands), seen)
