"""What every number format answers: scale, codes, values, bits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import prod
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.errors import EncodingError, UnknownNameError
from simulator.formats.streamed import Streamed, knows_of

__all__ = [
    "ROW_BLOCK",
    "Calibration",
    "Encoded",
    "Format",
    "Granularity",
    "Storage",
    "TensorEncoding",
    "checked_tensor",
    "expand_groups",
    "row_view",
]

Calibration = Literal["mse", "absmax", "three_sigma"]
Granularity = Literal["tensor", "row"]
"""What shares a scale: all GEMMs and rows of an operand, or each row (a token of A, an output channel of W)."""
SCALE_BITS = 32
"""Bits of one stored scale (float32)."""
ROW_BLOCK = 8
"""Rows that always fill whole bytes, whatever number of bits is stored for each."""
_CANDIDATES = np.arange(75, 250, 2) / 100.0
"""Multiples of the three-sigma start tried by ``calibrate(method="mse")`` (contract, section 4)."""


@dataclass(frozen=True)
class Storage:
    """Exact size of one encoded tensor [bits]."""

    payload_bits: int
    padding_bits: int
    scale_bits: int
    values: int
    index_bits: int = 0
    """Dictionaries, zero points, outlier lists and the like."""

    def __add__(self, other: Storage) -> Storage:
        return Storage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def total_bits(self) -> int:
        """Everything that must be stored to get the tensor back."""
        return self.payload_bits + self.padding_bits + self.scale_bits + self.index_bits

    @property
    def bits_per_value(self) -> float:
        """Stored bits over values."""
        return self.total_bits / self.values


@dataclass(frozen=True)
class Encoded:
    """One operand of one GEMM as it is stored.

    Attributes:
        codes: packed rows, uint8, shape (rows, bytes).
        scale: float32, shape (), (rows, 1) or, with ``group``, (rows, ceil(K / group)); real value = decoded * scale.
        length: values per row, K.
        extras: what else the format stores (dictionaries, outlier lists, zero points ...), by name.
        group: neighbours along K that share a scale; None where a whole row does.
    """

    codes: NDArray[np.uint8]
    scale: NDArray[np.float32]
    length: int
    extras: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    group: int | None = None

    @property
    def value_scale(self) -> NDArray[np.float64]:
        """Scale of each value, float64, shape (rows, 1) or, with scales per group, (rows, K)."""
        if self.group is None:
            return self.row_scale
        return expand_groups(self.scale, self.group, self.length).astype(np.float64)

    @property
    def row_scale(self) -> NDArray[np.float64]:
        """Scale of each row, float64, shape (rows, 1). Raises: EncodingError if the scale varies along K."""
        if self.group is not None:
            raise EncodingError(f"this operand has a scale per {self.group} values of K, not per row; use value_scale")
        return np.broadcast_to(self.scale, (len(self.codes), 1)).astype(np.float64)


class TensorEncoding(ABC):
    """Real operands to stored ones and back. Subclasses are frozen dataclasses in a file of their own.

    Most are a ``Format``: a grid, one scale per tensor or row, codes. The others store more than that (dictionaries,
    zero points, outlier lists) in ``Encoded.extras``.

    Attributes:
        name: as users write it.
        bits: bits per value that every value has; ``Storage`` says what comes on top.
        values_per_group: neighbours along K that share one packed unit and are never split by a tile.
        has_scale: whether ``Encoded.scale`` is stored beside the codes; if not, it is 1.
        calibrated: whether the calibration method has an influence.
        rows_alone: whether with a scale per row each row is encoded for itself. Blocks of ``ROW_BLOCK`` rows (the last
            one may have fewer) can then be encoded one after another: what is stored of them, put end to end, is what
            is stored of the whole operand. The others need all rows at once.
        static: whether ``encode_like`` can encode with what was calibrated on other values, as hardware does that has
            scales found beforehand.
    """

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012  the line below an option describes it

    name: ClassVar[str]
    bits: ClassVar[int]
    values_per_group: ClassVar[int] = 1
    has_scale: ClassVar[bool] = True
    calibrated: ClassVar[bool] = True
    rows_alone: ClassVar[bool] = False
    static: ClassVar[bool] = False

    @abstractmethod
    def encode_operand(self, x: ArrayLike, granularity: Granularity, method: Calibration) -> list[Encoded]:
        """Calibrate and encode an operand of ``count`` GEMMs, shape (count, rows, K); one ``Encoded`` per GEMM.

        Raises: EncodingError on NaN, infinity or another shape.
        """

    def marks_operand(self, x: Streamed, granularity: Granularity, method: Calibration) -> list[Encoded]:
        """What ``encode_operand`` makes of an operand, but for codes, scales and values: lists of where something is.
        ``stored`` says the same of both.

        By encoding all of it, unless a format can do with less.
        Raises: as ``encode_operand``, and as ``Streamed.blocks``.
        """
        return self.encode_operand(x.whole(), granularity, method)

    def encode_like(self, x: ArrayLike, like: Encoded) -> list[Encoded]:
        """Encode an operand (count, rows, K) with what was calibrated on another, tensor-wide: scale, type, zero point.

        Raises: EncodingError as ``encode_operand``, and where the encoding is not ``static``.
        """
        raise EncodingError(f"{self.name}: takes its parameters from the very values that it encodes")

    @abstractmethod
    def decode_operand(self, operand: Encoded) -> NDArray[Any]:
        """Grid values (rows, K) of one encoded operand before its scale: integers, or floats that are exact."""

    @abstractmethod
    def stored(self, operand: Encoded) -> Storage:
        """Exact size of one encoded operand, everything that is needed to decode it included."""

    def packed(self, operand: Encoded) -> dict[str, NDArray[Any]]:
        """The arrays that are stored, by name: they take ``stored(operand).total_bits``, no bit more or less."""
        scale = {"scale": np.atleast_1d(operand.scale)} if self.has_scale else {}
        return {"codes": operand.codes} | scale | {k: np.atleast_1d(extra) for k, extra in operand.extras.items()}

    def census(self, operand: Encoded) -> dict[str, int]:
        """What the encoding itself can count in an operand: listed outliers, chosen types ... Nothing by default."""
        return {}

    def victims(self, operand: Encoded, x: NDArray[np.float32]) -> int:
        """How many values of ``x`` (rows, K), not zero, were given up for an outlier beside them. None by default."""
        return 0


class Format(TensorEncoding):
    """A number format over the last axis of a tensor: a grid of values, and codes for them.

    Attributes:
        max_normal: grid value on which the calibrated real maximum lies.
    """

    max_normal: ClassVar[float]
    rows_alone: ClassVar[bool] = True
    static: ClassVar[bool] = True

    @abstractmethod
    def encode(self, x: ArrayLike, scale: ArrayLike) -> NDArray[np.uint8]:
        """Pack the nearest grid values of ``x / scale`` (divided in float32).

        Args:
            x: real values, shape (..., K).
            scale: positive, finite, broadcasts against ``x``.
        Returns: packed codes, uint8, shape (..., ``packed_bytes(K)``).
        Raises: EncodingError on NaN, infinity or a scale that is not positive.
        """

    @abstractmethod
    def decode(self, codes: NDArray[np.uint8], length: int) -> NDArray[Any]:
        """Unpack codes (..., packed bytes) to grid values (..., length): int32, or float32 for float formats.

        Raises: EncodingError on an illegal code, with its position.
        """

    def encode_operand(self, x: ArrayLike, granularity: Granularity, method: Calibration) -> list[Encoded]:
        """See ``TensorEncoding.encode_operand``."""
        tensor = operand_tensor(x, self.name)
        scale = self.calibrate(tensor, axis=None if granularity == "tensor" else -1, method=method)
        codes = self.encode(tensor, scale)
        per_gemm = np.broadcast_to(scale, (len(tensor),)) if scale.ndim == 0 else scale
        return [Encoded(c, np.asarray(s), tensor.shape[-1]) for c, s in zip(codes, per_gemm, strict=True)]

    def encode_like(self, x: ArrayLike, like: Encoded) -> list[Encoded]:
        """See ``TensorEncoding.encode_like``."""
        tensor = operand_tensor(x, self.name)
        return [Encoded(c, like.scale, tensor.shape[-1]) for c in self.encode(tensor, like.scale)]

    def decode_operand(self, operand: Encoded) -> NDArray[Any]:
        """See ``TensorEncoding.decode_operand``."""
        return self.decode(operand.codes, operand.length)

    def stored(self, operand: Encoded) -> Storage:
        """See ``TensorEncoding.stored``."""
        return self.storage((len(operand.codes), operand.length), scales=operand.scale.size)

    def packed_bytes(self, length: int) -> int:
        """Bytes that one row of ``length`` values takes, padding included."""
        groups = -(-length // self.values_per_group)
        return -(-groups * self.values_per_group * self.bits // 8)

    def storage(self, shape: tuple[int, ...], scales: int = 1) -> Storage:
        """Exact stored size of a tensor of ``shape`` with that many scales (``ceil(K / group)`` a row, if grouped)."""
        values = int(prod(shape))
        row_bits = self.packed_bytes(shape[-1]) * 8
        rows = values // shape[-1]
        payload = values * self.bits
        return Storage(payload, rows * row_bits - payload, scales * SCALE_BITS * self.has_scale, values)

    def calibrate(
        self, x: ArrayLike, axis: int | None = -1, method: Calibration = "mse", group: int | None = None
    ) -> NDArray[np.float32]:
        """The scale of each row of the last axis (``axis=-1``), of the whole tensor (``axis=None``), or of each group.

        ``absmax``: the largest magnitude lies on ``max_normal``. ``three_sigma``: the larger of |mean +- 3 std| does
        (std with N-1). ``mse``: of 0.75, 0.77 ... 2.49 times that start, the one of least mean squared error of the
        encoded tensor; the first of equals. A row of zeros gets scale 1, and so does a format that stores no scale.
        ``group`` neighbours along K, the last few of a row included, are calibrated as if they were a row of their own.

        Returns: float32, shape (..., 1), () or, per group, (..., ceil(K / group)); ``expand_groups`` readies the last
            for ``encode``.
        Raises: EncodingError on NaN, infinity, an empty tensor, an unknown method or a group that splits packed units.
        Source: OliVe (Guo et al., ISCA 2023), released quantiser; contract section 4.
        """
        require_known_calibration(axis, method)
        x = checked_tensor(x)
        if group is not None:
            require_group(group, axis, self)
            parts = [self.calibrate(part, method=method)[..., 0] for part in split_groups(x, group)]
            return np.concatenate(parts, axis=-1)
        if not self.has_scale:
            return np.ones((*x.shape[:-1], 1) if axis == -1 else (), np.float32)
        rows = row_view(x) if axis == -1 else x.reshape(1, -1)
        alpha = _absmax(rows) if method == "absmax" else _three_sigma(rows)
        if method == "mse":
            alpha = self._least_squares(x, rows, alpha)
        scale = _as_scale(alpha, self.max_normal)
        return scale.reshape(*x.shape[:-1], 1) if axis == -1 else scale.reshape(())

    def _least_squares(
        self, x: NDArray[np.float32], rows: NDArray[np.float32], start: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Alpha of least squared error among the candidates, per calibration row.

        The error of one tensor-wide scale is the sum over the tensor's own rows: groups never straddle rows.
        """
        own_rows, error_of = row_view(x), self.error_up_to
        if not knows_of(type(self), "error_up_to", "squared_error"):

            def error_of(rows: Any, scale: Any, most: Any) -> NDArray[np.float64]:
                return self.squared_error(rows, scale)

        best, best_error, each = start.copy(), np.full(len(start), np.inf), np.ones(len(own_rows))
        for factor in _CANDIDATES:
            scale = _as_scale(start * factor, self.max_normal)
            per_row = error_of(own_rows, np.broadcast_to(scale, (len(own_rows),)), best_error * each)
            error = per_row if len(rows) == len(own_rows) else per_row.sum(keepdims=True)
            better = error < best_error
            best[better], best_error[better] = start[better] * factor, error[better]
        return best

    def squared_error(self, rows: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float64]:
        """Sum of squared errors of each row (R, K) encoded with its scale (R,)."""
        decoded = self.decode(self.encode(rows, scale[:, None]), rows.shape[-1])
        error = rows.astype(np.float64) - decoded.astype(np.float64) * scale.astype(np.float64)[:, None]
        return np.asarray((error * error).sum(axis=-1))

    def error_up_to(
        self, rows: NDArray[np.float32], scale: NDArray[np.float32], most: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The same where it is at most ``most`` (R,); beyond, anything larger than that will do. A format that sums one
        value after another may stop early: squares only add.
        """
        return self.squared_error(rows, scale)


def require_known_calibration(axis: int | None, method: Calibration) -> None:
    """Refuse what ``Format.calibrate`` does not know."""
    if method not in get_args(Calibration):
        raise UnknownNameError("calibration", str(method), get_args(Calibration))
    if axis not in (-1, None):
        raise EncodingError(f"calibrate works per row (axis=-1) or per tensor (axis=None), got axis={axis}")


def require_group(group: int, axis: int | None, encoding: TensorEncoding) -> None:
    """Refuse a group along K that is not a whole number of ``encoding``'s packed units, or an axis that has no K."""
    unit = encoding.values_per_group
    if axis != -1:
        raise EncodingError(f"a scale per group needs axis=-1, got axis={axis}")
    if not isinstance(group, int | np.integer) or group < 1 or group % unit:
        raise EncodingError(f"{encoding.name}: a group of {group} values is no positive multiple of {unit}")


def split_groups(x: NDArray[Any], group: int) -> list[NDArray[Any]]:
    """The groups along the last axis: views (..., n, group) and, where the last group is short, (..., 1, rest)."""
    whole = x.shape[-1] // group * group
    parts = (x[..., :whole].reshape(*x.shape[:-1], -1, group), x[..., None, whole:])
    return [part for part in parts if part.size]


def expand_groups(per_group: NDArray[Any], group: int, length: int) -> NDArray[Any]:
    """What each of ``length`` values of a row shares with its group: (..., ceil(length / group)) to (..., length)."""
    groups = -(-length // group)
    if per_group.ndim == 0 or per_group.shape[-1] != groups:
        raise EncodingError(
            f"{length} values in groups of {group} need a last axis of {groups}, got shape {per_group.shape}"
        )
    return np.repeat(per_group, group, axis=-1)[..., :length]


def operand_tensor(x: ArrayLike, name: str) -> NDArray[Any]:
    """``x`` if it has the shape of an operand, (count, rows, K)."""
    tensor = np.asarray(x)
    if tensor.ndim != 3:
        raise EncodingError(f"{name}: expected an operand of shape (count, rows, K), got {tensor.shape}")
    return tensor


def checked_tensor(x: ArrayLike) -> NDArray[np.float32]:
    """Float32 copy-free view of ``x`` if it can be encoded; EncodingError with the position of the first bad value."""
    given = np.asarray(x)
    if given.dtype.kind not in "fiu":
        raise EncodingError(f"cannot encode an array of {given.dtype}; numbers are needed")
    if given.ndim == 0 or given.size == 0:
        raise EncodingError(f"cannot encode a tensor of shape {given.shape}; at least one row of values is needed")
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below, by position
        array = np.ascontiguousarray(given, dtype=np.float32)
    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), array.shape))
        raise EncodingError(f"cannot encode {given[where]} at position {where}; all values must be finite in float32")
    return array


