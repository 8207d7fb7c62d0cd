"""OCP microscaling (MX v1.0, 2023; Rouhani et al., arXiv 2310.10537): blocks of 32 along K share a power of two.

Shared scale, E8M0: ``X = 2^(floor(log2 a) - emax)`` with ``a`` the block's largest magnitude and ``emax`` the exponent
of the element type's largest number; byte = exponent + 127, never below byte 0 (``2^-127``), which an all-zero block
gets too. Byte 255 (NaN) is never made and refused when decoded. Elements: ``x / X`` to the nearest element, ties to
even, beyond the largest one saturated; element NaNs and infinities are never made and refused. Zeros keep their sign.
Layout: see ``formats.blocks``; 6-bit elements are packed most significant bit first, four in three bytes.

| name | element | emax | largest |
| --- | --- | --- | --- |
| ``mxfp8_e4m3``, ``mxfp8`` | E4M3, no infinity | 8 | 448 |
| ``mxfp8_e5m2`` | E5M2 | 15 | 57344 |
| ``mxfp6_e3m2``, ``mxfp6`` | E3M2 | 4 | 28 |
| ``mxfp6_e2m3`` | E2M3 | 2 | 7.5 |
| ``mxfp4`` | E2M1 | 2 | 6 |
| ``mxint8`` | two's complement q, value q/64 | 0 | 127/64 |

The specification names no default variants; the short names are this project's choice: E4M3 as inference uses it, E3M2
as the wider range of the two (E2M3 is the more precise one on bell-shaped tensors).
``mxint8`` saturates symmetrically at -127; code -128 decodes to -2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.formats.base import scaled_rows
from simulator.formats.blocks import BlockFormat, pack_blocks, row_chunks
from simulator.kernels import njit

__all__ = ["MxFp4", "MxFp6", "MxFp6E2M3", "MxFp6E3M2", "MxFp8", "MxFp8E4M3", "MxFp8E5M2", "MxInt8"]

_BYTES = np.arange(256, dtype=np.uint8)


@njit(cache=True, error_model="numpy")
def _scaled_blocks(rows, scale, block, emax, limit, float32_max):
    """Shared scale bytes (R, B), and rows / scale / shared scale within +-limit, float32 (R, B, block), zero-padded."""
    R, K = rows.shape
    B = (K + block - 1) // block
    shared = np.zeros((R, B), np.uint8)
    out = np.zeros((R, B, block), np.float32)
    for r in range(R):
        for b in range(B):
            size = min(block, K - b * block)
            largest = 0.0
            for i in range(size):
                x = np.float64(rows[r, b * block + i] / scale[r])
                x = min(max(x, -float32_max), float32_max)
                out[r, b, i] = x
                largest = max(largest, abs(x))
            if largest == 0.0:
                continue
            exponent = max(math.frexp(largest)[1] - 1 - emax, -127)
            shared[r, b] = exponent + 127
            inverse = math.ldexp(1.0, -exponent)
            for i in range(size):  # exact wherever an element can tell: float64 has room, float32 loses only subnormals
                out[r, b, i] = min(max(np.float64(out[r, b, i]) * inverse, -limit), limit)
    return shared, out


class _Mx(BlockFormat):
    """What the microscaling formats share; subclasses say how an element is coded."""

    values_per_group: ClassVar[int] = 32
    has_scale: ClassVar[bool] = False
    calibrated: ClassVar[bool] = False
    scale_values: ClassVar[NDArray[np.float32]] = _BYTES.view(ml_dtypes.float8_e8m0fnu).astype(np.float32)
    emax: ClassVar[int]

    def encode(self, x: ArrayLike, scale: ArrayLike) -> NDArray[np.uint8]:
        """See ``Format.encode``; bounded temporaries."""
        lead, rows, per_row = scaled_rows(x, scale)
        out = np.empty((len(rows), self.packed_bytes(rows.shape[1])), np.uint8)
        largest = float(np.finfo(np.float32).max)
        for part in row_chunks(*rows.shape):
            shared, scaled = _scaled_blocks(
                rows[part], per_row[part], self.values_per_group, self.emax, self.max_normal, largest
            )
            pack_blocks(shared, self._element_codes(scaled), self.bits, out[part])
        return out.reshape(*lead, -1)

    def _element_codes(self, scaled: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Codes of the nearest elements of values within +-``max_normal``."""
        raise NotImplementedError


