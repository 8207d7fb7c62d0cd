"""How operands reach the registers of a register-accurate array, and how they hop without being copied.

All words of an array hop in the same cycle, so it is the registers that move past the words. The words of all PEs lie
row after row in a *tape*, and the array is a window of it:

- Words that hop right: the window moves one word to the left. The leftmost register of each row then lies on what was
  the rightmost of the row above, whose word has left the array, and the entering word is written there.
- Words that hop down: the window moves one row to the left; the words that enter the top are written there.

So the registers of all rows are one contiguous vector, whatever the shape of the array. All windows move together: one
number, ``at``, says where they are, and from the left end they are moved back to the right end.

A step enters row 0 and column 0 first and each further line a cycle later. The skew registers that hold it back are a
tape too, of which step of which fold entered in each cycle: line i takes the step at ``at + i``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.kernels import njit

__all__ = [
    "DOWN",
    "FROM",
    "KEPT",
    "LOAD",
    "PLAIN",
    "RIGHT",
    "TAG",
    "advance",
    "feed_down",
    "feed_right",
    "lined_up",
    "make_steps",
    "narrow",
    "rewind",
    "slack",
]


def narrow(words: NDArray[Any]) -> NDArray[Any]:
    """Integer words as int16 if all of them fit: more of them are worked on at once."""
    if words.dtype.kind != "i" or not words.size or words.min() < -(1 << 15) or words.max() >= 1 << 15:
        return np.ascontiguousarray(words)
    return np.ascontiguousarray(words, np.int16)


def lined_up(words: NDArray[Any], lines: int) -> NDArray[Any]:
    """Words (R, steps) as an edge of ``lines`` lines takes them: block after block of rows, step after step, a word for
    each line; lines without a row get zeros. One more step, all zeros, is what enters with a bubble.
    """
    blocks, steps = -(-len(words) // lines), words.shape[1]
    out = np.zeros((blocks * steps + 1, lines), words.dtype)
    for block in range(blocks):
        some = words[block * lines : (block + 1) * lines]
        out[block * steps : (block + 1) * steps, : len(some)] = some.T
    return out.reshape(-1)


TAG, PLAIN, RIGHT, DOWN, FROM, LOAD, KEPT = range(7)
"""Rows of the tapes of steps: what entered row 0 in that cycle; how many cycles in a row, up to this one, that was the
ordinary tag; where the words of the step begin among those of all rows, and of all columns. Where one operand is held,
``DOWN`` is instead where its sums go, and there is also: where they come from; how many held words of a fold entered
column 0 before the one of that cycle (-1: none did), and where that one is.
"""


def slack(rows: int, cols: int) -> int:
    """Hops until the windows are at the left end of their tapes."""
    return 2 * max(rows, cols)


def make_steps(length: int, hops: int, nothing: dict[int, int]) -> NDArray[np.int64]:
    """Tapes of steps (kinds, cycles), whose window of ``length`` cycles holds bubbles, of entries ``nothing``."""
    steps = np.zeros((KEPT + 1, length + hops), np.int64)
    for kind, entry in nothing.items():
        steps[kind] = entry
    return steps


@njit
def advance(place: Any, period: int, inner_blocks: int) -> Any:
    """Outer block, inner block and step of the next cycle: a fold begins every ``period`` cycles."""
    i, j, k = place
    if k + 1 < period:
        return i, j, k + 1
    return (i, j + 1, 0) if j + 1 < inner_blocks else (i + 1, 0, 0)


@njit
def rewind(tape: Any, distance: int) -> None:
    """Move a window from the left end of its tape to the right end, ``distance`` words on."""
    end = tape.shape[0]
    while end > distance:  # from the right, in pieces that do not overlap
        begin = max(end - distance, distance)
        for i in range(end - begin):
            tape[begin + i] = tape[begin - distance + i]
        end = begin


@njit
def feed_right(steps: Any, at: Any, fed: Any, word: Any, tag: Any, rows: Any, cols: Any) -> None:
    """Put the word that enters each row, of the step of that many cycles ago, into its leftmost register."""
    at, width = np.uint64(at), np.uint64(cols)
    for r in range(np.uint64(rows)):
        word[at + r * width] = fed[np.uint64(steps[RIGHT, at + r]) + r]
        tag[at + r * width] = steps[TAG, at + r]


@njit
def feed_down(first: Any, at: Any, fed: Any, top: Any, cols: Any) -> None:
    """Put what enters each column, of the step of that many cycles ago, into its topmost register."""
    at, width = np.uint64(at), np.uint64(cols)
    for c in range(width):
        top[at * width + c] = fed[np.uint64(first[at + c]) + c]
