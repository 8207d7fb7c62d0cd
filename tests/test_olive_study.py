"""The accelerator comparison of OliVe's paper: geometric means from its own prices and sizes, and what they rest on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import simulator as sim
from simulator.config import load_study, load_workload
from simulator.cost.iso_area import Shapes, largest_array
from simulator.report.accountings import accountings
from simulator.report.beside import beside_paper
from simulator.study.sizing import area_by_shape
from simulator.workload import steps_of, written_out
from tests import naive_published
from tests.expanded import expand

SAMPLE = Path(__file__).resolve().parent.parent / "reports" / "sample-olive-systolic"
LAYERS = {"bert_base": 12, "bert_large": 24, "bart_base": 6, "gpt2_xl": 48, "bloom_7b1": 30}
SHARES_AT_8_BITS = {"bert_base": 0.95, "bert_large": 0.97, "bart_base": 0.66, "gpt2_xl": 0.80, "bloom_7b1": 0.84}
"""What OliVe's Figure 10 implies of ANT."""
BATCH = {"bert_base": 16, "bert_large": 16, "bart_base": 16, "gpt2_xl": 2, "bloom_7b1": 2}


def one_layer(workload):
    """The workload with one of its equal layers."""
    spec = written_out(load_workload(workload["extends"])).model_dump(exclude_defaults=True)
    layers = LAYERS[workload["extends"]]
    gemms = [gemm | {"count": gemm["count"] // layers} for gemm in spec["gemms"]]
    return {"name": spec["name"], "gemms": gemms, "batch": workload["batch"]}


def reduced(name, *, without=("gobo_array",)):
    """The shipped study on one layer of each model, whose ratios are those of the whole."""
    data = load_study(name)[1].data
    kept = [d for d in data["designs"] if (d if isinstance(d, str) else d["extends"]) not in without]
    alone = {key: value for key, value in data.items() if key != "beside"}
    return alone | {"designs": kept, "workloads": [one_layer(w) for w in data["workloads"]]}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return sim.run_study(reduced("olive_systolic"), out=tmp_path_factory.mktemp("olive"))


def geomean(results, column, design):
    table = results.pivot(index="workload", columns="design", values=column)
    ratios = table[design] / table["olive_systolic"]
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


TIME = {"adaptivfloat_systolic": 4.8, "olaccel_systolic": 3.8, "ant_systolic": 3.7}
ENERGY = {"adaptivfloat_systolic": 3.7, "olaccel_systolic": 2.1, "ant_systolic": 3.3}
"""OliVe, ISCA 2023, Figure 10: over these designs."""


@pytest.mark.parametrize("design", TIME)
def test_speedups_are_those_of_the_paper(results, design):
    assert geomean(results, "latency_s", design) == pytest.approx(TIME[design], rel=0.08)


@pytest.mark.parametrize("design", ["adaptivfloat_systolic", "olaccel_systolic"])
def test_energies_are_those_of_the_paper(results, design):
    assert geomean(results, "energy_total_pj", design) == pytest.approx(ENERGY[design], rel=0.12)


def test_energy_over_ant_is_missed_by_a_little_more_than_12_percent_for_its_share_of_8_bits(results):
    """12 % are wanted. An ANT at 8 bits throughout, as BitFusion's array is at the same prices, would be within."""
    assert geomean(results, "energy_total_pj", "ant_systolic") == pytest.approx(
        0.876 * ENERGY["ant_systolic"], rel=0.003
    )
    all_at_8 = geomean(results, "energy_total_pj", "bitfusion_systolic")
    assert all_at_8 == pytest.approx(ENERGY["ant_systolic"], rel=0.03)
    assert geomean(results, "latency_s", "bitfusion_systolic") == pytest.approx(4, rel=0.01)


PUBLISHED_ARRAYS = {"adaptivfloat_systolic": (32, 28), "olaccel_systolic": (16, 18), "ant_systolic": (32, 32)}
"""PEs of 8 bits, rows and columns, in the released simulator."""


SHARES_OF_KINDS = {"bert_base": 11 / 12, "bert_large": 1, "bart_base": 9 / 14, "gpt2_xl": 3 / 4, "bloom_7b1": 11 / 12}
"""Of the work at 8 bits, as the study has it."""


def by_description(workload, units, share):
    """Cycles and energy of one layer of a model by ``naive_published``, a share of the work at 8 bits."""
    layer = one_layer({"extends": workload, "batch": BATCH[workload]})
    total = [0.0, 0.0]
    for gemm in (g for g in layer["gemms"] if g.get("kind") != "bmm"):
        for bits, part in ((4, 1 - share), (8, share)):
            found = naive_published.cost(BATCH[workload] * gemm["M"], gemm["N"], gemm["K"], bits, units)
            total = [t + part * gemm["count"] * f for t, f in zip(total, found, strict=True)]
    return total


def over_olive(units, shares):
    """Geometric means of cycles and energy over those of OliVe by ``naive_published``."""
    pairs = [(by_description(w, units, shares[w]), by_description(w, (32, 32), 0)) for w in LAYERS]
    return [math.exp(sum(math.log(t[i] / o[i]) for t, o in pairs) / len(pairs)) for i in (0, 1)]


@pytest.mark.parametrize(
    ("design", "units", "shares"),  # units: PEs of 8 bits, rows and columns, in the released simulator
    [
        ("adaptivfloat_systolic", (32, 28), dict.fromkeys(LAYERS, 1)),
        ("olaccel_systolic", (16, 18), dict.fromkeys(LAYERS, 0)),
        ("ant_systolic", (32, 32), SHARES_OF_KINDS),
        ("bitfusion_systolic", (32, 32), dict.fromkeys(LAYERS, 1)),
    ],
)
def test_the_published_model_written_from_its_description_gives_what_ours_does(results, design, units, shares):
    """To 4 %: 3.1 % in energy over ANT, where what tiles move differs most."""
    time, energy = over_olive(units, shares)
    assert geomean(results, "latency_s", design) == pytest.approx(time, rel=0.04)
    assert geomean(results, "energy_total_pj", design) == pytest.approx(energy, rel=0.04)


def test_no_published_share_of_8_bits_makes_the_published_energy_over_ant():
    """As the study's notes say: 2.81 with the shares that the paper's bars imply, 3.15 with all at 8 bits."""
    assert over_olive((32, 32), SHARES_AT_8_BITS)[1] == pytest.approx(2.81, abs=0.005)
    assert over_olive((32, 32), dict.fromkeys(LAYERS, 1))[1] == pytest.approx(3.15, abs=0.005)


@pytest.mark.parametrize("workload", LAYERS)
def test_one_layer_is_a_fraction_of_the_model(workload):
    """What the tests run is the study itself, but for how often its layers repeat."""
    record, source = load_study("olive_systolic")
    whole = next(p for p in expand(record, source, {}) if p.hardware.design.name == "olive_systolic"
                 and p.workload.name == workload)  # fmt: skip
    part = steps_of(load_workload(one_layer({"extends": workload, "batch": BATCH[workload]})))
    of_layers = [op for op in part if op.kind != "bmm"]
    assert [replace(op, count=op.count * LAYERS[workload]) for op in of_layers] == list(whole.workload.ops)


@pytest.mark.parametrize("workload", LAYERS)
def test_layers_at_8_bits_are_kinds_whose_work_comes_nearest_to_the_published_share(workload):
    record, source = load_study("olive_systolic")
    point = next(p for p in expand(record, source, {}) if p.hardware.design.name == "ant_systolic"
                 and p.workload.name == workload)  # fmt: skip
    ops, wanted = point.workload.ops, SHARES_AT_8_BITS[workload]
    all_macs = sum(op.macs for op in ops)
    chosen = sum(op.macs for op in ops if point.hardware.for_op(op).datapath.bits == 8)
    sums = {0}
    for op in ops:
        sums |= {s + op.macs for s in sums}
    nearest = min(abs(s / all_macs - wanted) for s in sums)
    assert abs(chosen / all_macs - wanted) == pytest.approx(nearest, abs=1e-12)


def test_arrays_have_the_published_sizes_or_fit_the_area_of_one():
    record, source = load_study("olive_systolic")
    designs = {p.hardware.design.name: p.hardware.design for p in expand(record, source, {})}
    pes = {name: design.array.rows * design.array.cols for name, design in designs.items()}
    published = {"olive_systolic": 4096, "ant_systolic": 4096, "olaccel_systolic": 1152, "adaptivfloat_systolic": 896}
    assert {name: pes[name] for name in published} == published
    assert pes["bitfusion_systolic"] == pes["int8_systolic"] == 4096 / 4
    budget = area_by_shape(designs["olive_systolic"])(64, 64)
    assert budget == pytest.approx(0.2128e6, rel=1e-3)
    gobo = designs["gobo_array"]
    fit = largest_array(area_by_shape(gobo), budget, Shapes(1, 1))
    assert gobo.array.rows * gobo.array.cols == fit[0] * fit[1]


def test_the_page_shows_what_the_results_say(results):
    record, _ = load_study("olive_systolic")
    table = beside_paper(results, record.published.model_dump())
    for quantity, column, claimed in (("time", "latency_s", TIME), ("energy", "energy_total_pj", ENERGY)):
        rows = table[table["quantity"] == quantity]
        assert rows["paper"].tolist() == list(claimed.values())
        assert rows["ours"].tolist() == pytest.approx([geomean(results, column, design) for design in claimed])
    assert len(table) == 6 + 3 * 4


def test_the_sample_report_is_of_this_study(results):
    """Whole models there, one layer of each here, whose ratios are the same."""
    sample = pd.read_parquet(SAMPLE / "results.parquet")
    for design in sample["design"].unique():
        if design != "gobo_array":
            for column in ("latency_s", "energy_total_pj"):
                assert geomean(sample, column, design) == pytest.approx(geomean(results, column, design), rel=1e-3)
    rows = json.loads((SAMPLE / "manifest.json").read_text(encoding="utf-8"))["beside"]["rows"]
    table = accountings({"over": "olive_systolic", "rows": rows}).set_index(["design", "accounting"])
    for _, time in table.loc["int8_systolic", "time_ratio"].items():
        assert time == pytest.approx(4.0, rel=0.01) or 1 < time < 1.5
    assert len(table.loc["int8_systolic"]) == 2


def test_most_of_the_advantage_over_8_bits_is_in_the_published_areas(tmp_path):
    """By synthesised areas fewer than one and a half of the 4.8 are left, and OLAccel, without stalls, is ahead."""
    table = sim.run_study(reduced("olive_systolic_open", without=("gobo_array",)), out=tmp_path)
    assert 1 < geomean(table, "latency_s", "int8_systolic") < 1.5
    assert 1 < geomean(table, "latency_s", "adaptivfloat_systolic") < 1.5
    assert geomean(table, "latency_s", "olaccel_systolic") < 1 < geomean(table, "latency_s", "olaccel_stalling")
    assert geomean(table, "latency_s", "ant_systolic") > 3


def test_both_studies_differ_in_prices_and_sizes_alone():
    one, other = (load_study(name)[1].data for name in ("olive_systolic", "olive_systolic_open"))
    for field in ("workloads", "steps", "fidelity", "seed"):
        assert one[field] == other[field]
    assert one["published"]["claims"] == other["published"]["claims"]
    layers = [next(d["layers"] for d in s["designs"] if isinstance(d, dict) and "layers" in d) for s in (one, other)]
    assert layers[0] == layers[1]
