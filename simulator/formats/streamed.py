"""An operand that is read a block of rows at a time, and what is looked for in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.kernels import njit

__all__ = ["Block", "Streamed", "Whole", "beyond", "knows_of", "unread"]

_CHUNK = 256
"""Values that are compared at once, before any of them is looked at alone."""
_AT_ONCE = 3 << 12
"""Places that are found in one go: little enough that the memory for them is used again, not mapped anew each time."""


Block = tuple[int, int, NDArray[np.float32]]
"""Of one GEMM's operand: which GEMM, the first row, and rows (R, K)."""


class Streamed(Protocol):
    """An operand of ``count`` GEMMs, and where it can be read again."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(count, rows, K)."""

    def blocks(self) -> Iterator[Block]:
        """All rows in order, float32 and finite; the values of a block are gone when the next one is asked for.

        Raises: OlivineError where it cannot be read, or holds a NaN or an infinity.
        """

    def whole(self) -> NDArray[np.float32]:
        """All of it, of that shape. Raises: as ``blocks``."""


@dataclass(frozen=True)
class Whole:
    """One that is in memory, (count, rows, K)."""

    tensor: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int, int]:
        """See ``Streamed``."""
        count, rows, K = self.tensor.shape
        return count, rows, K

    def blocks(self) -> Iterator[Block]:
        """See ``Streamed``; a block is a GEMM's operand."""
        return ((gemm, 0, values) for gemm, values in enumerate(self.tensor))

    def whole(self) -> NDArray[np.float32]:
        """See ``Streamed``."""
        return self.tensor


def knows_of(kind: type, told: str, *decided_by: str) -> bool:
    """Whether what class ``kind`` says in ``told`` was written knowing the methods that decide.

    It was if none of these comes from a class that is asked before the one that says it.
    """
    place = {name: next(i for i, base in enumerate(kind.__mro__) if name in vars(base)) for name in (told, *decided_by)}
    return all(place[told] <= place[name] for name in decided_by)


def unread(rows: int, packed_bytes: int) -> NDArray[np.uint8]:
    """In place of codes (rows, packed bytes) that nobody looks at: zeros that take no memory."""
    return np.broadcast_to(np.uint8(0), (rows, packed_bytes))


def beyond(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.int64]:
    """Which of some values (R, K) are not within [low, high]: ``row * K + k``, ascending."""
    flat = np.ascontiguousarray(values).reshape(-1)
    out, flags = np.empty(min(flat.size, _AT_ONCE) + _CHUNK, np.int64), np.empty(_CHUNK, np.uint8)
    bounds, words = (np.float32(low), np.float32(high)), flags.view(np.uint64)
    at, found = _beyond(flat, bounds, 0, (flags, words), out)
    parts = [out[:found].copy()]
    while at < flat.size:
        at, found = _beyond(flat, bounds, at, (flags, words), out)
        parts.append(out[:found].copy())
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


@njit(cache=True, nogil=True)
def _beyond(values, bounds, at, flags, out):
    """Fill ``out`` with places from ``at`` on; where to go on, and how many there are. ``flags``: of a chunk, as bytes
    and, the same memory, as words.
    """
    low, high = bounds
    each, eights = flags
    found = 0
    while at + _CHUNK <= values.size and found + _CHUNK <= out.size:
        chunk = values[at : at + _CHUNK]
        for i in range(_CHUNK):  # compared without a branch
            each[i] = (chunk[i] < low) | (chunk[i] > high)
        for first in range(0, _CHUNK, 8):
            if eights[first // 8]:
                for i in range(first, first + 8):
                    out[found] = at + i
                    found += np.int64(each[i])
        at += _CHUNK
    if at + _CHUNK > values.size:
        while at < values.size and found < out.size:
            out[found] = at
            found += (values[at] < low) | (values[at] > high)
            at += 1
    return at, found
