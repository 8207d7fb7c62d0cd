"""AdaptivFloat (Tambe et al., DAC 2020, Algorithm 1; arXiv 1909.13271): small floats with an exponent bias per tensor.

Code: sign, ``exp_bits`` exponent, mantissa; value ``(1 + mantissa / 2^man_bits) * 2^(exponent + bias)``. No subnormals,
infinities or NaNs. The code with exponent and mantissa zero is zero: the magnitude ``2^bias`` is given up for it.

- Bias: ``floor(log2 max|x|) - (2^exp_bits - 1)`` of the tensor or row, so that the top exponent is that of its maximum
  (all zeros count as maximum 1). Stored as a signed byte: it stays at -128 where max|x| < 2^(2^exp_bits - 129).
- Below half of the smallest magnitude ``(1 + 2^-man_bits) * 2^bias``: zero, without sign. From half of it on: the
  smallest, half itself included (the authors' code only says "less than"; it leaves half itself off the grid).
- Else the mantissa to nearest, ties to the even mantissa as in the authors' code; so to the even code, except that
  without mantissa bits the tie 1.5 goes up. Beyond ``(2 - 2^-man_bits) * 2^(top exponent)`` it saturates.

The bias is ``extras["exp_bias"]``, 8 bits each in ``index_bits``. No scale is stored beside it: ``Encoded.scale`` is
what the bias stands for, ``2^(bias - man_bits)``, of which all values are multiples. So the grid is exact integers,
``(2^man_bits + mantissa) << exponent``, as the paper's integer accumulators see them. The published rule knows no
search: a calibration method is checked and then has no influence.
Layout: one bit stream per row, first element in the most significant bits, padded with zero bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.errors import ConfigError, EncodingError
from simulator.formats.base import (
    Calibration,
    Encoded,
    Granularity,
    Storage,
    TensorEncoding,
    checked_codes,
    checked_tensor,
    operand_tensor,
    require_known_calibration,
    row_view,
)
from simulator.formats.bitstream import pack, packed_bytes, unpack, values_per_group
from simulator.kernels import njit

__all__ = ["AdaptivFloat"]

BIAS_BITS = 8
"""Bits of one stored exponent bias."""
_MIN_BIAS, _MAX_EXPONENT = -128, 127


@njit(cache=True, error_model="numpy")
def _encode(rows, exp_bias, man_bits, bits):
    """Codes (R, K) of rows with a bias each, by rounding float64 bit patterns, in which float32 is always normal."""
    R, K = rows.shape
    out = np.empty((R, K), np.uint8)
    wide = np.empty(K, np.float64)
    patterns = wide.view(np.int64)
    shift = 52 - man_bits
    half = (1 << (shift - 1)) - 1
    ties_up = 1 if man_bits == 0 else 0
    top = (1 << (bits - 1)) - 1
    for r in range(R):
        bias = int(exp_bias[r])
        offset = (bias + 1023) << man_bits
        threshold = 0.5 * (1.0 + 2.0**-man_bits) * 2.0**bias
        for k in range(K):
            wide[k] = rows[r, k]
        for k in range(K):
            magnitude = int(patterns[k]) & 0x7FFFFFFFFFFFFFFF
            code = ((magnitude + half + (((magnitude >> shift) & 1) | ties_up)) >> shift) - offset
            code = min(max(code, 1), top)
            sign = 1 << (bits - 1) if wide[k] < 0 else 0
            out[r, k] = code | sign if abs(wide[k]) >= threshold else 0
    return out


@dataclass(frozen=True)
class AdaptivFloat(TensorEncoding):
    """Floats whose exponent bias follows the largest magnitude of each tensor or row."""

    bits: int = 8  # type: ignore[misc]  # an option here, not a constant of the class
    """Of one value, 4 to 8."""
    exp_bits: int = 3
    """Of them exponent, 1 to 5; the rest but the sign is mantissa, of which there may be none."""

    name: ClassVar[str] = "adaptivfloat8"
    has_scale: ClassVar[bool] = False
    calibrated: ClassVar[bool] = False
    rows_alone: ClassVar[bool] = True
    static: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for option, value, low, high in (("bits", self.bits, 4, 8), ("exp_bits", self.exp_bits, 1, 5)):
            if type(value) is not int or not low <= value <= high:
                raise ConfigError(f"{self.name}: {option} must be an integer, {low} to {high}, got {value!r}")
        if self._man_bits < 0:
            raise ConfigError(f"{self.name}: {self.bits} bits cannot hold a sign and {self.exp_bits} exponent bits")

    @property
    def values_per_group(self) -> int:  # type: ignore[override]
        """Neighbours along K that share whole bytes."""
        return values_per_group(self.bits)

    def calibrate(self, x: ArrayLike, axis: int | None = -1, method: Calibration = "absmax") -> NDArray[np.int8]:
        """Exponent bias of each row of the last axis (``axis=-1``) or of the whole tensor (``axis=None``).

        Returns: int8, shape (..., 1) or ().
        Raises: EncodingError on NaN, infinity, an empty tensor or an unknown method.
        """
        require_known_calibration(axis, method)
        x = checked_tensor(x)
        largest = np.abs(row_view(x) if axis == -1 else x.reshape(1, -1)).max(axis=-1)
        exponent = np.frexp(np.where(largest > 0, largest, 1))[1] - 1
        bias = np.maximum(exponent - self._top_exponent, _MIN_BIAS).astype(np.int8)
        return bias.reshape((*x.shape[:-1], 1) if axis == -1 else ())

    def encode(self, x: ArrayLike, exp_bias: ArrayLike) -> NDArray[np.uint8]:
        """Packed codes (..., bytes) of ``x`` (..., K); one bias for all or for each row, shape () or (..., 1).

        Raises: EncodingError on NaN, infinity or a bias that is no integer in range.
        """
        x = checked_tensor(x)
        codes = _encode(row_view(x), self._row_bias(exp_bias, x.shape)[:, 0], self._man_bits, self.bits)
        return pack(codes, self.bits).reshape(*x.shape[:-1], -1)

    def decode(self, codes: NDArray[np.uint8], length: int, exp_bias: ArrayLike) -> NDArray[np.float32]:
        """Values (..., length), exact in float32; every code is legal, zero has no sign."""
        rows = checked_codes(codes, packed_bytes(length, self.bits), self.name)
        shape = (*codes.shape[:-1], length)
        power = np.ldexp(np.float32(1), self._row_bias(exp_bias, shape))
        return np.asarray(unpack(rows, self.bits, length, self._values()) * power).reshape(shape)

    def encode_operand(self, x: ArrayLike, granularity: Granularity, method: Calibration) -> list[Encoded]:
        """See ``TensorEncoding.encode_operand``; the biases are ``extras["exp_bias"]``, int8, shaped as a scale."""
        tensor = operand_tensor(x, self.name)
        bias = self.calibrate(tensor, None if granularity == "tensor" else -1, method)
        codes = self.encode(tensor, bias)
        per_gemm = np.broadcast_to(bias, (len(tensor),)) if bias.ndim == 0 else bias
        return [
            Encoded(c, self._step(b), tensor.shape[-1], {"exp_bias": np.asarray(b)})
            for c, b in zip(codes, per_gemm, strict=True)
        ]

    def encode_like(self, x: ArrayLike, like: Encoded) -> list[Encoded]:
        """See ``TensorEncoding.encode_like``; what is beyond the largest value at that bias saturates."""
        tensor, bias = operand_tensor(x, self.name), like.extras["exp_bias"]
        codes = self.encode(tensor, bias)
        return [Encoded(c, like.scale, tensor.shape[-1], {"exp_bias": bias}) for c in codes]

    def decode_operand(self, operand: Encoded) -> NDArray[np.int64]:
        """See ``TensorEncoding.decode_operand``; integers that a scale of ``2^(bias - man_bits)`` makes real."""
        rows = checked_codes(operand.codes, packed_bytes(operand.length, self.bits), self.name)
        integers = np.ldexp(self._values(), self._man_bits).astype(np.int64)
        return unpack(rows, self.bits, operand.length, integers)

    def stored(self, operand: Encoded) -> Storage:
        """See ``TensorEncoding.stored``; biases are ``index_bits``."""
        rows = len(operand.codes)
        payload = rows * operand.length * self.bits
        padding = rows * packed_bytes(operand.length, self.bits) * 8 - payload
        return Storage(payload, padding, 0, rows * operand.length, operand.extras["exp_bias"].size * BIAS_BITS)

    @property
    def _man_bits(self) -> int:
        return self.bits - 1 - self.exp_bits

    @property
    def _top_exponent(self) -> int:
        return (1 << self.exp_bits) - 1

    def _step(self, exp_bias: NDArray[np.int8]) -> NDArray[np.float32]:
        """What all values at that bias are multiples of; exact, if need be as a subnormal."""
        return np.asarray(np.ldexp(np.float32(1), np.asarray(exp_bias, np.int32) - self._man_bits))

    def _values(self) -> NDArray[np.float32]:
        """Value of every code at bias 0."""
        codes = np.arange(1 << (self.bits - 1))
        exponent, mantissa = codes >> self._man_bits, codes & ((1 << self._man_bits) - 1)
        magnitude = np.ldexp(1 + mantissa / (1 << self._man_bits), exponent).astype(np.float32)
        magnitude[0] = 0
        return np.concatenate([magnitude, np.where(codes > 0, -magnitude, magnitude)])

    def _row_bias(self, exp_bias: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """Biases as (R, 1) for a tensor of that shape."""
        bias, highest = np.asarray(exp_bias), _MAX_EXPONENT - self._top_exponent
        if bias.dtype.kind not in "iu" or (bias < _MIN_BIAS).any() or (bias > highest).any():
            raise EncodingError(f"{self.name}: an exponent bias must be an integer, {_MIN_BIAS} to {highest}")
        try:
            spread = np.broadcast_to(bias, (*shape[:-1], 1))
        except ValueError:
            raise EncodingError(
                f"an exponent bias of shape {bias.shape} does not broadcast against rows of a tensor of shape {shape}"
            ) from None
        return spread.astype(np.int64).reshape(-1, 1)
