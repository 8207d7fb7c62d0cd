"""Products and accumulators: exact integer sums, whether every partial sum fits, which output breaks first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import AccumulatorOverflowError
from simulator.kernels import njit

__all__ = ["exact_product", "fits", "require_finite", "require_fit", "require_sums_fit"]

_EXACT_FLOAT32, _EXACT_FLOAT64 = 1 << 24, 1 << 53
_SHORTEST_FLOAT32 = 128
"""Below so many steps per chunk of K, float64 is faster than float32."""
_BLOCK = (1024, 4096, 4096)
"""Rows, columns and steps at a time: memory stays below 256 MiB whatever the GEMM."""


def _largest(x: NDArray[np.integer]) -> int:
    return max(int(x.max()), -int(x.min())) if x.size else 0


def fits(act: NDArray[np.integer], weight: NDArray[np.integer], acc_bits: int) -> bool:
    """Whether no order of operands (M, K) and (N, K) of these magnitudes can leave ``acc_bits``."""
    return act.shape[1] * _largest(act) * _largest(weight) < 1 << (acc_bits - 1)


def exact_product(act: NDArray[np.integer], weight: NDArray[np.integer]) -> NDArray[np.int64]:
    """Integers (M, K) x (N, K) -> (M, N), exact.

    A BLAS product is exact in whatever order it adds while the magnitudes of all its products sum to at most 2^24 in
    float32 or 2^53 in float64. K is cut into chunks short enough for that; their sums are added in int64.
    """
    largest = max(1, _largest(act) * _largest(weight))
    assert largest <= _EXACT_FLOAT64, "a single product must be exact in float64"
    single = largest * _SHORTEST_FLOAT32 <= _EXACT_FLOAT32
    dtype = np.float32 if single else np.float64
    steps = min(_BLOCK[2], (_EXACT_FLOAT32 if single else _EXACT_FLOAT64) // largest)
    out = np.zeros((len(act), len(weight)), np.int64)
    for n in _blocks(len(weight), _BLOCK[1]):
        for k in _blocks(act.shape[1], steps):
            right = weight[n, k].astype(dtype).T
            for m in _blocks(len(act), _BLOCK[0]):
                out[m, n] += np.matmul(act[m, k].astype(dtype), right).astype(np.int64)
    return out


def _blocks(length: int, step: int) -> Iterator[slice]:
    return (slice(first, first + step) for first in range(0, length, step))


@njit(cache=True)
def _first_overflow(act, weight, rows, cols, group, low, high):
    """Index of the first of the outputs (rows[i], cols[i]) with a sum outside [low, high] after a group, or -1."""
    K = act.shape[1]
    for i in range(len(rows)):
        acc = np.int64(0)
        for first in range(0, K, group):
            for k in range(first, min(first + group, K)):
                acc += np.int64(act[rows[i], k]) * np.int64(weight[cols[i], k])
            if acc < low or acc > high:
                return i
    return -1


def require_fit(
    act: NDArray[np.integer],
    weight: NDArray[np.integer],
    acc_bits: int,
    name: str,
    group: int = 1,
    at: tuple[int, int] = (0, 0),
) -> None:
    """Hold every partial sum of integer operands (M, K) and (N, K), k = 0, 1 ... K-1, to ``acc_bits``.

    Where even the sum of all magnitudes fits, every partial sum does; only other outputs are walked step by step.

    Args:
        group: products that are added at once.
        at: output that the first row of both operands makes, for messages.
    Raises: AccumulatorOverflowError naming the first output that leaves ``acc_bits``.
    """
    if fits(act, weight, acc_bits):
        return
    half, magnitudes = 1 << (acc_bits - 1), _magnitudes(weight)
    for block in _blocks(len(act), _BLOCK[0]):
        rows, cols = np.nonzero(exact_product(_magnitudes(act[block]), magnitudes) >= half)
        bad = _first_overflow(act[block], weight, rows, cols, group, -half, half - 1)
        if bad >= 0:
            raise _overflow(name, (at[0] + block.start + int(rows[bad]), at[1] + int(cols[bad])), acc_bits)


def require_sums_fit(sums: NDArray[np.int64], acc_bits: int, name: str, at: tuple[int, int] = (0, 0)) -> None:
    """Hold partial sums (M, N) to ``acc_bits``; ``at`` is the output of the first one.

    Raises: AccumulatorOverflowError naming the first that leaves it.
    """
    half = 1 << (acc_bits - 1)
    bad = (sums < -half) | (sums >= half)
    if bad.any():
        row, col = divmod(int(np.argmax(bad)), sums.shape[1])
        raise _overflow(name, (at[0] + row, at[1] + col), acc_bits)


def _overflow(name: str, where: tuple[int, int], acc_bits: int) -> AccumulatorOverflowError:
    return AccumulatorOverflowError(f"{name}: a partial sum of output {where} leaves the {acc_bits}-bit accumulator")


def _magnitudes(x: NDArray[Any]) -> NDArray[np.int64]:
    return np.abs(x.astype(np.int64))


def require_finite(results: NDArray[np.float32], name: str) -> None:
    """Hold FP32 sums (M, N) to numbers: a sum that once left FP32 stays infinite, or becomes NaN, to its end.

    Raises: AccumulatorOverflowError naming the first output of which a partial sum was too large.
    """
    broken = ~np.isfinite(results)
    if broken.any():
        where = tuple(int(i) for i in np.unravel_index(int(np.argmax(broken)), results.shape))
        raise AccumulatorOverflowError(f"{name}: a partial sum of output {where} leaves the FP32 accumulator")
