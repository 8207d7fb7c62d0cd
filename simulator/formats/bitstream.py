"""Codes of any width up to 8 bits as one bit stream per row: most significant bit first, first element first.

A row is padded with zero bits to whole groups of ``values_per_group(bits)`` values, the fewest that fill whole bytes:
4 bits is two values to a byte, the left one in the high nibble; 6 bits is four values in three bytes.
"""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.kernels import njit

__all__ = ["pack", "packed_bytes", "unpack", "values_per_group"]


def values_per_group(bits: int) -> int:
    """Fewest neighbours whose codes fill whole bytes."""
    return 8 // gcd(bits, 8)


def packed_bytes(length: int, bits: int) -> int:
    """Bytes of one packed row of ``length`` codes, padding included."""
    group = values_per_group(bits)
    return -(-length // group) * group * bits // 8


@njit(cache=True)
def _pack(codes, bits, out):
    """Packed rows ``out`` of the low ``bits`` of codes (R, K): 8 codes fill ``bits`` bytes, the last few fewer."""
    R, K = codes.shape
    mask = (1 << bits) - 1
    for r in range(R):
        for first in range(0, K, 8):
            word = 0
            if first + 8 <= K:
                for i in range(8):
                    word = (word << bits) | (int(codes[r, first + i]) & mask)
            else:
                for k in range(first, K):
                    word = (word << bits) | (int(codes[r, k]) & mask)
                word <<= bits * (first + 8 - K)
            at = first // 8 * bits
            for i in range(min(bits, out.shape[1] - at)):
                out[r, at + i] = (word >> (8 * (bits - 1 - i))) & 0xFF


@njit(cache=True)
def _unpack(packed, bits, values, out):
    """Fill ``out`` (R, K) with the values of the codes in packed rows."""
    R, K = out.shape
    mask = (1 << bits) - 1
    for r in range(R):
        for first in range(0, K, 8):
            at = first // 8 * bits
            size = min(bits, packed.shape[1] - at)
            word = 0
            for i in range(size):
                word = (word << 8) | int(packed[r, at + i])
            word <<= 8 * (bits - size)
            if first + 8 <= K:
                for i in range(8):
                    out[r, first + i] = values[(word >> (bits * (7 - i))) & mask]
            else:
                for k in range(first, K):
                    out[r, k] = values[(word >> (bits * (7 - (k - first)))) & mask]


def pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Codes (R, K), of which the low ``bits`` count, as packed rows; 8-bit codes are their own packing."""
    if bits == 8:
        return codes
    out = np.empty((len(codes), packed_bytes(codes.shape[1], bits)), np.uint8)
    _pack(codes, bits, out)
    return out


def unpack(packed: NDArray[np.uint8], bits: int, length: int, values: NDArray[Any]) -> NDArray[Any]:
    """Packed rows (R, bytes) as the ``values`` (one per code) of their codes, (R, length); padding is not looked at."""
    out = np.empty((len(packed), length), values.dtype)
    _unpack(packed, bits, values, out)
    return out
