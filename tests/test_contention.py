"""Several cores on one DRAM: the recurrence == SimPy, the channel never does two things, nobody gains from company."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations_with_replacement, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine import IdealDram
from simulator.engine.bound import run_bound_cores
from simulator.engine.event import run_event_cores
from simulator.engine.pipeline import run_pipeline, run_pipeline_cores
from tests.test_engines import table, tables

pytestmark = pytest.mark.kernels

drams = st.builds(
    IdealDram,
    st.floats(0.2, 20, allow_nan=False),
    st.integers(0, 40),
    st.integers(1, 16),
    st.none() | st.integers(1, 9),
)
cores = st.lists(tables(), min_size=1, max_size=4)


def transfers(dram, tiles, timing):
    """(start, end, bytes) of every transfer of every core on the channel, from what the events say."""
    found = []
    for core, one in zip(tiles, timing.per_core, strict=True):
        loads = zip(one.events[:, 0], core.load_bytes, strict=True)
        stores = zip(one.events[:, 4], core.rows["store_bytes"], strict=True)
        for start, size in (*loads, *stores):
            if size:
                found.append((int(start), int(start + dram.channel_cycles(np.array([size]))[0]), int(size)))
    return sorted(found)


@settings(max_examples=700, deadline=None)
@given(cores, drams)
def test_the_recurrence_equals_simpy_event_by_event(tiles, dram):
    fast, readable = run_pipeline_cores(tiles, dram), run_event_cores(tiles, dram)
    assert fast.by_cause() == readable.by_cause()
    for a, b in zip(fast.per_core, readable.per_core, strict=True):
        np.testing.assert_array_equal(a.events, b.events)
        assert a.by_cause() == b.by_cause()


@settings(max_examples=300, deadline=None)
@given(cores, drams)
def test_no_window_moves_more_than_the_bandwidth(tiles, dram):
    """Every window from the start of a transfer to the end of one; the channel moves one transfer at a time."""
    found = transfers(dram, tiles, run_event_cores(tiles, dram))
    assert all(a[1] <= b[0] for a, b in pairwise(found))
    for first, last in combinations_with_replacement(range(len(found)), 2):
        moved = sum(size for _, _, size in found[first : last + 1])
        assert moved <= (found[last][1] - found[first][0]) * dram.bytes_per_cycle * (1 + 1e-9)


@settings(max_examples=400, deadline=None)
@given(cores, drams)
def test_a_core_is_never_earlier_than_alone(tiles, dram):
    timing = run_pipeline_cores(tiles, dram)
    for core, together in zip(tiles, timing.per_core, strict=True):
        alone = run_pipeline(core, dram)
        assert (together.events >= alone.events).all()
        assert together.total_cycles >= alone.total_cycles
    assert timing.total_cycles == max(t.total_cycles for t in timing.per_core)


@settings(max_examples=400, deadline=None)
@given(cores, drams)
def test_the_bound_of_several_cores_is_never_slower(tiles, dram):
    assert run_bound_cores(tiles, dram).total_cycles <= run_pipeline_cores(tiles, dram).total_cycles


@settings(max_examples=400, deadline=None)
@given(tables(), drams, st.floats(1, 5), st.integers(1, 5))
def test_more_bandwidth_or_more_bursts_under_way_never_cost_cycles(tiles, dram, faster, more):
    total = run_pipeline(tiles, dram).total_cycles
    assert run_pipeline(tiles, replace(dram, bytes_per_cycle=dram.bytes_per_cycle * faster)).total_cycles <= total
    for under_way in (None, dram.outstanding_bursts and dram.outstanding_bursts + more):
        assert run_pipeline(tiles, replace(dram, outstanding_bursts=under_way)).total_cycles <= total


def test_two_cores_by_hand():
    """Each loads 4, computes 10, loads 4, computes 10, stores 3; one byte per cycle, latency 2.

    Core 0 loads 0-4, core 1 4-8. Core 0 asks again at 4 and gets 8-12, core 1 asks at 8 and gets 12-16. Core 0 computes
    6-16 and 16-26, core 1 10-20 and 20-30; both store at once.
    """
    tiles = [table([4, 4], [10, 10], [0, 3])] * 2
    timing = run_pipeline_cores(tiles, IdealDram(1.0, 2))
    np.testing.assert_array_equal(timing.cores[0].events, [[0, 6, 6, 16, 16, 16], [8, 14, 16, 26, 26, 29]])
    np.testing.assert_array_equal(timing.cores[1].events, [[4, 10, 10, 20, 20, 20], [12, 18, 20, 30, 30, 33]])
    assert timing.by_cause() == timing.cores[1].by_cause()
    assert (timing.total_cycles, timing.stalls["stall_dram_read"]) == (33, 10)


def test_of_equal_cores_the_first_is_served_first_and_reported():
    timing = run_pipeline_cores([table([5], [10], [0])] * 3, IdealDram(5.0, 0))
    assert [t.events[0, 0] for t in timing.cores] == [0, 1, 2]
    tied = run_pipeline_cores([table([0], [10], [0]), table([0], [8], [0], stalls=2)], IdealDram(5.0, 0))
    assert tied.by_cause() == tied.cores[0].by_cause() != tied.cores[1].by_cause()


ANOMALIES = {
    "more bandwidth": ([([5, 24], [3, 24], [26, 11]), ([17, 3], [45, 52], [1, 10])], 8, (148, 149)),
    "deeper buffers": ([([3, 29], [33, 35], [18, 3]), ([17, 19], [5, 45], [18, 26])], 7, (145, 146)),
}


@pytest.mark.parametrize("what", ANOMALIES)
def test_first_come_first_served_has_anomalies(what):
    """What never costs one core a cycle may cost several one: a request that comes sooner goes before another core's
    that more depends on.
    """
    shapes, latency, cycles = ANOMALIES[what]
    tiles = [table(*shape, depth=1, out_depth=1) for shape in shapes]
    before = run_pipeline_cores(tiles, IdealDram(1.0, latency)).total_cycles
    rate = 1.3 if what == "more bandwidth" else 1.0
    if what == "deeper buffers":
        tiles = [replace(t, act_buffer_depth=2, weight_buffer_depth=2) for t in tiles]
    assert (before, run_pipeline_cores(tiles, IdealDram(rate, latency)).total_cycles) == cycles


@pytest.mark.parametrize(("bursts", "cycles"), [(None, 64), (9, 64), (8, 72), (4, 144), (1, 576)])
def test_bursts_under_way_limit_a_dma_by_littles_law(bursts, cycles):
    """64 bursts of a cycle each and a latency of 8: a round trip is 9 cycles, so 9 bursts under way fill it."""
    dram = IdealDram(16.0, 8, 16, bursts)
    assert dram.dma_cycles(np.array([64 * 16])) == [cycles]
    timing = run_pipeline(table([64 * 16], [1], [0]), dram)
    assert timing.events[0, 1] == cycles + 8


def test_dmas_of_several_cores_fill_what_one_cannot():
    """One DMA that waits for 3 bursts reads a third of the bandwidth; three of them read all of it."""
    dram = IdealDram(16.0, 8, 16, 3)
    tiles = [table([64 * 16] * 9, [1] * 9, [0] * 9)]
    one, three = (run_pipeline_cores(tiles * n, dram).total_cycles for n in (1, 3))
    assert three < 1.3 * one
