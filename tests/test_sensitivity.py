"""Sensitivity: rows against the study run anew with the constant changed by hand, conservation, and what is refused."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
import yaml

import simulator as sim
from simulator import cli
from simulator.config import load_cost, load_study
from simulator.cost import energy_pj, total
from simulator.report import tornado
from simulator.study import sensitivity as analysis
from simulator.study.building import build
from simulator.study.constants import changed_library, find_constants
from simulator.study.counted import from_record, to_record
from simulator.study.layout import lay_out
from simulator.study.operands import random_tensors
from simulator.study.simulate import count_op, simulate_op
from simulator.workload import Op
from tests.test_conventions import PUBLISHED_BANKS

WORKLOADS = [
    {"name": "square", "gemms": [{"name": "qk", "M": 96, "N": 128, "K": 160}]},
    {"name": "flat", "gemms": [{"name": "fc", "M": 32, "N": 300, "K": 64, "count": 3}]},
]
OPEN = {
    "name": "probe",
    "designs": ["int8_systolic", "olive_systolic", "gobo_array"],
    "workloads": WORKLOADS,
    "baseline": "int8_systolic",
    "normalise": "iso_area",
}
PUBLISHED = {
    "name": "published",
    "designs": ["olive_systolic", "adaptivfloat_systolic", "olaccel_systolic"],
    "workloads": WORKLOADS,
    "baseline": "olive_systolic",
    "set": PUBLISHED_BANKS,
}


@pytest.fixture(scope="module", autouse=True)
def undrawn():
    """Neither runs nor analyses draw figures, but for the test of these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simulator.report.figures.write_figures", lambda *_: [])
        patch.setattr("simulator.report.sensitivity.tornado_figure", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def tables(undrawn, tmp_path_factory):
    return {s["name"]: sim.sensitivity(s, tmp_path_factory.mktemp(s["name"])) for s in (OPEN, PUBLISHED)}


def by_run(study, out, **changes):
    """Ratios of each design over the baseline from an ordinary run: metric -> design -> geometric mean."""
    settings = study.get("set", {}) | changes
    rows = sim.run_study(study | {"set": settings}, out)
    columns = {"time": "latency_s", "energy": "energy_total_pj", "edp": "edp_js", "area": "area_total_um2"}
    found = {}
    for metric, column in columns.items():
        wide = rows.pivot(index="workload", columns="design", values=column)
        found[metric] = np.exp(np.log(wide.div(wide[study["baseline"]], axis=0)).mean())
    return found


def price_list(tmp_path, base, changes):
    """A copy of a price list with some leaves written otherwise."""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"extends": base, "name": "mine"} | changes), encoding="utf-8")
    return {"cost": str(path)}


def macros(base, size, word, field, factor):
    """The SRAM of a price list written out with one figure of one macro changed."""
    table = load_cost(base).sram
    written = [m.model_dump() for m in table.macros]
    (one,) = [m for m in written if (m["size_bytes"], m["word_bits"]) == (size, word)]
    one[field] *= factor
    return {"sram": {"macros": written}}


LEAVES = {  # constant -> price list, what a user would write in a copy of it
    "open:parts.pe_int8x8_acc32.area_um2": ("open", {"parts": {"pe_int8x8_acc32": {"area_um2": 828.058 * 1.2}}}),
    "open:parts.pe_ei4_acc32.leakage_nw": ("open", {"parts": {"pe_ei4_acc32": {"leakage_nw": 11691.94 * 1.2}}}),
    "open:actions.mac_ei4_acc32.energy_pj": ("open", {"actions": {"mac_ei4_acc32": {"energy_pj": 1.18298 * 1.2}}}),
    "open:dram.background_mw": ("open", {"dram": {"background_mw": 484.615 * 1.2}}),
    "open:sram.131072x512.read_pj": ("open", macros("open", 131072, 512, "read_pj", 1.2)),
    "open:sram.262144x512.area_mm2": ("open", macros("open", 262144, 512, "area_mm2", 1.2)),
    "olive_isca23:parts.pe_af8_acc40.dynamic_pj_per_cycle": (
        "olive_isca23", {"parts": {"pe_af8_acc40": {"dynamic_pj_per_cycle": 0.55992 * 1.2}}}),
    "olive_isca23:sram.8192x512.read_pj": ("olive_isca23", macros("olive_isca23", 8192, 512, "read_pj", 1.2)),
}  # fmt: skip


