"""The search of ``mapping.best_blocking``, compiled: rules of tiles (``mapping.blocks``) and of the pipeline
(``engine.loops``) in one call, for a core with ideal DRAM whose scratchpads make nothing wait.

Of all blockings that fit it finds those of least cycles, then of least traffic, tiles, order of loops, sizes. Each has
a bound that no pipeline can beat, those of the least bounds are run first, and a run is left as soon as the array has
waited for longer than the best one allows; none of it changes what is found (tests/test_blocking_search.py compares it
with trying all of them).
"""

from __future__ import annotations

from math import floor, inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.engine.loops import ARRAY, CLOSES, END, FILL, LOADS, OPENS, RAN, STORE, run_loops
from simulator.engine.loops import DRAIN as DRAINED
from simulator.engine.loops import FIRST_RESULT as FIRST
from simulator.engine.loops import LOAD as LOADED
from simulator.engine.rates import transfer_cycles
from simulator.kernels import kernel
from simulator.mapping import blocks
from simulator.mapping.blocking import MOST_TILES
from simulator.mapping.blocks import compute_cycles, fill_rows
from simulator.mapping.loop_orders import innermost, is_canonical
from simulator.study.blocking_bounds import after_load, first_load, moving, step_of, waiting, whole_bits

__all__ = ["Choice", "Room", "Work"]

_ROOM = 256  # blockings that are put off
_SLACK = 1.05  # of bounds: blockings above are tried if those below take longer than that


class Room(NamedTuple):
    """What one tile may take of each scratchpad, and what it takes there [bits]."""

    act_limit: int
    weight_limit: int
    out_limit: int
    act_values: int
    act_bits: int
    weight_values: int
    weight_bits: int
    sums: int


class Choice(NamedTuple):
    """One blocking, with what decides between two of the same cycles."""

    cycles: int
    traffic: float
    tiles: int
    order: int
    m: int
    n: int
    k: int


class Work(NamedTuple):
    """Arrays of a search.

    Attributes:
        rows, spans: of the kinds of tiles of one run; waits: of the run of the best blocking.
        put_off: (``_ROOM``, 5) blockings that are yet to be run: their bound, sizes and order.
    """

    rows: NDArray[np.int64]
    spans: NDArray[np.int64]
    waits: NDArray[np.int64]
    put_off: NDArray[np.int64]


@kernel
def new_work():
    """See ``Work``."""
    rows, spans = np.empty((27, 18), np.int64), np.empty((27, 9), np.int64)
    return Work(rows, spans, np.zeros(6, np.int64), np.empty((_ROOM, 5), np.int64))


