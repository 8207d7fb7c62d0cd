"""Symmetric two's complement integers: ``int2`` ... ``int8`` and ``int16``.

Code ``q = clip(round_half_even(x / scale), -n, n)`` with ``n = 2^(bits-1) - 1`` and the quotient in float32; the most
negative code is never produced, but decodes to its two's complement value.

Layout: up to 8 bits a row is one bit stream, first element in the most significant bits (``formats.bitstream``); int16
takes two bytes, little endian, as fp16 does.
Source: the usual symmetric uniform quantiser; contract section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.formats.base import Format, checked_codes, scaled_rows
from simulator.formats.bitstream import pack, unpack, values_per_group
from simulator.kernels import njit

__all__ = ["Int2", "Int3", "Int4", "Int5", "Int6", "Int7", "Int8", "Int16"]

_PART = 64
"""Values between two looks at whether a sum of squared errors is beyond its limit; numba keeps it with this file."""


@njit(cache=True, error_model="numpy")
def _quantise(rows, scale, n, out):
    """Fill ``out`` (R, K) with the nearest integers of rows / scale, half to even, clipped to +-n."""
    for r in range(rows.shape[0]):
        s = scale[r]
        for k in range(rows.shape[1]):
            q = np.rint(rows[r, k] / s)
            out[r, k] = int(min(max(q, np.float32(-n)), np.float32(n)))


@njit(cache=True, error_model="numpy")
def _squared_error(rows, scale, n, most):
    """Sum of squared errors (R,) of rows quantised as in ``_quantise``, in float64; of a part where that is beyond
    ``most`` (R,).
    """
    R, K = rows.shape
    out = np.zeros(R)
    for r in range(R):
        s = scale[r]
        total = 0.0
        for first in range(0, K, _PART):
            for k in range(first, min(first + _PART, K)):
                q = min(max(np.rint(rows[r, k] / s), np.float32(-n)), np.float32(n))
                error = np.float64(rows[r, k]) - np.float64(q) * np.float64(s)
                total += error * error
            if total > most[r]:
                break
        out[r] = total
    return out


class _Integer(Format):
    """What the widths share: a subclass says its ``bits``, the rest follows."""

    def __init_subclass__(cls) -> None:
        cls.name = f"int{cls.bits}"
        cls.max_normal = 2 ** (cls.bits - 1) - 1
        cls.values_per_group = values_per_group(cls.bits)

    def encode(self, x: ArrayLike, scale: ArrayLike) -> NDArray[np.uint8]:
        """See ``Format.encode``; a row is padded with zeros to whole bytes."""
        lead, rows, per_row = scaled_rows(x, scale)
        q = np.empty(rows.shape, np.int8 if self.bits <= 8 else np.int16)
        _quantise(rows, per_row, int(self.max_normal), q)
        packed = pack(q.view(np.uint8), self.bits) if self.bits <= 8 else q.astype("<i2", copy=False).view(np.uint8)
        return packed.reshape(*lead, -1)

    def decode(self, codes: NDArray[np.uint8], length: int) -> NDArray[np.int32]:
        """See ``Format.decode``; every code is legal, the most negative one is ``-2^(bits-1)``."""
        rows = checked_codes(codes, self.packed_bytes(length), self.name)
        if self.bits >= 8:
            signed = rows.view("<i2" if self.bits == 16 else np.int8).astype(np.int32)
        else:
            half = 1 << (self.bits - 1)
            signed = unpack(rows, self.bits, length, (np.arange(2 * half, dtype=np.int32) ^ half) - half)
        return np.asarray(signed).reshape(*codes.shape[:-1], length)

    def squared_error(self, rows: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float64]:
        """See ``Format.squared_error``; one pass, nothing packed."""
        return self.error_up_to(rows, scale, np.full(len(rows), np.inf))

    def error_up_to(
        self, rows: NDArray[np.float32], scale: NDArray[np.float32], most: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """See ``Format.error_up_to``."""
        return np.asarray(_squared_error(rows, np.ascontiguousarray(scale), int(self.max_normal), most))


@dataclass(frozen=True)
class Int2(_Integer):
    """2-bit symmetric integers, -1..1, four to a byte."""

    bits: ClassVar[int] = 2


@dataclass(frozen=True)
class Int3(_Integer):
    """3-bit symmetric integers, -3..3, eight in three bytes."""

    bits: ClassVar[int] = 3


@dataclass(frozen=True)
class Int4(_Integer):
    """4-bit symmetric integers, -7..7, two to a byte, left element in the high nibble."""

    bits: ClassVar[int] = 4


@dataclass(frozen=True)
class Int5(_Integer):
    """5-bit symmetric integers, -15..15, eight in five bytes."""

    bits: ClassVar[int] = 5


@dataclass(frozen=True)
class Int6(_Integer):
    """6-bit symmetric integers, -31..31, four in three bytes."""

    bits: ClassVar[int] = 6


@dataclass(frozen=True)
class Int7(_Integer):
    """7-bit symmetric integers, -63..63, eight in seven bytes."""

    bits: ClassVar[int] = 7


@dataclass(frozen=True)
class Int8(_Integer):
    """8-bit symmetric integers, -127..127, one byte each."""

    bits: ClassVar[int] = 8


@dataclass(frozen=True)
class Int16(_Integer):
    """16-bit symmetric integers, -32767..32767, two bytes each, little endian."""

    bits: ClassVar[int] = 16