@pytest.mark.parametrize("name", LEAVES)
def test_a_row_is_the_study_with_that_leaf_changed_by_hand(tables, name, tmp_path):
    base, changes = LEAVES[name]
    study = OPEN if base == "open" else PUBLISHED
    expected = by_run(study, tmp_path / "run", **price_list(tmp_path, base, changes))
    rows = tables[study["name"]].query("constant == @name")
    assert len(rows) == 2
    for _, row in rows.iterrows():
        for metric, ratios in expected.items():
            assert row[f"{metric}_ratio_high"] == pytest.approx(ratios[row["design"]], rel=1e-12)


@pytest.mark.parametrize(
    ("path", "low"),
    [("clock_mhz", 400.0), ("memory.dram.bandwidth_gb_s", 51.2), ("vector_unit.lanes", 51),
     ("memory.weight_buffer.capacity_kib", 102.4)],
)  # fmt: skip
def test_a_row_is_the_study_with_that_field_set_by_hand(tables, path, low, tmp_path):
    expected = by_run(OPEN, tmp_path, **{path: low})
    for _, row in tables["probe"].query("constant == @path").iterrows():
        assert row["value_low"] == low
        for metric, ratios in expected.items():
            assert row[f"{metric}_ratio_low"] == pytest.approx(ratios[row["design"]], rel=1e-12)


def test_the_study_itself_is_the_middle(tables, tmp_path):
    expected = by_run(OPEN, tmp_path)
    for _, row in tables["probe"].iterrows():
        for metric, ratios in expected.items():
            assert row[f"{metric}_ratio"] == pytest.approx(ratios[row["design"]], rel=1e-12)


def test_an_area_that_resizes_arrays_moves_time_and_any_other_price_does_not(tables):
    table = tables["probe"]
    moved = (table["time_ratio_high"] != table["time_ratio"]) | (table["time_ratio_low"] != table["time_ratio"])
    of_prices = table[(table["kind"] == "price") & moved]
    assert of_prices["resized"].all()
    assert set(of_prices["constant"]) >= {
        f"open:parts.pe_{pe}.area_um2" for pe in ("int8x8_acc32", "ei4_acc32", "gobo3")
    }
    assert not table[table["constant"].str.endswith(("_pj", "_nw", "_mw"))]["resized"].any()


def test_ranked_by_the_largest_change_either_way(tables):
    for table in tables.values():
        swings = table.groupby("rank")["swing"].unique()
        assert all(len(s) == 1 for s in swings)
        assert swings.map(lambda s: s[0]).is_monotonic_decreasing
        change = table[["edp_ratio_low", "edp_ratio_high"]].div(table["edp_ratio"], axis=0).sub(1).abs().max(axis=1)
        pd.testing.assert_series_equal(
            change.groupby(table["rank"]).max(), table.groupby("rank")["swing"].first(), check_names=False
        )


def test_what_is_never_charged_moves_nothing(tmp_path):
    """Actions of the vector unit, of which these workloads have no work; and a leaf that no design has."""
    table = sim.sensitivity(OPEN | {"normalise": "none"}, tmp_path, only="open:actions.vector_*")
    assert len(table) > 0
    assert (table["swing"] == 0).all()
    for metric in ("time", "energy", "edp", "area"):
        for way in ("low", "high"):
            assert (table[f"{metric}_ratio_{way}"] == table[f"{metric}_ratio"]).all()
    hardware = build(sim.load_design("int8_systolic"))
    other = hardware.repriced(lambda library: changed_library(library, ("actions", "mac_fp16_acc32", "energy_pj"), 9.0))
    assert other.bill.library.actions["mac_fp16_acc32"].energy_pj == pytest.approx(9 * 13.23054)
    counts = simulate_op(hardware, Op("x", 40, 50, 60)).counts
    assert energy_pj(other.bill, counts) == energy_pj(hardware.bill, counts)
    assert changed_library(hardware.bill.library, ("actions", "no_such", "energy_pj"), 2.0) is hardware.bill.library


GPUS = {
    "name": "gpus",
    "designs": ["rtx2080ti_gobo", "rtx2080ti_int8", "rtx2080ti_olive"],
    "workloads": [{"name": "one", "gemms": [{"name": "fc", "M": 256, "N": 512, "K": 512}]}],
    "baseline": "rtx2080ti_gobo",
}


@pytest.mark.parametrize("study", [OPEN, PUBLISHED, GPUS], ids=["open", "olive_isca23", "gpu_turing"])
def test_energy_is_the_sum_of_what_its_prices_make_it(study):
    """Linear in prices, and nothing else in it: over all of them, what a fifth more of one adds is a fifth of it."""
    layout = lay_out(*load_study(study | {"normalise": "none"}), {})
    constants, _ = find_constants(layout, 0.2)
    prices = [c for c in constants if c.kind == "price"]
    for family in layout.families:
        hardware = next(iter(family.values())).hardware
        counts = count_op(hardware, Op("x", 70, 200, 130))
        whole = total(energy_pj(hardware.bill, counts))
        more = math.fsum(
            total(energy_pj(hardware.repriced(lambda lib, c=c: changed_library(lib, c.path, 1.2)).bill, counts)) - whole
            for c in prices
        )
        assert more == pytest.approx(0.2 * whole, rel=1e-9)


