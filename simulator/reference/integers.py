"""Exact products of integers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["int_matmul", "partial_sum_bound"]

_EXACT_FLOAT64 = 2**53


def int_matmul(a: NDArray[Any], w: NDArray[Any]) -> NDArray[np.int64]:
    """Integers (M, K) x (N, K) -> (M, N), exact.

    Raises: OverflowError if a partial sum may leave int64.
    """
    bound = partial_sum_bound(a, w)
    if bound < _EXACT_FLOAT64:  # every partial sum of a float64 BLAS is then an exact integer, in any order
        return np.asarray(np.matmul(a.astype(np.float64), w.T.astype(np.float64))).astype(np.int64)
    if bound >= 2**63:
        raise OverflowError("an integer result may leave int64")
    return np.asarray(np.matmul(a.astype(np.int64), w.T.astype(np.int64)))


def partial_sum_bound(a: NDArray[Any], w: NDArray[Any]) -> int:
    """Largest magnitude that any partial sum of (M, K) x (N, K) can have."""
    largest = [max(int(x.max()), -int(x.min())) for x in (a, w)]
    return int(a.shape[1]) * largest[0] * largest[1]
