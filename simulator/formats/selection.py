"""Choosing between formats by error: what ``ant4`` and ``ovp4_auto`` share.

Each candidate is calibrated as it would be alone; the one of least squared error wins, the first of equals. Which one
that was is stored beside the codes: ``extras["types"]``, ``type_bits`` each, first one in the high bits of the byte.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.errors import EncodingError
from simulator.formats.base import (
    SCALE_BITS,
    Calibration,
    Encoded,
    Format,
    Granularity,
    Storage,
    TensorEncoding,
    checked_tensor,
    operand_tensor,
    row_view,
)

__all__ = ["Selection"]


class Selection(TensorEncoding):
    """Several formats of one width; all GEMMs of an operand, or each row with its own scale, use the best of them.

    Attributes:
        type_bits: bits of a stored type.
    """

    type_bits: ClassVar[int]
    static: ClassVar[bool] = True

    @property
    @abstractmethod
    def candidates(self) -> tuple[Format, ...]:
        """The formats, by stored type."""

    @property
    @abstractmethod
    def type_per_scale(self) -> bool:
        """Whether each scale has a type of its own, or the operand has one."""

    @property
    def rows_alone(self) -> bool:  # type: ignore[override]
        """See ``TensorEncoding``: a type for the operand is chosen over all its rows."""
        return self.type_per_scale

    def encode_operand(self, x: ArrayLike, granularity: Granularity, method: Calibration) -> list[Encoded]:
        """See ``TensorEncoding.encode_operand``."""
        tensor = checked_tensor(operand_tensor(x, self.name))
        rows, per_gemm = row_view(tensor), tensor.shape[:2]
        axis = None if granularity == "tensor" else -1
        fits = [f.calibrate(tensor, axis=axis, method=method) for f in self.candidates]
        scales = np.stack([np.broadcast_to(scale, (*per_gemm, 1)).reshape(-1) for scale in fits])
        chosen = self._least_error(rows, scales, together=granularity == "tensor" or not self.type_per_scale)
        scale = np.take_along_axis(scales, chosen[None], axis=0)[0]
        codes = np.empty((len(rows), self.candidates[0].packed_bytes(rows.shape[1])), np.uint8)
        for index in np.unique(chosen):
            mine = chosen == index
            codes[mine] = self.candidates[index].encode(rows[mine], scale[mine, None])
        return [
            self._encoded(c, s, t, granularity, rows.shape[1])
            for c, s, t in zip(*(a.reshape(*per_gemm, -1) for a in (codes, scale, chosen)), strict=True)
        ]

    def encode_like(self, x: ArrayLike, like: Encoded) -> list[Encoded]:
        """See ``TensorEncoding.encode_like``; the type is that of ``like``."""
        tensor = checked_tensor(operand_tensor(x, self.name))
        codes = self.candidates[int(self.chosen(like)[0])].encode(tensor, like.scale)
        return [Encoded(c, like.scale, tensor.shape[-1], like.extras) for c in codes]

    def _least_error(self, rows: NDArray[np.float32], scales: NDArray[np.float32], together: bool) -> NDArray[np.intp]:
        """Index of the best candidate of each row (R,), given each candidate's scale of each row (candidates, R)."""
        errors = np.stack([f.squared_error(rows, s) for f, s in zip(self.candidates, scales, strict=True)])
        if together:
            errors = np.broadcast_to(errors.sum(axis=1, keepdims=True), errors.shape)
        return errors.argmin(axis=0)

    def _encoded(
        self,
        codes: NDArray[np.uint8],
        scale: NDArray[np.float32],
        chosen: NDArray[np.intp],
        granularity: Granularity,
        length: int,
    ) -> Encoded:
        """One GEMM's operand; scale and type are given for each of its rows, (R, 1)."""
        kept = scale[0].reshape(()) if granularity == "tensor" else scale
        types = chosen if self.type_per_scale else chosen[:1]
        return Encoded(codes, kept, length, {"types": self._packed_types(types[: kept.size].reshape(-1))})

    def decode_operand(self, operand: Encoded) -> NDArray[np.int32]:
        """See ``TensorEncoding.decode_operand``.

        Raises: EncodingError if the types do not fit the operand, or a code is illegal.
        """
        rows = len(operand.codes)
        types = np.broadcast_to(self.chosen(operand), (rows,))
        out = np.empty((rows, operand.length), np.int32)
        for index in np.unique(types):
            out[types == index] = self.candidates[index].decode(operand.codes[types == index], operand.length)
        return out

    def stored(self, operand: Encoded) -> Storage:
        """Codes, scales, and the types padded to a whole byte."""
        payload = len(operand.codes) * operand.length * self.bits
        type_bits = self._type_count(operand) * self.type_bits
        padding = operand.codes.size * 8 - payload + -type_bits % 8
        return Storage(payload, padding, operand.scale.size * SCALE_BITS, payload // self.bits, type_bits)

    def census(self, operand: Encoded) -> dict[str, int]:
        """How often each candidate was chosen."""
        counts = np.bincount(self.chosen(operand), minlength=len(self.candidates))
        return {f.name: int(n) for f, n in zip(self.candidates, counts, strict=True)}

    def chosen(self, operand: Encoded) -> NDArray[np.int64]:
        """Index of the candidate of the operand (1,), or of each scale (R,)."""
        packed, count = np.asarray(operand.extras["types"]), self._type_count(operand)
        if packed.dtype != np.uint8 or packed.shape != (-(-count * self.type_bits // 8),):
            raise EncodingError(
                f"{self.name}: expected {count} types of {self.type_bits} bits as uint8, "
                f"got {packed.dtype} of shape {packed.shape}"
            )
        bits = np.unpackbits(packed)[: count * self.type_bits].reshape(count, self.type_bits)
        types = bits @ (1 << np.arange(self.type_bits)[::-1])
        bad = types >= len(self.candidates)
        if bad.any():
            at = int(np.argmax(bad))
            raise EncodingError(
                f"{self.name}: type {types[at]} at position {at}; {len(self.candidates)} types are known"
            )
        return np.asarray(types)

    def _type_count(self, operand: Encoded) -> int:
        return operand.scale.size if self.type_per_scale else 1

    def _packed_types(self, types: NDArray[np.intp]) -> NDArray[np.uint8]:
        bits = types[:, None] >> np.arange(self.type_bits)[::-1] & 1
        return np.packbits(bits.astype(np.bool_).reshape(-1))
