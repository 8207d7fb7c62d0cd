"""Outlier-victim pairs: ``ovp4``, ``ovp4_flint``, ``ovp8`` (OliVe; Guo et al., ISCA 2023, section 3, Tables 3-4).

Two neighbours along K are stored as two codes, the left one first. Both normal: two normal codes. One outlier: its
code is an abfloat (``formats.abfloat``), and the neighbour becomes the victim: its code is the identifier, the sign bit
alone, its value 0. No normal and no outlier has that code, nor an outlier the code 0. Two 4-bit codes share a byte, the
left one in the high nibble. Layout and rounding are the contract's section 4.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.errors import EncodingError, UnknownNameError
from simulator.formats.abfloat import abfloat_magnitudes
from simulator.formats.base import Encoded, Format, checked_codes, scaled_rows
from simulator.formats.flint import flint_magnitudes
from simulator.formats.pair_kernels import PairTables, decode_pairs, encode_pairs, squared_error_of_pairs

__all__ = ["OutlierFormat", "Ovp4", "Ovp4Flint", "Ovp8", "PairRule", "identifiers"]

PairRule = Literal["larger", "left"]
OutlierFormat = Literal["e4m3", "e2m5"]

_LARGEST_OUTLIER = 1 << 15
"""Outliers are clipped there, so that a product of two fits int32 (OliVe, section 4.5)."""


def _tables(normals: NDArray[np.int64], outlier_magnitudes: list[int]) -> PairTables:
    """The tables for normals by code, and outlier magnitudes by code without sign."""
    bits = len(normals).bit_length() - 1
    magnitudes = np.array([m if m <= _LARGEST_OUTLIER else 0 for m in outlier_magnitudes])
    ascending = magnitudes[magnitudes > 0]
    boundary = (normals.max() + ascending[0]) / 2
    grid, codes = np.unique(normals, return_index=True)
    steps = np.arange(-2 * boundary, 2 * boundary) / 2
    nearest = np.searchsorted((grid[:-1] + grid[1:]) / 2, steps, side="right")
    values, legal = _pair_values(normals, np.concatenate([magnitudes, -magnitudes]), bits)
    middles = (ascending[:-1] + ascending[1:]) / 2
    return PairTables(bits, float(boundary), codes[nearest], grid[nearest].astype(float), middles, values, legal)


def _pair_values(
    normals: NDArray[np.int64], outliers: NDArray[np.int64], bits: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Values (4^bits, 2) of every packed pair, and which are legal; an outlier code of value 0 is not."""
    left, right = np.divmod(np.arange(1 << 2 * bits), 1 << bits)
    identifier = 1 << (bits - 1)

    def side(code: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(code == identifier, 0, np.where(other == identifier, outliers[code], normals[code]))

    values = np.stack([side(left, right), side(right, left)], axis=-1).astype(np.int32)
    return values, ~((left == identifier) | (right == identifier)) | values.any(axis=-1)


def _twos_complement(bits: int) -> NDArray[np.int64]:
    """Value of each code; the most negative one is the identifier, here 0."""
    half = 1 << (bits - 1)
    return (np.arange(2 * half) + half) % (2 * half) - half + half * (np.arange(2 * half) == half)


@cache
def _int_tables(bits: int, exp_bits: int, man_bits: int, bias: int) -> PairTables:
    return _tables(_twos_complement(bits), abfloat_magnitudes(exp_bits, man_bits, bias))


@cache
def _flint_tables() -> PairTables:
    magnitudes = np.array(flint_magnitudes(3))
    return _tables(np.concatenate([magnitudes, -magnitudes]), abfloat_magnitudes(2, 1, 3))


def identifiers(codes: NDArray[np.uint8], bits: int) -> NDArray[np.bool_]:
    """Where packed rows (R, bytes) hold the identifier, per code: (R, codes)."""
    if bits == 8:
        return codes == 0x80
    nibbles = np.stack([codes >> 4, codes & 0xF], axis=-1).reshape(len(codes), -1)
    return nibbles == 8


@dataclass(frozen=True)
class _Ovp(Format):
    """What all kinds of pairs share."""

    pair_rule: PairRule = "larger"
    """Of two outliers in a pair, `larger` keeps the larger magnitude, the left one on a tie (the paper); `left` keeps
    the left one always (the authors' released code).
    """

    values_per_group: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.pair_rule not in get_args(PairRule):
            raise UnknownNameError("pair_rule", str(self.pair_rule), get_args(PairRule))

    @property
    @abstractmethod
    def tables(self) -> PairTables:
        """Normals and outliers of this kind of pair."""

    def encode(self, x: ArrayLike, scale: ArrayLike) -> NDArray[np.uint8]:
        """See ``Format.encode``; an odd length is padded with one zero, pairs never straddle rows."""
        lead, rows, per_row = scaled_rows(x, scale)
        pairs = np.empty((len(rows), (rows.shape[1] + 1) // 2), self._pair_type.newbyteorder("="))
        encode_pairs(rows, per_row, self.pair_rule == "left", self.tables, pairs)
        return pairs.astype(self._pair_type, copy=False).view(np.uint8).reshape(*lead, -1)

    def decode(self, codes: NDArray[np.uint8], length: int) -> NDArray[np.int32]:
        """See ``Format.decode``; the position of an illegal pair is that of its first byte."""
        rows = checked_codes(codes, self.packed_bytes(length), self.name)
        pairs = rows.view(self._pair_type).astype(self._pair_type.newbyteorder("="), copy=False)
        out = np.empty((len(rows), length), np.int32)
        bad = decode_pairs(pairs, self.tables.values, self.tables.legal, out)
        if bad >= 0:
            first = bad * self._pair_type.itemsize
            where = tuple(int(i) for i in np.unravel_index(first, codes.shape))
            raise EncodingError(f"{self.name}: illegal {self._shown(rows.reshape(-1)[first:])} at position {where}")
        return out.reshape(*codes.shape[:-1], length)

    def squared_error(self, rows: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float64]:
        """See ``Format.squared_error``; nothing packed."""
        return self.error_up_to(rows, scale, np.full(len(rows), np.inf))

    def error_up_to(
        self, rows: NDArray[np.float32], scale: NDArray[np.float32], most: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """See ``Format.error_up_to``."""
        left = self.pair_rule == "left"
        return np.asarray(squared_error_of_pairs(rows, np.ascontiguousarray(scale), left, self.tables, most))

    def census(self, operand: Encoded) -> dict[str, int]:
        """Outliers stored: as many as there are identifiers, each in the place of a victim or of padding."""
        return {"outliers": int(np.count_nonzero(identifiers(operand.codes, self.bits)))}

    def victims(self, operand: Encoded, x: NDArray[np.float32]) -> int:
        """See ``TensorEncoding.victims``: the values other than zero where an identifier is."""
        return int(np.count_nonzero(identifiers(operand.codes, self.bits)[:, : operand.length] & (x != 0)))

    @property
    def _pair_type(self) -> np.dtype[Any]:
        """A packed pair as one number: left code in the high bits, which are stored first."""
        return np.dtype(f">u{2 * self.bits // 8}")

    def _shown(self, codes: NDArray[np.uint8]) -> str:
        return f"byte 0x{codes[0]:02x}" if self.bits == 4 else f"pair 0x{codes[0]:02x} 0x{codes[1]:02x}"


@dataclass(frozen=True)
class Ovp4(_Ovp):
    """OliVe's 4-bit pairs: int4 normals -7..7, outliers +-{12, 16, 24, 32, 48, 64, 96}.

    253 of the 256 bytes are legal.
    """

    name: ClassVar[str] = "ovp4"
    bits: ClassVar[int] = 4
    max_normal: ClassVar[float] = 7

    @property
    def tables(self) -> PairTables:
        """Two's complement, and E2M1 with bias 2."""
        return _int_tables(4, 2, 1, 2)


@dataclass(frozen=True)
class Ovp4Flint(_Ovp):
    """OliVe's 4-bit pairs with flint4 normals 0, ±{1, 2, 3, 4, 6, 8, 16}; outliers ±{24, 32, 48, 64, 96, 128, 192}.

    The identifier is flint's minus zero, so no normal value is given up. 253 of the 256 bytes are legal.
    """

    name: ClassVar[str] = "ovp4_flint"
    bits: ClassVar[int] = 4
    max_normal: ClassVar[float] = 16

    @property
    def tables(self) -> PairTables:
        """``formats.flint``, and E2M1 with bias 3."""
        return _flint_tables()


@dataclass(frozen=True)
class Ovp8(_Ovp):
    """OliVe's 8-bit pairs: int8 normals -127..127, outliers of 144 to 2^15, two bytes per pair."""

    outlier_format: OutlierFormat = "e4m3"
    """`e4m3` (the paper): bias 4, magnitudes clipped to 2^15, so that 64 of them are used and larger ones are illegal
    codes (the bias is not printed; 4 is the one that starts right above 127). `e2m5` (what the authors' released code
    computes): bias 2, magnitudes 132 to 2016.
    """

    name: ClassVar[str] = "ovp8"
    bits: ClassVar[int] = 8
    max_normal: ClassVar[float] = 127

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.outlier_format not in get_args(OutlierFormat):
            raise UnknownNameError("outlier_format", str(self.outlier_format), get_args(OutlierFormat))

    @property
    def tables(self) -> PairTables:
        """Two's complement, and E4M3 with bias 4 or E2M5 with bias 2."""
        return _int_tables(8, 4, 3, 4) if self.outlier_format == "e4m3" else _int_tables(8, 2, 5, 2)
