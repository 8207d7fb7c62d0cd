"""Outliers of both operands of one GEMM as the folds of its tiles meet them. No datapath is here.

All that a tile needs are sums over blocks of lines, or over rectangles of folds, at some steps. So each is read off
tables of the sums of all before (Crow, 1984: summed-area tables), which are made once for each size of the array and
each range of steps, and are the same however the GEMM is cut along the other dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from simulator.datapath.base import Operand
from simulator.datapath.distinct import distinct_rows
from simulator.datapath.job import Job
from simulator.datapath.outlier_groups import GroupedOutliers, waiting_before, waiting_held_before

__all__ = ["MetOutliers"]

_T = TypeVar("_T")
_Table = Callable[[int, int], NDArray[np.int64]]


class _Blocks(NamedTuple):
    """Blocks of lines of each tile, first and end; the distinct ranges of steps, likewise; which is each tile's."""

    first: NDArray[np.int64]
    end: NDArray[np.int64]
    steps: list[tuple[int, int]]
    which: NDArray[np.int64]


@dataclass(frozen=True)
class MetOutliers:
    """Weights in groups of columns, step by step along K; activations in groups of rows, which are lines of A and step
    along K (``os``), or of K and step along the lines of A (``ws``).

    Attributes:
        share: probability of an outlier where they are drawn.
        group: lines that share units.
    """

    job: Job
    share: float
    group: int

    @property
    def turned(self) -> bool:
        """Whether lines of K lie along the rows of the array."""
        return self.job.dataflow == "ws"

    def listed(self, operand: Operand) -> NDArray[np.int64]:
        """Outliers of one operand in each tile."""
        blocks = self._blocks(operand)
        return self._spans(blocks, lambda first, end: self._listed_before(operand, first, end))

    def hops(self) -> int:
        """Hops of held outlier weights down to their array rows, over all tiles."""
        return int(self._spans(self._blocks("weight"), self._hops_before).sum())

    def waiting(self) -> NDArray[np.int64]:
        """Cycles that the folds of each tile wait: in each step for the group that has most outliers."""
        down, across = self._blocks("act"), self._blocks("weight")
        tables, which = self._tables(down, self._waiting_before)
        top, bottom, left, right = down.first, down.end, across.first, across.end
        found = tables[which, bottom, right] - tables[which, top, right]
        return np.asarray(found - tables[which, bottom, left] + tables[which, top, left])

    def both(self) -> int:
        """Products of two outliers; where ``ws`` draws them, as many as independent places make on average."""
        return self._once(("both", *self._sides), self._both)

    @property
    def _sides(self) -> tuple[int, ...]:
        """Of the array, where they decide: what is drawn."""
        return (self.job.rows, self.job.cols) if self.job.act is None else ()

    def _both(self) -> int:
        job, act = self.job, self._grouped("act")
        per_step = self._grouped("weight").listed.sum(axis=0, dtype=np.int64)
        if not self.turned:
            return int(np.vdot(act.listed.sum(axis=0, dtype=np.int64), per_step))
        if job.act is None:
            return round(int(act.listed.sum(dtype=np.int64)) * int(per_step.sum()) / job.K)
        k = np.asarray(job.act.extras["outlier_position"], np.int64) % job.K
        return int(per_step[k].sum())

    # Tables

    def _listed_before(self, operand: Operand, first: int, end: int) -> NDArray[np.int64]:
        return self._once(
            ("listed", operand, self._side(operand), first, end), lambda: self._grouped(operand).before(first, end)
        )

    def _hops_before(self, first: int, end: int) -> NDArray[np.int64]:
        rows = self.job.rows
        return self._once(
            ("hops", rows, self.job.cols, first, end), lambda: self._grouped("weight").hops_before(first, end, rows)
        )

    def _waiting_before(self, first: int, end: int) -> NDArray[np.int64]:
        def make() -> NDArray[np.int64]:
            act, weight = self._grouped("act").more[:, first:end], self._grouped("weight")
            if self.turned:
                return waiting_held_before(act, weight.fullest(self.job.rows).T)
            return waiting_before(act, weight.more[:, first:end])

        return self._once(("waiting", self.job.rows, self.job.cols, first, end), make)

    def _spans(self, blocks: _Blocks, before: _Table) -> NDArray[np.int64]:
        """What the blocks of each tile add up to at its steps."""
        tables, which = self._tables(blocks, before)
        return np.asarray(tables[which, blocks.end] - tables[which, blocks.first])

    def _tables(self, blocks: _Blocks, before: _Table) -> tuple[NDArray[np.int64], NDArray[np.int64] | int]:
        """A table for each distinct range of steps, and which is each tile's."""
        tables = [before(*steps) for steps in blocks.steps]
        return (tables[0][None], 0) if len(tables) == 1 else (np.stack(tables), blocks.which)

    def _blocks(self, operand: Operand) -> _Blocks:
        return self.job.of_tiles(
            ("blocks", operand, self.turned, self._side(operand)), lambda: self._find_blocks(operand)
        )

    def _find_blocks(self, operand: Operand) -> _Blocks:
        tiles, side = self.job.tiles, self._side(operand)
        if operand == "weight":
            line, step = "n", "k"
        else:
            line, step = ("k", "m") if self.turned else ("m", "k")
        first, begin = tiles[f"{line}0"], tiles[f"{step}0"]
        assert not (first % side).any(), "tiles are whole folds"
        ranges, which = distinct_rows([begin, tiles[step]])
        steps = [(int(begin[i]), int(begin[i] + tiles[step][i])) for i in ranges]
        return _Blocks(first // side, -(-(first + tiles[line]) // side), steps, which)

    def _grouped(self, operand: Operand) -> GroupedOutliers:
        return self._once(("grouped", operand, self._side(operand)), lambda: self._group(operand))

    def _side(self, operand: Operand) -> int:
        """Of the array, along which its lines lie."""
        return self.job.rows if operand == "act" else self.job.cols

    def _group(self, operand: Operand) -> GroupedOutliers:
        job = self.job
        encoded, lines = (job.act, job.M) if operand == "act" else (job.weight, job.N)
        side = self._side(operand)
        turned = operand == "act" and self.turned
        shape = (job.K, job.M, side, self.group) if turned else (lines, job.K, side, self.group)
        if encoded is None:
            return GroupedOutliers.drawn(self.share, [job.seed, operand == "act"], *shape)
        position = np.asarray(encoded.extras["outlier_position"], np.int64)
        if turned:
            m, k = np.divmod(position, job.K)
            position = np.sort(k * job.M + m)
        return GroupedOutliers.known(position, *shape)

    def _once(self, what: Hashable, make: Callable[[], _T]) -> _T:
        """``make``, unless the job's memory has it of these operands."""
        job = self.job
        drawn = (self.share, job.seed, job.M, job.N, job.K) if job.act is None else None
        return job.of_operands(("met", what, self.turned, self.group, drawn), make)
