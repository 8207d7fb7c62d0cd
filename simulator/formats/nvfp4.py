"""``nvfp4`` (NVIDIA Blackwell): E2M1 elements in blocks of 16 along K, an E4M3 scale per block, one FP32 scale above.

With ``s = absmax / (6 * 448)`` of the tensor (or of each row) and ``y = x / s`` in float32: block scale ``B`` = nearest
E4M3 to ``max|y| / 6``; elements = nearest E2M1 to ``y / B``, all divisions in float32, all ties to even, both
saturated at their largest value. Where ``B`` underflows to zero the whole block is zero. Zeros keep their sign.
Decoded values are element * B, exact in float32; real = decoded * s. Layout: see ``formats.blocks``.

Source: NVIDIA, "Pretraining Large Language Models with NVFP4" (arXiv 2509.25149), section 2 and its appendix on the
quantisation; recalled, so ``assumed``: libraries differ in whether they multiply by a rounded reciprocal, and some keep
block scales at or above 2^-6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.formats.base import Calibration, float32_quotient, require_known_calibration, scaled_rows
from simulator.formats.blocks import BlockFormat, pack_blocks, row_chunks

__all__ = ["NvFp4"]

_ELEMENT, _SCALE = ml_dtypes.float4_e2m1fn, ml_dtypes.float8_e4m3fn
_ELEMENT_MAX, _SCALE_MAX = np.float32(6), np.float32(448)


def _scale_table() -> NDArray[np.float32]:
    """Value of each scale byte; the sign bit is not used, so bytes with it are as illegal as NaN."""
    values = np.arange(256, dtype=np.uint8).view(_SCALE).astype(np.float32)
    values[128:] = np.nan
    return values


@dataclass(frozen=True)
class NvFp4(BlockFormat):
    """NVFP4: E2M1 elements, an E4M3 scale for every 16, one FP32 scale for the tensor."""

    name: ClassVar[str] = "nvfp4"
    bits: ClassVar[int] = 4
    values_per_group: ClassVar[int] = 16
    max_normal: ClassVar[float] = 6 * 448
    calibrated: ClassVar[bool] = False
    scale_values: ClassVar[NDArray[np.float32]] = _scale_table()
    element_values: ClassVar[NDArray[np.float32]] = np.arange(16, dtype=np.uint8).view(_ELEMENT).astype(np.float32)

    def calibrate(
        self, x: ArrayLike, axis: int | None = -1, method: Calibration = "mse", group: int | None = None
    ) -> NDArray[np.float32]:
        """``absmax / (6 * 448)`` whatever the method: the format defines its tensor scale."""
        require_known_calibration(axis, method)
        return super().calibrate(x, axis, "absmax", group)

    def encode(self, x: ArrayLike, scale: ArrayLike) -> NDArray[np.uint8]:
        """See ``Format.encode``; bounded temporaries."""
        lead, rows, per_row = scaled_rows(x, scale)
        out = np.empty((len(rows), self.packed_bytes(rows.shape[1])), np.uint8)
        for part in row_chunks(*rows.shape):
            blocks = self._in_blocks(float32_quotient(rows[part], per_row[part, None]))
            largest = np.abs(blocks).max(axis=-1)
            scales = np.minimum(largest / _ELEMENT_MAX, _SCALE_MAX).astype(_SCALE)
            divisor = scales.astype(np.float32)
            divisor[divisor == 0] = 1  # such a block is below 2^-7 everywhere: its elements round to zero
            elements = np.clip(blocks / divisor[..., None], -_ELEMENT_MAX, _ELEMENT_MAX).astype(_ELEMENT)
            pack_blocks(scales.view(np.uint8), elements.view(np.uint8), self.bits, out[part])
        return out.reshape(*lead, -1)

    def _in_blocks(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows (R, K) as (R, blocks, 16), short blocks filled with zeros."""
        missing = -rows.shape[1] % self.values_per_group
        padded = np.pad(rows, ((0, 0), (0, missing))) if missing else rows
        return padded.reshape(len(rows), -1, self.values_per_group)
