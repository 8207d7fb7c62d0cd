"""One GEMM on one core with ideal DRAM, from its blocking to cycles and counts, without a row of a table in Python.

The rules are those of ``mapping.blocks``, ``engine.loops`` and ``mapping.tile_sums``, in one call; causes and counts
are then made as for every other run. Equal to ``run_nest`` and ``CorePlan.counts`` on its loops
(tests/test_measured.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from simulator.counts import Counts
from simulator.datapath import Datapath
from simulator.elementwise import larger
from simulator.engine import IdealDram, Timing
from simulator.engine.loops import ANY_WAITING, DRAIN, FILL, RAN, run_loops
from simulator.engine.timing import OWN_CAUSES, Spent, Waits, split
from simulator.kernels import kernel
from simulator.mapping.accesses import Accesses, PadAccesses
from simulator.mapping.array_shape import ArrayShape
from simulator.mapping.blocking import LOOPS, ORDERS, OperandBits
from simulator.mapping.blocks import ISSUE, STREAM, case_of, compute_cycles, fill_rows
from simulator.mapping.counting import count_sums
from simulator.mapping.tile_sums import TileSums, add_row, widths_of
from simulator.study.blocking_search import time_kinds
from simulator.study.fast_blocking import channel_of
from simulator.study.planning import GemmPlan
from simulator.workload import Op

__all__ = ["UNCOUNTED", "accounted", "measured"]

_OWN = dict.fromkeys(OWN_CAUSES.values(), 0)
UNCOUNTED = PadAccesses(Accesses(0, 0, 1), Accesses(0, 0, 1), Accesses(0, 0, 1))


def measured(gemm: GemmPlan, dram: IdealDram, datapath: Datapath, *, accesses: bool = True) -> tuple[Timing, Counts]:
    """Cycles and counts of a GEMM whose scratchpads make nothing wait.

    Args:
        accesses: whether accesses of scratchpads are counted; without, they are 0, and all else is the same.
    Raises: ConservationError.
    """
    b, op = gemm.blocking, gemm.op
    numbers = case_of(op, gemm.array, gemm.bits)
    shape = (b.m, b.n, b.k), b.counts(op), LOOPS[ORDERS.index(b.order)]
    channel, widths = channel_of(dram, gemm.depths), widths_of(gemm.bits, gemm.memories.burst_bytes)
    waits, spent, sums = measure(numbers, channel, widths, *shape)
    pads = gemm.accesses if accesses else UNCOUNTED
    return accounted(op, gemm.array, gemm.bits, datapath, waits, spent, sums, pads)


def accounted(
    op: Op,
    array: ArrayShape,
    bits: OperandBits,
    datapath: Datapath,
    waits: Sequence[Any],
    spent: Sequence[Any],
    sums: Sequence[Any],
    pads: PadAccesses,
) -> tuple[Timing, Counts]:
    """Cycles by cause, and counts, from what a compiled run found: ``Waits``; fill, drain, issue, stream and compute
    cycles; ``TileSums``; each a number, or an array of one for each of many designs. Raises: ConservationError.
    """
    fill, drain, issue, stream, compute = spent
    timing = split(Spent(fill, drain, issue, compute, larger(compute - stream, 0), _OWN, True, False), Waits(*waits))
    counts = count_sums(op, TileSums(*sums), compute, array, bits, datapath, timing.total_cycles, pads)
    return timing, replace(counts, compute_cycles=timing.compute_cycles)


@kernel
def measure(case, channel, widths, sizes, counts, order):
    """``Waits``; fill, drain, issue, stream and compute cycles; ``TileSums``."""
    rows, spans = np.empty((27, 18), np.int64), np.empty((27, 9), np.int64)
    spent, added = tally(case, channel, widths, sizes, counts, order, rows, spans)
    along = (counts[order[0]], counts[order[1]], counts[order[2]])
    waits = run_loops(along, spans, channel.latency, channel.depth, channel.out_depth, ANY_WAITING)
    return waits[:RAN], spent, added


@kernel
def tally(case, channel, widths, sizes, counts, order, rows, spans):
    """What ``measure`` says, but for waiting, which it leaves ``spans`` for."""
    sums, along = np.zeros(15, np.int64), (counts[order[0]], counts[order[1]], counts[order[2]])
    kinds = fill_rows(case, sizes, counts, order, True, rows)
    time_kinds(channel, kinds, rows, spans)
    issue = stream = 0
    for i in range(kinds):
        times = _repeats(i, along)
        issue += times * rows[i, ISSUE]
        stream += times * rows[i, STREAM]
        add_row(sums, rows, i, 0, 0, times, widths)
    spent = (spans[0, FILL], spans[kinds - 1, DRAIN], issue, stream, compute_cycles(case, sizes[0], sizes[1]))
    added = (
        sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], sums[6], sums[7], sums[8], sums[9], sums[10], sums[11],
        sums[12], sums[13], sums[14],
    )  # fmt: skip
    return spent, added


@kernel
def _repeats(i, along):
    """How many tiles are of that kind (see ``LoopNest.times``)."""
    b, c = min(along[1], 3), min(along[2], 3)
    return _middle(i // (b * c), along[0]) * _middle(i // c % b, along[1]) * _middle(i % c, along[2])


@kernel
def _middle(third, count):
    """Blocks of a loop that are of its first, middle or last kind."""
    return count - 2 if count > 2 and third == 1 else 1
