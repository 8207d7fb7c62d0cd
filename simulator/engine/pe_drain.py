"""How results leave a register-accurate output-stationary array: every column shifts down to its edge register."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.engine.pe_state import state_of
from simulator.kernels import njit

__all__ = ["WAITING", "drain", "make_drains", "outputs"]


NEXT, COUNTDOWN, WAITING, LEAVES, RESULTS = range(5)
"""Rows of the drain control, an entry for each column: which result of its fold, from 0, leaves next (``rows``: no
drain has begun); cycles until it has left; folds whose last PE is done and whose drain has not begun; which result
leaves in this cycle (``rows``: none); results that have left its edge register.
"""


def make_drains(rows: int, cols: int) -> NDArray[np.int32]:
    """Nothing to drain yet, (5, cols)."""
    drains = np.zeros((5, cols), np.int32)
    drains[NEXT] = rows
    return drains


def outputs(left: NDArray[Any], M: int, N: int, rows: int, cols: int) -> NDArray[Any]:
    """What left the columns, (folds * rows, cols) in order, the bottom row of each fold first, as (M, N)."""
    blocks = -(-M // rows), -(-N // cols)
    values = np.zeros((blocks[0] * rows, blocks[1] * cols), left.dtype)
    by_fold = values.reshape(blocks[0], rows, blocks[1], cols).transpose(0, 2, 1, 3)[:, :, ::-1]
    whole, rest = divmod(len(left) // rows, blocks[1])  # rows of folds that have all run, and folds of the next
    split = whole * blocks[1] * rows
    by_fold[:whole] = left[:split].reshape(whole, blocks[1], rows, cols)
    if rest:
        by_fold[whole, :rest] = left[split:].reshape(rest, rows, cols)
    return np.ascontiguousarray(values[:M, :N])


@njit
def drain(out: Any, words: Any, finish: Any, constants: Any, drains: Any, left: Any) -> tuple[int, int]:
    """One drain cycle of every column that has one to make, of results of ``words`` words.

    Returns: how many results left the array, and how many columns are done with a fold.
    """
    cols = np.uint64(drains.shape[1])
    rows = out.shape[0] // drains.shape[1]
    done = _control(drains, np.int32(rows), np.int32(words))
    gone = 0
    first = rows
    bottom = np.uint64(rows - 1) * cols
    for c in range(cols):
        position = drains[LEAVES, c]
        if position < rows:
            left[drains[RESULTS, c], c] = finish(state_of(out, bottom + c), constants)
            drains[RESULTS, c] += 1
            gone += 1
            first = min(first, position)
    _shift_down(out, drains[LEAVES], first, rows)
    return gone, done


@njit
def _control(drains, rows, words):
    """Which result leaves each column in this cycle; returns for how many it is the last of a fold."""
    done = 0
    for c in range(np.uint64(drains.shape[1])):
        idle = drains[NEXT, c] == rows
        begins = idle and drains[WAITING, c] > 0
        position = np.int32(0) if begins else drains[NEXT, c]
        countdown = words if begins else drains[COUNTDOWN, c]
        countdown -= np.int32(1)
        leaves = position < rows and countdown == 0  # before that, its words are on their way
        drains[WAITING, c] -= np.int32(begins)
        drains[LEAVES, c] = position if leaves else rows
        drains[NEXT, c] = position + np.int32(leaves)
        drains[COUNTDOWN, c] = words if leaves else countdown
        done += np.int32(leaves and position == rows - 1)
    return done


@njit
def _shift_down(out, leaves, first, rows):
    """Rows take what is above them, the last one first, in columns of which a result leaves and older ones have not all
    passed.
    """
    cols = np.uint64(leaves.shape[0])
    for r in range(rows - 1, first, -1):
        row, above, position = np.uint64(r) * cols, np.uint64(r - 1) * cols, np.int32(r)
        for c in range(cols):
            if position > leaves[c]:
                out[row + c] = out[above + c]
