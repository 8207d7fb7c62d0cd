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
def visits(counts, order, other):
    """How often a block of an operand becomes another one's place: all loops down to the innermost one that is not
    along ``other``, the dimension that the operand does not have.
    """
    total = here = 1
    for loop in range(3):
        here *= counts[order[loop]]
        if order[loop] != other and counts[order[loop]] > 1:
            total = here
    return total


@kernel
def traffic_bits(act, weight, outputs, output, sums, counts, order):
    """Bits read from and written to DRAM; an operand block that stays from one tile to the next is read once. Sums of
    an output block that is left before its K is done are written and read back as they are.

    Products are kept as float64: traffic is compared, not counted, here.

    Args:
        act, weight: bits of the operands; outputs: M * N; output, sums: bits of one, finished and not.
    """
    m, n, k = counts
    spills = outputs * sums * (visits(counts, order, 2) / (m * n) - 1)
    read = act * visits(counts, order, 1) / (m * k) + weight * visits(counts, order, 0) / (n * k) + spills
    return read, outputs * output + spills
