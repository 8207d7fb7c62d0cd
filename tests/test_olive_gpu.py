"""OliVe's comparison on a graphics card: means from rates and prices alone, and what their differences rest on."""

from __future__ import annotations

import math

import pytest

import simulator as sim
from simulator.config import load_study
from simulator.report.beside import beside_paper
from tests.expanded import expand
from tests.test_olive_study import one_layer

SHARES_AT_8_BITS = {"bert_base": 0.86, "bert_large": 0.95, "bart_base": 0.56, "gpt2_xl": 0.82, "bloom_7b1": 0.86}
"""What OliVe's Figure 9 implies of ANT; its text has 80 % of the layers."""
OLIVE, GOBO, INT8, ANT = (f"rtx2080ti_{name}" for name in ("olive", "gobo", "int8", "ant"))


def reduced():
    """The shipped study on one layer of each model, whose ratios are those of the whole."""
    data = load_study("olive_gpu")[1].data
    return data | {"workloads": [one_layer(w) for w in data["workloads"]]}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return sim.run_study(reduced(), out=tmp_path_factory.mktemp("olive_gpu"))


def ratios(results, column, design, over=OLIVE):
    table = results.pivot(index="workload", columns="design", values=column)
    return table[design] / table[over]


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


@pytest.mark.parametrize(
    ("column", "design", "paper"),
    [
        ("latency_s", INT8, 2.4 ** -1 * 4.5),
        ("latency_s", ANT, 2.7 ** -1 * 4.5),
        ("energy_total_pj", GOBO, 4.0),
        ("energy_total_pj", INT8, 0.49 / 0.25),
        ("energy_total_pj", ANT, 0.43 / 0.25),
    ],
)  # fmt: skip
def test_ratios_are_those_of_the_paper_within_15_percent(results, column, design, paper):
    assert geomean(ratios(results, column, design)) == pytest.approx(paper, rel=0.15)


def test_time_over_gobo_is_missed_because_rates_allow_4_at_most(results):
    """The paper has 4.5. Nothing makes FP16 kernels more than four times as slow as those of 4 bits here."""
    times = ratios(results, "latency_s", GOBO)
    assert geomean(times) == pytest.approx(3.31, rel=0.05)
    assert geomean(times) < 0.85 * 4.5
    assert times.max() < 4
    assert ratios(results, "latency_s", GOBO, INT8).max() < 2


def test_without_launches_and_limits_of_memory_it_comes_close_to_4(tmp_path):
    free = reduced() | {"designs": [GOBO, OLIVE], "set": {"launch_us": 0.0, "memory.dram.model": "none"}}
    free |= {"published": None}
    times = ratios(sim.run_study(free, out=tmp_path), "latency_s", GOBO)
    assert 3.6 < geomean(times) < 4


def test_gobo_does_not_wait_for_dram(results):
    gobo = results[results["design"] == GOBO]
    assert (gobo["stall_dram_read_cycles"] / gobo["total_cycles"]).max() < 0.03


def test_categories_sum_to_the_total_and_differ_from_the_paper_as_the_page_says(results):
    parts = results[[c for c in results if c.startswith("energy_gpu_")]]
    assert parts.shape[1] == 5
    assert parts.sum(axis=1).to_numpy() == pytest.approx(results["energy_total_pj"].to_numpy())
    gobo = results[results["design"] == GOBO]
    always = (gobo["energy_gpu_const_pj"] + gobo["energy_gpu_static_pj"]) / gobo["energy_total_pj"]
    assert always.mean() == pytest.approx(0.24, abs=0.03)  # 0.81 there
    watts = gobo["energy_total_pj"] * 1e-12 / gobo["latency_s"]
    assert watts.between(200, 250 * 1.35).all()  # the board's limit is 250 W
    assert 32.3 / 0.411 < 80  # and what 0.411 of the energy makes of AccelWattch's constant power


@pytest.mark.parametrize("workload", SHARES_AT_8_BITS)
def test_layers_at_8_bits_are_kinds_whose_work_comes_nearest_to_the_published_share(workload):
    record, source = load_study("olive_gpu")
    point = next(p for p in expand(record, source, {}) if (p.hardware.design.name, p.workload.name) == (ANT, workload))
    ops, wanted = point.workload.ops, SHARES_AT_8_BITS[workload]
    all_macs = sum(op.macs for op in ops)
    chosen = sum(op.macs for op in ops if point.hardware.for_op(op).datapath.bits == 8)
    sums = {0}
    for op in ops:
        sums |= {s + op.macs for s in sums}
    nearest = min(abs(s / all_macs - wanted) for s in sums)
    assert abs(chosen / all_macs - wanted) == pytest.approx(nearest, abs=1e-12)


def test_the_page_shows_what_the_results_say(results):
    record, _ = load_study("olive_gpu")
    table = beside_paper(results, record.published.model_dump())
    assert len(table) == 6 + 5 + 2 * 5
    ours = [geomean(ratios(results, c, d)) for c in ("latency_s", "energy_total_pj") for d in (GOBO, INT8, ANT)]
    assert table["ours"].tolist()[:6] == pytest.approx(ours)
    split = table[table["claim"] == "GOBO"]
    assert split["ours"].sum() == pytest.approx(1)
    assert split["paper"].sum() == pytest.approx(1, abs=0.011)
