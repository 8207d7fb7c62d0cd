"""Passes of the vector unit: operations counted one by one, cycles by hand, every engine, every design."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.config import kind_of, load_design
from simulator.config.design import VectorUnit
from simulator.cost import area_um2
from simulator.datapath import Width
from simulator.engine import IdealDram, nest_cycles, run_bound, run_nest, run_pipeline
from simulator.engine.event import run_events
from simulator.errors import ConfigError, WorkloadError
from simulator.mapping import ArrayShape, BufferLimits
from simulator.mapping.fused import waiting_cycles
from simulator.mapping.scratchpads import Memories, Pad
from simulator.mapping.vector import (
    VECTOR_ACTIONS,
    Lanes,
    VectorJob,
    actions_of,
    count_pass,
    lower_pass,
    vector_cycles,
    whole_table,
)
from simulator.resources import shipped_names
from simulator.study.building import build
from simulator.study.passes import simulate_pass, simulate_step
from simulator.workload import PASS_KINDS, WORK, Op, Pass, work_of
from tests import naive_passes as naive

HALF = Width.plain(16)
MEMORIES = Memories(Pad(512), Pad(512), Pad(512), 64)
LANE_COUNTS = st.sampled_from([1, 3, 8, 64])


def job(work, source=HALF, result=HALF, dynamic=None):
    return VectorJob(work.rows, work.cols, work_of(work, dynamic), source, result)


def a_pass(kind, rows, cols, block=0, **more):
    return Pass("p", kind, rows, cols, block=block, **more)


# Operations, against passes run one value at a time; values against numpy

RNG = np.random.default_rng(5)
X = RNG.standard_normal((3, 16))
GAIN, OFFSET, OTHER = RNG.standard_normal(16), RNG.standard_normal(16), RNG.standard_normal((3, 16))


def norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * GAIN + OFFSET


def powers(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def codes(x, groups):
    parts = x.reshape(3, groups, -1)
    return np.clip(np.round(parts * (7 / np.abs(parts).max(-1, keepdims=True))), -7, 7).reshape(3, 16)


def butterfly(n):
    return np.array([[(-1.0) ** bin(i & j).count("1") for j in range(n)] for i in range(n)])


def turned(x, angles):
    left, right = x[:, :8], x[:, 8:]
    c, s = np.cos(angles), np.sin(angles)
    return np.concatenate([left * c - right * s, right * c + left * s], axis=1)


def filtered(x, taps):
    padded = np.concatenate([np.zeros((taps.shape[1] - 1, x.shape[1])), x])
    return np.stack([(padded[t : t + taps.shape[1]] * taps.T).sum(0) for t in range(len(x))])


def scanned(x, dt, B, C, A, D):
    h, out = np.zeros(A.shape), []
    for t in range(len(x)):
        h = np.exp(dt[t][:, None] * A) * h + (dt[t] * x[t])[:, None] * B[t]
        out.append((h * C[t]).sum(-1) + D * x[t])
    return np.array(out)


ANGLES, TAPS = RNG.uniform(0, 6, 8), RNG.standard_normal((16, 4))
SCAN = (np.abs(OTHER), RNG.standard_normal((3, 5)), RNG.standard_normal((3, 5)),
        -RNG.uniform(0.1, 2, (16, 5)), GAIN)  # fmt: skip
WINDOWS = RNG.standard_normal((3, 16, 9))
CASES = {
    "softmax": (lambda lane, i: naive.softmax(lane, X[i]), powers(X)),
    "layer_norm": (lambda lane, i: naive.layer_norm(lane, X[i], GAIN, OFFSET, 1e-5), norm(X)),
    "rms_norm": (
        lambda lane, i: naive.rms_norm(lane, X[i], GAIN, 1e-5),
        X / np.sqrt((X**2).mean(-1, keepdims=True) + 1e-5) * GAIN,
    ),
    "gelu": (
        lambda lane, i: naive.gelu(lane, X[i]),
        0.5 * X * (1 + np.tanh(math.sqrt(2 / math.pi) * (X + 0.044715 * X**3))),
    ),
    "silu": (lambda lane, i: naive.silu(lane, X[i]), X / (1 + np.exp(-X))),
    "relu": (lambda lane, i: naive.relu(lane, X[i]), np.maximum(X, 0)),
    "relu6": (lambda lane, i: naive.relu6(lane, 9 * X[i]), np.clip(9 * X, 0, 6)),
    "multiply": (lambda lane, i: naive.multiply(lane, X[i], OTHER[i]), X * OTHER),
    "softplus": (lambda lane, i: naive.softplus(lane, X[i]), np.log1p(np.exp(X))),
    "rotary": (lambda lane, i: naive.rotary(lane, X[i], ANGLES), turned(X, ANGLES)),
    "lookup": (lambda lane, i: naive.lookup(lane, X, i), X),
    "bias": (lambda lane, i: naive.bias(lane, X[i], OFFSET), X + OFFSET),
    "residual": (lambda lane, i: naive.residual(lane, X[i], OTHER[i]), X + OTHER),
    "scale": (lambda lane, i: naive.scale(lane, X[i], 0.125), X * 0.125),
    "dequantise": (lambda lane, i: naive.dequantise(lane, X[i], 0.5, GAIN), X * 0.5 * GAIN),
    "quantise": (lambda lane, i: naive.quantise(lane, X[i], 3.0, 7), np.clip(np.round(X * 3), -7, 7)),
    "quantise by row": (lambda lane, i: naive.quantise_dynamic(lane, X[i], 7, 16), codes(X, 1)),
    "quantise by 4": (lambda lane, i: naive.quantise_dynamic(lane, X[i], 7, 4), codes(X, 4)),
    "hadamard": (lambda lane, i: naive.hadamard(lane, X[i], 16), X @ butterfly(16)),
    "hadamard by 4": (
        lambda lane, i: naive.hadamard(lane, X[i], 4),
        (X.reshape(3, 4, 4) @ butterfly(4)).reshape(3, 16),
    ),
    "max_pool": (lambda lane, i: naive.max_pool(lane, WINDOWS[i]), WINDOWS.max(-1)),
    "mean_pool": (lambda lane, i: naive.mean_pool(lane, WINDOWS[i]), WINDOWS.mean(-1)),
}
ALONG_ROWS = {
    "conv1d": (lambda lane: naive.conv1d(lane, X, TAPS), filtered(X, TAPS), 4),
    "selective_scan": (lambda lane: naive.selective_scan(lane, X, *SCAN), scanned(X, *SCAN), 5),
}
OPTIONS = {"quantise by row": {"dynamic": 0}, "quantise by 4": {"dynamic": 4}}
BLOCKS = {"hadamard by 4": 4, "max_pool": 9, "mean_pool": 9}


def test_every_kind_is_tried():
    assert {name.split(" by ")[0] for name in (*CASES, *ALONG_ROWS)} == set(PASS_KINDS) == set(WORK)


@pytest.mark.parametrize("name", CASES)
def test_operations_are_those_of_the_pass_done_by_hand(name):
    run, expected = CASES[name]
    lane = naive.Lane()
    found = [run(lane, i) for i in range(3)]
    np.testing.assert_allclose(np.array(found, float), expected, rtol=1e-9, atol=1e-12)
    counted = actions_of(job(a_pass(name.split(" by ")[0], 3, 16, BLOCKS.get(name, 0)), **OPTIONS.get(name, {})))
    assert counted == {VECTOR_ACTIONS[what]: n for what, n in lane.done.items()}


@pytest.mark.parametrize("kind", ALONG_ROWS)
def test_operations_along_rows_are_those_done_by_hand(kind):
    run, expected, block = ALONG_ROWS[kind]
    lane = naive.Lane()
    np.testing.assert_allclose(np.array(run(lane)), expected, rtol=1e-9, atol=1e-12)
    counted = actions_of(job(a_pass(kind, 3, 16, block)))
    assert counted == {VECTOR_ACTIONS[what]: n for what, n in lane.done.items()}


@pytest.mark.parametrize(("kind", "block", "per_value", "per_row", "per_column", "kept"),
                         [("conv1d", 4, 1, 0, 4 + 3, 3), ("selective_scan", 16, 2, 32, 16 + 1 + 16, 16)])  # fmt: skip
def test_what_is_kept_of_a_column_comes_and_goes_once(kind, block, per_value, per_row, per_column, kept):
    """However the rows are cut: taps or A and D, and the state before; the state after."""
    asked = job(a_pass(kind, 40, 90, block))
    for kib in (6, 400):
        limits = BufferLimits(kib * 8192, 400 * 8192, 400 * 8192)
        table = whole_table(asked, Lanes(8, 4), lower_pass(asked, Lanes(8, 4), limits, (1, 1, 1), len))
        counts = count_pass(asked, table, MEMORIES)
        assert (len(table.rows) > 1) == (kib == 6)
        assert counts.traffic["dram", "act"].read_bits == 16 * 40 * (90 * per_value + per_row)
        assert counts.traffic["dram", "weight"].read_bits == 16 * 90 * per_column
        assert counts.traffic["dram", "out"].write_bits == 16 * 90 * (40 + kept)


BLOCK = {"max_pool": 9, "mean_pool": 9, "conv1d": 4, "selective_scan": 5}


@given(
    kind=st.sampled_from(PASS_KINDS), rows=st.integers(1, 9), cols=st.integers(1, 70), lanes=LANE_COUNTS,
    special=st.integers(1, 5), dynamic=st.sampled_from([None, 0, 4, 32]),
)  # fmt: skip
def test_cycles_are_those_of_a_walk_over_the_lanes(kind, rows, cols, lanes, special, dynamic):
    cols = 64 if kind == "hadamard" else cols
    asked = job(a_pass(kind, rows, cols, BLOCK.get(kind, 0)), dynamic=dynamic)
    work = asked.work
    expected = naive.cycles(
        rows, cols, lanes, special, (work.adds + work.muls, work.specials),
        (work.row_adds + work.row_muls, work.row_specials), work.reductions, work.group,
    )  # fmt: skip
    assert vector_cycles(asked, Lanes(lanes, special), rows, cols) == expected


# Tiles and engines


@st.composite
def jobs(draw):
    kind = draw(st.sampled_from(PASS_KINDS))
    cols = 2 ** draw(st.integers(0, 6)) if kind == "hadamard" else draw(st.integers(1, 90))
    block = min(cols, 8) if kind == "hadamard" else min(BLOCK.get(kind, 0), 4)
    made = a_pass(kind, draw(st.integers(1, 40)), cols, block)
    packed = draw(
        st.sampled_from([Width.plain(4), Width.plain(8), Width.plain(16), Width(32, 136, 136), Width(2, 8, 8)])
    )
    dynamic = draw(st.sampled_from([None, 0, 32]))
    return job(made, result=packed if kind == "quantise" else HALF, dynamic=dynamic)


DRAMS = st.builds(
    IdealDram,
    bytes_per_cycle=st.floats(0.1, 300),
    latency_cycles=st.integers(0, 80),
    burst_bytes=st.sampled_from([1, 32, 64]),
)


def best(asked, lanes, limits, depths, dram):
    """Its tiles one by one; as loops they take the same cycles and have the same counts."""
    nest = lower_pass(asked, lanes, limits, depths, lambda nest: nest_cycles(nest, dram))
    table = whole_table(asked, lanes, nest)
    assert run_nest(nest, dram).by_cause() == run_pipeline(table, dram).by_cause()
    assert count_pass(asked, nest, MEMORIES) == count_pass(asked, table, MEMORIES)
    assert len(nest) == len(table)
    return table


@settings(max_examples=300, deadline=None)
@given(
    asked=jobs(), lanes=st.builds(Lanes, LANE_COUNTS, st.integers(1, 5)), dram=DRAMS,
    kib=st.integers(4, 400), depths=st.tuples(*[st.sampled_from([1, 2])] * 3),
)  # fmt: skip
def test_bound_pipeline_event_and_conservation(asked, lanes, dram, kib, depths):
    limits = BufferLimits(*(kib * 8192 // d for d in depths))
    table = best(asked, lanes, limits, depths, dram)
    bound, pipeline, event = (run(table, dram) for run in (run_bound, run_pipeline, run_events))
    assert bound.total_cycles <= pipeline.total_cycles
    assert event.by_cause() == pipeline.by_cause()
    assert pipeline.compute_cycles == 0
    tiles, work = table.rows, asked.work
    assert tiles["macs"].sum() == tiles["issue_cycles"].sum() == 0
    covered = np.zeros((asked.rows, asked.cols), int)
    assert not (tiles["n0"] % (work.group or 1)).any(), "what depends on each other stays together"
    for tile in tiles:
        covered[tile["m0"] : tile["m0"] + tile["m"], tile["n0"] : tile["n0"] + tile["n"]] += 1
        assert tile["m"] * (work.inputs * asked.source.row_bits(tile["n"]) + 16 * work.row_inputs) <= limits.act_bits
        assert tile["m"] * asked.result.row_bits(tile["n"]) + 16 * tile["n"] * work.kept <= limits.out_bits
    assert (covered == 1).all()
    counts = count_pass(asked, table, MEMORIES)
    values, across = asked.rows * asked.cols, len(set(tiles["n0"].tolist()))
    per_row = 16 * asked.rows * work.row_inputs * across
    assert counts.traffic["dram", "act"].read_bits == 16 * values * work.inputs + per_row
    loads = counts.traffic["dram", "weight"].read_bits
    kept = loads // work.parameters * work.kept if work.kept else 0  # as often as parameters come
    assert counts.traffic["dram", "out"].write_bits == asked.rows * asked.result.dram_row_bits(asked.cols) + kept
    assert counts.traffic["dram", "weight"].read_bits >= 16 * asked.cols * work.parameters
    assert counts.traffic["act_buffer", "act"].read_bits == work.reads * counts.traffic["dram", "act"].read_bits


@settings(max_examples=100, deadline=None)
@given(asked=jobs(), dram=DRAMS, kib=st.integers(40, 80), more=st.floats(1, 8))
def test_more_of_anything_never_costs_cycles(asked, dram, kib, more):
    lanes = Lanes(8, 4)

    def took(lanes, kib, dram, depth=2):
        return run_pipeline(best(asked, lanes, BufferLimits(*[kib * 8192] * 3), (depth,) * 3, dram), dram).total_cycles

    least = took(lanes, kib, dram)
    assert took(lanes, kib * 2, dram) <= least
    assert took(lanes, kib, dataclasses.replace(dram, bytes_per_cycle=dram.bytes_per_cycle * more)) <= least
    assert took(Lanes(8, 2), kib, dram) <= least
    assert took(lanes, kib, dram, depth=1) >= least


@given(M=st.integers(1, 60), N=st.integers(1, 60), K=st.integers(1, 60), dataflow=st.sampled_from(["os", "ws", "is"]),
       vector=st.integers(0, 4000), more=st.integers(0, 400))  # fmt: skip
def test_a_fused_pass_shows_where_it_is_slower_than_the_array(M, N, K, dataflow, vector, more):
    array, op = ArrayShape(8, 6, "full", dataflow=dataflow), Op("op", M, N, K)
    waiting = waiting_cycles(op, array, vector)
    assert 0 <= waiting <= vector + array.total(M, N, K)
    assert waiting <= waiting_cycles(op, array, vector + more)
    assert waiting >= vector - array.total(M, N, K)


def test_a_fused_pass_by_hand():
    """2 x 3 folds of 8 x 6 PEs, K = 40: fold i leaves 40 cycles after the one before it; 6 vector cycles a fold hide,
    but for the last; of 50, ten show per fold but the last, of which all do.
    """
    array, op = ArrayShape(8, 6, "full"), Op("op", 16, 18, 40)
    a = array.total(16, 18, 40) // 6
    assert a == (5 * 40 + 40 + 16 + 6 - 2) // 6 == 43
    assert waiting_cycles(op, array, 6 * 6) == 6
    assert waiting_cycles(op, array, 6 * 50) == 5 * (50 - 43) + 50


# On designs


def hardware(name, **changes):
    return build(load_design(name, set=changes))


def alone(name, step, **changes):
    return simulate_pass(hardware(name, **changes), [step], 0)


def test_the_worked_example_of_the_documentation():
    """docs/passes.md: softmax of 128 x 128 on int8_systolic."""
    unlimited = alone("int8_systolic", Pass("s", "softmax", 128, 128), **{"memory.dram.model": "none"})
    assert unlimited.timing.by_cause()["stall_vector"] == unlimited.timing.total_cycles == 256 * 9 + 2 * 4 + 2 * 6
    result = alone("int8_systolic", Pass("s", "softmax", 128, 128))
    assert result.counts.actions == {
        "vector_add_fp32": 128 * (127 + 128 + 127),
        "vector_mul_fp32": 128 * (128 + 128),
        "vector_special_fp32": 128 * (128 + 1),
    }
    assert result.counts.traffic["dram", "act"].read_bits == result.counts.traffic["dram", "out"].write_bits == 262144
    assert (result.tiles, result.timing.total_cycles) == (4, 4 * (64 * 9 + 4 + 12) + 50 + 64 + 64)
    assert result.energy["vector"] == pytest.approx(48896 * 8.9013 + 32768 * 16.949 + 16512 * 49.973, rel=1e-4)


def test_the_documentation_says_so():
    text = (Path(__file__).resolve().parent.parent / "docs" / "passes.md").read_text(encoding="utf-8")
    for number in ("**2324 cycles**", "**48,896**", "**32,768**", "**16,512**", "**2546 cycles**", "1.816 µJ"):
        assert number in text
    rows = dict(re.findall(r"^\| `(\w+)`[^|]*\|(.*)\|$", text, re.MULTILINE))
    assert set(rows) == set(PASS_KINDS)
    for kind, cells in rows.items():
        fields = [cell.strip() for cell in cells.split("|")]
        work = WORK[kind]
        if kind not in ("hadamard", "max_pool", "mean_pool", "quantise", "conv1d", "selective_scan"):
            assert [int(cell or 0) for cell in fields[:4]] == [work.adds, work.muls, work.specials, work.reductions]
            assert fields[6] == f"{work.reads}, {work.rewrites}"


SYSTOLIC = [name for name in shipped_names("configs/designs") if kind_of(load_design(name)) == "systolic"]


@pytest.mark.parametrize("name", shipped_names("configs/designs"))
def test_a_design_decides_what_quantising_takes(name):
    found = hardware(name)
    step = Pass("q", "quantise", 64, 128, gemm="x")
    back = Pass("d", "dequantise", 64, 128, gemm="x")
    result = simulate_pass(found, [step], 0)
    if found.datapath.stored_format("act") == "fp16":
        kept = ("fp16_mac", "gobo", "gobo_dram", "mixed_int8_fp16")
        assert found.datapath.name in kept
        for nothing in (result, simulate_pass(found, [back], 0)):
            assert (nothing.timing.total_cycles, nothing.tiles, sum(nothing.energy.values())) == (0, 0, 0)
        return
    assert result.counts.level("dram").read_bits == 64 * 128 * 16
    assert result.counts.level("dram").write_bits == 64 * found.datapath.width("act").dram_row_bits(128)
    assert simulate_pass(found, [back], 0).counts.actions == {"vector_mul_fp32": 2 * 64 * 128}


@pytest.mark.parametrize(("name", "bits"), [("olive_systolic", 4), ("ant_systolic", 4), ("int8_systolic", 8),
                                            ("adaptivfloat_systolic", 8), ("mxfp4_systolic", 4.25)])  # fmt: skip
def test_quantising_writes_what_the_datapath_reads(name, bits):
    written = alone(name, Pass("q", "quantise", 64, 128)).counts.level("dram").write_bits
    assert written == 64 * 128 * bits
    assert written == build(load_design(name)).datapath.width("act").dram_row_bits(128) * 64


def test_scales_per_row_are_found_at_run_time_and_one_per_tensor_is_known():
    by_token = alone("int8_systolic", Pass("q", "quantise", 64, 128))
    by_tensor = alone(
        "int8_systolic", Pass("q", "quantise", 64, 128), **{"quantisation.activations.granularity": "tensor"}
    )
    more = {"vector_add_fp32": 64 * 127, "vector_mul_fp32": 64, "vector_special_fp32": 64}
    assert by_token.counts.actions == {a: by_tensor.counts.actions.get(a, 0) + n for a, n in more.items()}
    assert by_token.timing.total_cycles > by_tensor.timing.total_cycles


def test_a_layer_at_8_bits_is_quantised_to_8_bits():
    design = load_design(
        {"extends": "olive_systolic", "name": "m", "layers": [{"ops": "wide", "datapath": {"bits": 8}}]}
    )
    built = build(design)
    bits = [
        simulate_pass(built, [Pass("q", "quantise", 8, 64, gemm=gemm)], 0).counts.level("dram").write_bits
        for gemm in ("wide", "other")
    ]
    assert bits == [8 * 64 * 8, 8 * 64 * 4]


def test_a_fused_pass_moves_nothing_but_its_parameters():
    op, step = Op("fc", 128, 768, 768), Pass("fc.bias", "bias", 128, 768, gemm="fc")
    fused = simulate_pass(hardware("int8_systolic"), [op, step], 1)
    apart = simulate_pass(hardware("int8_systolic", **{"vector_unit.fused": []}), [op, step], 1)
    assert fused.counts.level("dram").read_bits == 768 * 16
    assert fused.counts.level("dram").write_bits == 0
    assert fused.counts.actions == apart.counts.actions == {"vector_add_fp32": 128 * 768}
    assert apart.counts.level("dram").write_bits == 128 * 768 * 16
    assert fused.timing.total_cycles < apart.timing.total_cycles


def test_fused_passes_share_what_they_hide_behind():
    """Three folds' worth of work each: together as long as one of their sum."""
    built = hardware("int8_systolic", **{"vector_unit.fused": ["dequantise", "relu"]})
    op = Op("fc", 128, 768, 768)
    steps = [op, Pass("d", "dequantise", 128, 768, gemm="fc"), Pass("r", "relu", 128, 768, gemm="fc")]
    shown = [simulate_pass(built, steps, i).timing.total_cycles for i in (1, 2)]
    cycles = 3 * 128 * 768 // 64
    assert sum(shown) == waiting_cycles(op, built.array, cycles) < cycles
    far = [op, Pass("s", "softmax", 128, 768), steps[2]]
    assert simulate_pass(built, far, 2).timing.total_cycles == 128 * 768 // 64


