"""Stalls that depend on values, in the register-accurate array: what the tiles charge, and where they come from."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

import simulator as sim
from simulator import datapath
from simulator.datapath import Job
from simulator.datapath.coordinator import coordinator_schedule
from simulator.engine.pe_array_stationary import run_stationary_array
from simulator.errors import ConfigError, MismatchError, WorkloadError
from simulator.formats import Encoded
from simulator.mapping import ArrayShape, OperandBits, lower
from simulator.resources import shipped_dir
from simulator.study import registers
from simulator.study.building import build
from simulator.study.planning import plan
from simulator.tracing import open_trace
from simulator.workload import Op
from tests.datapaths import encoded_pair, heavy_tailed, run_lane, same_bits, seeds

pytestmark = pytest.mark.kernels

NAMES = ("gobo", "olaccel", "mixed_int8_fp16")
OPTIONS = {
    "gobo": {"fifo_depth": 2, "service_cycles": 3, "log_probability": -1.5},
    "olaccel": {"outlier_share": 0.15, "group": 3},
    "mixed_int8_fp16": {"threshold": 2.5, "fp16_cols": 2},
}
every_datapath = pytest.mark.parametrize("name", NAMES)


def measured(dp, pair, rows, cols, overlap="full"):
    """Results and cycles of the arrays side by side."""
    runs = []
    for lane in dp.lanes(*pair, rows, cols):
        gate = {"gate": lane.gate.asked, "gate_memory": lane.gate.memory} if lane.gate else {}
        run, cycles = run_lane(lane, overlap, **gate)
        assert run.cycles - run.frozen_cycles == cycles
        runs.append(run)
    return dp.merge([run.values for run in runs], *pair), max(run.cycles for run in runs)


def charged(dp, pair, rows, cols, overlap="full"):
    """Compute cycles of a table of one tile, and the outlier cycles on top."""
    (M, N), K = (len(x.codes) for x in pair), pair[0].length
    shape = ArrayShape(rows, cols, overlap, 1, dp.result_words)
    bits = OperandBits(dp.width("act"), dp.width("weight"), dp.accumulation.bits, 16)
    table = lower(Op("op", M, N, K), shape, bits, None)
    costs = dp.tile_costs(Job(M, N, K, rows, cols, table.rows, *pair, 0, shape.fold_beside))
    return table.compute_cycles, int(costs.outlier_cycles.sum())


def random_pair(name, seed):
    rng = np.random.default_rng(seed)
    dp = datapath.create(name, OPTIONS[name])
    M, N, K = (1, 1, 1) if seed == 0 else rng.integers(1, 30, 3).tolist()
    return dp, encoded_pair(dp, heavy_tailed(rng, (M, K)), heavy_tailed(rng, (N, K))), *rng.integers(1, 9, 2).tolist()


@every_datapath
@pytest.mark.parametrize("overlap", ["none", "wave", "full"])
@seeds(25)
def test_the_array_waits_as_long_as_one_tile_says(name, overlap, seed):
    dp, pair, rows, cols = random_pair(name, seed)
    values, cycles = measured(dp, pair, rows, cols, overlap)
    assert cycles == sum(charged(dp, pair, rows, cols, overlap))
    same_bits(values, dp.matmul(*pair))


@every_datapath
def test_the_random_cases_do_wait(name):
    waiting = [
        charged(dp, pair, rows, cols)[1] > 0 for dp, pair, rows, cols in (random_pair(name, s) for s in range(25))
    ]
    assert sum(waiting) >= 5


@pytest.mark.parametrize("D", [1, 2, 5])
@pytest.mark.parametrize("S", [1, 4])
@pytest.mark.parametrize("W", [1, 3])
@seeds(6)
def test_the_coordinator_beside_the_array_is_the_contract_cycle_by_cycle(D, S, W, seed):
    """Each fold by the readable reference, which knows nothing of arrays."""
    rng = np.random.default_rng(seed)
    dp = datapath.create("gobo", {"fifo_depth": D, "service_cycles": S, "push_width": W, "log_probability": -1.0})
    M, N, K, rows, cols = rng.integers(1, 14, 5).tolist()
    pair = encoded_pair(dp, heavy_tailed(rng, (M, K)), heavy_tailed(rng, (N, K)))
    row, k = np.divmod(np.asarray(pair[1].extras["outlier_position"], np.int64), K)
    waiting = 0
    for first in range(0, N, cols):
        inside = (row >= first) & (row < first + cols)
        positions = np.sort(k[inside] * cols + row[inside] - first)
        counts = coordinator_schedule(positions, K * cols, cols, D, S, W).counts
        waiting += counts["total_cycles"] - counts["steps"]
    cycles = measured(dp, pair, rows, cols)[1]
    shape = ArrayShape(rows, cols, "full", 1, dp.result_words)
    assert cycles - shape.total(M, N, K) == waiting * -(-M // rows)


@pytest.mark.parametrize("overlap", ["none", "wave", "full"])
@seeds(20)
def test_held_outliers_of_olaccel_wait_as_the_tile_says(overlap, seed):
    """Also a plain count: with each word, for the fullest group that the fold holds or that the word is in."""
    dp, pair, rows, cols = random_pair("olaccel", seed)
    (M, N), K = (len(x.codes) for x in pair), pair[0].length
    (lane,), group = dp.lanes(*pair, rows, cols), dp.group
    shape = ArrayShape(rows, cols, overlap, dataflow="ws")
    run = run_stationary_array(
        lane.act,
        lane.weight,
        rows,
        cols,
        held="weight",
        mac=lane.mac,
        period_cycles=shape.fold(M).period_cycles,
        double_buffered=overlap == "full",
        finish=lane.finish,
        registers=lane.registers,
        state_type=lane.state_type,
        gate=lane.held_gate.asked,
        gate_memory=lane.held_gate.memory,
    )
    same_bits(run.values, dp.matmul(*pair))
    act, weight = lane.act >> 16, lane.weight >> 16
    waiting = 0
    for k in range(0, K, rows):
        for n in range(0, N, cols):
            lanes = [
                weight[c : min(c + group, n + cols), k : k + rows].sum(0) for c in range(n, min(N, n + cols), group)
            ]
            for m in range(M):
                macs = [act[m, r : min(r + group, k + rows)].sum() for r in range(k, min(K, k + rows), group)]
                waiting += max(1, np.max(lanes), *macs) - 1
    assert run.frozen_cycles == waiting
    assert run.cycles - waiting == shape.total(M, N, K)
    table = lower(Op("op", M, N, K), shape, OperandBits(dp.width("act"), dp.width("weight"), 48, 16), None)
    costs = dp.tile_costs(Job(M, N, K, rows, cols, table.rows, *pair, 0, shape.fold_beside, "ws"))
    assert int(costs.outlier_cycles.sum()) == waiting
    both = sum(int((act[:, k].sum()) * weight[:, k].sum()) for k in range(K))
    hops = sum(int(weight[:, k].sum()) * (k % rows + 1) for k in range(K)) + int(act.sum()) * N
    assert costs.actions == {
        "outlier_mac_int16x4_acc32": int(weight.sum()) * M - both,
        "outlier_mac_int16x16_acc48": int(act.sum()) * N,
        "reg_bit": hops * (16 + 2),
    }


@pytest.mark.parametrize(
    ("name", "dataflow", "why"),
    [
        (
            "gobo_array",
            "ws",
            "its outlier unit adds to sums, cycles later, that must still be where they were; allowed: os",
        ),
        (
            "llm_int8_systolic",
            "is",
            "its two arrays would leave unfinished sums of an output at different times; *: os",
        ),
        (
            "olaccel_systolic",
            "is",
            "a lane multiplies an outlier weight by one activation, and a streamed one meets *: os, ws",
        ),
    ],
)
def test_a_dataflow_that_cannot_work_is_refused_with_its_reason(name, dataflow, why):
    with pytest.raises(ConfigError) as error:
        build(sim.load_design(name, set={"array.dataflow": dataflow}))
    assert re.search(f"cannot run {dataflow}; " + re.escape(why).replace(r"\*", ".*") + "$", str(error.value))


@pytest.mark.parametrize("stalls", [True, False])
@pytest.mark.parametrize("overlap", ["none", "wave", "full"])
def test_olaccel_holds_weights(stalls, overlap):
    array = {"array.rows": 4, "array.cols": 6, "array.dataflow": "ws", "array.fold_overlap": overlap}
    design = sim.load_design("olaccel_systolic", set=array | {"datapath.stalls": stalls, "datapath.outlier_share": 0.2})
    found = sim.simulate_gemm(design, M=9, N=11, K=13, fidelity="pe_array")
    assert found.exact
    assert (found.cycles["stall_outlier"] > 0) == stalls
    unfinished, finished = 3 * 9 * 11 * 104 // 8, 9 * 11 * 48 // 8  # four folds; 24 + 32 + 48 bits, or their sum
    assert found.bytes["out_buffer"] == dict.fromkeys(("read", "write"), unfinished + finished)


# Where stalls come from


def with_outliers(pair, positions):
    """The same operands with the weights' outliers, their values included, at other coordinates."""
    weight = pair[1]
    extras = weight.extras | {"outlier_position": np.sort(np.asarray(positions)).astype(np.uint32)}
    return pair[0], Encoded(weight.codes, weight.scale, weight.length, extras)


