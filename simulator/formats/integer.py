"""Symmetric two's complement integers: ``int4`` and ``int8``.

Code ``q = clip(round_half_even(x / scale), -n, n)`` with ``n = 2^(bits-1) - 1``; the most negative code is never
produced, but decodes to its two's complement value. Widths below 8 bits are packed with the first element in the high
bits of the byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from simulator.formats.base import Format, checked_codes, scaled_rows

__all__ = ["Int4", "Int8"]


@njit(cache=True, error_model="numpy")
def _quantise(rows, scale, n):
    """Nearest integers (R, K) int8 of rows / scale, half to even, clipped to +-n."""
    out = np.empty(rows.shape, np.int8)
    for r in range(rows.shape[0]):
        s = scale[r]
        for k in range(rows.shape[1]):
            q = np.rint(rows[r, k] / s)
            out[r, k] = np.int8(min(max(q, np.float32(-n)), np.float32(n)))
    return out


@njit(cache=True, error_model="numpy")
def _squared_error(rows, scale, n):
    """Sum of squared errors (R,) of rows quantised as in ``_quantise``, in float64."""
    out = np.zeros(rows.shape[0])
    for r in range(rows.shape[0]):
        s = scale[r]
        total = 0.0
        for k in range(rows.shape[1]):
            q = min(max(np.rint(rows[r, k] / s), np.float32(-n)), np.float32(n))
            error = np.float64(rows[r, k]) - np.float64(q) * np.float64(s)
            total += error * error
        out[r] = total
    return out


class _Integer(Format):
    """What the two widths share."""

    def _quantised(self, x: ArrayLike, scale: ArrayLike) -> tuple[tuple[int, ...], NDArray[np.int8]]:
        lead, rows, per_row = scaled_rows(x, scale)
        return lead, _quantise(rows, per_row, int(self.max_normal))

    def squared_error(self, rows: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float64]:
        """See ``Format.squared_error``; one pass, nothing packed."""
        return np.asarray(_squared_error(rows, np.ascontiguousarray(scale), int(self.max_normal)))


@dataclass(frozen=True)
class Int8(_Integer):
    """8-bit symmetric integers, -127..127, one byte each."""

    name: ClassVar[str] = "int8"
    bits: ClassVar[int] = 8
    max_normal: ClassVar[float] = 127

    def encode(self, x: ArrayLike, scale: ArrayLike) -> NDArray[np.uint8]:
        """See ``Format.encode``."""
        lead, q = self._quantised(x, scale)
        return q.view(np.uint8).reshape(*lead, -1)

    def decode(self, codes: NDArray[np.uint8], length: int) -> NDArray[np.int32]:
        """See ``Format.decode``; every code is legal."""
        rows = checked_codes(codes, self.packed_bytes(length), self.name)
        return rows.view(np.int8).astype(np.int32).reshape(*codes.shape[:-1], length)


@dataclass(frozen=True)
class Int4(_Integer):
    """4-bit symmetric integers, -7..7, two to a byte, left element in the high nibble."""

    name: ClassVar[str] = "int4"
    bits: ClassVar[int] = 4
    values_per_group: ClassVar[int] = 2
    max_normal: ClassVar[float] = 7

    def encode(self, x: ArrayLike, scale: ArrayLike) -> NDArray[np.uint8]:
        """See ``Format.encode``; an odd length is padded with one zero."""
        lead, q = self._quantised(x, scale)
        if q.shape[1] % 2:
            q = np.concatenate([q, np.zeros((len(q), 1), np.int8)], axis=1)
        nibbles = q.view(np.uint8) & np.uint8(0x0F)
        return ((nibbles[:, 0::2] << np.uint8(4)) | nibbles[:, 1::2]).reshape(*lead, -1)

    def decode(self, codes: NDArray[np.uint8], length: int) -> NDArray[np.int32]:
        """See ``Format.decode``; every code is legal, ``1000`` is -8."""
        rows = checked_codes(codes, self.packed_bytes(length), self.name)
        nibbles = np.stack([rows >> 4, rows & 0x0F], axis=-1).reshape(len(rows), -1)[:, :length]
        signed = (nibbles.astype(np.int32) ^ 8) - 8
        return signed.reshape(*codes.shape[:-1], length)
