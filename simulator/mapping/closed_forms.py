"""Cycles of a GEMM in closed form (contract, section 3), split into fill, issue and drain of a fold.

``os``: operand k of fold f enters row 0 at cycle ``f * period + k``; PE (r, c) multiplies it ``r + c`` cycles later.
Results leave through the bottom of each column, one hop per cycle, once the column's last PE is done.

``ws`` and ``is``: the held operand of a fold enters in the ``rows`` cycles before its stream; word m of fold f enters
row 0 at ``rows + f * period + m``, and its sum leaves the edge register of column c ``rows + c`` cycles later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simulator.kernels import kernel

__all__ = [
    "FOLD_OVERLAPS",
    "FoldOverlap",
    "FoldTiming",
    "held_fold",
    "held_total",
    "os_fold",
    "os_total",
]

FoldOverlap = Literal["none", "wave", "full", "scalesim"]
FOLD_OVERLAPS: tuple[FoldOverlap, ...] = ("none", "wave", "full", "scalesim")
NONE, WAVE, FULL, SCALESIM = range(4)
"""Places in ``FOLD_OVERLAPS``, as kernels know them."""


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
    return FoldTiming(*os_phases(steps, rows, cols, FOLD_OVERLAPS.index(overlap), result_words))


@kernel
def os_phases(steps, rows, cols, overlap, result_words):
    """Period, drain and fill of such a fold."""
    drain = rows * result_words
    alone = steps + rows + cols - 2 + drain
    if overlap == NONE:
        return alone, 0, 0
    if overlap == SCALESIM:
        return steps + rows + cols - 2, -1, 0
    period = steps + drain - 1 if overlap == WAVE else max(steps, drain)
    return period, alone - period, 0


def os_total(folds: int, steps: int, rows: int, cols: int, overlap: FoldOverlap, result_words: int = 1) -> int:
    """Cycles of ``folds`` output-stationary folds, from the first operand entering to the last result leaving."""
    return os_fold(steps, rows, cols, overlap, result_words).total(folds)


def held_fold(stream: int, rows: int, cols: int, overlap: FoldOverlap) -> FoldTiming:
    """Timing of one fold that holds one operand and streams ``stream`` words of the other (``ws``: M, ``is``: N).

    ``none``: a fold is loaded, streams and empties alone. ``wave``: one register per PE; the next held words follow the
    wavefront of the last streamed word down and right. ``full``: a second register per PE is loaded meanwhile, which
    takes ``rows`` cycles; that is also how soon a sum can enter again at the top.

    Source: derived above; equal to the register-accurate array (tests/test_pe_array.py).
    """
    return FoldTiming(*held_phases(stream, rows, cols, FOLD_OVERLAPS.index(overlap)))


@kernel
def held_phases(stream, rows, cols, overlap):
    """Period, drain and fill of such a fold."""
    if overlap == NONE:
        return stream + 2 * rows + cols - 1, 0, 0
    if overlap == SCALESIM:
        return stream + 2 * rows + cols - 2, -1, 0
    period = stream + rows - 1 if overlap == WAVE else max(stream, rows)
    return period, stream + rows + cols - 1 - period, rows


def held_total(folds: int, stream: int, rows: int, cols: int, overlap: FoldOverlap) -> int:
    """Cycles of ``folds`` such folds, from the first held word entering to the last sum leaving."""
    return held_fold(stream, rows, cols, overlap).total(folds)
