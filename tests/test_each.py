"""Tensors that are met again: the same numbers as one by one and anew, from tables as from plain loops, never stale."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator import datapath
from simulator.datapath import Job
from simulator.datapath import gobo as gobo_module
from simulator.datapath.coordinator import coordinator_cycles
from simulator.datapath.memory import Memory, bytes_of
from simulator.datapath.met_outliers import MetOutliers
from simulator.datapath.weight_outliers import WeightOutliers, per_tile
from simulator.engine import NO_MEMORY_LIMIT, IdealDram, run_each, run_pipeline, shared_tiles, tiles_of_each
from simulator.errors import MappingError
from simulator.formats import Encoded
from simulator.mapping import candidates, table_of
from simulator.mapping.tile_sums import added_sums, sums_of
from simulator.resources import shipped_dir
from simulator.study import judged as judging
from simulator.study.building import build
from simulator.study.likeness import likeness
from simulator.study.passes import simulate_pass
from simulator.study.simulate import simulate_op
from simulator.study.workloads import TensorSource, resolve_workload
from simulator.tiles import TILE_DTYPE
from simulator.workload import Op
from tests.test_blocking_search import searches

pytestmark = pytest.mark.kernels

DESIGNS = ["gobo_array", "gobo_dram_systolic", "olaccel_systolic", "biscaled_systolic", "llm_int8_systolic"]
EVERY_DESIGN = [*DESIGNS, "olive_systolic", "ant_systolic", "mxfp4_systolic", "rtx2080ti_olive"]
drams = st.builds(
    IdealDram,
    st.sampled_from([0.7, 4.0, 64.0]),
    st.integers(0, 90),
    st.sampled_from([1, 32]),
    st.sampled_from([None, 2]),
)


@pytest.fixture(autouse=True)
def forgetful():
    judging.MEMORY.clear()
    yield
    judging.MEMORY.clear()


# The engine


@settings(max_examples=150, deadline=None)
@given(searches(40), st.one_of(drams, st.just(NO_MEMORY_LIMIT)), st.integers(0, 10**6), st.integers(0, 2**32 - 1))
def test_many_gemms_take_what_each_takes_alone(case, dram, which, seed):
    op, array, bits, limits, depths = case
    if dram is NO_MEMORY_LIMIT:
        limits, depths = None, (0, 0, 0)
    try:
        choices = candidates(op, array, bits, limits, spills=depths[2] != 1)
    except MappingError:
        assume(False)
    table = table_of(op, array, bits, choices[which % len(choices)], depths)
    rng = np.random.default_rng(seed)
    act, weight, outlier, vector = rng.integers(0, 300, (4, 3, len(table))) * rng.integers(0, 2, (4, 3, len(table)))
    own = {"outlier_cycles": outlier, "vector_cycles": vector}
    found = run_each(tiles_of_each(shared_tiles(table), act + weight, own), dram)
    alone, sums = [], []
    for g in range(3):
        rows = table.rows.copy()
        rows["act_load_bytes"] += act[g]
        rows["weight_load_bytes"] += weight[g]
        rows["outlier_cycles"], rows["vector_cycles"] = outlier[g], vector[g]
        alone.append(run_pipeline(replace(table, rows=rows), dram))
        sums.append(sums_of(replace(table, rows=rows), bits, 32))
    for field in ("total_cycles", "compute_cycles", "fill_drain_cycles"):
        assert getattr(found, field) == sum(getattr(timing, field) for timing in alone)
    assert found.stalls == {cause: sum(timing.stalls[cause] for timing in alone) for cause in found.stalls}
    before = sums_of(table, bits, 32)
    more = tuple(sum(column) - 3 * was for column, was in zip(zip(*sums, strict=True), before, strict=True))
    assert added_sums(table, act, weight, bits, 32) == more


# Ops


def operands(op, seed=0):
    """Real tensors, a few columns and values of which are large."""
    rng = np.random.default_rng(seed)
    act = rng.standard_normal((op.count, op.M, op.K), dtype=np.float32)
    act[:, :, :: op.K // 3] *= rng.integers(1, 9, (op.count, 1, act[:, :, :: op.K // 3].shape[2])).astype(np.float32)
    weight = rng.standard_t(4, (op.count, op.N, op.K)).astype(np.float32)
    return act, weight


def known(result):
    """All of a result but its arrays."""
    bare = result.without_arrays()
    return bare.timing, bare.counts, bare.energy, bare.quality, bare.storage, bare.tiles, bare.partition


@pytest.mark.parametrize(
    ("name", "op"),
    [(name, Op("many", 37, 29, 52, 3, "bmm")) for name in EVERY_DESIGN] + [(n, Op("one", 50, 70, 90)) for n in DESIGNS],
    ids=lambda x: getattr(x, "name", x),
)
def test_a_source_gives_what_tensors_give(name, op):
    """On arrays and buffers of several sizes, each asked twice."""
    tensors = operands(op)
    source = TensorSource(("here", op), lambda: tensors)
    for changes in [{}, {"memory.dram.bandwidth_gb_s": 4.0}, {"array.rows": 8, "array.cols": 12}, {"cores.count": 2}]:
        if name.startswith("rtx") and changes:
            continue
        small = {} if name.startswith("rtx") else {f"memory.{pad}_buffer.capacity_kib": 8 for pad in ("act", "weight")}
        for dataflow in build(sim.load_design(name)).datapath.dataflows if small else [None]:
            chosen = {"array.dataflow": dataflow} if dataflow else {}
            hardware = build(sim.load_design(name, set=small | changes | chosen))
            expected = known(simulate_op(hardware, op, tensors))
            assert known(simulate_op(hardware, op, source)) == expected
            again = build(sim.load_design(name, set=small | changes | chosen))
            assert known(simulate_op(again, op, source)) == expected


def test_other_engines_and_odd_counts_go_the_general_way(monkeypatch):
    op = Op("op", 20, 24, 40, 2, "bmm")
    tensors, hardware = operands(op), build(sim.load_design("olaccel_systolic"))
    source = TensorSource("here", lambda: tensors)
    for fidelity in ("bound", "event"):
        assert known(simulate_op(hardware, op, source, fidelity=fidelity)) == known(
            simulate_op(hardware, op, tensors, fidelity=fidelity)
        )
    monkeypatch.setattr(type(hardware.datapath), "actions_per_mac", lambda self: {"mac_int4x4_acc24": 0.3})
    fresh = build(sim.load_design("olaccel_systolic"))
    assert known(simulate_op(fresh, op, source)) == known(simulate_op(fresh, op, tensors))


TIMING_OPTIONS = {
    "gobo": {"fifo_depth": 2, "service_cycles": 3, "push_width": 4, "outlier_share": 0.3},
    "gobo_dram": {"port_bits": 64, "outlier_share": 0.3},
    "olaccel": {"group": 3, "stalls": False},
    "biscaled": {"wide_share": 0.3},
    "mixed_int8_fp16": {"fp16_cols": 3, "vector_lanes": 5, "outlier_dims": 1},
}


@pytest.mark.parametrize("name", datapath.names())
def test_what_a_datapath_says_of_its_options_and_costs_is_true(name):
    """Options that decide no value change none; costs see no more of operands, and of bandwidth, than is said."""
    plain, changed = datapath.create(name, {}), datapath.create(name, TIMING_OPTIONS.get(name, {}))
    assert set(TIMING_OPTIONS.get(name, {})) == type(plain).timing_options
    assert plain.value_options() == changed.value_options()
    act, weight = operands(Op("op", 24, 20, 48))
    how = ("tensor", "row"), ("mse", "mse")
    (pair,), (other,) = (unit.encode(act, weight, *how) for unit in (plain, changed))
    for mine, theirs in zip(pair, other, strict=True):
        np.testing.assert_array_equal(mine.codes, theirs.codes)
        np.testing.assert_array_equal(mine.scale, theirs.scale)
        assert mine.extras.keys() == theirs.extras.keys()
        assert all(np.array_equal(mine.extras[x], theirs.extras[x]) for x in mine.extras)
    assert plain.matmul(*pair).tobytes() == changed.matmul(*pair).tobytes()
    tiles = grid(24, 20, 48, 8, 8, 24)
    job = Job(24, 20, 48, 8, 8, tiles, *pair, 0, lambda *_: (50, 20))
    expected, seen = plain.tile_costs(job), plain.seen_by_costs(*pair)
    if expected is not None:
        same_costs(plain.tile_costs(replace(job, act=seen[0], weight=seen[1])), expected)
    if expected is not None and not plain.costs_know_bandwidth:
        same_costs(plain.tile_costs(replace(job, dram_bytes_per_cycle=0.1)), expected)


def same_costs(found, expected):
    for field in ("outlier_cycles", "vector_cycles", "act_load_bytes", "weight_load_bytes"):
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field))
    assert (found.act_buffer_bits, found.weight_buffer_bits) == (expected.act_buffer_bits, expected.weight_buffer_bits)
    assert found.actions == expected.actions


# Tables of sums


def grid(M, N, K, m, n, k):
    """Tiles of m x n x k, as far as costs look at them."""
    places = [(i, j, s) for i in range(0, M, m) for j in range(0, N, n) for s in range(0, K, k)]
    tiles = np.zeros(len(places), TILE_DTYPE)
    for tile, (i, j, s) in zip(tiles, places, strict=True):
        tile["m0"], tile["n0"], tile["k0"] = i, j, s
        tile["m"], tile["n"], tile["k"] = min(m, M - i), min(n, N - j), min(k, K - s)
        tile["issue_cycles"] = tile["act_load_bytes"] = tile["weight_load_bytes"] = 1
    return tiles


shapes = st.tuples(*[st.integers(1, 40)] * 3)
sides = st.tuples(*[st.integers(1, 12)] * 2)
blocks = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 40))
shares = st.sampled_from([0.0, 0.05, 0.4, 1.0])
numbers = st.integers(0, 2**32 - 1)


def listed(rng, lines, K, share):
    """An operand's outliers, (lines, K), and the operand as costs look at it."""
    places = rng.random((lines, K)) < share
    position = np.flatnonzero(places)
    return places, Encoded(np.zeros((lines, 0), np.uint8), np.ones((), np.float32), K, {"outlier_position": position})


