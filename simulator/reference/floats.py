"""Float32 sums in a stated order, with NumPy: one rounded addition per step, all outputs side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["matmul_in_blocks", "matmul_in_order"]

_OUTPUTS_AT_A_TIME = 1 << 22
"""Bounds the memory of the reference to 16 MiB a buffer."""


def matmul_in_order(a: NDArray[np.float32], w: NDArray[np.float32]) -> NDArray[np.float32]:
    """(M, K) x (N, K) -> (M, N): products, exact in float32, added in the order k = 0 ... K-1."""
    out = np.zeros((len(a), len(w)), np.float32)
    for rows in _row_blocks(out):
        for k in range(a.shape[1]):
            out[rows] += a[rows, k, None] * w[None, :, k]
    return out


def matmul_in_blocks(a: NDArray[Any], w: NDArray[Any], block: int) -> NDArray[np.float32]:
    """(M, K) x (N, K) -> (M, N): the exact sum of each ``block`` neighbours, rounded, added to a float32 accumulator.

    A block's sum is exact in float64 for all formats with shared scales that share a block: 2^53 holds the products.
    """
    out = np.zeros((len(a), len(w)), np.float32)
    a64, w64 = a.astype(np.float64), w.astype(np.float64)
    with np.errstate(over="ignore"):
        for k in range(0, a.shape[1], block):
            out += np.matmul(a64[:, k : k + block], w64[:, k : k + block].T).astype(np.float32)
    return out


def _row_blocks(out: NDArray[Any]) -> list[slice]:
    step = max(1, _OUTPUTS_AT_A_TIME // out.shape[1])
    return [slice(first, first + step) for first in range(0, len(out), step)]
