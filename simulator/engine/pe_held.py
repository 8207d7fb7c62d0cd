"""The operand that a register-accurate array holds: how its words come down, and when PEs take them over."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.engine.pe_edges import KEPT, LOAD
from simulator.kernels import njit

__all__ = ["FIRST", "count_idle", "held_words", "load_columns", "take_load", "take_over"]

FIRST = 2
"""Flag in the tag of a streamed word: it is the first of its fold."""


def held_words(kept: NDArray[Any], rows: int, cols: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Words (columns, K) as the tops of the columns take them, fold after fold, the one of the bottom row first; and
    which of them there are.
    """
    blocks = -(-len(kept) // cols), -(-kept.shape[1] // rows)
    words = np.zeros((blocks[0] * cols, blocks[1] * rows), kept.dtype)
    there = np.zeros(words.shape, np.bool_)
    words[: len(kept), : kept.shape[1]] = kept
    there[: len(kept), : kept.shape[1]] = True
    entering = [x.reshape(blocks[0], cols, blocks[1], rows).transpose(0, 2, 3, 1)[:, :, ::-1] for x in (words, there)]
    return entering[0].reshape(-1), entering[1].reshape(-1)


@njit
def take_load(steps: Any, at: Any, place: Any, inner: Any, folds: Any, rows: Any, cols: Any) -> bool:
    """Note which held word enters column 0 in this cycle; returns whether one does."""
    i, j, entered = place
    loads = entered < rows and i * inner + j < folds
    steps[LOAD, at] = entered if loads else -1
    steps[KEPT, at] = ((i * inner + j) * rows + entered) * cols
    return loads


@njit
def take_over(
    tag: Any, first_word: Any, use: Any, use_live: Any, load: Any, load_live: Any, begin: Any, end: Any
) -> None:
    """PEs that see the first word of a fold begin to use what was loaded for it."""
    first_word = np.uint64(first_word)
    for i in range(np.uint64(begin), np.uint64(end)):
        if tag[first_word + i] & FIRST:
            use[i] = load[i]
    for i in range(np.uint64(begin), np.uint64(end)):
        if tag[first_word + i] & FIRST:
            use_live[i] = load_live[i]


@njit
def count_idle(live: Any, idle: Any, first: Any, end: Any) -> None:
    """PEs of some rows that hold nothing."""
    cols = np.uint64(live.shape[0] // idle.shape[0])
    for r in range(np.uint64(first), np.uint64(end)):
        held = 0
        for c in range(cols):
            held += live[r * cols + c]
        idle[r] = np.int64(cols) - held


@njit
def load_columns(steps: Any, at: Any, fed: Any, fed_live: Any, load: Any, live: Any, cols: Any) -> None:
    """Move the held words of each column down; a fold is loaded in the ``rows`` cycles before its stream."""
    lowest = -1
    for c in range(cols):
        lowest = max(lowest, steps[LOAD, at + c])
    for r in range(lowest, 0, -1):
        row, above = np.uint64(r * cols), np.uint64((r - 1) * cols)
        for c in range(np.uint64(cols)):
            if steps[LOAD, np.uint64(at) + c] >= r:
                load[row + c] = load[above + c]
        for c in range(np.uint64(cols)):
            if steps[LOAD, np.uint64(at) + c] >= r:
                live[row + c] = live[above + c]
    for c in range(cols):
        if steps[LOAD, at + c] >= 0:
            entering = steps[KEPT, at + c] + c
            load[c], live[c] = fed[entering], fed_live[entering]