@settings(max_examples=50, deadline=None)
@given(shapes, sides, blocks, shares, shares, st.integers(1, 20), st.sampled_from(["os", "ws"]), numbers)
def test_outliers_met_by_tiles_are_those_that_plain_loops_meet(shape, side, block, a, w, group, dataflow, seed):
    (M, N, K), (rows, cols) = shape, side
    rng = np.random.default_rng(seed)
    (acts, act), (weights, weight) = listed(rng, M, K, a), listed(rng, N, K, w)
    m, n, k = block[0] * rows, block[1] * cols, block[2]
    if dataflow == "ws":
        m, k = block[2], block[0] * rows
    tiles, memory = grid(M, N, K, m, n, k), Memory(1 << 20)
    job = Job(M, N, K, rows, cols, tiles, act, weight, 0, dataflow=dataflow, memory=memory)
    for job_ in (job, replace(job, tiles=grid(M, N, K, M + -M % rows, N + -N % cols, K + -K % rows))):
        found = MetOutliers(job_, 0.0, group)
        assert found.both() == int((acts.sum(0) * weights.sum(0)).sum())
        waits = found.waiting()
        for i, t in enumerate(job_.tiles):
            here = slice(t["m0"], t["m0"] + t["m"]), slice(t["n0"], t["n0"] + t["n"]), slice(t["k0"], t["k0"] + t["k"])
            assert found.listed("act")[i] == acts[here[0], here[2]].sum()
            assert found.listed("weight")[i] == weights[here[1], here[2]].sum()
            assert waits[i] == waited(acts[here[0], here[2]], weights[here[1], here[2]], side, group, dataflow)
        if dataflow == "ws":
            assert found.hops() == sum((k % rows + 1) * int(weights[:, k].sum()) for k in range(K)) * folds_of(job_)