class _MxFloat(_Mx):
    """Elements of an ``ml_dtypes`` type."""

    element: ClassVar[type[Any]]

    def _element_codes(self, scaled: NDArray[np.float32]) -> NDArray[np.uint8]:
        return scaled.astype(self.element).view(np.uint8)


def _values(element: type[Any], bits: int) -> NDArray[np.float32]:
    """Value of every code of an ``ml_dtypes`` type of that many bits."""
    return _BYTES[: 1 << bits].view(element).astype(np.float32)


@dataclass(frozen=True)
class MxFp8E4M3(_MxFloat):
    """MXFP8 with E4M3 elements, up to 448."""

    name: ClassVar[str] = "mxfp8_e4m3"
    bits: ClassVar[int] = 8
    max_normal: ClassVar[float] = 448
    emax: ClassVar[int] = 8
    element: ClassVar[type[Any]] = ml_dtypes.float8_e4m3fn
    element_values: ClassVar[NDArray[np.float32]] = _values(ml_dtypes.float8_e4m3fn, 8)


@dataclass(frozen=True)
class MxFp8(MxFp8E4M3):
    """``mxfp8_e4m3`` by its short name."""

    name: ClassVar[str] = "mxfp8"


@dataclass(frozen=True)
class MxFp8E5M2(_MxFloat):
    """MXFP8 with E5M2 elements, up to 57344."""

    name: ClassVar[str] = "mxfp8_e5m2"
    bits: ClassVar[int] = 8
    max_normal: ClassVar[float] = 57344
    emax: ClassVar[int] = 15
    element: ClassVar[type[Any]] = ml_dtypes.float8_e5m2
    element_values: ClassVar[NDArray[np.float32]] = _values(ml_dtypes.float8_e5m2, 8)


@dataclass(frozen=True)
class MxFp6E3M2(_MxFloat):
    """MXFP6 with E3M2 elements, up to 28."""

    name: ClassVar[str] = "mxfp6_e3m2"
    bits: ClassVar[int] = 6
    max_normal: ClassVar[float] = 28
    emax: ClassVar[int] = 4
    element: ClassVar[type[Any]] = ml_dtypes.float6_e3m2fn
    element_values: ClassVar[NDArray[np.float32]] = _values(ml_dtypes.float6_e3m2fn, 6)


@dataclass(frozen=True)
class MxFp6(MxFp6E3M2):
    """``mxfp6_e3m2`` by its short name."""

    name: ClassVar[str] = "mxfp6"


@dataclass(frozen=True)
class MxFp6E2M3(_MxFloat):
    """MXFP6 with E2M3 elements, up to 7.5."""

    name: ClassVar[str] = "mxfp6_e2m3"
    bits: ClassVar[int] = 6
    max_normal: ClassVar[float] = 7.5
    emax: ClassVar[int] = 2
    element: ClassVar[type[Any]] = ml_dtypes.float6_e2m3fn
    element_values: ClassVar[NDArray[np.float32]] = _values(ml_dtypes.float6_e2m3fn, 6)


@dataclass(frozen=True)
class MxFp4(_MxFloat):
    """MXFP4: E2M1 elements 0, .5, 1, 1.5, 2, 3, 4, 6."""

    name: ClassVar[str] = "mxfp4"
    bits: ClassVar[int] = 4
    max_normal: ClassVar[float] = 6
    emax: ClassVar[int] = 2
    element: ClassVar[type[Any]] = ml_dtypes.float4_e2m1fn
    element_values: ClassVar[NDArray[np.float32]] = _values(ml_dtypes.float4_e2m1fn, 4)


@dataclass(frozen=True)
class MxInt8(_Mx):
    """MXINT8: two's complement with 6 fractional bits, -127/64 to 127/64."""

    name: ClassVar[str] = "mxint8"
    bits: ClassVar[int] = 8
    max_normal: ClassVar[float] = 127 / 64
    emax: ClassVar[int] = 0
    element_values: ClassVar[NDArray[np.float32]] = _BYTES.view(np.int8).astype(np.float32) / np.float32(64)

    def _element_codes(self, scaled: NDArray[np.float32]) -> NDArray[np.uint8]:
        return np.rint(scaled * np.float32(64)).astype(np.int8).view(np.uint8)
