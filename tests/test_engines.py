"""The ladder: bound <= pipeline == SimPy; directions; tight gates; every cycle has a cause."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator import datapath
from simulator.datapath import Width
from simulator.engine import NO_MEMORY_LIMIT, IdealDram, nest_cycles, run_bound, run_nest, run_pipeline
from simulator.engine.event import run_events
from simulator.engine.timing import Timing, check
from simulator.errors import ConservationError
from simulator.mapping import DATAFLOWS, FOLD_OVERLAPS, ArrayShape, candidates, lower, nest_of, table_of
from simulator.mapping.accesses import pad_accesses
from simulator.mapping.counting import count
from simulator.mapping.scratchpads import Memories, Pad
from simulator.tiles import TILE_DTYPE, TileTable
from simulator.workload import Op
from tests.test_mapping import random_case

pytestmark = pytest.mark.kernels


def table(loads, issues, stores, *, depth=2, out_depth=2, drains=0, first=None, stalls=0, early=False, fills=0):
    """A hand-made pipeline; every argument a list over tiles or a number for all. ``early``: a place in the out
    scratchpad is taken by the first tile after the last one was left, not by the tile that finishes outputs.
    """
    rows = np.zeros(len(loads), TILE_DTYPE)
    rows["act_load_bytes"], rows["issue_cycles"], rows["store_bytes"] = loads, issues, stores
    rows["drain_cycles"], rows["outlier_cycles"] = np.where(rows["store_bytes"] > 0, drains, 0), stalls
    rows["opens_output"] = rows["store_bytes"] > 0
    if early:
        rows["opens_output"] = np.concatenate([[True], rows["store_bytes"][:-1] > 0])
    rows["first_result_cycles"] = rows["issue_cycles"] if first is None else first
    rows["fill_cycles"] = fills
    compute = rows["fill_cycles"][0] + rows["issue_cycles"].sum() + rows["drain_cycles"][-1]
    return TileTable(rows, int(compute), depth, depth, out_depth)


def test_a_held_operand_that_comes_late_still_has_to_enter_the_array():
    """Weight-stationary, one token: weights of the second tile arrive at an idle array and take 56 cycles to enter."""
    changes = {
        "array.dataflow": "ws",
        "tiling.n": 56,
        "memory.dram.bandwidth_gb_s": 1.0,
        "memory.dram.latency_ns": 0.0,
    }
    totals = {}
    for overlap in ("none", "full"):
        design = sim.load_design("int8_systolic", set=changes | {"array.fold_overlap": overlap})
        totals[overlap] = sim.simulate_gemm(design, M=1, N=112, K=56).cycles["total"]
    assert totals == {"none": 3400, "full": 3400}, "nothing overlaps where the array waits for each tile"


durations = st.integers(0, 40)


@st.composite
def tables(draw):
    tile = st.tuples(durations, st.integers(1, 40), durations, *(st.integers(0, n) for n in (15, 20, 12)))
    tiles = draw(st.lists(tile, min_size=1, max_size=9))
    loads, issues, stores, drains, stalls, fills = (list(column) for column in zip(*tiles, strict=True))
    first = [draw(st.integers(0, issue)) for issue in issues]
    depths = {"depth": draw(st.integers(1, 3)), "out_depth": draw(st.integers(1, 3))}
    how = {"drains": drains, "first": first, "stalls": stalls, "fills": fills, "early": draw(st.booleans())}
    return table(loads, issues, stores, **how, **depths)


drams = st.builds(
    IdealDram, st.floats(0.2, 20, allow_nan=False), st.integers(0, 40), st.integers(1, 16)
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(tables(), drams)
def test_pipeline_equals_simpy_event_by_event(tiles, dram):
    fast, readable = run_pipeline(tiles, dram), run_events(tiles, dram)
    np.testing.assert_array_equal(fast.events, readable.events)
    assert fast.by_cause() == readable.by_cause()


@pytest.mark.parametrize("seed", range(100))
def test_pipeline_equals_simpy_on_real_tiles(seed):
    op, array, bits, limits = random_case(seed)
    tiles = lower(op, array, bits, limits, (1 + seed % 2, 1 + seed // 2 % 2, 1 + seed // 4 % 2))
    dram = IdealDram(0.5 + seed % 7, seed % 11, 1 + seed % 5)
    assert run_pipeline(tiles, dram).by_cause() == run_events(tiles, dram).by_cause()


@st.composite
def cut_gemms(draw):
    """Arguments of ``table_of`` and ``nest_of``, with bank conflicts or without."""
    op, array, bits, limits = random_case(draw(st.integers(0, 10**6)), draw(st.sampled_from(DATAFLOWS)))
    array = replace(array, overlap=draw(st.sampled_from(FOLD_OVERLAPS)))
    limits = draw(st.sampled_from([limits, limits, limits, None]))
    choices = candidates(op, array, bits, limits)
    blocking = choices[draw(st.integers(0, len(choices) - 1))]
    depths = draw(st.tuples(*[st.integers(1, 3)] * 3)) if limits else (0, 0, 0)
    pads = [Pad(draw(st.sampled_from([16, 32, 64])), draw(st.integers(1, 4))) for _ in range(3)]
    return op, array, bits, blocking, depths, Memories(*pads, 64, bank_conflicts=draw(st.booleans()))


limited = st.builds(
    IdealDram,
    st.floats(0.2, 20, allow_nan=False),
    st.integers(0, 40),
    st.integers(1, 16),
    st.one_of(st.none(), st.integers(1, 4)),
)


@settings(max_examples=600, deadline=None)
@given(cut_gemms(), limited)
def test_a_loop_nest_takes_the_cycles_of_its_table_cause_by_cause(case, dram):
    op, array, bits, _, _, memories = case
    nest, table = nest_of(*case), table_of(*case)
    for loops, whole in (
        (run_nest(nest, dram), run_pipeline(table, dram)),
        (run_bound(nest, dram), run_bound(table, dram)),
    ):
        assert loops.by_cause() == whole.by_cause()
        assert loops.fill_drain_cycles == whole.fill_drain_cycles
    assert nest_cycles(nest, dram) == run_pipeline(table, dram).total_cycles
    assert pad_accesses(op, nest, array, bits, memories) == pad_accesses(op, table, array, bits, memories)
    unit = datapath.create("int_mac", {})
    pads = pad_accesses(op, nest, array, bits, memories)
    counted = [count(op, tiles, array, bits, unit, 1, pads, 64) for tiles in (nest, table)]
    assert counted[0] == counted[1]


@settings(max_examples=200, deadline=None)
@given(cut_gemms(), limited, st.integers(1, 9))
def test_a_table_in_parts_is_the_table(case, dram, at_a_time):
    """However many rows are made and run at a time: the same rows, events and cycles."""
    whole = table_of(*case)
    timing = run_pipeline(whole, dram)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("simulator.tiles", "simulator.mapping.lower"):
            patch.setattr(sys.modules[module], "AT_A_TIME", at_a_time)
        table = table_of(*case)
        again = run_pipeline(table, dram)
        assert len(list(table.parts())) == -(-len(table) // at_a_time)
    np.testing.assert_array_equal(table.rows, whole.rows)
    np.testing.assert_array_equal(again.events, timing.events)
    assert (again.by_cause(), again.fill_drain_cycles) == (timing.by_cause(), timing.fill_drain_cycles)


@settings(max_examples=400, deadline=None)
@given(tables(), drams)
def test_bound_is_never_slower_than_pipeline(tiles, dram):
    assert run_bound(tiles, dram).total_cycles <= run_pipeline(tiles, dram).total_cycles


@settings(max_examples=400, deadline=None)
@given(tables(), drams, st.floats(1, 5), st.integers(0, 20))
def test_better_memory_or_deeper_buffers_never_cost_cycles(tiles, dram, faster, shorter):
    total = run_pipeline(tiles, dram).total_cycles
    rate, latency = dram.bytes_per_cycle * faster, max(0, dram.latency_cycles - shorter)
    assert run_pipeline(tiles, IdealDram(rate, latency, dram.burst_bytes)).total_cycles <= total
    deeper = replace(tiles, act_buffer_depth=tiles.act_buffer_depth + 1, weight_buffer_depth=tiles.act_buffer_depth + 1)
    assert run_pipeline(deeper, dram).total_cycles <= total
    assert run_pipeline(replace(tiles, out_buffer_depth=tiles.out_buffer_depth + 1), dram).total_cycles <= total


@settings(max_examples=400, deadline=None)
@given(tables(), drams)
def test_events_obey_the_rules(tiles, dram):
    """The channel and the array do one thing at a time; nothing is used before it is there."""
    timing = run_pipeline(tiles, dram)
    events, rows = timing.events, tiles.rows
    assert (events[1:, 2] >= events[:-1, 3]).all(), "the array runs one tile at a time"
    assert (events[:, 2] >= events[:, 1]).all(), "operands are there before the tile enters"
    assert (events[:, 4] >= events[:, 3] + rows["drain_cycles"]).all(), "results leave before they are stored"
    load = dram.channel_cycles(rows["act_load_bytes"])
    busy = [(s, s + n) for s, n in zip(events[:, 0], load, strict=True) if n]
    busy += [(s, e) for s, e in events[:, 4:6] if e > s]
    busy.sort()
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(busy)), "the channel moves one transfer at a time"
    for i in range(tiles.act_buffer_depth, len(tiles)):
        assert events[i, 0] >= events[i - tiles.act_buffer_depth, 3] or load[i] == 0, "a place is free before its load"
    assert timing.total_cycles == timing.compute_cycles + sum(timing.stalls.values())


def test_a_hand_calculation():
    """Three tiles of 10 cycles, loads of 4, stores of 3, latency 5: compute-bound after the first load.

    load 0: 0-4, there at 9; tile 0: 9-19; load 1: 4-8, there at 13; tile 1: 19-29; store 0 takes the channel 19-22,
    load 2 finds its place free since 19 and goes before store 1: 22-26, there at 31; tile 2: 31-41; store 1: 29-32;
    store 2: 41-44.
    """
    timing = run_pipeline(table([4] * 3, [10] * 3, [3] * 3), IdealDram(1.0, 5))
    expected = [[0, 9, 9, 19, 19, 22], [4, 13, 19, 29, 29, 32], [22, 31, 31, 41, 41, 44]]
    np.testing.assert_array_equal(timing.events, expected)
    assert timing.by_cause() == {
        "total": 44, "compute": 30, "stall_dram_read": 11, "stall_dram_write": 3,
        "stall_bank": 0, "stall_outlier": 0, "stall_vector": 0
    }  # fmt: skip


def test_the_buffer_gate_is_tight():
    """With one place, a load starts in the very cycle in which the tile before leaves; with two, one tile earlier."""
    one = run_pipeline(table([5, 5], [10, 10], [0, 0], depth=1), IdealDram(1.0, 0))
    two = run_pipeline(table([5, 5], [10, 10], [0, 0], depth=2), IdealDram(1.0, 0))
    assert (one.events[1, 0], two.events[1, 0]) == (one.events[0, 3], 5)
    assert (one.total_cycles, two.total_cycles) == (30, 25)


@pytest.mark.parametrize(("first", "end"), [(10, 30), (9, 31), (0, 40)])
def test_the_out_buffer_freezes_a_tile_at_its_first_result(first, end):
    """One place, taken until cycle 30: the second tile (10-20) freezes at its first result and then finishes."""
    timing = run_pipeline(table([0, 0], [10, 10], [20, 1], out_depth=1, first=[10, first]), IdealDram(1.0, 0))
    assert timing.events[1, 3] == end
    assert timing.stalls["stall_dram_write"] == end - 20 + 1


def test_no_memory_limit_is_compute_only():
    tiles = lower(Op("op", 50, 40, 30), ArrayShape(8, 8, "full"), _bits(), None)
    assert run_pipeline(tiles, NO_MEMORY_LIMIT).by_cause() == {
        "total": tiles.compute_cycles, "compute": tiles.compute_cycles,
        "stall_dram_read": 0, "stall_dram_write": 0, "stall_bank": 0, "stall_outlier": 0, "stall_vector": 0,
    }  # fmt: skip


def test_data_dependent_stalls_are_their_own_cause():
    timing = run_pipeline(table([0, 0], [10, 10], [0, 0], stalls=[3, 4]), NO_MEMORY_LIMIT)
    assert timing.by_cause()["stall_outlier"] == 7
    assert timing.total_cycles == 27


def test_lost_cycles_are_an_error():
    tiles = table([0], [10], [0])
    none = {"stall_dram_read": 0, "stall_dram_write": 0, "stall_bank": 0, "stall_outlier": 0, "stall_vector": 0}
    lost = Timing(11, 10, none, fill_drain_cycles=10)
    with pytest.raises(ConservationError, match=r"^cycles by cause do not sum to the total: "):
        check(lost, tiles)
    with pytest.raises(ConservationError, match=r"^compute cycles of the tiles are 9, their closed form says 10$"):
        check(replace(lost, compute_cycles=9, total_cycles=9), tiles)
    with pytest.raises(ConservationError, match=r"^9 cycles of fill and drain, where the tiles have 10 of 10$"):
        check(replace(lost, total_cycles=10, fill_drain_cycles=9), tiles)


@pytest.mark.parametrize(("moved", "cycles"), [(0, 0), (1, 8), (64, 8), (65, 16), (640, 80)])
def test_dram_moves_whole_bursts(moved, cycles):
    assert IdealDram(8.0, 3, 64).channel_cycles(np.array([moved])) == [cycles]


def _bits():
    from simulator.mapping import OperandBits

    return OperandBits(Width.plain(8), Width.plain(8), 32, 16)
