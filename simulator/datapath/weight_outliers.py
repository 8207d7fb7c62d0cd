"""Listed outliers of a weight operand, in the order in which a lock-step row of PEs meets them. No datapath is here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.datapath.distinct import distinct_rows
from simulator.datapath.job import Job

__all__ = ["LISTED_BITS", "WeightOutliers", "bernoulli", "column_ranges"]

LISTED_BITS = 64
"""A listed outlier: a 32-bit coordinate and a float32 value (contract, section 4)."""


_SLAB = 1 << 22
"""Weights whose outliers are drawn at a time, a row more at most."""


def column_ranges(tiles: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The distinct blocks of weights of a tile table (fields n0, n, k0, k), and which of them each tile uses."""
    names = ["n0", "n", "k0", "k"]
    first, which = distinct_rows([tiles[name] for name in names])
    return tiles[names][first], which


def bernoulli(share: float) -> str:
    """What ``WeightOutliers`` draws from, for reports."""
    return f"each weight is an outlier with probability {share:g}, independently"


@dataclass(frozen=True)
class WeightOutliers:
    """Where the outliers of one GEMM's weights are: as listed, or drawn where only shapes are known.

    Attributes:
        listed: coordinates ``row * K + k``, ascending; None where they are drawn.
        N, K: shape of the weights.
        cols: columns of the array, so PEs of a lane.
        share: probability of an outlier, where they are drawn; seed: of the draw.
    """

    listed: NDArray[np.int64] | None
    N: int
    K: int
    cols: int
    share: float
    seed: int

    @classmethod
    def of(cls, job: Job, share: float) -> WeightOutliers:
        """Those of a GEMM whose weights are a ``gobo3`` or ``gobo4`` operand, if they are known."""
        listed = None if job.weight is None else np.asarray(job.weight.extras["outlier_position"], np.int64)
        return cls(listed, job.N, job.K, job.cols, share, job.seed)

    def lanes(self, block: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Coordinates ``(k - k0) * cols + column`` of every fold that the columns of one of ``column_ranges`` fill.

        Returns: coordinates, ascending within a fold, fold after fold; where each fold begins and the last one ends.
        """
        n0, n, k0, k = (int(block[name]) for name in ("n0", "n", "k0", "k"))
        row, at = np.divmod(self._in_rows(n0, n0 + n), self.K)
        inside = (at >= k0) & (at < k0 + k)
        fold, column = np.divmod(row[inside] - n0, self.cols)
        coordinates = (at[inside] - k0) * self.cols + column
        order = np.lexsort((coordinates, fold))
        return coordinates[order], np.searchsorted(fold[order], np.arange(-(-n // self.cols) + 1))

    def _in_rows(self, first: int, end: int) -> NDArray[np.int64]:
        """Those of some rows, ascending; drawn ones the same whatever tile the rows are in."""
        if self.listed is not None:
            known = self.listed
        else:
            slab = -(-_SLAB // self.K)  # rows
            slabs = range(first // slab * slab, end, slab)
            known = np.concatenate([self._slab(at, min(slab, self.N - at)) for at in slabs])
        low, high = np.searchsorted(known, [first * self.K, end * self.K])
        return known[low:high]

    def _slab(self, first: int, rows: int) -> NDArray[np.int64]:
        return first * self.K + _drawn(self.seed, first, rows * self.K, self.share)


@lru_cache(maxsize=4)
def _drawn(seed: int, first: int, values: int, share: float) -> NDArray[np.int64]:
    """Outliers among so many values, ascending: a binomial number of them, anywhere."""
    rng = np.random.default_rng([seed, first])
    return np.sort(rng.choice(values, rng.binomial(values, share), replace=False))
