"""Outliers of one operand as a lock-step array meets them: per block of lines, group of lines and step. No datapath.

Lines (rows of A, columns of W) fill the array in blocks of ``side``, one block per fold; a block is cut into groups of
``group`` lines, of which the last may be short.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import exp, lgamma, log, log1p

import numpy as np
from numpy.typing import NDArray

from simulator.kernels import njit

__all__ = ["GroupedOutliers", "waiting_before", "waiting_held_before"]


@dataclass(frozen=True)
class GroupedOutliers:
    """Counts of one operand, (blocks, K) each.

    Attributes:
        listed: outliers of a block in one step.
        more: those of its fullest group beyond the first one.
    """

    listed: NDArray[np.uint32]
    more: NDArray[np.uint16]

    @classmethod
    def known(cls, position: NDArray[np.int64], lines: int, K: int, side: int, group: int) -> GroupedOutliers:
        """From a list of coordinates ``line * K + k``, ascending."""
        blocks = -(-lines // side)
        listed, more = np.zeros((blocks, K), np.uint32), np.zeros((blocks, K), np.uint16)
        counts = np.empty((-(-min(side, lines) // group), K), np.uint32)
        _count_known(position, side, group, counts, (listed, more))
        return cls(listed, more)

    @classmethod
    def drawn(cls, share: float, seed: list[int], lines: int, K: int, side: int, group: int) -> GroupedOutliers:
        """As if each value were an outlier with probability ``share``, independently."""
        blocks = -(-lines // side)
        listed, more = np.empty((blocks, K), np.uint32), np.empty((blocks, K), np.uint16)
        for block, first in enumerate(range(0, lines, side)):
            sizes = _group_lines(first, lines, side, group)
            uniform = np.random.default_rng([*seed, first]).random((len(sizes), K))
            at_most = _at_most(int(sizes[0]), share), _at_most(int(sizes[-1]), share)
            _count_drawn(uniform, sizes, at_most, (listed[block], more[block]))
        return cls(listed, more)

    def before(self, k0: int, k1: int) -> NDArray[np.int64]:
        """Outliers at some steps in all blocks before each, (blocks + 1,)."""
        return _before(self.listed[:, k0:k1].sum(axis=1, dtype=np.int64))

    def fullest(self, steps: int) -> NDArray[np.uint16]:
        """The largest of ``more`` in each run of that many steps, (blocks, runs)."""
        return np.maximum.reduceat(self.more, np.arange(0, self.more.shape[1], steps), axis=1)

    def hops_before(self, k0: int, k1: int, rows: int) -> NDArray[np.int64]:
        """Hops down to their array rows that outliers take which are held there, step k in row ``k % rows``, in all
        blocks before each, (blocks + 1,).
        """
        down = np.arange(k0, k1) % rows + 1
        return _before(self.listed[:, k0:k1] @ down)


def _before(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums of all before each and, last, of all."""
    return np.concatenate([[0], np.cumsum(values, dtype=np.int64)])


def _group_lines(first: int, lines: int, side: int, group: int) -> NDArray[np.int64]:
    """Lines of each group of the block that begins with line ``first``."""
    used = min(side, lines - first)
    return np.minimum(group, used - np.arange(0, used, group))


@lru_cache(maxsize=64)
def _at_most(size: int, share: float) -> NDArray[np.float64]:
    """Probability (size,) of at most 0, 1 ... ``size - 1`` outliers among so many values."""
    if share in (0, 1):
        return np.full(size, 1.0 - share)
    ways = [lgamma(size + 1) - lgamma(n + 1) - lgamma(size - n + 1) for n in range(size)]
    return np.cumsum([exp(w + n * log(share) + (size - n) * log1p(-share)) for n, w in enumerate(ways)])


@njit(cache=True)
def _count_drawn(uniform, sizes, at_most, out):
    """Binomial counts by inversion of uniform numbers (groups, K): their sums and the fullest's excess into (K,) each.

    ``at_most``: ``_at_most`` of a full group and of the last one.
    """
    groups, K = uniform.shape
    listed, more = out
    listed[:] = 0
    more[:] = 0
    for g in range(groups):
        bounds = at_most[1] if g == groups - 1 else at_most[0]
        for k in range(K):
            count = 0
            while count < sizes[g] and bounds[count] <= uniform[g, k]:
                count += 1
            listed[k] += count
            if count > more[k] + 1:
                more[k] = count - 1


@njit(cache=True)
def _count_known(position, side, group, counts, out):
    """Outliers by block and step, and the fullest group's beyond the first one, into (blocks, K) each, which are 0;
    ``counts`` (groups, K) is room.
    """
    listed, more = out
    K = listed.shape[1]
    at, begin = 0, 0  # the list, and where the line begins that it has come to
    for block in range(len(listed)):
        counts[:] = 0
        for g in range(len(counts)):
            end = min(block * side + (g + 1) * group, (block + 1) * side) * K
            mine = counts[g]
            while at < position.size and position[at] < end:
                while position[at] >= begin + K:
                    begin += K
                mine[position[at] - begin] += 1
                at += 1
            for k in range(K):
                listed[block, k] += mine[k]
                more[block, k] = max(more[block, k], max(mine[k], np.uint32(1)) - np.uint32(1))


@njit(cache=True)
def _waiting(act, weight):
    """Cycles that each fold waits: in each step, for the operand that has more, (act blocks, weight blocks)."""
    out = np.zeros((len(act), len(weight)), np.int64)
    for i in range(len(act)):
        for j in range(len(weight)):
            for first in range(0, act.shape[1], 1 << 16):  # so many 16-bit counts fit the sum; 32-bit sums are fast
                a, w = act[i, first : first + (1 << 16)], weight[j, first : first + (1 << 16)]
                cycles = np.uint32(0)
                for k in range(a.size):
                    cycles = np.uint32(cycles + np.uint32(max(a[k], w[k])))
                out[i, j] += cycles
    return out


@njit(cache=True)
def _waiting_held(stream, held):
    """The same where each fold holds a number for all steps: ``held`` (stream blocks, held blocks)."""
    out = np.zeros(held.shape, np.int64)
    if stream.size == 0:
        return out
    steps = np.empty(int(stream.max()) + 1, np.int64)
    for i in range(len(stream)):
        steps[:] = 0  # by what they have
        for more in stream[i]:
            steps[more] += 1
        for j in range(held.shape[1]):
            for more in range(steps.size):
                out[i, j] += steps[more] * max(more, held[i, j])
    return out


def waiting_before(act: NDArray[np.uint16], weight: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Cycles that a lock-step array waits when each group of either operand takes one outlier a cycle, in all folds
    before each along both operands, (act blocks + 1, weight blocks + 1).

    Args:
        act, weight: ``GroupedOutliers.more`` at the same steps.
    """
    return _before_both(_waiting(np.ascontiguousarray(act), np.ascontiguousarray(weight)))


def waiting_held_before(stream: NDArray[np.uint16], held: NDArray[np.uint16]) -> NDArray[np.int64]:
    """``waiting_before`` where one operand is held for a fold.

    Args:
        stream: by blocks of array rows, step by step along the stream.
        held: those beyond the first one in the fullest group of any array row, (blocks of rows, blocks of columns).
    Returns: (blocks of rows + 1, blocks of columns + 1).
    """
    return _before_both(_waiting_held(stream, held))


def _before_both(folds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums over all folds before each along both axes: a summed-area table."""
    table = np.zeros((folds.shape[0] + 1, folds.shape[1] + 1), np.int64)
    np.cumsum(np.cumsum(folds, axis=0), axis=1, out=table[1:, 1:])
    return table
