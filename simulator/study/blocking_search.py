"""The search of ``mapping.best_blocking``, compiled: rules of tiles (``mapping.blocks``) and of the pipeline
(``engine.loops``) in one call, for a core with ideal DRAM whose scratchpads make nothing wait.

Of all blockings that fit it finds those of least cycles, then of least traffic, tiles, order of loops, sizes. Each has
a bound that no pipeline can beat, and a run is left as soon as the array has waited for longer than the best one
allows; neither changes what is found (tests/test_blocking_search.py compares it with trying all of them).
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
from simulator.mapping.loop_orders import is_canonical, visits
from simulator.study.blocking_bounds import around, moving, waiting

__all__ = ["Choice", "Room", "Work"]


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
    """Arrays of one run."""

    rows: NDArray[np.int64]
    spans: NDArray[np.int64]


@kernel
def new_work():
    """See ``Work``."""
    return Work(np.empty((27, 18), np.int64), np.empty((27, 9), np.int64))


@kernel
def fits(room, m, n, k):
    """Whether the scratchpads hold a tile."""
    act = m * (-(-k // room.act_values) * room.act_bits)
    weight = n * (-(-k // room.weight_values) * room.weight_bits)
    return act <= room.act_limit and weight <= room.weight_limit and m * n * room.sums <= room.out_limit


@kernel
def makespan(case, channel, sizes, counts, order, most, rows, spans):
    """Cycles of one blocking on this memory; more than ``most``: some number that is, too."""
    kinds = fill_rows(case, sizes, counts, order, True, rows)
    for i in range(kinds):
        time_kind(channel, i, rows, spans)
    compute = compute_cycles(case, sizes[0], sizes[1]) - spans[0, FILL]
    waiting = most - compute - spans[kinds - 1, STORE]
    along = (counts[order[0]], counts[order[1]], counts[order[2]])
    waits = run_loops(along, spans, channel.latency, channel.depth, channel.out_depth, waiting)
    return (waits[END] if waits[END] >= 0 else most + 1), waits[RAN]


@kernel
def time_kind(channel, i, rows, spans):
    """Durations and flags of a kind of tile, from its row."""
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
def sweep(case, room, channel, axes, orders, loops, rules, best, most, work, tried):
    """The best of ``best`` and all blockings: of least cycles if ``most`` is 0, else of those of at most that many.

    Args:
        axes: sizes to try along m, n, k, ascending; orders: which of ``loops``.
        rules: whether orders that differ in nothing are tried once; whether sums may be left unfinished; most tiles.
        tried: blockings that were bounded, run; tiles that were run.
    """
    for m in axes[0]:
        for n in axes[1]:
            for k in axes[2]:
                if not fits(room, m, n, k):
                    break
                counts = (-(-case.M // m), -(-case.N // n), -(-case.K // k))
                if counts[0] * counts[1] * counts[2] > rules[2]:
                    continue
                enough = most if most else best.cycles
                least = around(case, channel, m, n, k)
                tried[0] += 1
                if least > enough:
                    break
                for o in range(6):
                    if orders[o] and (not rules[0] or is_canonical(counts, loops[o])):
                        found = _tried(
                            case, channel, (m, n, k), counts, o, loops, least, rules, best, most, work, tried
                        )
                        best = found
    return best


@kernel
def _tried(case, channel, sizes, counts, o, loops, least, rules, best, most, work, tried):
    """The better of ``best`` and one blocking."""
    traffic, moved = moving(case, channel, counts, loops[o])
    m, n, k = sizes
    tiles = counts[0] * counts[1] * counts[2]
    mine = Choice(0, traffic, tiles, o, m, n, k)
    ahead = is_before(mine, best)
    enough = most if most else best.cycles - (not ahead)
    if (most and not ahead) or moved > enough or not (rules[1] or _stays(counts, loops[o])):
        return best
    if least + waiting(case, channel, sizes, counts, loops[o]) > enough:
        return best
    cycles, ran = makespan(case, channel, sizes, counts, loops[o], enough, work.rows, work.spans)
    tried[1] += 1
    tried[2] += ran
    return Choice(cycles, traffic, tiles, o, m, n, k) if cycles <= enough else best


@kernel
def _stays(counts, order):
    """Whether no output block is left before its K is done: no loop of several blocks inside that over K."""
    return counts[2] == 1 or visits(counts, order, 2) == counts[0] * counts[1]


@kernel
def easiest(case, room, channel, axes, orders, loops, rules):
    """The blocking of the least bound, that is tried first."""
    least = Choice(1 << 62, inf, 0, 0, 0, 0, 0)
    for m in axes[0]:
        for n in axes[1]:
            for k in axes[2]:
                if not fits(room, m, n, k):
                    break
                counts = (-(-case.M // m), -(-case.N // n), -(-case.K // k))
                tiles = counts[0] * counts[1] * counts[2]
                if tiles > rules[2]:
                    continue
                cycles = around(case, channel, m, n, k)
                if cycles > least.cycles:
                    break
                for o in range(6):
                    if not orders[o] or (rules[0] and not is_canonical(counts, loops[o])):
                        continue
                    traffic, moved = moving(case, channel, counts, loops[o])
                    if max(moved, cycles) > least.cycles or not (rules[1] or _stays(counts, loops[o])):
                        continue
                    bound = max(moved, cycles + waiting(case, channel, (m, n, k), counts, loops[o]))
                    mine = Choice(bound, traffic, tiles, o, m, n, k)
                    if bound < least.cycles or (bound == least.cycles and is_before(mine, least)):
                        least = mine
    return least


@kernel
def fewest_tiles(case, room, axes):
    """Of the blockings that fit; 0 if none does."""
    fewest = 0
    for m in axes[0]:
        for n in axes[1]:
            for k in axes[2]:
                if not fits(room, m, n, k):
                    break
                tiles = -(-case.M // m) * -(-case.N // n) * -(-case.K // k)
                fewest = tiles if fewest == 0 else min(fewest, tiles)
    return fewest


@kernel
def search(case, room, channel, axes, orders, loops, canonical, spills, tolerance, tried):
    """The choice of ``best_blocking``; its ``m`` is 0 if nothing fits."""
    fewest = fewest_tiles(case, room, axes)
    none = Choice(0, 0.0, 0, 0, 0, 0, 0)
    if fewest == 0:
        return none
    most_tiles = MOST_TILES if fewest <= MOST_TILES else 1 << 62
    rules = (int(canonical), int(spills), most_tiles)
    first = easiest(case, room, channel, axes, orders, loops, rules)
    if first.m == 0:
        return none
    work, most = new_work(), np.int64(0)
    best = Choice(np.int64(1 << 61), inf, 1 << 62, 6, 0, 0, 0)
    alone = (np.full(1, first.m), np.full(1, first.n), np.full(1, first.k))
    for turn in range(3 if tolerance > 0 else 2):  # the first one, all of them, those that tie: one call, compiled once
        if turn == 2:
            most = np.int64(floor(best.cycles * (1 + tolerance)))
        tries = alone if turn == 0 else axes
        best = sweep(case, room, channel, tries, orders, loops, rules, best, most, work, tried)
    return best
