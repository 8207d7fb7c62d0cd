"""IEEE 754 binary16: ``fp16``, two bytes per value, little endian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.formats.base import Format, checked_codes, float32_quotient, scaled_rows

__all__ = ["Fp16"]


@dataclass(frozen=True)
class Fp16(Format):
    """Half precision with subnormals, rounded to nearest even; beyond +-65504 it saturates, it never makes infinity."""

    name: ClassVar[str] = "fp16"
    bits: ClassVar[int] = 16
    max_normal: ClassVar[float] = 65504
    has_scale: ClassVar[bool] = False
    calibrated: ClassVar[bool] = False

    def encode(self, x: ArrayLike, scale: ArrayLike) -> NDArray[np.uint8]:
        """See ``Format.encode``."""
        lead, rows, per_row = scaled_rows(x, scale)
        scaled = np.clip(float32_quotient(rows, per_row[:, None]), -self.max_normal, self.max_normal)
        return scaled.astype("<f2").view(np.uint8).reshape(*lead, -1)

    def decode(self, codes: NDArray[np.uint8], length: int) -> NDArray[np.float32]:
        """See ``Format.decode``: exact float32 values; infinities and NaNs come back as such."""
        rows = checked_codes(codes, self.packed_bytes(length), self.name)
        return rows.view("<f2").astype(np.float32).reshape(*codes.shape[:-1], length)
