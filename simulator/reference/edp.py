"""Sums of dot-product units, with NumPy in integers: align, truncate, add, round, a group of K after another.

An operand is read into integer significands, by field, and exponents; a product is an integer and an exponent. The
rule is in ``datapath.edp``, which this file does not look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.formats import Encoded, TensorEncoding
from simulator.reference.integers import int_matmul
from simulator.reference.split import joined

__all__ = ["edp_reference"]

_SIGNIFICAND_BITS = 10
"""Fraction bits of every element's significand: as many as FP16 has, the most of all types."""
_SCALE_BITS = 3
"""Of a block scale's significand: E4M3."""
_LOWEST = {"fp16": -14, "fp8_e4m3": -6, "fp8_e5m2": -14, "gobo3": -14, "gobo4": -14}
"""Exponent of subnormals of float formats; GOBO's values are FP16 on chip."""
_ELEMENTS = {"mxfp8": -6, "mxfp6_e3m2": -2, "mxfp6_e2m3": 0, "mxfp4": 0, "nvfp4": 0, "mxint8": 0}
"""Likewise of the elements of block formats."""
_FLOOR, _FLOOR_OF_SUMS = np.int16(-133), np.int16(-139)
"""Least exponent of a group whose terms are products, or sums of them."""
_ZERO = np.int16(-4000)
"""In place of the exponent of a zero: below all others, twice as well."""
_OUTPUTS_AT_A_TIME = 1 << 15


class Order(Protocol):
    """What is asked of ``datapath.EdpOrder``."""

    @property
    def group(self) -> int: ...
    @property
    def extra_bits(self) -> int | None: ...
    @property
    def rounding(self) -> str: ...
    @property
    def fraction_bits(self) -> int: ...
    @property
    def exact(self) -> int: ...


