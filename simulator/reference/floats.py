"""Float32 sums in a stated order, with NumPy: one rounded addition per step, all outputs side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["matmul_in_blocks", "matmul_in_order"]

_OUTPUTS_AT_A_TIME = 1 << 22
"""Bounds the memory of the reference to 16 MiB a buffer."""
_FLOAT64_BITS = 53


def matmul_in_order(a: NDArray[np.float32], w: NDArray[np.float32]) -> NDArray[np.float32]:
    """(M, K) x (N, K) -> (M, N): products, exact in float32, added in the order k = 0 ... K-1."""
    out = np.zeros((len(a), len(w)), np.float32)
    for rows in _row_blocks(out):
        for k in range(a.shape[1]):
            out[rows] += a[rows, k, None] * w[None, :, k]
    return out


def matmul_in_blocks(a: NDArray[Any], w: NDArray[Any], block: int) -> NDArray[np.float32]:
    """(M, K) x (N, K) -> (M, N): the exact sum of each ``block`` neighbours, rounded, added to a float32 accumulator.

    A block's sum is a float64 BLAS product, exact in any order because its bits are counted first: 42 at most for the
    block formats but those with E5M2 elements. A sum beyond float32 is infinite, as IEEE 754 says.
    Raises: OverflowError if a block's sum may need more than the 53 bits of float64.
    """
    out = np.zeros((len(a), len(w)), np.float32)
    a64, w64 = a.astype(np.float64), w.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(0, a.shape[1], block):
            left, right = a64[:, k : k + block], w64[:, k : k + block]
            if _widest(left) + _widest(right) + (left.shape[1] - 1).bit_length() > _FLOAT64_BITS:
                raise OverflowError("a block's sum may need more than 53 bits")
            out += np.matmul(left, right.T).astype(np.float32)
    return out


def _widest(x: NDArray[np.float64]) -> int:
    """Bits from the top of a row's largest magnitude to its lowest set bit: the most of any row."""
    fraction, exponent = np.frexp(x)
    integer = np.abs(np.ldexp(fraction, _FLOAT64_BITS)).astype(np.int64)
    lowest = np.frexp((integer & -integer).astype(np.float64))[1] + exponent - _FLOAT64_BITS - 1
    zero = integer == 0
    far = np.iinfo(exponent.dtype).max // 2
    width = np.where(zero, -far, exponent).max(axis=1) - np.where(zero, far, lowest).min(axis=1)
    return max(int(width.max()), 0)


def _row_blocks(out: NDArray[Any]) -> list[slice]:
    step = max(1, _OUTPUTS_AT_A_TIME // out.shape[1])
    return [slice(first, first + step) for first in range(0, len(out), step)]
