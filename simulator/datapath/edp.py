"""Float sums of a tensor core: groups of products, aligned, truncated and added at once by a dot-product unit (EDP).

K is cut into groups of ``group`` neighbours, in order. Of each group the products, exact, and the FP32 accumulator are
shifted right until all have the largest exponent among them, lose what lies below ``23 + extra_bits`` fraction bits
(towards zero), are added without error, and the sum is rounded once to ``fraction_bits`` fraction bits, which is the
next accumulator. A product's exponent is the sum of its operands' exponent fields, whatever its significand, which
lies in [0, 4); subnormal operands have the smallest field, zeros none. What is below 2^-126 is an FP32 subnormal.

That is how NVIDIA's tensor cores have been found to add: Fasi, Higham, Mikaitis and Pranesh (PeerJ Computer Science
7:e330, 2021) for V100, T4 and A100; Li et al. (FTTN, arXiv 2403.00232, 2024) for H100; Khattak and Mikaitis (arXiv
2512.07004, 2025) and Xie et al. (MMA-Sim, arXiv 2511.10909, 2025), whose models equal the hardware bit for bit:

| generation | operands | group | extra bits | fraction of the result |
| --- | --- | --- | --- | --- |
| Volta | FP16 | 4 | 0 | 23 |
| Turing, Ampere | FP16 | 8 | 1 | 23 |
| Hopper | FP16 | 16 | 2 | 23 |
| Hopper | FP8 | 32 | -10 | 13 |
| Blackwell | MXFP8, MXFP6 | 32 | 2 | 23 |
| Blackwell | MXFP4, NVFP4 | 64, 16 exact | 12 | 23 |

all rounding towards zero. A product of 0, or a sum of ``exact`` products of 0, takes no part in the choice of the
exponent, which is at least -133, or -139 for such sums (MMA-Sim); products of FP16 or FP8 do not come near.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.kernels import njit

__all__ = ["EdpOperand", "EdpOrder", "EdpRun", "Region", "edp_matmul", "float_operand"]

_COLUMNS = 256
"""Outputs side by side: the terms of a group stay in the first cache."""


@dataclass(frozen=True)
class EdpOrder:
    """How the dot-product units for one operand width add.

    Attributes:
        group: products that are added at once, neighbours along K, the accumulator beside them.
        extra_bits: bits below an FP32 significand that alignment keeps; None: the units multiply integers only.
        rounding: of the sum, towards zero or to nearest, ties to even.
        fraction_bits: of the result.
        exact: neighbours, a divisor of ``group``, whose products are added in fixed point before their sum is aligned;
            more than 1 for block formats alone, where they share a scale.
    """

    group: int
    extra_bits: int | None = None
    rounding: Literal["zero", "nearest"] = "zero"
    fraction_bits: int = 23
    exact: int = 1

    @property
    def kept_bits(self) -> int:
        """Fraction bits after alignment."""
        assert self.extra_bits is not None, "units that multiply integers only align nothing"
        return 23 + self.extra_bits


@dataclass(frozen=True)
class Region:
    """A rectangle of outputs whose sums are cut alike along K.

    Attributes:
        rows, cols: half-open ranges of M and N.
        cuts: where slices of K begin and end, from 0 to K; each slice starts from 0, and slices are added in FP32 to
            nearest, the one of the lowest k first (split-K, stream-K).
    """

    rows: tuple[int, int]
    cols: tuple[int, int]
    cuts: tuple[int, ...]

    @property
    def block(self) -> tuple[slice, slice]:
        """Index of its outputs."""
        return slice(*self.rows), slice(*self.cols)


@dataclass(frozen=True)
class EdpRun:
    """What decides the sums of one GEMM on tensor cores.

    Attributes:
        orders: by operand width, 4, 8 or 16 bits.
        regions: that partition the outputs; none: no output is cut.
    """

    orders: Mapping[int, EdpOrder]
    regions: tuple[Region, ...] = ()

    def over(self, M: int, N: int, K: int) -> tuple[Region, ...]:
        """The regions of that GEMM."""
        regions = self.regions or (Region((0, M), (0, N), (0, K)),)
        covered = sum((rows[1] - rows[0]) * (cols[1] - cols[0]) for rows, cols in ((r.rows, r.cols) for r in regions))
        assert covered == M * N, "regions cover every output once"
        assert all(r.cuts[0] == 0 and r.cuts[-1] == K for r in regions), "slices cover all of K"
        return regions


@dataclass(frozen=True)
class EdpOperand:
    """An operand as a dot-product unit takes it.

    Attributes:
        values: (R, K) float64, exact.
        exponents: of each value (R, K), or of each ``exact`` neighbours (R, ceil(K / exact)); of zeros anything.
    """

    values: NDArray[np.float64]
    exponents: NDArray[np.int64]

    def part(self, rows: slice, first: int, end: int, exact: int) -> EdpOperand:
        """Rows, and steps of K from ``first``, a multiple of ``exact``, to ``end``."""
        return EdpOperand(self.values[rows, first:end], self.exponents[rows, first // exact : -(-end // exact)])


def float_operand(values: NDArray[np.float32], lowest_exponent: int) -> EdpOperand:
    """Floats (R, K) of a type whose subnormals have that exponent."""
    fields = (np.ascontiguousarray(values).view(np.uint32) >> np.uint32(23) & np.uint32(0xFF)).astype(np.int64)
    return EdpOperand(values.astype(np.float64), np.maximum(fields - 127, lowest_exponent))


class _Sums(NamedTuple):
    """An order as the kernel takes it."""

    group: int
    exact: int
    kept_bits: int
    fraction_bits: int
    nearest: bool
    lowest: int


@njit(cache=True)
def _two_to(exponent, bits):
    """Fill the float64 numbers of which ``bits`` is the view with powers of two."""
    for n in range(len(exponent)):
        bits[n] = (exponent[n] + 1023) << 52


@njit(cache=True)
def _round(total, total_bits, unit, unit_bits, quantum, how):
    """Round ``total`` (N,) in place to ``fraction_bits``, FP32 subnormals included; beyond FP32 is infinite."""
    for n in range(len(total)):
        quantum[n] = max((total_bits[n] >> 52 & 0x7FF) - 1023, -126) - how.fraction_bits
    _two_to(-quantum, unit_bits)
    for n in range(len(total)):
        steps = total[n] * unit[n]
        total[n] = np.rint(steps) if how.nearest else np.trunc(steps)
    _two_to(quantum, unit_bits)
    for n in range(len(total)):
        rounded = total[n] * unit[n] + 0.0  # no sum is -0
        if abs(rounded) >= 3.402823669209385e38:  # 2^128
            rounded = np.inf if rounded > 0 else -np.inf
        total[n] = rounded


@njit(cache=True)
def _accumulate(act, act_exponents, weight_t, weight_exponents_t, how):
    """(M, K) x (K, N) -> (M, N) float64 that holds FP32 sums, outputs side by side; exponents (M, T) and (T, N)."""
    M, K = act.shape
    N = weight_t.shape[1]
    group, exact, kept_bits = how.group, how.exact, how.kept_bits
    out = np.zeros((M, N))
    acc, total, unit = np.empty(N), np.empty(N), np.empty(N)
    acc_bits, total_bits, unit_bits = acc.view(np.int64), total.view(np.int64), unit.view(np.int64)
    top, quantum = np.empty(N, np.int64), np.empty(N, np.int64)
    terms, sizes = np.empty((group // exact, N)), np.empty(N)
    for m in range(M):
        acc[:] = 0
        for first in range(0, K, group):
            end, last = min(first + group, K), 0
            for n in range(N):
                field = acc_bits[n] >> 52 & 0x7FF
                top[n] = max(field - 1023, -126) if field else how.lowest
            for k in range(first, end, exact):
                term, t = terms[last], k // exact
                term[:], sizes[:] = 0, 0
                for step in range(k, min(k + exact, end)):
                    a = act[m, step]
                    for n in range(N):
                        product = a * weight_t[step, n]
                        term[n] += product
                        sizes[n] += abs(product)
                exponent = act_exponents[m, t]
                for n in range(N):
                    sum_of_fields = exponent + weight_exponents_t[t, n]
                    top[n] = sum_of_fields if sizes[n] != 0 and sum_of_fields > top[n] else top[n]
                last += 1
            _two_to(kept_bits - top, unit_bits)
            for n in range(N):
                total[n] = 0.0 + np.trunc(acc[n] * unit[n])
            for i in range(last):
                for n in range(N):
                    total[n] += np.trunc(terms[i, n] * unit[n])
            _two_to(top - kept_bits, unit_bits)
            for n in range(N):
                total[n] *= unit[n]
            _round(total, total_bits, unit, unit_bits, quantum, how)
            acc[:] = total
        out[m] = acc
    return out


def edp_matmul(act: EdpOperand, weight: EdpOperand, order: EdpOrder, regions: Sequence[Region]) -> NDArray[Any]:
    """Operands of M and N rows -> FP32 sums (M, N) in the stated order; infinite where one has left FP32."""
    out = np.empty((len(act.values), len(weight.values)), np.float32)
    for region in regions:
        rows, cols = region.block
        cuts = list(pairwise(region.cuts))
        total = _slice(act.part(rows, *cuts[0], order.exact), weight.part(cols, *cuts[0], order.exact), order)
        with np.errstate(over="ignore", invalid="ignore"):  # a sum that leaves FP32 is refused by whoever asked
            for cut in cuts[1:]:
                total += _slice(act.part(rows, *cut, order.exact), weight.part(cols, *cut, order.exact), order)
        out[rows, cols] = total
    return out


def _slice(act: EdpOperand, weight: EdpOperand, order: EdpOrder) -> NDArray[np.float32]:
    """FP32 sums (M, N) of one slice of K."""
    out = np.empty((len(act.values), len(weight.values)), np.float32)
    a, a_exponents = np.ascontiguousarray(act.values), np.ascontiguousarray(act.exponents)
    nearest, lowest = order.rounding == "nearest", -133 if order.exact == 1 else -139
    how = _Sums(order.group, order.exact, order.kept_bits, order.fraction_bits, nearest, lowest)
    for n in range(0, out.shape[1], _COLUMNS):
        cols = slice(n, n + _COLUMNS)
        w_t, w_exponents_t = (np.ascontiguousarray(x[cols].T) for x in (weight.values, weight.exponents))
        out[:, cols] = _accumulate(a, a_exponents, w_t, w_exponents_t, how)
    return out
