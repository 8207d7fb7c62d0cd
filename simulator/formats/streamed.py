"""An operand that is read a block of rows at a time, and what is looked for in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.kernels import njit

__all__ = ["Block", "Streamed", "Whole", "beyond", "knows_of", "nth_largest_magnitude", "unread"]

_CHUNK = 64
"""Values that are compared at once, before any of them is looked at alone."""
_LOWER = 13
"""Bits of a float32 that a half does not have."""
_AT_ONCE = 1 << 16
"""Places that are found in one go."""


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

    It was if each of these comes from the class that says it, or from one above.
    """
    owner = {name: next(base for base in kind.__mro__ if name in vars(base)) for name in (told, *decided_by)}
    return all(issubclass(owner[told], owner[name]) for name in decided_by)


def unread(rows: int, packed_bytes: int) -> NDArray[np.uint8]:
    """In place of codes (rows, packed bytes) that nobody looks at: zeros that take no memory."""
    return np.broadcast_to(np.uint8(0), (rows, packed_bytes))


def beyond(block: Block, low: float, high: float) -> NDArray[np.int64]:
    """Where values of a block lie that are not within [low, high]: ``row * K + k`` in the GEMM's operand, ascending."""
    _, first, values = block
    flat = np.ascontiguousarray(values).reshape(-1)
    out = np.empty(min(flat.size, _AT_ONCE) + _CHUNK, np.int64)
    at, parts = 0, []
    while at < flat.size:
        at, found = _beyond(flat, np.float32(low), np.float32(high), at, out)
        parts.append(out[:found].copy())
    return np.concatenate(parts) + first * values.shape[1]


@njit(cache=True, nogil=True)
def _beyond(values, low, high, at, out):
    """Fill ``out`` with places from ``at`` on; where to go on, and how many there are."""
    found = 0
    while at + _CHUNK <= values.size and found + _CHUNK <= out.size:
        some, chunk = np.uint32(0), values[at : at + _CHUNK]
        for i in range(_CHUNK):  # compared at once, without a branch
            some |= np.uint32((chunk[i] < low) | (chunk[i] > high))
        if some:
            for i in range(_CHUNK):
                out[found] = at + i
                found += (chunk[i] < low) | (chunk[i] > high)
        at += _CHUNK
    if at + _CHUNK > values.size:
        while at < values.size and found < out.size:
            out[found] = at
            found += (values[at] < low) | (values[at] > high)
            at += 1
    return at, found


def nth_largest_magnitude(x: Streamed, n: int) -> tuple[float, int]:
    """The ``n``-th largest magnitude (``n`` from 1), and how many values are larger. One reading where all values have
    few enough bits, as halves do, else two.

    Magnitudes are in the order of the words of their float32: all are counted by their upper bits, then those by the
    lower ones whose upper bits are that one's.
    """
    counts, lower = np.zeros(1 << 31 - _LOWER, np.int64), np.uint32(0)
    for _, _, values in x.blocks():
        lower |= _count_upper(np.ascontiguousarray(values).reshape(-1).view(np.uint32), counts)
    upper, above = _place(counts, n)
    if lower:
        counts = np.zeros(1 << _LOWER, np.int64)
        for _, _, values in x.blocks():
            _count_lower(np.ascontiguousarray(values).reshape(-1).view(np.uint32), np.uint32(upper), counts)
        last, more = _place(counts, n - above)
        above += more
    else:
        last = 0
    return float(np.array(upper << _LOWER | last, np.uint32).view(np.float32)), above


def _place(counts: NDArray[np.int64], n: int) -> tuple[int, int]:
    """Where the ``n``-th from the end is, and how many are behind that place."""
    behind = np.concatenate([np.cumsum(counts[::-1])[::-1], [0]])  # from each place on
    at = int(np.flatnonzero(behind[:-1] >= n)[-1])
    return at, int(behind[at + 1])


@njit(cache=True, nogil=True)
def _count_upper(words, counts):
    """Add words to ``counts`` by the upper bits of their magnitude; all lower bits, or-ed."""
    lower = np.uint32(0)
    for word in words:
        lower |= word
    for word in words:
        counts[(word & np.uint32(0x7FFFFFFF)) >> np.uint32(_LOWER)] += 1
    return lower & np.uint32((1 << _LOWER) - 1)


@njit(cache=True, nogil=True)
def _count_lower(words, upper, counts):
    """Add those with these upper bits by their lower ones."""
    for word in words:
        if (word & np.uint32(0x7FFFFFFF)) >> np.uint32(_LOWER) == upper:
            counts[word & np.uint32((1 << _LOWER) - 1)] += 1
