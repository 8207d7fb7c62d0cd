"""Outlier statistics of a tensor, gathered a block of rows at a time.

Definitions: an outlier lies more than 3 sigma from the mean, pairs are (even, odd) neighbours along K (Guo et al., ISCA
2023, section 2 and table 2); excess kurtosis is ``mean((x - mean)^4) / sigma^4 - 3``; a feature dimension is a column
of K in which some row reaches ``|x| >= 6`` (Dettmers et al., NeurIPS 2022, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.kernels import njit

__all__ = ["FEATURE_THRESHOLD", "SIGMAS", "TensorStats", "kept_rows", "pair_kinds", "tensor_stats"]

SIGMAS = 3
FEATURE_THRESHOLD = 6.0
_BLOCK_VALUES = 1 << 20
_DIGITS = 6  # the last digits of a sum differ between machines


@dataclass(frozen=True, slots=True)
class TensorStats:
    """Of all values of a tensor.

    Attributes:
        sigma: standard deviation (over N); absmax: largest magnitude.
        share_3sigma: share of values further than 3 sigma from the mean (0..1).
        kurtosis: excess kurtosis, 0 for a constant tensor.
        pairs: (even, odd) neighbours along K of which none, one, both are outliers; none is beside a last odd one.
        feature_dims: columns along K with a magnitude of 6 or more, summed over the GEMMs of a batch.
    """

    mean: float
    sigma: float
    absmax: float
    share_3sigma: float
    kurtosis: float
    pairs: tuple[int, int, int]
    feature_dims: int


def tensor_stats(values: NDArray[Any]) -> TensorStats:
    """Statistics of (rows, K) or (count, rows, K); three sweeps, memory for a block of rows."""
    size, total, largest, dims = values.size, 0.0, 0.0, 0
    for gemm in values.reshape(-1, *values.shape[-2:]):
        reached = np.zeros(gemm.shape[1], bool)
        for block in _blocks(gemm):
            total += float(block.sum(dtype=np.float64))
            magnitudes = np.abs(block).max(axis=0)
            largest = max(largest, float(magnitudes.max()))
            reached |= magnitudes >= FEATURE_THRESHOLD
        dims += int(reached.sum())
    mean = total / size
    second, fourth = (
        sum(parts) / size for parts in zip(*(_moments(b, mean) for b in _all_blocks(values)), strict=True)
    )
    sigma = math.sqrt(second)
    pairs = np.zeros(3, np.int64)
    for block in _all_blocks(values):
        _count_pairs(block, mean, SIGMAS * sigma, pairs)
    return TensorStats(
        mean=_rounded(mean),
        sigma=_rounded(sigma),
        absmax=largest,
        share_3sigma=_rounded(int(pairs[1] + 2 * pairs[2]) / size),
        kurtosis=_rounded(fourth / second**2 - 3) if second**2 else 0.0,
        pairs=(int(pairs[0]), int(pairs[1]), int(pairs[2])),
        feature_dims=dims,
    )


def pair_kinds(outlier: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many (even, odd) neighbours of rows (R, K) hold no, one and two outliers."""
    both = outlier[:, 0::2].astype(np.uint8)
    both[:, : outlier.shape[1] // 2] += outlier[:, 1::2]
    return np.bincount(both.reshape(-1), minlength=3)


def kept_rows(rows: int, kept: int) -> NDArray[np.int64]:
    """Which ``kept`` of ``rows`` rows a sample holds: evenly spaced, row 0 always.

    Row 0 matters: the largest activations of encoders often belong to the first token alone.
    """
    return np.arange(kept, dtype=np.int64) * rows // kept


def _all_blocks(values: NDArray[Any]) -> Iterator[NDArray[np.float32]]:
    return _blocks(values.reshape(-1, values.shape[-1]))


def _blocks(rows: NDArray[Any]) -> Iterator[NDArray[np.float32]]:
    """Rows (R, K) as float32, some at a time."""
    step = max(1, _BLOCK_VALUES // rows.shape[1])
    for first in range(0, len(rows), step):
        yield np.ascontiguousarray(rows[first : first + step], np.float32)


@njit(cache=True)
def _moments(values, mean):
    """Sums of the second and fourth powers of ``value - mean``."""
    second, fourth = 0.0, 0.0
    for r in range(values.shape[0]):
        row_second, row_fourth = 0.0, 0.0
        for k in range(values.shape[1]):
            square = (np.float64(values[r, k]) - mean) ** 2
            row_second += square
            row_fourth += square * square
        second += row_second
        fourth += row_fourth
    return second, fourth


@njit(cache=True)
def _count_pairs(values, mean, limit, counts):
    """Add the pairs of rows (R, K) to ``counts``: no, one and two values further than ``limit`` from the mean."""
    for r in range(values.shape[0]):
        for k in range(0, values.shape[1], 2):
            outliers = 0
            for i in range(k, min(k + 2, values.shape[1])):
                outliers += 1 if abs(np.float64(values[r, i]) - mean) > limit else 0
            counts[outliers] += 1


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
