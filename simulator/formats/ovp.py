"""Outlier-victim pairs: ``ovp4`` (OliVe; Guo et al., ISCA 2023, section 3 and Tables 3-4).

Two neighbours along K share a byte, left one in the high nibble. Both normal: two int4 nibbles, -7..7. One outlier: its
nibble is an abfloat (sign, 2-bit exponent, 1-bit mantissa; ``(2 + mantissa) << (exponent + 2)``), the neighbour becomes
the victim: nibble ``1000``, value 0. Layout and rounding are the contract's section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from simulator.errors import EncodingError, UnknownNameError
from simulator.formats.base import Format, checked_codes, scaled_rows

__all__ = ["Ovp4", "PairRule"]

PairRule = Literal["larger", "left"]

IDENTIFIER = 0x8
"""Nibble of a victim; int4's -8 is given up for it, abfloat's minus zero never occurs."""


def _abfloat_magnitudes() -> NDArray[np.float64]:
    """Magnitude of each 3-bit abfloat code: E2M1, bias 2; code 0 does not occur as an outlier."""
    codes = np.arange(8)
    return np.where(codes == 0, 0, (2 + (codes & 1)) << ((codes >> 1) + 2)).astype(np.float64)


_OUTLIERS = _abfloat_magnitudes()
_NORMAL_MAX = 7
_BOUNDARY = (_NORMAL_MAX + _OUTLIERS[1]) / 2
"""Half way between the largest normal and the smallest outlier; a tie goes to the outlier."""


def _decode_table() -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Values (256, 2) of every byte, and which bytes are legal."""
    values, legal = np.zeros((256, 2), np.int32), np.ones(256, np.bool_)
    for byte in range(256):
        nibbles = (byte >> 4, byte & 0xF)
        for side in (0, 1):
            nibble, other = nibbles[side], nibbles[1 - side]
            if nibble == IDENTIFIER:
                continue
            if other == IDENTIFIER:
                magnitude = int(_OUTLIERS[nibble & 7])
                values[byte, side] = -magnitude if nibble & 8 else magnitude
            else:
                values[byte, side] = (nibble ^ 8) - 8
        legal[byte] = not (IDENTIFIER in nibbles and nibbles[0] & 7 == 0 and nibbles[1] & 7 == 0)
    return values, legal


_VALUES, _LEGAL = _decode_table()


@njit(cache=True, error_model="numpy")
def _outlier_code(v, outliers):
    """Abfloat nibble nearest to ``v``; ties toward plus infinity, saturating at both ends."""
    magnitude = abs(v)
    code = 1
    while code < 7:
        middle = 0.5 * (outliers[code] + outliers[code + 1])
        if magnitude < middle or (magnitude == middle and v < 0):
            break
        code += 1
    return code | 8 if v < 0 else code


@njit(cache=True, error_model="numpy")
def _pair_byte(left, right, keep_left, boundary, outliers):
    """Packed byte of one scaled pair (float64 of the float32 quotients)."""
    left_out, right_out = abs(left) >= boundary, abs(right) >= boundary
    if left_out and (not right_out or keep_left or abs(left) >= abs(right)):
        return (_outlier_code(left, outliers) << 4) | 0x8
    if right_out:
        return 0x80 | _outlier_code(right, outliers)
    # floor(v + 1/2) in float64 is exact for float32 quotients: ties toward plus infinity
    high = min(max(int(np.floor(left + 0.5)), -7), 7)
    low = min(max(int(np.floor(right + 0.5)), -7), 7)
    return ((high & 0xF) << 4) | (low & 0xF)


