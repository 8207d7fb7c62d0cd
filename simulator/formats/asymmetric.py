"""Asymmetric integers: ``int2_asym`` ... ``int8_asym``, unsigned codes with a scale and a zero point.

``s = (hi - lo) / (2^b - 1)`` in float64, stored as float32; ``z = round(-lo / s)`` with the stored ``s``;
``q = clip(round(x / s) + z, 0, 2^b - 1)`` with the quotient in float32; value ``(q - z) * s``. Rounding is half to
even. ``lo <= 0 <= hi`` is forced, so that zero is exact. All zeros: scale 1, zero point 0.

``lo`` and ``hi`` of a tensor, a row or a group of neighbours along K, by ``method`` (the first is common usage, the
others are ours):

- ``absmax``: smallest and largest value ("min-max").
- ``three_sigma``: mean -+ 3 standard deviations (N-1), but never wider than the values.
- ``mse``: of 1.00, 0.98 ... 0.50 times the min-max range, the one of least squared error; the first of equals.

Layout: one bit stream per row, first element in the most significant bits, padded with zero bits. A zero point takes as
many bits as a code: stored they are one more bit stream, row by row, which ``Storage`` counts as ``index_bits``; in
memory each is a byte.
Source: the usual affine quantiser (Jacob et al., CVPR 2018); group scales as in weight-only quantisers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.errors import EncodingError
from simulator.formats.base import (
    SCALE_BITS,
    Calibration,
    Encoded,
    Granularity,
    Storage,
    TensorEncoding,
    checked_codes,
    checked_tensor,
    expand_groups,
    operand_tensor,
    require_group,
    require_known_calibration,
    row_view,
    scaled_rows,
    split_groups,
)
from simulator.formats.bitstream import pack, packed_bytes, unpack, values_per_group
from simulator.kernels import njit

__all__ = ["Int2Asym", "Int3Asym", "Int4Asym", "Int5Asym", "Int6Asym", "Int7Asym", "Int8Asym"]

_SHRINK = np.arange(100, 48, -2) / 100.0
"""Multiples of the min-max range tried by ``calibrate(method="mse")``."""


@njit(cache=True, error_model="numpy")
def _quantise(rows, scale, zero, top):
    """Codes (R, K) of rows / scale + zero, zero (R, 1) or (R, K)."""
    R, K = rows.shape
    out = np.empty((R, K), np.uint8)
    for r in range(R):
        s = scale[r]
        if zero.shape[1] == 1:
            z = np.float32(zero[r, 0])
            for k in range(K):
                out[r, k] = int(min(max(np.rint(rows[r, k] / s) + z, np.float32(0)), np.float32(top)))
        else:
            for k in range(K):
                q = np.rint(rows[r, k] / s) + np.float32(zero[r, k])
                out[r, k] = int(min(max(q, np.float32(0)), np.float32(top)))
    return out


@njit(cache=True, error_model="numpy")
def _squared_error(rows, scale, zero, top):
    """Sum of squared errors (R,) of rows quantised as in ``_quantise`` with scale and zero (R,), in float64."""
    out = np.zeros(rows.shape[0])
    for r in range(rows.shape[0]):
        s, z = scale[r], np.float32(zero[r])
        total = 0.0
        for k in range(rows.shape[1]):
            q = min(max(np.rint(rows[r, k] / s) + z, np.float32(0)), np.float32(top)) - z
            error = np.float64(rows[r, k]) - np.float64(q) * np.float64(s)
            total += error * error
        out[r] = total
    return out


@dataclass(frozen=True)
class _Asymmetric(TensorEncoding):
    """What the widths share."""

    group: int | None = None
    """Neighbours along K that share a scale and a zero point in `encode_operand`, whatever its granularity; None leaves
    that to the granularity.
    """

    rows_alone: ClassVar[bool] = True
    static: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        cls.name = f"int{cls.bits}_asym"
        cls.values_per_group = values_per_group(cls.bits)

    def __post_init__(self) -> None:
        if self.group is not None:
            require_group(self.group, -1, self)

    def calibrate(
        self, x: ArrayLike, axis: int | None = -1, method: Calibration = "mse", group: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Scale and zero point, shaped as the scale of ``Format.calibrate``; the module says how they are chosen."""
        require_known_calibration(axis, method)
        x = checked_tensor(x)
        if group is not None:
            require_group(group, axis, self)
            parts = [self.calibrate(part, method=method) for part in split_groups(x, group)]
            scales, zeros = zip(*parts, strict=True)
            return np.concatenate([s[..., 0] for s in scales], -1), np.concatenate([z[..., 0] for z in zeros], -1)
        rows = row_view(x) if axis == -1 else x.reshape(1, -1)
        low, high = _range(rows, method)
        if method == "mse":
            factor = self._least_squares(row_view(x), low, high)
            low, high = low * factor, high * factor
        shape = (*x.shape[:-1], 1) if axis == -1 else ()
        scale, zero = self._parameters(low, high)
        return scale.reshape(shape), zero.reshape(shape)

    def encode(self, x: ArrayLike, scale: ArrayLike, zero_point: ArrayLike) -> NDArray[np.uint8]:
        """Packed codes (..., bytes) of ``x`` (..., K); scale and zero point broadcast against ``x``.

        Raises: EncodingError on NaN, infinity, a scale that is not positive or a zero point that is no code.
        """
        lead, rows, per_row = scaled_rows(x, scale)
        zero = self._zero_rows(zero_point, (*lead, rows.shape[1])).astype(np.uint8)
        return pack(_quantise(rows, per_row, zero, self._top), self.bits).reshape(*lead, -1)

    def decode(self, codes: NDArray[np.uint8], length: int, zero_point: ArrayLike) -> NDArray[np.int32]:
        """``q - z`` (..., length) int32 of packed codes; every code is legal."""
        rows = checked_codes(codes, packed_bytes(length, self.bits), self.name)
        shape = (*codes.shape[:-1], length)
        q = unpack(rows, self.bits, length, np.arange(self._top + 1, dtype=np.int32))
        return np.asarray(q - self._zero_rows(zero_point, shape)).reshape(shape)

    def encode_operand(self, x: ArrayLike, granularity: Granularity, method: Calibration) -> list[Encoded]:
        """See ``TensorEncoding.encode_operand``; the zero points are ``extras["zero_point"]``, shaped as the scale."""
        tensor = operand_tensor(x, self.name)
        K = tensor.shape[-1]
        axis = None if granularity == "tensor" and self.group is None else -1
        scale, zero = self.calibrate(tensor, axis, method, self.group)
        if self.group is None:
            codes = self.encode(tensor, scale, zero)
        else:
            codes = self.encode(tensor, expand_groups(scale, self.group, K), expand_groups(zero, self.group, K))
        scales, zeros = (a if a.ndim else np.broadcast_to(a, (len(tensor),)) for a in (scale, zero))
        return [
            Encoded(c, np.asarray(s), K, {"zero_point": np.asarray(z)}, self.group)
            for c, s, z in zip(codes, scales, zeros, strict=True)
        ]

    def encode_like(self, x: ArrayLike, like: Encoded) -> list[Encoded]:
        """See ``TensorEncoding.encode_like``. Raises: EncodingError if scales of groups are asked for."""
        if self.group is not None:
            raise EncodingError(f"{self.name}: scales of groups are found with the values that they encode")
        tensor, zero = operand_tensor(x, self.name), like.extras["zero_point"]
        codes = self.encode(tensor, like.scale, zero)
        return [Encoded(c, like.scale, tensor.shape[-1], {"zero_point": zero}) for c in codes]

    def decode_operand(self, operand: Encoded) -> NDArray[np.int32]:
        """See ``TensorEncoding.decode_operand``: ``q - z``, exact."""
        zero = operand.extras["zero_point"]
        if operand.group is not None:
            zero = expand_groups(zero, operand.group, operand.length)
        return self.decode(operand.codes, operand.length, zero)

    def stored(self, operand: Encoded) -> Storage:
        """See ``TensorEncoding.stored``; each zero point counts as many bits as a code, in ``index_bits``."""
        values = len(operand.codes) * operand.length
        payload = values * self.bits
        zero_bits = operand.extras["zero_point"].size * self.bits
        padding = len(operand.codes) * packed_bytes(operand.length, self.bits) * 8 - payload + -zero_bits % 8
        return Storage(payload, padding, operand.scale.size * SCALE_BITS, values, zero_bits)

    def packed(self, operand: Encoded) -> dict[str, NDArray[Any]]:
        """See ``TensorEncoding.packed``; zero points as one bit stream."""
        zero = operand.extras["zero_point"].reshape(1, -1)
        zero_bytes = -(-zero.size * self.bits // 8)
        return super().packed(operand) | {"zero_point": pack(zero, self.bits)[0, :zero_bytes]}

    @property
    def _top(self) -> int:
        return (1 << self.bits) - 1

    def _zero_rows(self, zero_point: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.int32]:
        """Zero points as rows (R, 1), or (R, K) if they vary along K."""
        zero = np.asarray(zero_point)
        if zero.dtype.kind not in "iu" or (zero < 0).any() or (zero > self._top).any():
            raise EncodingError(f"{self.name}: a zero point must be an integer, 0 to {self._top}")
        along_k = zero.ndim > 0 and zero.shape[-1] != 1
        try:
            spread = np.broadcast_to(zero, shape if along_k else (*shape[:-1], 1))
        except ValueError:
            raise EncodingError(
                f"a zero point of shape {zero.shape} does not broadcast against a tensor of shape {shape}"
            ) from None
        return row_view(spread.astype(np.int32))

    def _parameters(
        self, low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Scale and zero point of ranges that hold zero."""
        width = (high - low) / self._top
        info = np.finfo(np.float32)
        scale = np.clip(np.where(width > 0, width, 1.0), info.tiny, info.max).astype(np.float32)
        zero = np.clip(np.rint(-low / scale.astype(np.float64)), 0, self._top)
        return scale, zero.astype(np.uint8)

    def _least_squares(
        self, own_rows: NDArray[np.float32], low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Factor of the range of least squared error, for each range; one range may serve all rows."""
        best, best_error = np.ones(len(low)), np.full(len(low), np.inf)
        for factor in _SHRINK:
            scale, zero = (np.ascontiguousarray(np.broadcast_to(p, (len(own_rows),)))
                           for p in self._parameters(low * factor, high * factor))  # fmt: skip
            error = _squared_error(own_rows, scale, zero, self._top)
            if len(low) != len(own_rows):
                error = error.sum(keepdims=True)
            better = error < best_error
            best[better], best_error[better] = factor, error[better]
        return best


def _range(rows: NDArray[np.float32], method: Calibration) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest value to represent, per row; zero always between them."""
    low, high = rows.min(axis=-1).astype(np.float64), rows.max(axis=-1).astype(np.float64)
    if method == "three_sigma" and rows.shape[-1] > 1:
        mean = rows.mean(axis=-1, dtype=np.float64)
        spread = 3 * rows.std(axis=-1, dtype=np.float64, ddof=1)
        low, high = np.maximum(low, mean - spread), np.minimum(high, mean + spread)
    return np.minimum(low, 0.0), np.maximum(high, 0.0)


@dataclass(frozen=True)
class Int2Asym(_Asymmetric):
    """2-bit integers with a zero point, codes 0..3, four to a byte."""

    bits: ClassVar[int] = 2


@dataclass(frozen=True)
class Int3Asym(_Asymmetric):
    """3-bit integers with a zero point, codes 0..7, eight in three bytes."""

    bits: ClassVar[int] = 3


@dataclass(frozen=True)
class Int4Asym(_Asymmetric):
    """4-bit integers with a zero point, codes 0..15, two to a byte."""

    bits: ClassVar[int] = 4


@dataclass(frozen=True)
class Int5Asym(_Asymmetric):
    """5-bit integers with a zero point, codes 0..31, eight in five bytes."""

    bits: ClassVar[int] = 5


@dataclass(frozen=True)
class Int6Asym(_Asymmetric):
    """6-bit integers with a zero point, codes 0..63, four in three bytes."""

    bits: ClassVar[int] = 6


@dataclass(frozen=True)
class Int7Asym(_Asymmetric):
    """7-bit integers with a zero point, codes 0..127, eight in seven bytes."""

    bits: ClassVar[int] = 7


@dataclass(frozen=True)
class Int8Asym(_Asymmetric):
    """8-bit integers with a zero point, codes 0..255, one byte each."""

    bits: ClassVar[int] = 8