def test_tensor_cores_have_constants_of_their_own(tmp_path):
    """Prices of the card and rates of its memories; areas are of the die and what is added to it."""
    table = sim.sensitivity(GPUS, tmp_path, metric="energy")
    names = set(table["constant"])
    assert {"gpu_turing:gpu.power.constant_mw", "gpu_turing:gpu.l2.read_pj_per_bit", "launch_us"} <= names
    assert {"memory.l2.bytes_per_cycle", "memory.shared_memory.bytes_per_cycle"} <= names
    assert not names & {"array.sms", "array.sub_cores"}
    added = table.loc[table["design"] == "rtx2080ti_olive", "area_ratio"] - 1
    assert added.to_numpy() == pytest.approx(4.371 / 754, rel=1e-3)
    power = table[table["constant"] == "gpu_turing:gpu.power.constant_mw"]
    assert (power["time_ratio_high"] == power["time_ratio"]).all()
    assert (power["energy_ratio_high"] != power["energy_ratio"]).all()


def test_prices_need_no_simulation_but_of_the_study_itself(tmp_path):
    outcome = analysis.analyse(OPEN, tmp_path, only="open:*_pj*")
    assert outcome.simulated == 3 * len(WORKLOADS)
    again = analysis.analyse(OPEN, tmp_path, only="open:*_nw")
    assert (again.simulated, again.reused) == (0, 3 * len(WORKLOADS))


def test_designs_that_differ_have_a_constant_for_each_value(tmp_path):
    designs = ["int8_systolic", "olive_systolic", {"extends": "olive_systolic", "name": "slow", "clock_mhz": 250}]
    table = sim.sensitivity(OPEN | {"designs": designs, "normalise": "none"}, tmp_path, only="clock_mhz*")
    assert table.groupby("constant")["designs"].first().to_dict() == {
        "clock_mhz=250": "slow",
        "clock_mhz=500": "int8_systolic, olive_systolic",
    }
    other = table[(table["constant"] == "clock_mhz=250") & (table["design"] == "olive_systolic")]
    assert (other["time_ratio_low"] == other["time_ratio"]).all()


def test_a_list_at_two_nodes_is_one_list(tmp_path):
    study = OPEN | {"normalise": "none", "sweep": {"node_nm": [45.0, 22.0]}}
    table = sim.sensitivity(study, tmp_path, only="*mac_int8x8*")
    assert table["constant"].unique().tolist() == ["open:actions.mac_int8x8_acc32.energy_pj"]
    assert table["point"].unique().tolist() == ["node_nm=45.0", "node_nm=22.0"]
    assert (table["energy_ratio_high"] < table["energy_ratio"]).all()


def test_what_is_left_out_says_why(tmp_path):
    study = PUBLISHED | {"sweep": {"memory.dram.latency_ns": [50.0, 100.0]}}
    outcome = analysis.analyse(study, tmp_path, only="memory.*")
    why = {item.name: item.reason for item in outcome.left_out}
    assert why["memory.dram.latency_ns"] == "an axis of the study"
    assert why["array.rows"] == "the size that is compared; sweep it, or let normalise choose it"
    assert why["datapath.bits"] == "a choice of the design, no physical quantity"
    assert why["vector_unit.special_cycles"] == "a whole number: 4 would become 3, not 3.2"
    assert why["olive_isca23:parts.decoder_ovp4f.leakage_nw"] == "is 0"
    assert "no SRAM bank of 9.6 KiB is priced" in why["memory.act_buffer.capacity_kib at 307.2"]
    rows = outcome.table.query("constant == 'memory.act_buffer.capacity_kib'")
    assert rows["energy_ratio_high"].isna().all()
    assert rows["energy_ratio_low"].notna().all()


@pytest.mark.parametrize("name", ["int8_systolic", "olaccel_systolic", "gobo_array"])
@pytest.mark.parametrize("known", [False, True])
def test_counts_are_those_of_a_simulation(name, known):
    hardware, op = build(sim.load_design(name)), Op("x", 33, 70, 90)
    tensors = random_tensors(33, 70, 90, 5) if known else None
    counts = count_op(hardware, op, tensors, seed=3)
    assert counts == simulate_op(hardware, op, tensors, seed=3).counts
    assert from_record(json.loads(json.dumps(to_record(counts)))) == counts


