"""Packed two's complement integers as they enter an array: sign-extended at its edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.kernels import njit

__all__ = ["signed_integers"]


@njit(cache=True)
def _sign_extended(codes, bits, flip, out):
    """Fill ``out`` (R, K) from rows of codes of ``bits``, most significant bit first, first one first; ``flip`` is
    exclusive-ored to each code. A code lies within two neighbouring bytes.
    """
    mask, half = (1 << bits) - 1, 1 << (bits - 1)
    for r in range(out.shape[0]):
        for k in range(out.shape[1]):
            at, inside = divmod(k * bits, 8)
            window = np.int64(codes[r, at]) << 8
            if inside + bits > 8:
                window |= np.int64(codes[r, at + 1])
            code = (window >> (16 - inside - bits)) & mask ^ flip
            out[r, k] = (code ^ half) - half


def signed_integers(codes: NDArray[np.uint8], bits: int, length: int, unsigned: bool = False) -> NDArray[np.integer]:
    """Packed rows (R, bytes) of ``bits`` (2 to 8, or 16) to integers (R, length), int8 or int16.

    ``unsigned`` codes have their top bit inverted, which makes them the signed integers ``code - 2^(bits-1)``.
    """
    if bits == 16:
        return codes.view("<i2").astype(np.int16, copy=False)
    if bits == 8:
        return (codes ^ np.uint8(0x80) if unsigned else codes).view(np.int8)
    out = np.empty((len(codes), length), np.int8)
    _sign_extended(codes, bits, 1 << (bits - 1) if unsigned else 0, out)
    return out
