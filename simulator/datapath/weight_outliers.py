"""Listed outliers of a weight operand, in the order in which a lock-step row of PEs meets them. No datapath is here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.datapath.job import Job

__all__ = ["LISTED_BITS", "WeightOutliers", "bernoulli", "column_ranges"]

LISTED_BITS = 64
"""A listed outlier: a 32-bit coordinate and a float32 value (contract, section 4)."""


def column_ranges(tiles: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The distinct blocks of weights of a tile table (fields n0, n, k0, k), and which of them each tile uses."""
    ranges, which = np.unique(tiles[["n0", "n", "k0", "k"]], return_inverse=True)
    return ranges, which.reshape(-1)


def bernoulli(share: float) -> str:
    """What ``WeightOutliers`` draws from, for reports."""
    return f"each weight is an outlier with probability {share:g}, independently, drawn per column block of the array"


@dataclass(frozen=True)
class WeightOutliers:
    """Where the outliers of one GEMM's weights are: as listed, or drawn where only shapes are known.

    Attributes:
        listed: coordinates ``row * K + k``, ascending; None where they are drawn.
        cols: columns of the array, so PEs of a lane.
        share: probability of an outlier, where they are drawn; seed: of the draw.
    """

    listed: NDArray[np.int64] | None
    K: int
    cols: int
    share: float
    seed: int

    @classmethod
    def of(cls, job: Job, share: float) -> WeightOutliers:
        """Those of a GEMM whose weights are a ``gobo3`` or ``gobo4`` operand, if they are known."""
        listed = None if job.weight is None else np.asarray(job.weight.extras["outlier_position"], np.int64)
        return cls(listed, job.K, job.cols, share, job.seed)

    def lanes(self, block: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Coordinates ``(k - k0) * cols + column`` of every fold that the columns of one of ``column_ranges`` fill.

        Returns: coordinates, ascending within a fold, fold after fold; where each fold begins and the last one ends.
        """
        n0, n, k0, k = (int(block[name]) for name in ("n0", "n", "k0", "k"))
        if self.listed is None:
            parts = [self._drawn(c, min(self.cols, n0 + n - c), k0, k) for c in range(n0, n0 + n, self.cols)]
            return np.concatenate(parts), np.cumsum([0, *map(len, parts)])
        low, high = np.searchsorted(self.listed, [n0 * self.K, (n0 + n) * self.K])
        row, at = np.divmod(self.listed[low:high], self.K)
        inside = (at >= k0) & (at < k0 + k)
        fold, column = np.divmod(row[inside] - n0, self.cols)
        coordinates = (at[inside] - k0) * self.cols + column
        order = np.lexsort((coordinates, fold))
        return coordinates[order], np.searchsorted(fold[order], np.arange(-(-n // self.cols) + 1))

    def _drawn(self, first: int, used: int, k0: int, k: int) -> NDArray[np.int64]:
        """Coordinates in the ``used`` columns from ``first`` on; the same whatever tile the column block is in."""
        rng = np.random.default_rng([self.seed, first, k0])
        flat = np.sort(rng.choice(used * k, rng.binomial(used * k, self.share), replace=False))
        at, column = np.divmod(flat, used)
        return np.asarray(at * self.cols + column)
