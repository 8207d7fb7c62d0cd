"""Every shipped design on real tensors: exact, and about as accurate as its encoding should be."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.config import load_design
from simulator.resources import shipped_dir, shipped_names
from simulator.study.building import build
from simulator.study.simulate import simulate_op
from simulator.tracing import open_trace
from simulator.workload import Op

TRACE = open_trace(shipped_dir("traces") / "minilm-l6-sample")
OPS = ("encoder.layer.0.attention.self.query", "encoder.layer.5.intermediate.dense")
LEAST_SQNR_DB = {"int4_systolic": 5, "ant_systolic": 5, "olive_systolic": 10}
"""4 bits without help for outliers lose much; all others keep at least this:"""
_OTHERS_DB = 12


@pytest.mark.parametrize("name", shipped_names("configs/designs"))
@pytest.mark.parametrize("op", OPS)
def test_a_design_is_exact_on_real_tensors(name, op):
    act, weight = (np.asarray(x) for x in TRACE.load(op))
    act, weight = act[:, :40], weight[:, :72]
    shape = Op(op, act.shape[1], weight.shape[1], act.shape[2])
    result = simulate_op(build(load_design(name)), shape, (act, weight))
    assert result.quality.exact, result.quality.mismatch
    assert result.quality.sqnr_db > LEAST_SQNR_DB.get(name, _OTHERS_DB)
    assert result.counts.macs == shape.macs


@pytest.mark.parametrize("name", ["gobo_array", "olaccel_systolic", "llm_int8_systolic"])
def test_stalls_come_from_where_outliers_are(name):
    """The same tensors with their rows or columns shuffled have as many outliers, elsewhere, and other cycles."""
    act, weight = (np.asarray(x) for x in TRACE.load(OPS[1]))
    hardware = build(load_design(name, set={"array.rows": 16, "array.cols": 16, "memory.dram.model": "none"}))
    op = Op("op", act.shape[1], 256, act.shape[2])
    weight = weight[:, :256].copy()
    if name == "llm_int8_systolic":
        act, weight = act * 4, weight  # more columns beyond the threshold, so that the FP16 lane is late
    timings = []
    for seed in (None, 1):
        rng = np.random.default_rng(seed)
        shuffled = weight if seed is None else rng.permuted(weight.reshape(-1)).reshape(weight.shape)
        acts = act if seed is None else rng.permuted(act.reshape(-1)).reshape(act.shape)
        timings.append(simulate_op(hardware, op, (acts, shuffled)).timing.stalls["stall_outlier"])
    assert timings[0] != timings[1]


def test_outliers_moved_apart_cost_no_stall():
    """GOBO: one outlier in every eighth step never waits for the unit; the same number in one step does."""
    rng = np.random.default_rng(0)
    hardware = build(load_design("gobo_array", set={"array.rows": 16, "array.cols": 16, "memory.dram.model": "none"}))
    act = rng.standard_normal((1, 16, 256)).astype(np.float32)
    body = np.clip(rng.standard_normal((1, 16, 256)), -2, 2).astype(np.float32) * 0.05
    apart, together = body.copy(), body.copy()
    for i in range(24):
        apart[0, i % 16, 8 * i] = 3.0
        together[0, i % 16, 100 + i // 16] = 3.0
    stalls = [
        simulate_op(hardware, Op("op", 16, 16, 256), (act, w)).timing.stalls["stall_outlier"] for w in (apart, together)
    ]
    assert stalls[0] == 0 < stalls[1]


@pytest.mark.parametrize("name", ["int8_systolic", "olive_systolic", "gobo_array"])
@pytest.mark.parametrize("fidelity", ["bound", "pipeline", "event"])
def test_an_op_takes_what_it_takes_whatever_ran_before(name, fidelity):
    """One GEMM's cycles and counts are kept where they follow from its shape; another op of that shape is no other."""
    design = load_design(name, set={"array.rows": 8, "array.cols": 8})
    ops = [Op("a", 20, 30, 40), Op("b", 20, 30, 40, count=3), Op("c", 30, 20, 40), Op("a", 20, 30, 40)]
    kept = build(design)
    for op in ops:
        again, alone = (simulate_op(hardware, op, fidelity=fidelity) for hardware in (kept, build(design)))
        assert again.counts == alone.counts
        assert again.timing.by_cause() == alone.timing.by_cause()
        assert again.energy == alone.energy
        assert again.counts.macs == op.macs