class Region(Protocol):
    """What is asked of ``datapath.Region``."""

    @property
    def rows(self) -> tuple[int, int]: ...
    @property
    def cols(self) -> tuple[int, int]: ...
    @property
    def cuts(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class _Fields:
    """An operand, (R, K) each: element ``e_sig * 2^(e_exp - 10)`` times scale ``s_sig * 2^(s_exp - 3)``."""

    e_sig: NDArray[np.int64]
    e_exp: NDArray[np.int16]
    s_sig: NDArray[np.int64]
    s_exp: NDArray[np.int16]

    def at(self, rows: slice, steps: slice) -> _Fields:
        """Some rows and steps of K."""
        at = rows, steps
        return _Fields(self.e_sig[at], self.e_exp[at], self.s_sig[at], self.s_exp[at])

    def whole(self) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        """Significands and exponents, scales included, with 13 fraction bits; zeros have no exponent."""
        return self.e_sig * self.s_sig, np.where(self.e_sig != 0, self.e_exp + self.s_exp, _ZERO).astype(np.int16)

    def fixed_point(self) -> tuple[NDArray[np.int64], int]:
        """Elements without their scales, as integers of 2^(low - 10), and low."""
        low = int(self.e_exp.min(initial=0))
        return self.e_sig << (self.e_exp - low), low


def edp_reference(
    act: Encoded,
    weight: Encoded,
    *,
    act_format: TensorEncoding,
    weight_format: TensorEncoding,
    accumulation: str,
    order: Order,
    regions: Sequence[Region],
) -> NDArray[Any]:
    """Product of two encoded operands of M and N rows on dot-product units, shape (M, N), before their scales.

    Args:
        accumulation: of the datapath in an array (``datapath.Accumulation``); what is an integer sum there is one here.
        order, regions: how groups and slices of K are added (``datapath.edp``); ``int8_and_fp16``: of its FP16 units.
    """
    if accumulation == "int":
        return int_matmul(act_format.decode_operand(act), weight_format.decode_operand(weight))
    if accumulation == "int8_and_fp16":
        halves = (_float_fields(act.extras["outlier_value"], -14), _float_fields(weight.extras["outlier_weight"], -14))
        return joined(act, weight, _sum(*halves, order, (0, halves[0].e_sig.shape[1])))
    a, w = _read(act, act_format), _read(weight, weight_format)
    out = np.empty((len(a.e_sig), len(w.e_sig)), np.float32)
    for region in regions:
        rows, cols = slice(*region.rows), slice(*region.cols)
        left, right = a.at(rows, slice(None)), w.at(cols, slice(None))
        parts = [_sum(left, right, order, cut) for cut in pairwise(region.cuts)]
        out[rows, cols] = parts[0]
        for part in parts[1:]:
            out[rows, cols] += part
    return out


def _read(encoded: Encoded, encoding: TensorEncoding) -> _Fields:
    if encoding.name in _ELEMENTS:
        return _block_fields(encoded, encoding)
    return _float_fields(encoding.decode_operand(encoded), _LOWEST[encoding.name])


def _float_fields(values: NDArray[Any], lowest: int) -> _Fields:
    sig, exp = _split(values.astype(np.float64), lowest, _SIGNIFICAND_BITS)
    return _Fields(sig, exp, np.full(sig.shape, 1 << _SCALE_BITS, np.int64), np.zeros_like(exp))


def _split(values: NDArray[np.float64], lowest: int, bits: int) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Significands with that many fraction bits, and exponents, none below ``lowest``."""
    exponent = np.maximum(np.frexp(values)[1].astype(np.int16) - 1, lowest).astype(np.int16)
    significand = np.ldexp(values, bits - exponent)
    assert (significand == np.rint(significand)).all(), "a significand has at most as many bits"
    return significand.astype(np.int64), exponent


def _block_fields(encoded: Encoded, encoding: Any) -> _Fields:
    """Elements and scales apart: a scale byte, then a block's elements, most significant bit first."""
    block, bits, K = encoding.values_per_group, encoding.bits, encoded.length
    stored = encoded.codes.reshape(len(encoded.codes), -1, 1 + block * bits // 8)
    each = np.unpackbits(stored[..., 1:], axis=-1).reshape(*stored.shape[:2], block, bits)
    codes = (each @ (1 << np.arange(bits)[::-1])).reshape(len(stored), -1)[:, :K]
    elements, scales = (table.astype(np.float64) for table in (encoding.element_values, encoding.scale_values))
    s_lowest = -6 if encoding.name == "nvfp4" else -127
    s_sig, s_exp = _split(np.repeat(scales[stored[..., 0]], block, axis=1)[:, :K], s_lowest, _SCALE_BITS)
    e_sig, e_exp = _split(elements[codes], _ELEMENTS[encoding.name], _SIGNIFICAND_BITS)
    if encoding.name == "mxint8":  # fixed point: no exponent of its own
        e_sig, e_exp = e_sig << e_exp, np.zeros_like(e_exp)
    return _Fields(e_sig, e_exp, s_sig, s_exp)


def _sum(a: _Fields, w: _Fields, order: Order, cut: tuple[int, int]) -> NDArray[np.float32]:
    """One slice of K: FP32 accumulators (M, N), from 0."""
    out = np.zeros((len(a.e_sig), len(w.e_sig)), np.float32)
    step = max(1, _OUTPUTS_AT_A_TIME // out.shape[1])
    for first in range(cut[0], cut[1], order.group):
        steps = slice(first, min(first + order.group, cut[1]))
        right = w.at(slice(None), steps)
        for row in range(0, len(out), step):
            rows = slice(row, row + step)
            out[rows] = _next(out[rows], *_terms(a.at(rows, steps), right, order.exact), order)
    return out


def _terms(left: _Fields, right: _Fields, exact: int) -> tuple[NDArray[np.int64], NDArray[np.int16], int]:
    """Integers and exponents of a group's terms (terms, M, N), and how many of their bits are fraction."""
    fraction = 2 * (_SIGNIFICAND_BITS + _SCALE_BITS)
    if exact == 1:
        (sig, exp), (other, other_exp) = left.whole(), right.whole()
        return _across(sig) * other.T[:, None, :], _across(exp) + other_exp.T[:, None, :], fraction
    starts = np.arange(0, left.e_sig.shape[1], exact)
    (fixed, low), (other, other_low) = left.fixed_point(), right.fixed_point()
    products = _across(fixed) * other.T[:, None, :]
    sums, some = np.add.reduceat(products, starts), np.logical_or.reduceat(products != 0, starts)
    scales = _across(left.s_sig)[starts] * right.s_sig.T[starts][:, None, :]
    exponents = _across(left.s_exp)[starts] + right.s_exp.T[starts][:, None, :]
    return sums * scales, np.where(some & (scales != 0), exponents, _ZERO), fraction - low - other_low


def _across(x: NDArray[Any]) -> NDArray[Any]:
    """(M, K) as (K, M, 1)."""
    return np.ascontiguousarray(x.T)[:, :, None]


def _next(
    acc: NDArray[np.float32], term: NDArray[np.int64], exponent: NDArray[np.int16], fraction: int, order: Order
) -> NDArray[np.float32]:
    """The accumulators (M, N) after one group."""
    assert order.extra_bits is not None, "units that multiply integers only have no float sums"
    kept = 23 + order.extra_bits
    acc_sig, acc_exp = _split(np.where(np.isfinite(acc), acc, 0).astype(np.float64), -126, 23)
    top = np.maximum(exponent.max(axis=0), np.where(acc_sig != 0, acc_exp, _ZERO))
    top = np.maximum(top, _FLOOR if order.exact == 1 else _FLOOR_OF_SUMS)
    total = _aligned(acc_sig, kept - 23, top - acc_exp) + _aligned(term, kept - fraction, top - exponent).sum(axis=0)
    with np.errstate(over="ignore"):
        rounded = _rounded(total, top - kept, order).astype(np.float32)
    return np.where(np.isfinite(acc), rounded, acc)


def _aligned(x: NDArray[np.int64], widened: int, places: NDArray[np.int16]) -> NDArray[np.int64]:
    """``x * 2^(widened - places)``, towards zero; places are not negative."""
    sign = x >> 63
    size = ((x ^ sign) - sign) << max(widened, 0)
    size >>= np.minimum(places + max(-widened, 0), 63)
    return np.asarray((size ^ sign) - sign)


def _rounded(total: NDArray[np.int64], unit: NDArray[np.int16], order: Order) -> NDArray[np.float64]:
    """``total * 2^unit`` with ``fraction_bits`` of fraction, or as FP32 subnormals have it."""
    size = np.abs(total)
    high = size >> 32
    length = np.where(high > 0, 32 + np.frexp(high.astype(np.float64))[1], np.frexp(size.astype(np.float64))[1])
    drop = np.clip(np.maximum(unit + length - 1, -126) - order.fraction_bits - unit, 0, 62)
    whole, rest, half = size >> drop, size & ((np.int64(1) << drop) - 1), (np.int64(1) << drop) >> 1
    if order.rounding == "nearest":
        whole += (rest > half) | ((rest == half) & (half > 0) & (whole & 1 == 1))
    return np.ldexp(np.where(total < 0, -whole, whole).astype(np.float64), unit + drop)
