"""What a model does around each of its matrix products, from its structure alone.

An operand is quantised once, before the first product that reads it; a convolution's as the map that it is unfolded
from. The scores' factor 1/sqrt(d) goes into the query's scale, BatchNorm into the weights before it. Embeddings and the
norm behind them come before the first layer and are left out, and so is what ``PASS_KINDS`` has no word for: rotations
of rotary positions, gates, masks, the recurrences of RWKV and Mamba, pooling before a head.
"""

from __future__ import annotations

from collections.abc import Mapping

from simulator.workload import Op, Pass

__all__ = ["passes_around"]


def passes_around(
    op: Op, behind: Mapping[str, tuple[str, ...]], *, first: bool, bias: bool, source: tuple[int, ...] | None = None
) -> list[Pass]:
    """Passes before and after one op; those that make an operand run before it.

    Args:
        behind: end of an op's name -> kinds of passes, the first that fits.
        first: no earlier op reads the same activation.
        bias: the op has one.
        source: rows and columns of the map that a convolution's operand is unfolded from.
    """
    before = [_operand(op, "act", *(source or (op.M, op.K)))] if first else []
    if op.kind == "bmm":
        before.append(_operand(op, "weight", op.N, op.K))
    last = next((kinds for end, kinds in behind.items() if op.name.endswith(end)), ())
    return [*before, *_behind(op, "dequantise", *(("bias",) if bias else ()), *last)]


def _operand(op: Op, side: str, rows: int, cols: int) -> Pass:
    """Quantising of one operand: the activation, or the second one of a product of two."""
    name = op.name if side == "act" else f"{op.name}.weight"
    count = 1 if op.kind == "conv" else op.count
    return Pass(f"{name}.quantise", "quantise", rows, cols, count, op.name, True, side)


def _behind(op: Op, *kinds: str) -> list[Pass]:
    """Passes over the result (M, N)."""
    return [Pass(f"{op.name}.{kind}", kind, op.M, op.N, op.count, op.name) for kind in kinds]