# What is written, and what is refused


def test_the_folder_holds_table_figures_and_page(tmp_path, monkeypatch):
    monkeypatch.setattr("simulator.report.sensitivity.tornado_figure", tornado.tornado_figure)
    study = OPEN | {"description": "<script>alert(1)</script>"}
    table = sim.sensitivity(study, tmp_path, only="open:parts.*", top=3, metric="area")
    written = pd.read_csv(tmp_path / "sensitivity.csv", keep_default_na=True)
    pd.testing.assert_series_equal(written["area_ratio_high"], table["area_ratio_high"])
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert page.index('id="figure-tornado_area"') < page.index('id="figure-tornado_edp"')
    for metric in ("time", "energy", "edp", "area"):
        for kind in ("svg", "png"):
            assert (tmp_path / "figures" / f"tornado_{metric}.{kind}").stat().st_size > 1000
    assert (tmp_path / "tables" / "sensitivity.md").read_text(encoding="utf-8").count("\n") == 2 + table["rank"].max()
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["by"], manifest["metric"], manifest["top"]) == (0.2, "area", 3)
    sim.sensitivity(study | {"normalise": "none"}, tmp_path, only="open:dram.*")  # moves neither time nor area
    assert not list((tmp_path / "figures").glob("tornado_area.*"))


def test_interrupted_it_keeps_what_it_had_and_writes_no_half(tmp_path):
    def interrupt(done, total, label):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analysis.analyse(OPEN, tmp_path, only="clock_mhz", progress=interrupt)
    assert [p.name for p in tmp_path.iterdir()] == ["results.sqlite"]
    outcome = analysis.analyse(OPEN, tmp_path, only="clock_mhz")
    assert (outcome.reused, outcome.simulated) == (4, 3 * 6 - 4)


def test_two_processes_find_the_same(tables, tmp_path):
    table = sim.sensitivity(OPEN, tmp_path, workers=2, only="clock_mhz")
    alone = tables["probe"].query("constant == 'clock_mhz'").reset_index(drop=True)
    pd.testing.assert_frame_equal(table.drop(columns="rank"), alone.drop(columns="rank"))


@pytest.fixture
def study_file(tmp_path):
    path = tmp_path / "probe.yaml"
    path.write_text(yaml.safe_dump(OPEN | {"normalise": "none"}), encoding="utf-8")
    return path


def test_command(study_file, tmp_path, capsys):
    arguments = ["sensitivity", str(study_file), "--out", str(tmp_path / "s"), "--only", "open:*ei4*", "--by", "0.1"]
    assert cli.main([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    row = printed["sensitivity"][0]
    assert row["constant"] == "open:actions.mac_ei4_acc32.energy_pj"
    assert row["value_high"] == pytest.approx(1.1 * row["value"])
    assert printed["points_run"] == 6
    assert cli.main([*arguments, "--top", "1"]) == 0
    out = capsys.readouterr().out
    assert "mac_ei4_acc32.energy_pj" in out
    assert "pe_ei4_acc32" not in out
    assert "0 points run, 6 found in the store" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "0"], "--by: must be above 0 and below 1, found 0"),
        (["--by", "1"], "--by: must be above 0 and below 1, found 1"),
        (["--top", "0"], "--top: must be at least 1, found 0"),
        (["--metric", "enrgy"], "--metric: found 'enrgy'; allowed: time, energy, edp, area; did you mean 'energy'?"),
        (["--only", "clock_mh"], "--only: 'clock_mh' matches no constant of this study; did you mean 'clock_mhz'?"),
        (["--set", "clock_mz=3"], "--set: clock_mz: unknown key; did you mean 'clock_mhz'?"),
    ],
)
def test_wrong_options_are_one_line_and_leave_nothing(study_file, tmp_path, capsys, arguments, message):
    assert cli.main(["sensitivity", str(study_file), "--out", str(tmp_path / "s"), *arguments]) == 2
    assert capsys.readouterr().err == f"olivine: {message}\n"
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": None}, "baseline: missing; sensitivity is of ratios over a baseline"),
        ({"designs": ["int8_systolic"]}, "designs: sensitivity is of designs over a baseline; add a second one"),
    ],
)
def test_a_study_without_a_comparison_is_refused(changes, message, tmp_path):
    with pytest.raises(sim.OlivineError, match=re.escape(message) + "$"):
        sim.sensitivity(OPEN | {"normalise": "none"} | changes, tmp_path / "s")
    assert not (tmp_path / "s").exists()
