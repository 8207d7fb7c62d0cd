"""Small floats with subnormals: ``bf16``, ``fp8_e4m3``, ``fp8_e5m2``, ``fp6_e3m2``, ``fp6_e2m3``, ``fp4_e2m1``.

Code: sign, exponent, mantissa; the value of every code is that of the ``ml_dtypes`` type. ``x / scale`` (float32) is
rounded to the nearest value, ties to the even code, and saturates at +-``max_normal``: infinity and NaN are never made.
Zero and what rounds to it keep their sign. Where a type has codes for infinity and NaN (bf16, E5M2; E4M3 NaN only)
they decode as such; the 6- and 4-bit types have none.

Scale: real maximum on ``max_normal`` (``Format.calibrate``); bf16 has the exponents of float32 and stores no scale.
Layout: 4 bits two to a byte, left value in the high nibble; 6 bits four in three bytes, most significant bit first;
8 bits a byte; bf16 two bytes, little endian.

| name | exponent bias | smallest subnormal | largest |
| --- | --- | --- | --- |
| ``fp8_e4m3`` | 7 | 2^-9 | 448 |
| ``fp8_e5m2`` | 15 | 2^-16 | 57344 |
| ``fp6_e3m2`` | 3 | 2^-4 | 28 |
| ``fp6_e2m3`` | 1 | 2^-3 | 7.5 |
| ``fp4_e2m1`` | 1 | 2^-1 | 6 |

Source: OCP 8-bit floating point specification 1.0 (2023), OCP microscaling formats 1.0 (2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.formats.base import Format, checked_codes, scaled_rows
from simulator.formats.bitstream import pack, unpack, values_per_group
from simulator.kernels import njit

__all__ = ["Bf16", "Fp4E2M1", "Fp6E2M3", "Fp6E3M2", "Fp8E4M3", "Fp8E5M2"]


@njit(cache=True, error_model="numpy")
def _round_row(row, scale, man_bits, min_exp, top, bits, out):
    """Fill ``out`` (K,) with the codes of row / scale.

    Rounds the bit pattern of the float32 quotient: dropping ``23 - man_bits`` bits with ties to even is the same
    integer addition whatever the exponent. Below the smallest normal the spacing is constant, and ``rint`` rounds; for
    bf16 those are float32's own subnormals, of which the bit pattern rounds as any other.
    """
    shift = 23 - man_bits
    half = (1 << (shift - 1)) - 1
    smallest = np.float32(2.0**min_exp)
    offset = (min_exp + 126) << man_bits  # 0 for bf16
    per_value = np.float32(2.0 ** (man_bits - min_exp)) if offset else smallest
    quotients = np.empty(row.size, np.float32)
    for k in range(row.size):
        quotients[k] = row[k] / scale
    patterns = quotients.view(np.int32)
    for k in range(row.size):
        pattern = int(patterns[k])
        magnitude = pattern & 0x7FFFFFFF
        code = ((magnitude + half + ((magnitude >> shift) & 1)) >> shift) - offset
        if offset:
            below = int(np.rint(min(abs(quotients[k]), smallest) * per_value))
            code = max(code, below)
        sign = 1 << (bits - 1) if pattern < 0 else 0
        out[k] = min(code, top) | sign


@njit(cache=True, error_model="numpy")
def _encode(rows, scale, man_bits, min_exp, top, bits, out):
    """Fill ``out`` (R, K) with the codes of rows / scale."""
    for r in range(rows.shape[0]):
        _round_row(rows[r], scale[r], man_bits, min_exp, top, bits, out[r])


@njit(cache=True, error_model="numpy")
def _squared_error(rows, scale, man_bits, min_exp, top, bits, values):
    """Sum of squared errors (R,) of rows encoded and decoded, in float64."""
    R, K = rows.shape
    out = np.zeros(R)
    codes = np.empty(K, np.uint16)
    for r in range(R):
        _round_row(rows[r], scale[r], man_bits, min_exp, top, bits, codes)
        total = 0.0
        for k in range(K):
            error = np.float64(rows[r, k]) - np.float64(values[codes[k]]) * np.float64(scale[r])
            total += error * error
        out[r] = total
    return out


class _MiniFloat(Format):
    """What the types share: a subclass names its ``ml_dtypes`` type, the rest follows from that."""

    dtype: ClassVar[type[Any]]
    values: ClassVar[NDArray[np.float32]]
    """Value of every code."""

    def __init_subclass__(cls) -> None:
        info = ml_dtypes.finfo(cls.dtype)
        cls.bits = info.bits
        cls.values_per_group = values_per_group(cls.bits)
        cls.max_normal = float(info.max)
        codes = np.arange(1 << cls.bits).astype(np.uint16 if cls.bits == 16 else np.uint8)
        cls.values = codes.view(cls.dtype).astype(np.float32)
        cls._man_bits, cls._min_exp = int(info.nmant), int(info.minexp)
        cls._top = int(np.flatnonzero(cls.values == cls.max_normal)[0])

    _man_bits: ClassVar[int]
    _min_exp: ClassVar[int]
    _top: ClassVar[int]

    def encode(self, x: ArrayLike, scale: ArrayLike) -> NDArray[np.uint8]:
        """See ``Format.encode``; a row is padded with zeros to whole bytes."""
        lead, rows, per_row = scaled_rows(x, scale)
        codes = np.empty(rows.shape, np.uint16 if self.bits == 16 else np.uint8)
        _encode(rows, per_row, self._man_bits, self._min_exp, self._top, self.bits, codes)
        packed = pack(codes, self.bits) if self.bits <= 8 else codes.astype("<u2", copy=False).view(np.uint8)
        return packed.reshape(*lead, -1)

    def decode(self, codes: NDArray[np.uint8], length: int) -> NDArray[np.float32]:
        """See ``Format.decode``: exact float32 values; infinities and NaNs come back as such."""
        rows = checked_codes(codes, self.packed_bytes(length), self.name)
        if self.bits == 16:
            decoded = self.values[rows.view("<u2")]
        else:
            decoded = unpack(rows, self.bits, length, self.values)
        return np.asarray(decoded).reshape(*codes.shape[:-1], length)

    def squared_error(self, rows: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float64]:
        """See ``Format.squared_error``; one pass, nothing packed."""
        layout = (self._man_bits, self._min_exp, self._top, self.bits)
        return np.asarray(_squared_error(rows, np.ascontiguousarray(scale), *layout, self.values))


@dataclass(frozen=True)
class Bf16(_MiniFloat):
    """bfloat16: float32 with 8 bits of significand; two bytes per value, no scale."""

    name: ClassVar[str] = "bf16"
    dtype: ClassVar[type[Any]] = ml_dtypes.bfloat16
    has_scale: ClassVar[bool] = False
    calibrated: ClassVar[bool] = False


@dataclass(frozen=True)
class Fp8E4M3(_MiniFloat):
    """OCP FP8 E4M3: up to 448, no infinity."""

    name: ClassVar[str] = "fp8_e4m3"
    dtype: ClassVar[type[Any]] = ml_dtypes.float8_e4m3fn


@dataclass(frozen=True)
class Fp8E5M2(_MiniFloat):
    """OCP FP8 E5M2: up to 57344."""

    name: ClassVar[str] = "fp8_e5m2"
    dtype: ClassVar[type[Any]] = ml_dtypes.float8_e5m2


@dataclass(frozen=True)
class Fp6E3M2(_MiniFloat):
    """OCP FP6 E3M2: 0 to 28, four values in three bytes."""

    name: ClassVar[str] = "fp6_e3m2"
    dtype: ClassVar[type[Any]] = ml_dtypes.float6_e3m2fn


@dataclass(frozen=True)
class Fp6E2M3(_MiniFloat):
    """OCP FP6 E2M3: 0 to 7.5, four values in three bytes."""

    name: ClassVar[str] = "fp6_e2m3"
    dtype: ClassVar[type[Any]] = ml_dtypes.float6_e2m3fn


@dataclass(frozen=True)
class Fp4E2M1(_MiniFloat):
    """OCP FP4 E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives, two to a byte."""

    name: ClassVar[str] = "fp4_e2m1"
    dtype: ClassVar[type[Any]] = ml_dtypes.float4_e2m1fn
