"""What both register-accurate arrays do at their edges: which fold and step each line is at, and how words hop."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["advance", "narrow", "rewind", "start"]


def narrow(words: NDArray[Any]) -> NDArray[Any]:
    """Integer words as int16 if all of them fit: more of them are worked on at once."""
    if words.dtype.kind != "i" or not words.size or words.min() < -(1 << 15) or words.max() >= 1 << 15:
        return np.ascontiguousarray(words)
    return np.ascontiguousarray(words, np.int16)


@njit
def start(lines: int, begin: int) -> NDArray[np.int64]:
    """Where each line of an edge is, (lines, 3): outer block, inner block and step; line i is at cycle ``begin + i``
    where line 0 is at ``begin``; a negative step is one to come.
    """
    edge = np.zeros((lines, 3), np.int64)
    edge[:, 2] = -begin - np.arange(lines)
    return edge


@njit
def advance(edge: Any, line: int, period: int, inner_blocks: int) -> None:
    """The next cycle of one line: a fold begins every ``period`` cycles."""
    edge[line, 2] += 1
    if edge[line, 2] == period:
        edge[line, 2] = 0
        edge[line, 1] += 1
        if edge[line, 1] == inner_blocks:
            edge[line, 1] = 0
            edge[line, 0] += 1


@njit
def rewind(word: Any, tag: Any, width: Any) -> Any:
    """Move all registers from the left end of their tapes to the right end; returns where they then begin."""
    word[:, width:] = word[:, :width]
    tag[:, width:] = tag[:, :width]
    return width
