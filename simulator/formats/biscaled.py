"""Two scales for one tensor: ``biscaled6`` (BiScaled-DNN; Jain et al., DAC 2019; 6 bits in ANT's comparison).

Published: all values have the same few bits; most are integers at a fine scale, the few large ones integers at a wide
scale that covers the whole range; processing elements shift where scales differ, so that the wide scale is the fine one
times ``2^shift``; which values are wide is stored in a block-sparse format, as indices of the wide ones only.

``Assumed``, as the paper's details are not at hand:

- Integers are those of ``int6`` (``formats.integer``): two's complement, -31..31, half to even, packed as a bit stream.
- ``shift`` is the least at which the largest magnitude of what shares a scale does not saturate (0: nothing is wide).
- The fine scale is calibrated as any other, on 31. A value is wide if it lies beyond 31 and its nearest wide value is
  at least as near as ±31.
- The index cuts rows into blocks of ``block`` values, none of which straddles rows. ``extras["wide_block"]``: one bit
  per block, whether it holds a wide value; ``extras["wide_mask"]``: for each block that does, one bit per value. First
  element in the high bits. ``extras["shift"]``: one byte per scale.

Decoded values are exact integers at the fine scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.errors import ConfigError, EncodingError
from simulator.formats.base import (
    SCALE_BITS,
    Calibration,
    Encoded,
    Granularity,
    Storage,
    TensorEncoding,
    checked_tensor,
    float32_quotient,
    operand_tensor,
)
from simulator.formats.integer import Int6
from simulator.kernels import njit

__all__ = ["BiScaled6"]

_BLOCKS = (8, 16, 32, 64)
_LARGEST = 31
_SHIFT_MAX = 26
"""31 shifted by that fits int32."""


@njit(cache=True)
def _nearest(v, largest):
    """Nearest integer, half to even, saturating."""
    return min(max(np.rint(v), -largest), largest)


@njit(cache=True)
def _is_wide(v, ratio, largest):
    """Whether a value in fine steps is stored at the wide scale of ``ratio`` fine steps."""
    if ratio == 1 or abs(v) <= largest:
        return False
    return abs(ratio * _nearest(v / ratio, largest) - v) <= abs(_nearest(v, largest) - v)


@njit(cache=True, error_model="numpy")
def _wide(rows, scale, ratio, largest):
    """Which values of rows / scale are wide, (R, K)."""
    out = np.empty(rows.shape, np.bool_)
    for r in range(rows.shape[0]):
        s = scale[r]
        for k in range(rows.shape[1]):
            out[r, k] = _is_wide(np.float64(rows[r, k] / s), ratio[r], largest)
    return out


@njit(cache=True, error_model="numpy")
def _squared_error(rows, scale, ratio, largest, most):
    """Sum of squared errors (R,) of rows encoded with both scales, in float64; of a part where that is beyond ``most``
    (R,).
    """
    out = np.zeros(rows.shape[0])
    for r in range(rows.shape[0]):
        s = scale[r]
        total = 0.0
        for k in range(rows.shape[1]):
            v = np.float64(rows[r, k] / s)
            step = ratio[r] if _is_wide(v, ratio[r], largest) else 1.0
            error = np.float64(rows[r, k]) - step * _nearest(v / step, largest) * np.float64(s)
            total += error * error
            if total > most[r]:
                break
        out[r] = total
    return out


def _shift(peak: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.int64]:
    """Least shift at which ``peak / scale``, in wide steps, rounds to at most 31."""
    quotient = np.minimum(float32_quotient(peak, scale), np.finfo(np.float32).max)
    exponent = np.frexp(quotient.astype(np.float64) / (_LARGEST + 0.5))[1]
    return np.clip(exponent, 0, _SHIFT_MAX).astype(np.int64)


def _ratio(peak: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float64]:
    """Wide scale over fine scale, a power of two."""
    return np.ldexp(1.0, _shift(peak, scale))


@dataclass(frozen=True)
class _Fine(Int6):
    """``int6``, calibrated for what it is here: values beyond it are stored at the wide scale."""

    peak: NDArray[np.float32]
    """Largest magnitude of what shares the scale of each row, (R,)."""

    def error_up_to(
        self, rows: NDArray[np.float32], scale: NDArray[np.float32], most: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """See ``Format.error_up_to``; of both scales together."""
        scale = np.ascontiguousarray(scale)
        return np.asarray(_squared_error(rows, scale, _ratio(self.peak, scale), float(_LARGEST), most))


@dataclass(frozen=True)
class BiScaled6(TensorEncoding):
    """6-bit integers at a fine scale or a wide one, a power of two times as wide, with a block-sparse index."""

    block: int = 8
    """Values that share a bit of the index: 8, 16, 32 or 64 (the size is `assumed`)."""

    name: ClassVar[str] = "biscaled6"
    bits: ClassVar[int] = 6
    values_per_group: ClassVar[int] = 4
    rows_alone: ClassVar[bool] = True
    static: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if type(self.block) is not int or self.block not in _BLOCKS:
            raise ConfigError(f"biscaled6: block must be 8, 16, 32 or 64, got {self.block!r}")

    def encode_operand(self, x: ArrayLike, granularity: Granularity, method: Calibration) -> list[Encoded]:
        """See ``TensorEncoding.encode_operand``."""
        tensor = checked_tensor(operand_tensor(x, self.name))
        axis = None if granularity == "tensor" else -1
        peak = np.broadcast_to(np.abs(tensor).max(axis=axis, keepdims=True), (*tensor.shape[:2], 1))
        scale = _Fine(peak.reshape(-1)).calibrate(tensor, axis=axis, method=method)
        per_gemm = np.broadcast_to(scale, (len(tensor), *scale.shape[1:]))
        return [self._encoded(*parts) for parts in zip(tensor, peak[..., 0], per_gemm, strict=True)]

    def encode_like(self, x: ArrayLike, like: Encoded) -> list[Encoded]:
        """See ``TensorEncoding.encode_like``; what is beyond the wide scale saturates."""
        tensor = checked_tensor(operand_tensor(x, self.name))
        shift = np.full(tensor.shape[1], int(like.extras["shift"][0]), np.int64)
        return [self._shifted(rows, shift, like.scale) for rows in tensor]

    def _encoded(self, rows: NDArray[np.float32], peak: NDArray[np.float32], scale: NDArray[np.float32]) -> Encoded:
        """One GEMM's operand, with the largest magnitude that each row's scale has to cover."""
        return self._shifted(rows, _shift(peak, np.broadcast_to(scale, (len(rows), 1))[:, 0]), scale)

    def _shifted(self, rows: NDArray[np.float32], shift: NDArray[np.int64], scale: NDArray[np.float32]) -> Encoded:
        """One GEMM's operand, with the shift of each row's wide scale."""
        per_row = np.ascontiguousarray(np.broadcast_to(scale, (len(rows), 1)))[:, 0]
        ratio = np.ldexp(1.0, shift)
        wide = _wide(rows, per_row, ratio, float(_LARGEST))
        steps = per_row[:, None] * np.where(wide, ratio[:, None], 1).astype(np.float32)
        masks = self._blocks(wide)
        full = masks.any(axis=-1)
        extras: dict[str, NDArray[Any]] = {
            "shift": shift[: scale.size].astype(np.uint8),
            "wide_block": np.packbits(full),
            "wide_mask": masks[full],
        }
        return Encoded(Int6().encode(rows, steps), np.asarray(scale), rows.shape[1], extras)

    def decode_operand(self, operand: Encoded) -> NDArray[np.int32]:
        """Integers at the fine scale, exact.

        Raises: EncodingError if codes, shifts or index do not fit the operand.
        """
        integers = Int6().decode(operand.codes, operand.length)
        shift = np.asarray(operand.extras["shift"])
        if shift.shape != (operand.scale.size,) or (shift > _SHIFT_MAX).any():
            raise EncodingError(
                f"biscaled6: expected {operand.scale.size} shifts of at most {_SHIFT_MAX}, got {shift.tolist()}"
            )
        per_row = np.broadcast_to(shift.astype(np.int32), (len(integers),))
        return integers << np.where(self.wide(operand), per_row[:, None], 0)

    def stored(self, operand: Encoded) -> Storage:
        """Integers, fine scales, shifts, block bits, masks of the blocks that hold wide values."""
        rows = len(operand.codes)
        payload = rows * operand.length * self.bits
        block_bits = rows * self._blocks_per_row(operand.length)
        padding = operand.codes.size * 8 - payload + -block_bits % 8
        index_bits = 8 * (operand.extras["shift"].size + operand.extras["wide_mask"].size) + block_bits
        return Storage(payload, padding, operand.scale.size * SCALE_BITS, rows * operand.length, index_bits)

    def census(self, operand: Encoded) -> dict[str, int]:
        """Values at the wide scale."""
        return {"wide": int(self.wide(operand).sum())}

    def wide(self, operand: Encoded) -> NDArray[np.bool_]:
        """Which values are at the wide scale, (rows, K), from the index."""
        rows, blocks = len(operand.codes), self._blocks_per_row(operand.length)
        index, kept = np.asarray(operand.extras["wide_block"]), np.asarray(operand.extras["wide_mask"])
        full = np.unpackbits(index, count=min(rows * blocks, index.size * 8)).astype(np.bool_)
        if len(full) != rows * blocks or kept.shape != (full.sum(), self.block // 8):
            raise EncodingError(
                f"biscaled6: an index of {rows * blocks} blocks and masks of shape ({full.sum()}, {self.block // 8}) "
                f"is needed, got {index.size} bytes and {kept.shape}"
            )
        masks = np.zeros((rows * blocks, self.block // 8), np.uint8)
        masks[full] = kept
        return np.unpackbits(masks.reshape(rows, -1), axis=1, count=operand.length).astype(np.bool_)

    def _blocks(self, wide: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Masks (R * blocks, block / 8) of all blocks; the last of a row is filled up with zeros."""
        blocks = self._blocks_per_row(wide.shape[1])
        padded = np.zeros((len(wide), blocks * self.block), np.bool_)
        padded[:, : wide.shape[1]] = wide
        return np.packbits(padded, axis=1).reshape(len(wide) * blocks, -1)

    def _blocks_per_row(self, length: int) -> int:
        return -(-length // self.block)