def checked_scale(scale: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Float32 scale that broadcasts against ``shape``, all positive and finite."""
    with np.errstate(over="ignore"):
        array = np.asarray(scale, dtype=np.float32)
    if not (np.isfinite(array) & (array > 0)).all():
        raise EncodingError("a scale must be positive and finite")
    try:
        broadcast = np.broadcast_shapes(array.shape, shape)
    except ValueError:
        broadcast = ()
    if broadcast != shape:
        raise EncodingError(f"a scale of shape {array.shape} does not broadcast against a tensor of shape {shape}")
    return array


def scaled_rows(x: ArrayLike, scale: ArrayLike) -> tuple[tuple[int, ...], NDArray[np.float32], NDArray[np.float32]]:
    """Leading shape of ``x``, its rows (R, K) and the scale of each row (R,).

    A scale that varies along K is divided out here, in float32, and the rows' scale is then 1.
    """
    tensor = checked_tensor(x)
    divisor = checked_scale(scale, tensor.shape)
    if divisor.ndim and divisor.shape[-1] != 1:
        tensor, divisor = float32_quotient(tensor, divisor), np.ones((), np.float32)
    per_row = np.broadcast_to(divisor.reshape(divisor.shape[:-1]), tensor.shape[:-1])
    return tensor.shape[:-1], row_view(tensor), np.ascontiguousarray(per_row).reshape(-1)


def float32_quotient(x: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Float32 quotients; beyond float32 they are infinite, and every grid saturates them."""
    with np.errstate(over="ignore"):
        return np.asarray(np.divide(x, scale, dtype=np.float32))


def checked_codes(codes: NDArray[np.uint8], packed: int, name: str) -> NDArray[np.uint8]:
    """Rows (R, packed) of packed codes; EncodingError if type or last axis do not fit."""
    codes = np.ascontiguousarray(codes)
    if codes.dtype != np.uint8 or codes.ndim == 0 or codes.shape[-1] != packed:
        raise EncodingError(
            f"{name}: expected uint8 codes of shape (..., {packed}), got {codes.dtype} of shape {codes.shape}"
        )
    return codes.reshape(-1, packed)


def row_view(x: NDArray[Any]) -> NDArray[Any]:
    """(..., K) as (R, K)."""
    return x.reshape(-1, x.shape[-1])


def _absmax(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.abs(rows).max(axis=-1).astype(np.float64)


def _three_sigma(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    mean = rows.mean(axis=-1, dtype=np.float64)
    if rows.shape[-1] == 1:
        return np.abs(mean)
    sigma = rows.std(axis=-1, dtype=np.float64, ddof=1)
    return np.maximum(np.abs(mean + 3 * sigma), np.abs(mean - 3 * sigma))


def _as_scale(alpha: NDArray[np.float64], max_normal: float) -> NDArray[np.float32]:
    """Alpha over the largest normal, as float32; 1 where a row is all zero, never subnormal."""
    scale = np.where(alpha > 0, alpha / max_normal, 1.0)
    return np.clip(scale, np.finfo(np.float32).tiny, np.finfo(np.float32).max).astype(np.float32)