def trace_pair(dp):
    """The first layer of the shipped trace whose weights are a matrix, 32 tokens of it."""
    trace = open_trace(shipped_dir("traces") / "minilm-l6-sample")
    op = next(op for op in trace.ops if op.count == 1)
    act, weight = (np.asarray(x, np.float32)[0] for x in trace.load(op.name))
    return encoded_pair(dp, act[:32], weight, "mse")


def apart(count, K, lines, group):
    """That many coordinates of which no two are in the same step of a group of lines or less than 6 steps apart."""
    at = np.arange(count)
    line, step = at % (lines // group) * group, at // (lines // group) * 6
    assert step.max() < K - 6
    return line * K + step


@pytest.mark.parametrize(
    ("name", "options", "group"),
    [("gobo", {"fifo_depth": 2, "service_cycles": 4}, 32), ("olaccel", {"outlier_share": 0.002}, 16)],
    ids=["gobo", "olaccel"],
)
def test_stalls_on_a_real_layer_come_from_the_positions_of_its_outliers(name, options, group):
    """The same outliers of the weights as they are, shuffled, and moved apart; activations without any."""
    dp = datapath.create(name, options)
    act, weight = trace_pair(dp)
    none = {"outlier_position": np.zeros(0, np.uint32), "outlier_value": np.zeros(0, np.int16)}
    act = Encoded(act.codes, act.scale, act.length, act.extras | (none if name == "olaccel" else {}))
    positions = np.asarray(weight.extras["outlier_position"], np.int64)
    size, rng = len(weight.codes) * weight.length, np.random.default_rng(0)

    def waiting(where):
        pair = with_outliers((act, weight), where)
        cycles = measured(dp, pair, 32, 32)[1]
        compute, stalls = charged(dp, pair, 32, 32)
        assert cycles == compute + stalls
        return stalls

    found = waiting(positions)
    shuffled = [waiting(rng.choice(size, len(positions), replace=False)) for _ in range(3)]
    assert found > 0
    assert found not in shuffled
    assert waiting(apart(len(positions), weight.length, len(weight.codes), group)) == 0


def test_mixed_lane_waits_for_as_many_columns_as_have_outliers():
    """The same outliers in one column need one pass of the FP16 array; in all columns they need all."""
    dp = datapath.create("mixed_int8_fp16", {"fp16_cols": 2})
    rng = np.random.default_rng(0)
    dense, weight = rng.uniform(-1, 1, (32, 64)), rng.standard_normal((32, 64)).astype(np.float32)
    spread, gathered = dense.copy(), dense.copy()
    spread[np.arange(32), 2 * np.arange(32)] = 9
    gathered[:, 5] = 9
    waits = {}
    for which, act in (("spread", spread), ("gathered", gathered)):
        pair = encoded_pair(dp, act.astype(np.float32), weight)
        compute, waits[which] = charged(dp, pair, 8, 8)
        assert measured(dp, pair, 8, 8)[1] == compute + waits[which]
    assert waits["gathered"] == 0 < waits["spread"]


# What a run checks


def test_a_run_whose_tiles_charge_another_number_is_stopped(monkeypatch):
    design = sim.load_design("olaccel_systolic", set={"datapath.stalls": True, "array.rows": 8, "array.cols": 8})
    hardware = build(design)
    _, pair, _, _ = random_pair("olaccel", 3)
    table = plan(hardware, Op("op", len(pair[0].codes), len(pair[1].codes), pair[0].length)).table
    registers.run_registers(hardware, *pair, table)
    honest = type(hardware.datapath).tile_costs

    def one_less(self, job):
        costs = honest(self, job)
        return replace(costs, outlier_cycles=costs.outlier_cycles - 1)

    monkeypatch.setattr(type(hardware.datapath), "tile_costs", one_less)
    with pytest.raises(MismatchError, match=r"^the arrays waited \d+ cycles for outliers, the tiles say \d+$"):
        registers.run_registers(hardware, *pair, table)


def test_an_enormous_gemm_is_refused_in_one_line():
    with pytest.raises(
        WorkloadError,
        match=r"^op 'gemm': \d+ PE-cycles of the 56 x 56 array of 'int8_systolic'; "
        r"pe_array simulates at most 1099511627776; use pipeline or a smaller op$",
    ):
        sim.simulate_gemm("int8_systolic", M=1 << 15, N=1 << 15, K=1 << 12, fidelity="pe_array")
