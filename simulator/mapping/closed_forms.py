"""Cycles of an output-stationary GEMM in closed form (contract, section 3), split into issue and drain.

Operand k of fold f enters row 0 at cycle ``f * period + k``; PE (r, c) multiplies it ``r + c`` cycles later. Results
leave through the bottom of each column, one hop per cycle, once the column's last PE is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["FOLD_OVERLAPS", "FoldOverlap", "FoldTiming", "os_fold", "os_total"]

FoldOverlap = Literal["none", "wave", "full", "scalesim"]
FOLD_OVERLAPS: tuple[FoldOverlap, ...] = ("none", "wave", "full", "scalesim")


@dataclass(frozen=True)
class FoldTiming:
    """One fold: cycles until the next fold may enter, and from there until this fold's last result has left.

    ``drain_cycles`` is -1 for ``scalesim``, a compatibility figure and no hardware.
    """

    period_cycles: int
    drain_cycles: int


def os_fold(steps: int, rows: int, cols: int, overlap: FoldOverlap, result_words: int = 1) -> FoldTiming:
    """Timing of one output-stationary fold of ``steps`` = K reduction steps on a ``rows x cols`` array.

    ``none``: a fold fills, streams and drains alone. ``wave``: accumulators are single-buffered; the next fold's first
    product may reach PE (r, c) in the cycle in which the drain has moved the last older result through it, rows - 1
    cycles after its own last product. ``full``: a second accumulator per PE takes the result, so the next fold follows
    at once, but the drain of ``rows`` results per column must be over before the next one starts.

    A result of ``result_words`` accumulators takes that many cycles per hop; the contract's forms are those of one.

    Source: derived above; equal to the register-accurate array (tests/test_pe_array.py).
    """
    drain = rows * result_words
    alone = steps + rows + cols - 2 + drain
    if overlap == "none":
        return FoldTiming(alone, 0)
    if overlap == "scalesim":
        return FoldTiming(steps + rows + cols - 2, -1)
    period = steps + drain - 1 if overlap == "wave" else max(steps, drain)
    return FoldTiming(period, alone - period)


def os_total(folds: int, steps: int, rows: int, cols: int, overlap: FoldOverlap, result_words: int = 1) -> int:
    """Cycles of ``folds`` folds, from the first operand entering to the last result leaving."""
    fold = os_fold(steps, rows, cols, overlap, result_words)
    return folds * fold.period_cycles + fold.drain_cycles
