"""Cycles of a GEMM in closed form (contract, section 3), split into fill, issue and drain of a fold.

``os``: operand k of fold f enters row 0 at cycle ``f * period + k``; PE (r, c) multiplies it ``r + c`` cycles later.
Results leave through the bottom of each column, one hop per cycle, once the column's last PE is done.

``ws`` and ``is``: the held operand of a fold enters in the ``rows`` cycles before its stream; word m of fold f enters
row 0 at ``rows + f * period + m``, and its sum leaves the edge register of column c ``rows + c`` cycles later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["FOLD_OVERLAPS", "FoldOverlap", "FoldTiming", "held_fold", "held_total", "os_fold", "os_total"]

FoldOverlap = Literal["none", "wave", "full", "scalesim"]
FOLD_OVERLAPS: tuple[FoldOverlap, ...] = ("none", "wave", "full", "scalesim")


@dataclass(frozen=True)
class FoldTiming:
    """One fold: cycles until the next fold may enter, and from there until this fold's last result has left.

    ``fill_cycles`` come once, before the first fold. ``drain_cycles`` is -1 for ``scalesim``, a compatibility figure
    and no hardware.
    """

    period_cycles: int
    drain_cycles: int
    fill_cycles: int = 0

    def total(self, folds: int) -> int:
        """Cycles of that many such folds."""
        return self.fill_cycles + folds * self.period_cycles + self.drain_cycles


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
    """Cycles of ``folds`` output-stationary folds, from the first operand entering to the last result leaving."""
    return os_fold(steps, rows, cols, overlap, result_words).total(folds)


@overload
def held_period(stream: int, rows: int, cols: int, overlap: FoldOverlap) -> int: ...
@overload
def held_period(stream: NDArray[np.int64], rows: int, cols: int, overlap: FoldOverlap) -> NDArray[np.int64]: ...
def held_period(stream, rows, cols, overlap):
    """Cycles from a fold to the next one, for a stream or an array of them; see ``held_fold``."""
    if overlap == "none":
        return stream + 2 * rows + cols - 1
    if overlap == "scalesim":
        return stream + 2 * rows + cols - 2
    return stream + rows - 1 if overlap == "wave" else stream + np.maximum(rows - stream, 0)


def held_fold(stream: int, rows: int, cols: int, overlap: FoldOverlap) -> FoldTiming:
    """Timing of one fold that holds one operand and streams ``stream`` words of the other (``ws``: M, ``is``: N).

    ``none``: a fold is loaded, streams and empties alone. ``wave``: one register per PE; the next held words follow the
    wavefront of the last streamed word down and right. ``full``: a second register per PE is loaded meanwhile, which
    takes ``rows`` cycles; that is also how soon a sum can enter again at the top.

    Source: derived above; equal to the register-accurate array (tests/test_pe_array.py).
    """
    period = int(held_period(stream, rows, cols, overlap))
    if overlap == "none":
        return FoldTiming(period, 0)
    if overlap == "scalesim":
        return FoldTiming(period, -1)
    return FoldTiming(period, stream + rows + cols - 1 - period, rows)


def held_total(folds: int, stream: int, rows: int, cols: int, overlap: FoldOverlap) -> int:
    """Cycles of ``folds`` such folds, from the first held word entering to the last sum leaving."""
    return held_fold(stream, rows, cols, overlap).total(folds)
