"""OLAccel's element-wise mixed precision: ``olaccel4`` (Park et al., ISCA 2018).

Published (abstract): 4-bit values, and about 3 % of the data, those of largest magnitude, kept at high precision.
The threshold is that share: no fixed value is published. ``Assumed``: 16 bits for the outliers, a list of coordinates,
one scale for both kinds, and the share taken over the whole tensor.

All values have an int4 code (``formats.integer``), which is 0 where an outlier is. Outliers are a list, ascending:
``extras["outlier_position"]``, uint32, row * K + k within the operand, and ``extras["outlier_value"]``, int16 at the
scale of their row: nearest integer, half to even, saturating at ±32767.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.errors import ConfigError, EncodingError
from simulator.formats.base import (
    Calibration,
    Encoded,
    Granularity,
    Storage,
    TensorEncoding,
    checked_tensor,
    float32_quotient,
    operand_tensor,
)
from simulator.formats.integer import Int4
from simulator.formats.largest import largest, largest_read
from simulator.formats.streamed import Streamed, unread

__all__ = ["OlAccel4"]

_INT16_MAX = 32767
_OUTLIER_BITS = 32 + 16
_TINY = np.finfo(np.float32).tiny
_BODY = Int4()


@dataclass(frozen=True)
class OlAccel4(TensorEncoding):
    """int4 values, and a list of the largest magnitudes as int16 with their positions."""

    outlier_share: float = 0.03
    """Share of a tensor's values that are listed, rounded down to a whole number of values; of equal magnitudes the
    earlier ones.
    """

    name: ClassVar[str] = "olaccel4"
    bits: ClassVar[int] = 4
    values_per_group: ClassVar[int] = 2
    static: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.outlier_share, int | float) or not 0 <= self.outlier_share <= 1:
            raise ConfigError(f"olaccel4: outlier_share must lie within 0 and 1, got {self.outlier_share!r}")

    def encode_operand(self, x: ArrayLike, granularity: Granularity, method: Calibration) -> list[Encoded]:
        """See ``TensorEncoding.encode_operand``; outliers, 0 instead, do not take part in the calibration.

        Where only outliers differ from 0 there is nothing to calibrate; the largest then lies on 32767.
        """
        tensor = checked_tensor(operand_tensor(x, self.name))
        self._require_positions(tensor[0].size)
        listed = self._largest(tensor)
        body = np.where(listed, np.float32(0), tensor)
        axis = None if granularity == "tensor" else -1
        scale = _BODY.calibrate(body, axis=axis, method=method)
        peak = np.abs(tensor).max(axis=axis, keepdims=axis is not None)
        bare = ~body.any(axis=axis, keepdims=axis is not None) & (peak > 0)
        scale = np.where(bare, np.maximum(peak / np.float32(_INT16_MAX), _TINY), scale).astype(np.float32)
        codes = _BODY.encode(body, scale)
        per_gemm = np.broadcast_to(scale, (len(tensor), *scale.shape[1:]))
        return [self._encoded(*parts) for parts in zip(tensor, listed, codes, per_gemm, strict=True)]

    def encode_like(self, x: ArrayLike, like: Encoded) -> list[Encoded]:
        """See ``TensorEncoding.encode_like``; which values are outliers is the share of these values all the same."""
        tensor = checked_tensor(operand_tensor(x, self.name))
        listed = self._largest(tensor)
        codes = _BODY.encode(np.where(listed, np.float32(0), tensor), like.scale)
        return [self._encoded(*parts, like.scale) for parts in zip(tensor, listed, codes, strict=True)]

    def marks_operand(self, x: Streamed, granularity: Granularity, method: Calibration) -> list[Encoded]:
        """See ``TensorEncoding.marks_operand``; one reading or two, a block in memory."""
        _, rows, K = x.shape
        self._require_positions(rows * K)
        scale = np.ones((), np.float32) if granularity == "tensor" else np.broadcast_to(np.float32(1), (rows, 1))
        codes = unread(rows, _BODY.packed_bytes(K))
        listed = largest_read(x, self._wanted(x.shape))
        return [Encoded(codes, scale, K, {"outlier_position": found.astype(np.uint32)}) for found in listed]

    def _require_positions(self, values: int) -> None:
        if values > 1 << 32:
            raise EncodingError(f"olaccel4: {values} values in one operand; positions have 32 bits")

    def _largest(self, tensor: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which values are outliers; see ``largest``."""
        return largest(np.abs(tensor).reshape(-1), self._wanted(tensor.shape)).reshape(tensor.shape)

    def _wanted(self, shape: tuple[int, ...]) -> int:
        """How many values of a tensor are listed; fewer where fewer are not 0."""
        return int(Fraction(str(self.outlier_share)) * math.prod(shape))

    def _encoded(
        self,
        rows: NDArray[np.float32],
        listed: NDArray[np.bool_],
        codes: NDArray[np.uint8],
        scale: NDArray[np.float32],
    ) -> Encoded:
        position = np.flatnonzero(listed)
        quotient = float32_quotient(rows[listed], np.broadcast_to(scale, rows.shape)[listed])
        value = np.clip(np.rint(quotient), -_INT16_MAX, _INT16_MAX).astype(np.int16)
        extras: dict[str, NDArray[Any]] = {"outlier_position": position.astype(np.uint32), "outlier_value": value}
        return Encoded(codes, np.asarray(scale), rows.shape[1], extras)

    def decode_operand(self, operand: Encoded) -> NDArray[np.int32]:
        """Integers at the scale of their row, exact, outliers in place.

        Raises: EncodingError if codes or outlier list do not fit the operand.
        """
        out = _BODY.decode(operand.codes, operand.length)
        position = np.asarray(operand.extras["outlier_position"], np.int64)
        value = np.asarray(operand.extras["outlier_value"])
        if position.shape != value.shape:
            raise EncodingError(f"olaccel4: {position.size} outlier positions, but {value.size} outlier values")
        bad = (position >= out.size) | (np.diff(position, prepend=-1) <= 0)
        if bad.any():
            at = int(np.argmax(bad))
            raise EncodingError(
                f"olaccel4: outlier {at} at position {position[at]}; positions must ascend and stay below {out.size}"
            )
        out.reshape(-1)[position] = value
        return out

    def stored(self, operand: Encoded) -> Storage:
        """int4 codes (the zeros of outliers too), scales, 48 bits per outlier."""
        return replace(_BODY.stored(operand), index_bits=self.census(operand)["outliers"] * _OUTLIER_BITS)

    def census(self, operand: Encoded) -> dict[str, int]:
        """Outliers in the list."""
        return {"outliers": len(operand.extras["outlier_position"])}
