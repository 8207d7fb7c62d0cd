"""Stored values to float32, a block at a time, exactly and quickly."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from simulator.kernels import njit

__all__ = ["as_float32", "widen"]

_HALF_INFINITY = 0x7C00
_AT_ONCE = 4096
"""Values that stay in the first cache for both passes over them."""


def as_float32(stored: NDArray[Any]) -> tuple[NDArray[np.float32], bool]:
    """Values in memory, or mapped, as float32; what that cannot hold becomes infinite. And whether all are finite."""
    out = np.empty(stored.shape, np.float32)
    return out, widen(stored, out)


def widen(stored: NDArray[Any], out: NDArray[np.float32]) -> bool:
    """``as_float32`` into ``out``; both contiguous and of one shape. Returns: whether all are finite."""
    if stored.dtype == np.float16:
        return bool(_half(stored.reshape(-1).view(np.uint16), out.reshape(-1).view(np.uint32)) < _HALF_INFINITY)
    if stored.dtype == ml_dtypes.bfloat16:  # the upper half of a float32
        np.left_shift(stored.view(np.uint16), 16, out=out.view(np.uint32), dtype=np.uint32)
    else:
        with np.errstate(over="ignore"):
            np.copyto(out, stored, casting="unsafe")
    return bool(np.isfinite(out).all())


@njit(cache=True, nogil=True)
def _half(codes, out):
    """IEEE half precision to the words of float32, without a branch. Returns: the code of the largest magnitude.

    The exponent is biased by 112 more, that of an infinity or a NaN by 224; a subnormal is a whole number of 2^-24.
    """
    largest = np.uint16(0)
    for first in range(0, codes.size, _AT_ONCE):
        end = min(first + _AT_ONCE, codes.size)
        code, word = codes[first:end], out[first:end]
        for i in range(code.size):
            largest = max(largest, code[i] & np.uint16(0x7FFF))
        for i in range(code.size):
            magnitude = np.uint32(code[i] & np.uint16(0x7FFF))
            bias = np.uint32(224 << 23) if magnitude >= np.uint32(0x7C00) else np.uint32(112 << 23)
            normal = np.uint32((magnitude << np.uint32(13)) + bias)
            small = np.float32(np.float32(np.int32(magnitude)) * np.float32(2.0**-24)).view(np.uint32)
            sign = np.uint32(code[i] & np.uint16(0x8000)) << np.uint32(16)
            word[i] = (small if magnitude < np.uint32(0x400) else normal) | sign
    return largest