@njit(cache=True, error_model="numpy")
def _encode(rows, scale, keep_left, boundary, outliers):
    """Packed bytes (R, ceil(K/2)) of rows / scale."""
    R, K = rows.shape
    out = np.empty((R, (K + 1) // 2), np.uint8)
    for r in range(R):
        s = scale[r]
        for k in range(0, K - 1, 2):
            left, right = np.float64(rows[r, k] / s), np.float64(rows[r, k + 1] / s)
            out[r, k // 2] = _pair_byte(left, right, keep_left, boundary, outliers)
        if K % 2:
            out[r, K // 2] = _pair_byte(np.float64(rows[r, K - 1] / s), 0.0, keep_left, boundary, outliers)
    return out


@njit(cache=True, error_model="numpy")
def _squared_error(rows, scale, keep_left, boundary, outliers, values):
    """Sum of squared errors (R,) of rows encoded and decoded, in float64."""
    R, K = rows.shape
    out = np.zeros(R)
    for r in range(R):
        s = scale[r]
        total = 0.0
        for k in range(0, K, 2):
            left = np.float64(rows[r, k] / s)
            right = np.float64(rows[r, k + 1] / s) if k + 1 < K else 0.0
            byte = _pair_byte(left, right, keep_left, boundary, outliers)
            error = np.float64(rows[r, k]) - values[byte, 0] * np.float64(s)
            total += error * error
            if k + 1 < K:
                error = np.float64(rows[r, k + 1]) - values[byte, 1] * np.float64(s)
                total += error * error
        out[r] = total
    return out


@njit(cache=True)
def _decode(rows, values, legal, out):
    """Fill ``out`` (R, K) and return the flat position of the first illegal byte, or -1."""
    R, P = rows.shape
    K = out.shape[1]
    for r in range(R):
        for p in range(P):
            byte = rows[r, p]
            if not legal[byte]:
                return r * P + p
            out[r, 2 * p] = values[byte, 0]
            if 2 * p + 1 < K:
                out[r, 2 * p + 1] = values[byte, 1]
    return -1


@dataclass(frozen=True)
class Ovp4(Format):
    """OliVe's 4-bit pairs: int4 normals -7..7, outliers +-{12, 16, 24, 32, 48, 64, 96}.

    Args:
        pair_rule: of two outliers in a pair, ``larger`` keeps the larger magnitude, the left one on a tie (the paper);
            ``left`` keeps the left one always (the authors' released code).
    """

    pair_rule: PairRule = "larger"

    name: ClassVar[str] = "ovp4"
    bits: ClassVar[int] = 4
    values_per_group: ClassVar[int] = 2
    max_normal: ClassVar[float] = _NORMAL_MAX

    def __post_init__(self) -> None:
        if self.pair_rule not in get_args(PairRule):
            raise UnknownNameError("pair_rule", str(self.pair_rule), get_args(PairRule))

    def encode(self, x: ArrayLike, scale: ArrayLike) -> NDArray[np.uint8]:
        """See ``Format.encode``; an odd length is padded with one zero, pairs never straddle rows."""
        lead, rows, per_row = scaled_rows(x, scale)
        return _encode(rows, per_row, self.pair_rule == "left", _BOUNDARY, _OUTLIERS).reshape(*lead, -1)

    def decode(self, codes: NDArray[np.uint8], length: int) -> NDArray[np.int32]:
        """See ``Format.decode``; 253 of the 256 bytes are legal."""
        rows = checked_codes(codes, self.packed_bytes(length), self.name)
        out = np.empty((len(rows), length), np.int32)
        bad = _decode(rows, _VALUES, _LEGAL, out)
        if bad >= 0:
            where = tuple(int(i) for i in np.unravel_index(bad, codes.shape))
            raise EncodingError(f"ovp4: illegal byte 0x{rows.reshape(-1)[bad]:02x} at position {where}")
        return out.reshape(*codes.shape[:-1], length)

    def squared_error(self, rows: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float64]:
        """See ``Format.squared_error``; one pass, nothing packed."""
        scale = np.ascontiguousarray(scale)
        return np.asarray(_squared_error(rows, scale, self.pair_rule == "left", _BOUNDARY, _OUTLIERS, _VALUES))