def test_a_scale_that_needs_a_whole_row_cannot_be_fused():
    with pytest.raises(
        ConfigError, match=r"vector_unit\.fused: 'quantise' cannot be fused in 'int8_systolic' \(pass 'q'\)"
    ):
        alone("int8_systolic", Pass("q", "quantise", 8, 8), **{"vector_unit.fused": ["quantise"]})
    fusing = hardware("olive_systolic", **{"vector_unit.fused": ["quantise"]})
    result = simulate_pass(fusing, [Op("g", 8, 64, 16), Pass("q", "quantise", 8, 64)], 1)
    assert result.counts.level("dram").write_bits == 0


def test_a_row_that_does_not_fit_is_named_unless_it_may_be_cut():
    step = Pass("s", "softmax", 2, 1 << 20)
    with pytest.raises(ConfigError) as error:
        alone("int8_systolic", step)
    assert str(error.value).endswith(
        "memory.act_buffer.capacity_kib: cannot hold a whole row, which is reduced: 1 x 1048576 values "
        "(softmax 's', 2 x 1048576)"
    )
    assert len(str(error.value).splitlines()) == 1
    cut = alone("int8_systolic", Pass("g", "gelu", 2, 1 << 20))
    assert cut.tiles >= 32
    assert cut.counts.level("dram").read_bits == 2 << 24
    mixed = alone("mxfp4_systolic", Pass("q", "quantise", 2, 1 << 20), **{"memory.act_buffer.capacity_kib": 8})
    assert mixed.counts.level("dram").write_bits == 2 * (1 << 20) // 32 * 136