@kernel
def lines_of(case, axis):
    """Of each k its units of act and of weight, blocks of it, and itself."""
    lines = np.empty((len(axis), 4), np.int64)
    for i in range(len(axis)):
        lines[i, 3] = axis[i]
        lines[i, 0] = -(-axis[i] // case.act_values)
        lines[i, 1] = -(-axis[i] // case.weight_values)
        lines[i, 2] = -(-case.K // axis[i])
    return lines


@kernel
def fits(room, m, n, line):
    """Whether the scratchpads hold a tile."""
    act, weight = m * line[0] * room.act_bits, n * line[1] * room.weight_bits
    return act <= room.act_limit and weight <= room.weight_limit and m * n * room.sums <= room.out_limit


@kernel
def makespan(case, channel, sizes, counts, order, most, work):
    """``Waits`` of one blocking on this memory, and tiles that were run; an ``END`` of -1 if it takes more than
    ``most`` cycles, or of some number that is more, too.
    """
    kinds = fill_rows(case, sizes, counts, order, True, work.rows)
    time_kinds(channel, kinds, work.rows, work.spans)
    compute = compute_cycles(case, sizes[0], sizes[1]) - work.spans[0, FILL]
    waiting = most - compute - work.spans[kinds - 1, STORE]
    along = (counts[order[0]], counts[order[1]], counts[order[2]])
    return run_loops(along, work.spans, channel.latency, channel.depth, channel.out_depth, waiting)


@kernel
def time_kinds(channel, kinds, rows, spans):
    """Durations and flags of kinds of tiles, from their rows."""
    for i in range(kinds):
        loaded = rows[i, blocks.ACT_LOAD] + rows[i, blocks.WEIGHT_LOAD] + rows[i, blocks.SUM_LOAD]
        spans[i, LOADED] = transfer_cycles(loaded, channel.burst_bytes, channel.read_bytes_per_cycle)
        spans[i, ARRAY] = rows[i, blocks.ISSUE]
        spans[i, FIRST] = rows[i, blocks.FIRST_RESULT]
        spans[i, DRAINED] = rows[i, blocks.DRAIN]
        spans[i, FILL] = rows[i, blocks.FILL]
        spans[i, STORE] = transfer_cycles(rows[i, blocks.STORE], channel.burst_bytes, channel.bytes_per_cycle)
        spans[i, OPENS] = rows[i, blocks.OPENS]
        spans[i, CLOSES] = rows[i, blocks.STORE] > 0
        spans[i, LOADS] = loaded > 0


@kernel
def is_before(a, b):
    """Whether one choice is taken rather than another of the same cycles."""
    if a.traffic != b.traffic:
        return a.traffic < b.traffic
    if a.tiles != b.tiles:
        return a.tiles < b.tiles
    if a.order != b.order:
        return a.order < b.order
    if a.m != b.m:
        return a.m < b.m
    return a.n < b.n if a.n != b.n else a.k < b.k


@kernel
def sweep(case, room, channel, axes, orders, loops, rules, best, most, slack, work, tried):
    """The best of ``best`` and all blockings: of least cycles if ``most`` is 0, else of those of at most that many. And
    cycles below which none was left out: blockings of more than ``slack`` times the least bound are.

    Args:
        axes: sizes to try along m, n, k, ascending; orders: which of ``loops``.
        rules: whether orders that differ in nothing are tried once; whether sums may be left unfinished; most tiles;
            what was tried: all blockings of bounds up to the fourth, all of the sizes that are the last three.
        tried: blockings that were bounded, run; tiles that were run.
    """
    whole, lines, put_off, waiting = whole_bits(case), lines_of(case, axes[2]), work.put_off, 0
    ceiling = np.int64(1 << 61)
    for m in axes[0][::-1]:
        for n in axes[1][::-1]:
            across, after = (-(-case.M // m), -(-case.N // n)), after_load(case, channel, m, n)
            for i in range(len(lines)):
                enough = min(ceiling, most if most else best.cycles)
                if after > enough or not fits(room, m, n, (lines[i, 0], lines[i, 1])):
                    break
                counts = (across[0], across[1], lines[i, 2])
                if counts[0] * counts[1] * counts[2] > rules[2]:
                    continue
                act, weight = m * lines[i, 0] * case.act_dram_bits, n * lines[i, 1] * case.weight_dram_bits
                least = after + first_load(channel, act, weight)
                tried[0] += 1
                if least > enough:
                    break
                if waiting > _ROOM - 6:
                    best = _run(case, channel, whole, loops, best, most, waiting, work, tried)
                    waiting, enough = 0, min(ceiling, most if most else best.cycles)
                sizes = (m, n, lines[i, 3])
                waiting, lowest = _put_off(
                    case, channel, whole, sizes, counts, orders, loops, least, rules, enough, waiting, put_off
                )
                if lowest * slack < ceiling:
                    ceiling = np.int64(lowest * slack)
    return _run(case, channel, whole, loops, best, most, waiting, work, tried), ceiling


@kernel
def _put_off(case, channel, whole, sizes, counts, orders, loops, least, rules, enough, waiting_for, put_off):
    """Add the blockings of these sizes whose bounds are not above ``enough``; how many there are, and the least."""
    tiles = counts[0] * counts[1] * counts[2]
    lowest, step = 1 << 61, step_of(case, channel, sizes)
    for last in range(3):
        if (counts[last] == 1 and tiles > 1) or not (rules[1] or last == 2 or counts[2] == 1):
            continue
        _, moved = moving(case, channel, whole, counts, last)
        if moved > enough:
            continue
        for o in range(6):
            if not orders[o] or innermost(counts, loops[o]) != last:
                continue
            if rules[0] and not is_canonical(counts, loops[o]):
                continue
            bound = max(moved, least + waiting(case, channel, step, counts, loops[o]))
            if bound <= enough and bound > rules[3] and sizes != (rules[4], rules[5], rules[6]):
                put_off[waiting_for, 0], put_off[waiting_for, 4] = bound, o
                put_off[waiting_for, 1], put_off[waiting_for, 2], put_off[waiting_for, 3] = sizes
                waiting_for += 1
            lowest = min(lowest, bound)
    return waiting_for, lowest


@kernel
def _run(case, channel, whole, loops, best, most, count, work, tried):
    """The better of ``best`` and the blockings that were put off, run from the one of the least bound on."""
    put_off, kept = work.put_off, work.waits
    while count > 0:
        first = 0
        for i in range(1, count):
            if put_off[i, 0] < put_off[first, 0]:
                first = i
        bound, m, n, k, o = put_off[first]
        count -= 1
        for i in range(5):
            put_off[first, i] = put_off[count, i]
        if bound > (most if most else best.cycles):
            break
        counts = (-(-case.M // m), -(-case.N // n), -(-case.K // k))
        traffic, _ = moving(case, channel, whole, counts, innermost(counts, loops[o]))
        mine = Choice(bound, traffic, counts[0] * counts[1] * counts[2], o, m, n, k)
        ahead = is_before(mine, best)
        enough = most if most else best.cycles - (not ahead)
        if (most and not ahead) or bound > enough:
            continue
        waits = makespan(case, channel, (m, n, k), counts, loops[o], enough, work)
        tried[1] += 1
        tried[2] += waits[RAN]
        if 0 <= waits[END] <= enough:
            best = Choice(waits[END], traffic, mine.tiles, o, m, n, k)
            for i in range(6):
                kept[i] = waits[i]
    return best


@kernel
def fewest_tiles(case, room, axes):
    """Of the blockings that fit; 0 if none does."""
    fewest, lines = 0, lines_of(case, axes[2])
    for m in axes[0]:
        for n in axes[1]:
            for i in range(len(lines)):
                if not fits(room, m, n, (lines[i, 0], lines[i, 1])):
                    break
                tiles = -(-case.M // m) * -(-case.N // n) * lines[i, 2]
                fewest = tiles if fewest == 0 else min(fewest, tiles)
    return fewest


@kernel
def nearest(axis, size):
    """The largest size of an axis that is not above another; the least if all are."""
    found = 0
    for i in range(len(axis)):
        if axis[i] <= size:
            found = i
    return axis[found : found + 1]


@kernel
def search(case, room, channel, axes, orders, loops, canonical, spills, tolerance, hint, work, tried):
    """The choice of ``best_blocking``; its ``m`` is 0 if nothing fits. ``work.waits``: of its run.

    Args:
        hint: sizes of a blocking that may be about as good, which is tried first; 0 for none.
    """
    best, most, ceiling, most_tiles = Choice(np.int64(1 << 61), inf, 1 << 62, 6, 0, 0, 0), np.int64(0), 0, MOST_TILES
    hinted = (0, 0, 0)
    for turn in range(4):  # the hint; those of about the least bound; all; those that tie: one call, compiled once
        if (turn == 0 and hint[0] == 0) or (turn == 2 and best.cycles <= ceiling) or (turn == 3 and tolerance == 0):
            continue
        if turn == 1 and best.m == 0:
            fewest = fewest_tiles(case, room, axes)
            if fewest == 0:
                return Choice(0, 0.0, 0, 0, 0, 0, 0)
            most_tiles = MOST_TILES if fewest <= MOST_TILES else 1 << 62
        if turn == 3:
            most = np.int64(floor(best.cycles * (1 + tolerance)))
        tries = axes
        if turn == 0:
            tries = (nearest(axes[0], hint[0]), nearest(axes[1], hint[1]), nearest(axes[2], hint[2]))
        done, sizes = ceiling if turn == 2 else -1, hinted if turn < 3 else (0, 0, 0)
        rules = (int(canonical), int(spills), most_tiles, done, *sizes)
        slack = _SLACK if turn == 1 else inf
        best, ceiling = sweep(case, room, channel, tries, orders, loops, rules, best, most, slack, work, tried)
        if turn == 0:
            hinted = (best.m, best.n, best.k)
    return best if best.m > 0 else Choice(0, 0.0, 0, 0, 0, 0, 0)
