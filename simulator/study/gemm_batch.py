"""One GEMM on many arrays that differ in size, scratchpads and DRAM alone: blocked and measured in one call.

For each of them what ``fast_blocking`` finds and ``measured`` measures (tests/test_gemm_batch.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.engine.loops import ANY_WAITING, run_loops
from simulator.kernels import kernel
from simulator.mapping import ORDERS, ArrayShape, OperandBits, Pinned
from simulator.mapping.blocking import LOOPS, STREAM_GRANULE
from simulator.mapping.blocks import IS, OS, WS, Case, case_of
from simulator.mapping.loop_orders import block_sizes
from simulator.mapping.tile_sums import widths_of
from simulator.study.blocking_bounds import Channel
from simulator.study.blocking_search import Choice, Room, fits, new_work, search
from simulator.study.fast_blocking import is_searched, orders_of
from simulator.study.measured import tally
from simulator.workload import Op

__all__ = ["Alike", "Batch", "Machines", "measure_many"]

_Ints = NDArray[np.int64]


class Machines(NamedTuple):
    """Arrays and memories that a GEMM runs on, an entry of each for every one of them.

    Attributes:
        rows, cols: of the array.
        limits: (P, 3) what one tile may use of the act, weight and out scratchpads [bits].
        rates: (P, 2) of DRAM, as ``IdealDram.bytes_per_cycle`` and ``read_bytes_per_cycle``.
        latency_cycles: of a read.
    """

    rows: _Ints
    cols: _Ints
    limits: _Ints
    rates: NDArray[np.float64]
    latency_cycles: _Ints


class Alike(NamedTuple):
    """What all of them have in common.

    Attributes:
        array: its ``rows`` and ``cols`` say nothing.
        depths: tiles that the act, weight and out scratchpads hold at a time.
        burst_bytes: of DRAM; access_bytes: in which its accesses are counted.
    """

    array: ArrayShape
    bits: OperandBits
    depths: tuple[int, int, int]
    burst_bytes: int
    access_bytes: int
    pinned: Pinned = Pinned()
    tolerance: float = 0.0


@dataclass(frozen=True)
class Batch:
    """What became of them.

    Attributes:
        found: where a blocking was found; all else is 0 elsewhere: ``plan`` says why, or finds one.
        sizes: (P, 3) blocks along m, n, k; order: index into ``ORDERS``; tiles.
        waits: (P, 5) fields of ``Waits``.
        spent: (P, 5) fill, drain, issue, stream and compute cycles.
        sums: (P, 15) fields of ``TileSums``.
    """

    found: NDArray[np.bool_]
    sizes: _Ints
    order: _Ints
    tiles: _Ints
    waits: _Ints
    spent: _Ints
    sums: _Ints


def measure_many(op: Op, alike: Alike, machines: Machines) -> Batch:
    """Block and measure a GEMM on each."""
    count, array, pinned = len(machines.rows), alike.array, alike.pinned
    found = np.zeros((count, 30), np.int64)
    if is_searched(op, array, pinned):
        _each(
            case_of(op, array, alike.bits),
            machines,
            (alike.burst_bytes, min(alike.depths[:2]) or 1, alike.depths[2] or 1),
            widths_of(alike.bits, alike.access_bytes),
            alike.bits.k_align,
            tuple(pin or 0 for pin in pinned[:3]),
            np.array([order in orders_of(array, pinned) for order in ORDERS]),
            (pinned.order is None, alike.depths[2] != 1, alike.tolerance),
            *_turns(machines),
            found,
        )
    return Batch(
        found[:, 0] > 0, found[:, :3], found[:, 3], found[:, 4], found[:, 5:10], found[:, 10:15], found[:, 15:]
    )


def _turns(machines: Machines) -> tuple[_Ints, _Ints]:
    """In which order the machines are searched, and for each the one before that has the next larger scratchpads and
    is the same in all else, or -1: all that fits here fits there. Those of other rates in between are alike.
    """
    alike = *machines.rates.T, machines.latency_cycles, machines.cols, machines.rows
    sizes = tuple(-machines.limits.T[::-1])
    ranked, larger = np.lexsort((*sizes, *alike)), np.full(len(machines.rows), -1, np.int64)
    before, after = ranked[:-1], ranked[1:]
    nested = (machines.limits[after] <= machines.limits[before]).all(axis=1)
    for numbers in alike:
        nested &= numbers[after] == numbers[before]
    larger[after[nested]] = before[nested]
    return np.lexsort((*alike[:2], *sizes, *alike[2:])), larger


@kernel
def _each(case, machines, shared, widths, k_align, pins, orders, rules, turns, larger, found):
    """Fill a row of ``found`` for each machine: of blocks, of cycles, of sums."""
    work, tried, hint = new_work(), np.zeros(3, np.int64), (0, 0, 0)
    for p in turns:
        mine = Case(
            case.M, case.N, case.K, machines.rows[p], machines.cols[p], case.overlap, case.steps, case.words,
            case.dataflow, case.act_values, case.act_dram_bits, case.weight_values, case.weight_dram_bits,
            case.output, case.sums,
        )  # fmt: skip
        granules = _granules(mine, k_align)
        if _cuts(mine, k_align, granules, pins):
            continue
        limits, rates = machines.limits[p], machines.rates[p]
        room = Room(
            limits[0], limits[1], limits[2], widths.act_values, widths.act_bits, widths.weight_values,
            widths.weight_bits, case.sums,
        )  # fmt: skip
        if rules[2] == 0 and larger[p] >= 0 and _holds(room, found[larger[p]]):
            found[p] = found[larger[p]]
            continue
        channel = Channel(rates[0], rates[1], shared[0], machines.latency_cycles[p], shared[1], shared[2])
        axes = (
            _axis(mine.M, granules[0], pins[0]),
            _axis(mine.N, granules[1], pins[1]),
            _axis(mine.K, granules[2], pins[2]),
        )
        best = search(mine, room, channel, axes, orders, LOOPS, rules[0], rules[1], rules[2], hint, work, tried)
        if best.m > 0:
            hint = (best.m, best.n, best.k)
            _measured(mine, channel, widths, best, True, work, found[p])
        elif mine.dataflow == OS:
            best = _in_chunks(mine, room, k_align, pins)
            if best.m > 0:
                _measured(mine, channel, widths, best, False, work, found[p])


@kernel
def _holds(room, row):
    """Whether the best tile of larger scratchpads fits: then it is the best here."""
    k = row[2]
    return row[0] > 0 and fits(room, row[0], row[1], (-(-k // room.act_values), -(-k // room.weight_values)))


@kernel
def _in_chunks(case, room, k_align, pins):
    """One output-stationary fold a tile, K in the longest chunks that fit (see ``candidates``); ``m`` is 0 if none do,
    or if sizes are pinned.
    """
    m, n = min(case.rows, case.M), min(case.cols, case.N)
    units = (-(-k_align // room.act_values), -(-k_align // room.weight_values))
    if pins[0] or pins[1] or pins[2] or not fits(room, m, n, units):
        return Choice(0, 0.0, 0, 0, 0, 0, 0)
    act = room.act_limit // m // room.act_bits * room.act_values
    weight = room.weight_limit // n // room.weight_bits * room.weight_values
    k = max(k_align, min(act, weight, case.K) // k_align * k_align)
    tiles = -(-case.M // m) * -(-case.N // n) * -(-case.K // k)
    return Choice(0, 0.0, tiles, 0, m, n, k)


@kernel
def _measured(case, channel, widths, best, was_run, work, row):
    """``work``: of the search, which keeps how the best blocking ran, if it ran it."""
    sizes = best.m, best.n, best.k
    counts = (-(-case.M // best.m), -(-case.N // best.n), -(-case.K // best.k))
    spent, sums = tally(case, channel, widths, sizes, counts, LOOPS[best.order], work.rows, work.spans)
    if not was_run:
        order = LOOPS[best.order]
        along = (counts[order[0]], counts[order[1]], counts[order[2]])
        waits = run_loops(along, work.spans, channel.latency, channel.depth, channel.out_depth, ANY_WAITING)
        for i in range(5):
            work.waits[i] = waits[i]
    row[0], row[1], row[2], row[3], row[4] = best.m, best.n, best.k, best.order, best.tiles
    for i in range(5):
        row[5 + i], row[10 + i] = work.waits[i], spent[i]
    for i in range(15):
        row[15 + i] = sums[i]


@kernel
def _axis(length, granule, pin):
    """See ``axes_of``."""
    if pin > 0:
        return np.full(1, min(pin, length))
    return block_sizes(length, granule)


@kernel
def _granules(case, k_align):
    """What blocks along M, N and K are multiples of (see ``axes_of``)."""
    if case.dataflow == OS:
        return case.rows, case.cols, case.K
    rows = case.rows // gcd(case.rows, case.steps)
    down = k_align // gcd(k_align, rows) * rows
    if case.dataflow == WS:
        return STREAM_GRANULE, case.cols, down
    return case.cols, STREAM_GRANULE, down


@kernel
def _cuts(case, k_align, granules, pins):
    """Whether a pinned size cuts a fold or a packed unit."""
    m, n, k = granules
    m = 1 if case.dataflow == WS else m
    n = 1 if case.dataflow == IS else n
    k = k_align if case.dataflow == OS else k
    return (
        (pins[0] < case.M and pins[0] % m != 0)
        or (pins[1] < case.N and pins[1] % n != 0)
        or (pins[2] < case.K and pins[2] % k != 0)
    )