def folds_of(job):
    """How often each weight is held: once for every block of M."""
    return len({int(m0) for m0 in job.tiles["m0"]})


def waited(acts, weights, side, group, dataflow):
    """Cycles that the folds of one tile wait, step by step."""
    rows, cols = side
    cycles = 0
    down, steps = (acts.T, len(acts)) if dataflow == "ws" else (acts, acts.shape[1])
    for r in range(0, len(down), rows):
        for c in range(0, len(weights), cols):
            for step in range(steps):
                mine = fullest(down[r : r + rows, step], group)
                if dataflow == "os":
                    theirs = fullest(weights[c : c + cols, step], group)
                else:
                    held = weights[c : c + cols, r : r + rows]
                    theirs = max(fullest(held[:, k], group) for k in range(held.shape[1]))
                cycles += max(0, mine - 1, theirs - 1)
    return cycles


def fullest(line, group):
    return max(int(line[g : g + group].sum()) for g in range(0, len(line), group))


@settings(max_examples=50, deadline=None)
@given(shapes, sides, blocks, shares, st.tuples(*[st.integers(1, 4)] * 3), numbers)
def test_what_tiles_wait_for_a_coordinator_is_what_their_folds_wait(shape, side, block, share, unit, seed):
    (M, N, K), (rows, cols) = shape, side
    places, weight = listed(np.random.default_rng(seed), N, K, share)
    act, memory = listed(np.random.default_rng(seed), M, K, 0.0)[1], Memory(1 << 20)
    dp = datapath.create("gobo", dict(zip(("fifo_depth", "service_cycles", "push_width"), unit, strict=True)))
    for sizes in ((block[0] * rows, block[1] * cols, block[2]), (rows, cols, K)):
        tiles = grid(M, N, K, *sizes)
        job = Job(M, N, K, rows, cols, tiles, act, weight, 0, memory=memory)
        costs = dp.tile_costs(job)
        counted = per_tile(job, 1, lambda k0, k: WeightOutliers.of(job, 0.0).before_rows(k0, k))  # noqa: B023
        for i, t in enumerate(tiles):
            here = places[t["n0"] : t["n0"] + t["n"], t["k0"] : t["k0"] + t["k"]]
            waits = 0
            for c in range(0, len(here), cols):
                lane = np.zeros((here.shape[1], cols), bool)
                lane[:, : len(here[c : c + cols])] = here[c : c + cols].T
                cycles = coordinator_cycles(np.flatnonzero(lane), lane.size, cols, *unit)
                waits += cycles["total_cycles"] - cycles["steps"]
            assert costs.outlier_cycles[i] == waits * -(-int(t["m"]) // rows)
            assert costs.weight_load_bytes[i] == 8 * here.sum() == 8 * counted[i]


# Never stale, never without bounds, never twice


def test_a_changed_trace_is_read_again(tmp_path):
    folder = tmp_path / "trace"
    shutil.copytree(shipped_dir("traces") / "minilm-l6-sample", folder)
    workload, hardware = resolve_workload(str(folder)), build(sim.load_design("llm_int8_systolic"))
    place = next(i for i, step in enumerate(workload.steps) if step.name.endswith("layer.0.attention.self.query"))
    op = workload.steps[place]
    before = simulate_op(hardware, op, workload.source(place))
    assert known(simulate_op(hardware, op, workload.source(place))) == known(before)
    made = judging.MEMORY.made
    shard = folder / workload.trace.record(op.name).a.shard
    stored = workload.trace.stored(op.name, "a")
    values = np.memmap(shard, stored.dtype, "r+", stored.offset, stored.shape)
    values *= 1.5
    values.flush()
    after = simulate_op(hardware, op, workload.source(place))
    assert judging.MEMORY.made > made
    assert known(after) == known(simulate_op(hardware, op, workload.tensors(place)))
    assert after.quality.signal > 2 * before.quality.signal


def test_points_that_differ_in_time_alone_count_nothing_again(monkeypatch):
    """A recorded count: tensors are judged once, folds counted once for each number of columns and cut along K."""
    judged, coordinated = [], []
    check, batch = judging.check_values, gobo_module.coordinator_batch
    monkeypatch.setattr(judging, "check_values", lambda *a: judged.append(0) or check(*a))
    monkeypatch.setattr(gobo_module, "coordinator_batch", lambda *a: coordinated.append(0) or batch(*a))
    op = Op("op", 48, 64, 96, 2, "bmm")
    source = TensorSource("here", lambda: operands(op))

    def sweep(**axes):
        for value in axes["values"]:
            simulate_op(build(sim.load_design("gobo_array", set={axes["path"]: value})), op, source)
        return len(judged), len(coordinated)

    assert sweep(path="memory.dram.bandwidth_gb_s", values=[1.0, 8.0, 64.0]) == (1, 2)
    assert sweep(path="clock_mhz", values=[250, 500, 1000]) == (1, 2)
    assert sweep(path="array.rows", values=[8, 16, 24, 40]) == (1, 2)
    assert sweep(path="memory.weight_buffer.capacity_kib", values=[8, 16, 32]) == (1, 2)
    assert sweep(path="array.cols", values=[8, 16, 24]) == (1, 6)
    assert sweep(path="datapath.service_cycles", values=[2]) == (1, 8)
    assert sweep(path="datapath.index_bits", values=[4]) == (2, 10)


def test_a_memory_holds_no_more_than_it_may():
    memory = Memory(10_000)
    for i in range(20):
        memory.get(i, lambda: np.zeros(100))
        memory.get("often", lambda: np.zeros(100))
        assert memory.held_bytes <= 10_000
    assert memory.made == 21
    memory.get(0, lambda: np.zeros(100))
    assert memory.made == 22, "the one that was not asked for longest had gone"
    huge = memory.get("huge", lambda: np.zeros(10_000))
    assert memory.get("huge", lambda: huge + 1)[0] == 1, "what does not fit is not kept"
    assert memory.within("a").get("k", lambda: 1) == 1
    assert memory.within("b").get("k", lambda: 2) == 2
    assert memory.within("a").get("k", lambda: 3) == 1
    assert [memory.get([], lambda i=i: i) for i in range(2)] == [0, 1], "a list has no hash"
    memory.clear()
    assert memory.held_bytes == 0


def test_bytes_of_records_are_those_of_their_arrays():
    operand = Encoded(np.zeros((4, 1000), np.uint8), np.ones(4, np.float32), 1000, {"list": np.zeros(500)})
    assert 8016 < bytes_of((operand, [operand])) / 2 < 10_000


@pytest.mark.parametrize("name", ["int8_systolic", "fp16_systolic", "gobo_array"])
def test_passes_that_are_alike_take_what_each_takes_alone(name):
    """Every pass of the sample trace, on hardware that has met the others and on hardware that has met none."""
    steps, hardware = resolve_workload("minilm-l6-sample").steps, build(sim.load_design(name))
    places = [i for i, step in enumerate(steps) if not isinstance(step, Op)]
    for i in places:
        assert simulate_pass(hardware, steps, i) == simulate_pass(replace(hardware), steps, i)
    tokens = {likeness(steps)[i] for i in places}
    assert len(tokens) < len(places) / 2
    assert likeness(list(steps)) == likeness(steps), "by what they are, not by which list they are in"
