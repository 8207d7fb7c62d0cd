"""Outliers of one operand as a lock-step array meets them: per block of lines, group of lines and step. No datapath.

Lines (rows of A, columns of W) fill the array in blocks of ``side``, one block per fold; a block is cut into groups of
``group`` lines, of which the last may be short.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import exp, lgamma, log, log1p

import numpy as np
from numpy.typing import NDArray

from simulator.datapath.distinct import distinct_rows
from simulator.kernels import njit

__all__ = ["GroupedOutliers", "waiting_cycles", "waiting_cycles_held"]


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

        def counted() -> Iterator[NDArray[np.int64]]:
            for first in range(0, lines, side):
                low, high = np.searchsorted(position, [first * K, (first + side) * K])
                line, k = np.divmod(position[low:high], K)
                groups = len(_group_lines(first, lines, side, group))
                yield np.bincount((line - first) // group * K + k, minlength=groups * K).reshape(groups, K)

        return cls._of(counted(), -(-lines // side), K)

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

    @classmethod
    def _of(cls, counts: Iterator[NDArray[np.int64]], blocks: int, K: int) -> GroupedOutliers:
        """From the counts (groups, K) of each block."""
        listed, more = np.empty((blocks, K), np.uint32), np.empty((blocks, K), np.uint16)
        for block, in_groups in enumerate(counts):
            listed[block] = in_groups.sum(axis=0)
            more[block] = np.maximum(in_groups.max(axis=0), 1) - 1
        return cls(listed, more)

    def within(self, blocks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Outliers in each range of blocks and steps, rows (first block, end, first step, end)."""
        first, which = distinct_rows(list(blocks.T))
        found = [int(self.listed[b0:b1, k0:k1].sum(dtype=np.int64)) for b0, b1, k0, k1 in blocks[first].tolist()]
        return np.array(found, np.int64)[which]

    def fullest(self, steps: int) -> NDArray[np.uint16]:
        """The largest of ``more`` in each run of that many steps, (blocks, runs)."""
        return np.maximum.reduceat(self.more, np.arange(0, self.more.shape[1], steps), axis=1)

    def hops(self, blocks: NDArray[np.int64], rows: int) -> int:
        """Hops down to their array rows that outliers take which are held there, step k in row ``k % rows``."""
        down = np.arange(self.listed.shape[1]) % rows + 1
        return sum(int((self.listed[b0:b1, k0:k1] @ down[k0:k1]).sum()) for b0, b1, k0, k1 in blocks.tolist())


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
def _waiting(act_blocks, weight_blocks, act_more, weight_more):
    """Cycles (tiles,) that all folds of each tile wait: in each step, for the operand that has more."""
    out = np.zeros(len(act_blocks), np.int64)
    for t in range(len(act_blocks)):
        a0, a1, k0, k1 = act_blocks[t]
        w0, w1 = weight_blocks[t, 0], weight_blocks[t, 1]
        for i in range(a0, a1):
            for j in range(w0, w1):
                for first in range(k0, k1, 1 << 16):  # so many 16-bit counts fit the sum, and 32-bit sums are fast
                    a, w = act_more[i, first : first + (1 << 16)], weight_more[j, first : first + (1 << 16)]
                    cycles = np.uint32(0)
                    for k in range(min(k1 - first, a.size)):
                        cycles = np.uint32(cycles + np.uint32(max(a[k], w[k])))
                    out[t] += cycles
    return out


def waiting_cycles(
    act: GroupedOutliers,
    weight: GroupedOutliers,
    act_blocks: NDArray[np.int64],
    weight_blocks: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Cycles (tiles,) that a lock-step array waits when each group of either operand takes one outlier a cycle.

    Args:
        act_blocks, weight_blocks: ranges of each tile, rows (first block, end, first step, end), the steps the same.
    """
    return np.asarray(_waiting(act_blocks, weight_blocks, act.more, weight.more))


def waiting_cycles_held(
    stream: GroupedOutliers,
    held: NDArray[np.uint16],
    stream_blocks: NDArray[np.int64],
    held_blocks: NDArray[np.int64],
) -> NDArray[np.int64]:
    """``waiting_cycles`` where one operand is held for a fold.

    Args:
        stream: by blocks of array rows, step by step along the stream.
        held: those beyond the first one in the fullest group of any array row, (blocks of columns, blocks of rows).
        stream_blocks, held_blocks: ranges of each tile, rows (first block, end, first step, end); steps are the
            former's.
    """
    out = np.zeros(len(stream_blocks), np.int64)
    for t, ((down, down_end, first, end), (across, across_end, _, _)) in enumerate(
        zip(stream_blocks.tolist(), held_blocks.tolist(), strict=True)
    ):
        for block in range(down, down_end):
            streamed = np.bincount(stream.more[block, first:end])  # steps by what they have
            steps = np.maximum(np.arange(len(streamed)), held[across:across_end, block, None])
            out[t] += int((steps * streamed).sum())
    return out
