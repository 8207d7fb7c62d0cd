"""The compiled search finds what trying every blocking finds; loops of any length take the cycles of their tiles."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator.datapath import Width
from simulator.engine import IdealDram, nest_cycles, run_nest, run_pipeline
from simulator.engine.loops import ANY_WAITING, END, RAN, run_loops
from simulator.errors import MappingError
from simulator.mapping import (
    DATAFLOWS,
    FOLD_OVERLAPS,
    ORDERS,
    ArrayShape,
    BufferLimits,
    OperandBits,
    Pinned,
    best_blocking,
    candidates,
    nest_of,
)
from simulator.mapping.blocking import LOOPS, axes_of
from simulator.mapping.blocks import case_of
from simulator.mapping.loop_orders import innermost
from simulator.study.blocking_bounds import after_load, first_load, moving, step_of, waiting, whole_bits
from simulator.study.blocking_search import makespan, new_work, search
from simulator.study.fast_blocking import channel_of, fast_blocking, room_of
from simulator.tiles import TILE_DTYPE, LoopNest, TileTable
from simulator.workload import Op

pytestmark = pytest.mark.kernels

drams = st.builds(
    IdealDram,
    st.floats(0.2, 40, allow_nan=False),
    st.integers(0, 60),
    st.sampled_from([1, 4, 16, 64]),
    st.one_of(st.none(), st.integers(1, 4)),
)
widths = st.sampled_from(
    [Width.plain(8), Width.plain(4), Width.plain(16), Width.plain(4, 5), Width(16, 72, 72), Width(2, 8, 8)]
)


@st.composite
def searches(draw, longest=90):
    """What ``fast_blocking`` is asked, but for DRAM."""
    M, N, K = (draw(st.integers(1, longest)) for _ in range(3))
    dataflow, rows, cols = draw(st.sampled_from(DATAFLOWS)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    shape = ArrayShape(
        rows,
        cols,
        draw(st.sampled_from(FOLD_OVERLAPS)),
        draw(st.sampled_from([1, 1, 2, 3])),
        draw(st.sampled_from([1, 2])) if dataflow == "os" else 1,
        dataflow,
    )
    bits = OperandBits(
        draw(widths), draw(widths), 32, draw(st.sampled_from([8, 16, 32])), draw(st.sampled_from([None, 48]))
    )
    fit = [draw(st.integers(200, 60_000)) for _ in range(3)]
    depths = draw(st.tuples(*[st.integers(1, 2)] * 3))
    return Op("op", M, N, K), shape, bits, BufferLimits(*fit), depths


def every_blocking(op, array, bits, limits, depths, dram, pinned, tolerance):
    """The best of all candidates, each run."""
    choices = candidates(op, array, bits, limits, pinned, spills=depths[2] != 1)
    cycles = [nest_cycles(nest_of(op, array, bits, choices[i], depths), dram) for i in range(len(choices))]
    enough = min(cycles) * (1 + tolerance)
    traffic = choices.read_bits + choices.write_bits
    tied = [i for i in range(len(choices)) if cycles[i] <= enough]
    return choices[min(tied, key=lambda i: (traffic[i], choices.tiles[i], choices.order[i]))]


@settings(max_examples=250, deadline=None)
@given(searches(40), drams, st.sampled_from([0.0, 0.0, 0.01, 0.2]), st.sampled_from([None, *ORDERS]))
def test_the_compiled_search_finds_what_trying_all_finds(case, dram, tolerance, order):
    op, array, bits, limits, depths = case
    how = dram, Pinned(order=order), tolerance
    try:
        expected = every_blocking(*case, *how)
    except MappingError as complaint:
        assert fast_blocking(*case, *how) is None, "the general search says why"
        with pytest.raises(MappingError, match="^" + str(complaint)[:20]):
            candidates(op, array, bits, limits, how[1], spills=depths[2] != 1)
        return
    found = fast_blocking(*case, *how)
    assert found in (expected, None)
    if found is None:
        assert array.dataflow == "os", "all others are searched"
    cycles = {"cycles": lambda nest: nest_cycles(nest, dram), "bytes_per_cycle": dram.bytes_per_cycle}
    general = best_blocking(op, array, bits, limits, depths, **cycles, pinned=how[1], tolerance=tolerance)
    assert general == expected


@settings(max_examples=120, deadline=None)
@given(searches(), drams, st.data())
def test_pinned_sizes_are_taken_as_the_general_search_takes_them(case, dram, data):
    op, array, bits, *_ = case
    axes = axes_of(op, array, bits, Pinned())
    pins = [data.draw(st.sampled_from([None, *axis.tolist()])) for axis in axes]
    how = dram, Pinned(*pins), 0.0
    try:
        expected = every_blocking(*case, *how)
    except MappingError:
        return
    assert fast_blocking(*case, *how) in (expected, None)


@settings(max_examples=200, deadline=None)
@given(searches(60), drams, st.integers(0, 10**6))
def test_no_blocking_is_faster_than_its_bounds(case, dram, seed):
    """And a run is left only where it takes longer than allowed."""
    op, array, bits, limits, depths = case
    try:
        choices = candidates(op, array, bits, limits, spills=depths[2] != 1)
    except MappingError:
        return
    numbers, channel, work = case_of(op, array, bits), channel_of(dram, depths), new_work()
    for i in np.random.default_rng(seed).integers(0, len(choices), 12):
        b = choices[int(i)]
        sizes, counts, order = (b.m, b.n, b.k), b.counts(op), LOOPS[ORDERS.index(b.order)]
        exact = makespan(numbers, channel, sizes, counts, order, 1 << 60, work)[END]
        assert exact == nest_cycles(nest_of(op, array, bits, b, depths), dram)
        if b.k == op.K or array.dataflow != "os":
            loads = b.m * bits.act.dram_row_bits(b.k), b.n * bits.weight.dram_row_bits(b.k)
            least = first_load(channel, *loads) + after_load(numbers, channel, b.m, b.n)
            least += waiting(numbers, channel, step_of(numbers, channel, sizes), counts, order)
            _, moved = moving(numbers, channel, whole_bits(numbers), counts, innermost(counts, order))
            assert max(least, moved) <= exact
        for most in (exact - 1, exact, exact + 1):
            cycles = makespan(numbers, channel, sizes, counts, order, most, work)[END]
            assert (0 <= cycles <= most) == (exact <= most)
            assert cycles in (exact, -1)


@st.composite
def loops(draw):
    """Loops of tiles with made-up times, each as a nest and as the table of all its tiles."""
    counts = tuple(draw(st.sampled_from([1, 2, 3, 5, 6, 9, 14, 31])) for _ in range(3))
    shown = [min(count, 3) for count in counts]
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    rows = np.zeros(int(np.prod(shown)), TILE_DTYPE)
    most = draw(st.sampled_from([3, 40]))
    for column in ("act_load_bytes", "store_bytes", "issue_cycles", "drain_cycles", "fill_cycles"):
        rows[column] = rng.integers(0, most, len(rows)) * (rng.random(len(rows)) < draw(st.sampled_from([0.3, 0.9, 1])))
    rows["opens_output"] = (rows["store_bytes"] > 0) | (rng.random(len(rows)) < 0.2)
    rows["frees_output"] = rows["opens_output"] & (rng.random(len(rows)) < draw(st.sampled_from([0, 0.3])))
    rows["first_result_cycles"] = rng.integers(0, rows["issue_cycles"] + 1)
    depths = tuple(draw(st.integers(1, 3)) for _ in range(3))
    thirds = [[0 if b == 0 else min(c, 3) - 1 if b == c - 1 else 1 for b in range(c)] for c in counts]
    kinds = [(x * shown[1] + y) * shown[2] + z for x, y, z in product(*thirds)]
    table = rows[kinds]
    compute = int(table["fill_cycles"][0] + table["issue_cycles"].sum() + table["drain_cycles"][-1])
    return LoopNest(rows, compute, *depths, counts), TileTable(table, compute, *depths)


@settings(max_examples=300, deadline=None)
@given(loops(), drams)
def test_repeated_iterations_add_what_running_them_adds(case, dram):
    nest, table = case
    assert run_nest(nest, dram).by_cause() == run_pipeline(table, dram).by_cause()


def test_tiles_run_do_not_grow_with_the_loops():
    """A count that cannot flake: 10^9 tiles, of which some are run."""
    spans = np.tile(np.array([7, 20, 5, 3, 2, 4, 1, 1, 1]), (27, 1))
    runs = {n: run_loops((n, n, n), spans, 11, 2, 2, ANY_WAITING) for n in (10, 100, 1000)}
    assert runs[10][RAN] == runs[100][RAN] == runs[1000][RAN] <= 200
    assert runs[1000][END] > 20 * 10**9


def test_tiles_run_do_not_grow_where_sums_stay():
    """The innermost loop is along K: no place in the out scratchpad is taken or given back on the way."""
    spans = np.tile(np.array([7, 20, 5, 3, 2, 0, 0, 0, 1]), (27, 1))
    spans[::3, 6], spans[2::3, 5], spans[2::3, 7] = 1, 4, 1
    runs = {n: run_loops((n, n, n), spans, 11, 2, 2, ANY_WAITING) for n in (10, 100, 1000)}
    assert runs[10][RAN] == runs[100][RAN] == runs[1000][RAN] <= 200


def test_few_of_many_blockings_are_run():
    """A whole layer of BERT-base, weight-stationary: how many blockings have bounds, are run, and how many tiles."""
    design = sim.load_design("int8_systolic", set={"array.rows": 32, "array.cols": 32, "array.dataflow": "ws"})
    from simulator.study.systolic import build_systolic

    hardware, op, tried = build_systolic(design), Op("op", 128, 3072, 768), np.zeros(3, np.int64)
    how = hardware.array, hardware.bits
    assert len(candidates(op, *how, hardware.limits)) > 1500
    asked = case_of(op, *how), room_of(hardware.bits, hardware.limits), channel_of(hardware.dram, hardware.depths)
    search(
        *asked, axes_of(op, *how, Pinned()), np.ones(6, np.bool_), LOOPS, True, True, 0.0, (0, 0, 0), new_work(), tried
    )
    bounded, run, tiles = tried.tolist()
    assert bounded <= 300
    assert run <= 40
    assert tiles <= 1000


def test_a_place_for_one_tile_is_a_place_for_one():
    """With single-buffered scratchpads a load waits for the array."""
    op, bits = Op("op", 64, 64, 64), OperandBits(Width.plain(8), Width.plain(8), 32, 16)
    array, limits = ArrayShape(8, 8, "full", dataflow="ws"), BufferLimits(*[8 * 1024] * 3)
    how = IdealDram(4.0, 20, 16), Pinned(), 0.0
    for depths in product((1, 2), repeat=3):
        assert fast_blocking(op, array, bits, limits, depths, *how) == every_blocking(
            op, array, bits, limits, depths, *how
        )
