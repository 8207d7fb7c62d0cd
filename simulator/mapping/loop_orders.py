"""Sizes of blocks, orders of the loops over them, and what an order moves, compiled."""

from __future__ import annotations

import numpy as np

from simulator.kernels import kernel

__all__: list[str] = []  # kernels, which other kernels call


@kernel
def block_sizes(length, granule):
    """Every block size, in whole granules, that is the smallest for some number of blocks; ascending."""
    most = -(-length // granule)
    sizes, found, count = np.empty(min(most, 2 * int(most**0.5) + 2), np.int64), 0, 1
    while count <= most:
        size = -(-most // count)
        sizes[found] = min(length, size * granule)
        found += 1
        count = max(count + 1, -(-most // (size - 1))) if size > 1 else most + 1
    return sizes[:found][::-1].copy()


@kernel
def is_canonical(counts, order):
    """Whether an order is the one that stands for all that differ only in loops of one block: these come last, in the
    order m, n, k. ``order``: which of ``counts`` each loop is along, outermost first.
    """
    for loop in range(2):
        here, after = order[loop], order[loop + 1]
        if counts[here] == 1 and (counts[after] > 1 or here > after):
            return False
    return True


@kernel
def innermost(counts, order):
    """Of m, n, k (0, 1, 2) the one that the innermost loop of several blocks is along."""
    if counts[order[2]] > 1:
        return order[2]
    return order[1] if counts[order[1]] > 1 else order[0]


@kernel
def traffic_bits(act, weight, outputs, output, sums, counts, last):
    """Bits read from and written to DRAM. A block stays where it is from one tile to the next if the innermost loop,
    along ``last``, is the one that it does not depend on; else another one takes its place, until it comes back. Sums
    of an output block that is left before its K is done are written and read back as they are.

    Products are kept as float64: traffic is compared, not counted, here.

    Args:
        act, weight: bits of the operands; outputs: M * N; output, sums: bits of one, finished and not.
    """
    m, n, k = counts
    spills = 0.0 if last == 2 else float(outputs) * sums * (k - 1)
    read = float(act) * (1 if last == 1 else n) + float(weight) * (1 if last == 0 else m) + spills
    return read, float(outputs) * output + spills
