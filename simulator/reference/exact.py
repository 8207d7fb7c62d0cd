"""The exact quantised answer, written independently of the datapaths: decoded grid values, summed as stated."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simulator.formats import Encoded, Format

__all__ = ["exact_matmul"]

_EXACT_FLOAT64 = 2**53
_FLOAT_BLOCK = 1 << 22
"""Outputs held at a time by the float32 reference: bounds its memory to 16 MiB a buffer."""


def exact_matmul(
    act: Encoded,
    weight: Encoded,
    *,
    act_format: Format,
    weight_format: Format,
    accumulation: Literal["int", "fp32_sequential"],
) -> NDArray[Any]:
    """Product of two encoded operands of M and N rows, shape (M, N), before their scales.

    ``int``: infinitely precise, int64. ``fp32_sequential``: float32, exact products added in the order k = 0 ... K-1.
    Raises: EncodingError on an illegal code; OverflowError if an integer result may leave int64.
    """
    a, w = act_format.decode_operand(act), weight_format.decode_operand(weight)
    return _float_matmul(a, w) if accumulation == "fp32_sequential" else _int_matmul(a, w)


def _int_matmul(a: NDArray[np.int32], w: NDArray[np.int32]) -> NDArray[np.int64]:
    bound = length_bound(a, w)
    if bound < _EXACT_FLOAT64:  # every partial sum of a float64 BLAS is then an exact integer, in any order
        return np.asarray(np.matmul(a.astype(np.float64), w.T.astype(np.float64))).astype(np.int64)
    if bound >= 2**63:
        raise OverflowError("an integer result may leave int64")
    return np.asarray(np.matmul(a.astype(np.int64), w.T.astype(np.int64)))


def length_bound(a: NDArray[np.int32], w: NDArray[np.int32]) -> int:
    """Largest magnitude that any partial sum of (M, K) x (N, K) can have."""
    largest = [max(int(x.max()), -int(x.min())) for x in (a, w)]
    return int(a.shape[1]) * largest[0] * largest[1]


def _float_matmul(a: NDArray[np.float32], w: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.zeros((len(a), len(w)), np.float32)
    step = max(1, _FLOAT_BLOCK // len(w))
    for first in range(0, len(a), step):
        block = out[first : first + step]
        for k in range(a.shape[1]):
            block += a[first : first + step, k, None] * w[None, :, k]
    return out