def test_repetitions_run_one_after_another():
    one, many = (alone("int8_systolic", Pass("s", "softmax", 16, 16, count)) for count in (1, 12))
    assert many.timing.by_cause() == {cause: 12 * n for cause, n in one.timing.by_cause().items()}
    assert many.counts == one.counts.times(12)


@pytest.mark.parametrize("name", SYSTOLIC)
def test_every_bill_has_the_vector_unit(name):
    built = hardware(name)
    unit = built.design.vector_unit
    assert built.bill.parts["vector_lane_fp32"] == unit.lanes
    assert built.bill.parts["special_unit_fp32"] == -(-unit.lanes // unit.special_cycles)
    larger = hardware(name, **{"vector_unit.lanes": 2 * unit.lanes})
    assert area_um2(larger.bill)["vector"] > area_um2(built.bill)["vector"]
    assert larger.bill.logic_leakage_mw > built.bill.logic_leakage_mw


def test_the_default_unit_is_the_shipped_one():
    for name in SYSTOLIC:
        assert load_design(name).vector_unit == VectorUnit()


@pytest.mark.parametrize("fidelity", ["bound", "pipeline", "event"])
def test_an_op_among_steps_is_the_op_alone(fidelity):
    built, op = hardware("int8_systolic"), Op("fc", 30, 20, 50)
    steps = [op, Pass("r", "relu", 30, 20)]
    assert simulate_step(built, steps, 0, fidelity=fidelity).timing.total_cycles > 0
    assert simulate_step(built, steps, 1, fidelity=fidelity).timing.compute_cycles == 0


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"kind": "sofmax"}, "kind must be one of bias, *, got 'sofmax'; did you mean 'softmax'?"),
        ({"rows": 0}, "rows must be a positive integer, got 0"),
        ({"cols": 2.0}, "cols must be a positive integer, got 2.0"),
        ({"operand": "out"}, "operand must be act or weight, got 'out'"),
        (
            {"kind": "hadamard", "cols": 12},
            "a hadamard mixes a power of two of values that divides its columns; found 12 of 12; set block",
        ),
        ({"kind": "max_pool"}, "a max_pool needs block, the values of its window"),
        ({"block": 4}, "a softmax has no block; only hadamard, max_pool, mean_pool, conv1d, selective_scan have one"),
        ({"block": -1}, "block must be an integer of at least 0, got -1"),
    ],
)  # fmt: skip
def test_a_pass_that_makes_no_sense_is_named(fields, complaint):
    with pytest.raises(WorkloadError) as error:
        Pass(**({"name": "p", "kind": "softmax", "rows": 4, "cols": 8} | fields))
    start, _, end = f"pass 'p': {complaint}".partition("*")
    assert str(error.value).startswith(start)
    assert str(error.value).endswith(end)


@pytest.mark.parametrize("before", [[], [Op("g", 8, 64, 16, count=3)]], ids=["nothing", "another count"])
def test_a_fused_pass_behind_nothing_goes_to_memory(before):
    relu = Pass("r", "relu", 8, 64)
    fused, plain = (hardware("int8_systolic", **{"vector_unit.fused": kinds}) for kinds in (["relu"], []))
    one, other = (simulate_pass(machine, [*before, relu], len(before)) for machine in (fused, plain))
    assert one.counts == other.counts
    assert one.counts.level("dram").read_bits == one.counts.level("dram").write_bits == 16 * 8 * 64
