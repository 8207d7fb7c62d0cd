"""The infinitely precise product of decoded operands, rounded once to float64: what no accumulator has touched.

Each operand is cut into slices of so few bits that a float64 BLAS product of two slices is exact in any order (Ozaki,
Ogita, Oishi and Rump, Numerical Algorithms 59, 2012). Products of slices are added in double-double arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["precise_matmul"]

_MOST_SLICES = 40
"""More than enough for float32 values: 277 binades in slices of at least 11 bits (K up to 2^31)."""


def precise_matmul(a: ArrayLike, w: ArrayLike) -> NDArray[np.float64]:
    """(M, K) x (N, K) -> (M, N), float64.

    Integers are exact while they fit 53 bits; the error of anything else is at most one unit in the last place.
    """
    left, right = np.asarray(a, np.float64), np.asarray(w, np.float64)
    bits = (53 - max(left.shape[1] - 1, 1).bit_length()) // 2
    high, low = (np.zeros((len(left), len(right))) for _ in range(2))
    slices = [_slices(x, bits) for x in (left, right)]
    for one in slices[0]:
        for other in slices[1]:
            high, error = _two_sum(high, one @ other.T)
            low += error
    return np.asarray(high + low)


def _slices(x: NDArray[np.float64], bits: int) -> list[NDArray[np.float64]]:
    """Parts (R, K) that sum to ``x`` exactly, largest first; each row of a part holds multiples of one power of two,
    ``bits`` wide at most.
    """
    parts: list[NDArray[np.float64]] = []
    rest = x
    while rest.any() and len(parts) < _MOST_SLICES:
        exponent = np.frexp(np.abs(rest).max(axis=1, keepdims=True))[1]
        step = np.ldexp(1.0, exponent - bits)
        part = np.trunc(rest / step) * step  # a power of two divides exactly
        parts.append(part)
        rest = rest - part
    assert not rest.any(), "slices must hold every bit"
    return parts or [np.zeros_like(x)]


def _two_sum(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rounded sum and its exact error (Knuth)."""
    total = a + b
    other = total - a
    return total, (a - (total - other)) + (b - other)
