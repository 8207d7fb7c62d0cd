"""Listed outliers of a weight operand, in the order in which a lock-step row of PEs meets them. No datapath is here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.datapath.distinct import distinct_rows
from simulator.datapath.job import Job

__all__ = ["LISTED_BITS", "WeightOutliers", "bernoulli", "per_tile"]

LISTED_BITS = 64
"""A listed outlier: a 32-bit coordinate and a float32 value (contract, section 4)."""


_SLAB = 1 << 22
"""Weights whose outliers are drawn at a time, a row more at most."""


def per_tile(job: Job, side: int, before: Callable[[int, int], NDArray[np.int64]]) -> NDArray[np.int64]:
    """Of each tile: what its columns of W add up to at its steps.

    Args:
        side: columns that are counted together; tiles begin with the first of them.
        before: from first step and steps to the sums of all before each ``side`` columns.
    Returns: int64, (tiles,) and what axes ``before`` has behind its first.
    """
    first, end, steps, which = job.of_tiles(("columns", side), lambda: _columns(job.tiles, side))
    if len(steps) == 1:
        sums = before(*steps[0])
        return np.asarray(sums[end] - sums[first])
    tables = np.stack([before(k0, k) for k0, k in steps])
    return np.asarray(tables[which, end] - tables[which, first])


def _columns(
    tiles: NDArray[Any], side: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[tuple[int, int]], NDArray[np.int64]]:
    """First and end of each tile's columns, by ``side``; the distinct ranges of steps, and which is each tile's."""
    assert not (tiles["n0"] % side).any(), "tiles are whole folds"
    first, end = tiles["n0"] // side, -(-(tiles["n0"] + tiles["n"]) // side)
    ranges, which = distinct_rows([tiles["k0"], tiles["k"]])
    return first, end, [(int(tiles["k0"][i]), int(tiles["k"][i])) for i in ranges], which


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

    def before_rows(self, k0: int, k: int) -> NDArray[np.int64]:
        """Outliers at steps ``k0`` to ``k0 + k`` in all rows before each one, (N + 1,)."""
        found = np.zeros(self.N + 1, np.int64)
        for first, rows in self._slabs(1):
            row = np.divmod(self._inside(first, rows, k0, k), self.K)[0]
            found[first + 1 : first + rows + 1] = np.bincount(row - first, minlength=rows)
        return np.cumsum(found)

    def lanes(self, k0: int, k: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Outliers at these steps as the columns of each fold meet them, some folds at a time.

        Yields: coordinates ``(step - k0) * cols + column``, ascending within a fold, fold after fold; where each fold
            begins and the last one ends.
        """
        for first, rows in self._slabs(self.cols):
            row, at = np.divmod(self._inside(first, rows, k0, k), self.K)
            fold, column = np.divmod(row - first, self.cols)
            coordinates = (at - k0) * self.cols + column
            order = np.argsort(fold * (self.cols * k) + coordinates)
            yield coordinates[order], np.searchsorted(fold[order], np.arange(-(-rows // self.cols) + 1))

    def _slabs(self, step: int) -> Iterator[tuple[int, int]]:
        """First row and rows of as many as are looked at together, a multiple of ``step`` but for the last ones."""
        together = max(1, _SLAB // (self.K * step)) * step
        for first in range(0, self.N, together):
            yield first, min(together, self.N - first)

    def _inside(self, first: int, rows: int, k0: int, k: int) -> NDArray[np.int64]:
        """Those of some rows at some steps."""
        known = self._in_rows(first, first + rows)
        if k == self.K:
            return known
        at = known % self.K
        return known[(at >= k0) & (at < k0 + k)]

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
