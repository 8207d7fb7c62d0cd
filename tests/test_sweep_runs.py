"""Sweeps as users run them: what fails, constraints, layers of the front, fields set on the command line."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import yaml

import simulator as sim
from simulator import cli
from simulator.config import load_study
from simulator.errors import ConfigError
from simulator.report.pareto import non_dominated
from simulator.study import evaluate, reuse
from simulator.study.points import open_points
from simulator.study.run import execute
from simulator.study.setup import StudySetup

ROOT = Path(__file__).resolve().parent.parent
DOCS = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
GEMMS = [{"name": "up", "M": 200, "N": 300, "K": 40}, {"name": "down", "M": 200, "N": 40, "K": 300}]
PROBE = {"name": "probe", "gemms": GEMMS}
STUDY = {
    "name": "swept",
    "designs": ["int8_systolic", "olive_systolic"],
    "workloads": [PROBE],
    "sweep": {"array.rows": [8, 64], "memory.out_buffer.capacity_kib": [8, 64]},
    "baseline": "int8_systolic",
}
"""An array of 64 rows does not fit an out buffer of 8 KiB."""


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    monkeypatch.setattr("simulator.report.figures.write_figures", lambda *_: [])


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False), encoding="utf-8")
    return str(tmp_path / "study.yaml")


@pytest.fixture
def counted(monkeypatch):
    """Points that are simulated."""
    ran, right = [], evaluate.run_point

    def run_point(point, *rest, **how):
        ran.append(point.label)
        return right(point, *rest, **how)

    monkeypatch.setattr(evaluate, "run_point", run_point)
    return ran


def test_a_point_that_fails_is_recorded_and_the_rest_go_on(study, tmp_path, capsys, counted):
    out = tmp_path / "run"
    assert cli.main(["run", study, "--out", str(out), "--json", "--workers", "1"]) == 1
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    table = pd.read_csv(out / "results.csv")
    failed = (table["axis:memory.out_buffer.capacity_kib"] == 8) & (table["axis:array.rows"] == 64)
    assert failed.sum() == answer["points_failed"] == 2
    assert table["failure"].notna().tolist() == failed.tolist() == table["total_cycles"].isna().tolist()
    assert all("memory.out_buffer.capacity_kib: " in reason for reason in table["failure"].dropna())
    assert set(pd.read_parquet(out / "layers.parquet")["op"]) == {"up", "down"}
    assert re.fullmatch(
        r"olivine: 2 of 8 points failed, e\.g\. int8_systolic on probe "
        r"\(array\.rows=64, memory\.out_buffer\.capacity_kib=8\): "
        r".*study\.yaml:\d+: sweep: memory\.out_buffer\.capacity_kib: .*\n",
        printed.err,
    )  # fmt: skip
    before = (out / "results.csv").read_bytes()
    assert len(counted) == 8
    assert cli.main(["run", study, "--out", str(out), "--workers", "1"]) == 1, (
        "what failed is not tried again, and still said"
    )
    assert len(counted) == 8
    assert (out / "results.csv").read_bytes() == before


def test_points_beside_one_that_fails_are_what_they_are_alone(tmp_path):
    table = sim.run_study(STUDY, tmp_path / "all").drop(columns="failure")
    alone = sim.run_study(STUDY | {"sweep": STUDY["sweep"] | {"array.rows": [8]}}, tmp_path / "alone")
    own = table[table["axis:array.rows"] == 8].reset_index(drop=True)
    pd.testing.assert_frame_equal(own.drop(columns="exact"), alone.drop(columns="exact"), check_dtype=False)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"sweep": {"array.rows": [64], "memory.out_buffer.capacity_kib": [8, 9]}}, "for one tile cannot hold 64 x "),
        ({"sweep": {"array.rows": [8, "x"]}}, "array.rows: expected an integer, found text 'x'"),
        ({"sweep": {"cost": ["open", "opne"]}}, "cost: unknown cost library 'opne'; did you mean 'open'?"),
        ({"sweep": {"datapath.act_bits": [8, 99]}}, "datapath.act_bits: "),
        ({"where": ["array.rows > 100"]}, "where: no point is left of 8; loosen a condition"),
        ({"where": ["array.cols > 100"]}, "unknown name 'array.cols'; did you mean 'array.rows'?"),
        ({"where": ["array.rows > 'x'"]}, "cannot compare number 8 with text 'x'"),
        ({"constraints": ["area_um2 < 1"]}, "constraints[0]: unknown name 'area_um2'; did you mean 'area_total_um2'?"),
        ({"baseline": None, "constraints": ["area_total_um2 < 1"]}, "constraints: every point breaks one; the least"),
        ({"designs": ["int8_systolic", {"extends": "olive_systolic", "name": "x", "set": 1}]}, "set: unknown key"),
    ],
)  # fmt: skip
def test_what_is_wrong_whatever_the_point_is_refused(change, complaint, tmp_path, capsys):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY | change, sort_keys=False), encoding="utf-8")
    assert cli.main(["run", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "run")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert complaint in printed.err
    assert not (tmp_path / "run" / "results.csv").exists()


def test_a_mistake_of_this_program_is_recorded_and_tried_again(study, tmp_path, monkeypatch, capsys):
    right = evaluate.run_point
    calls = []

    def run_point(point, *rest, **how):
        calls.append(point.label)
        if len(calls) == 1:
            raise AssertionError("two\nlines")
        return right(point, *rest, **how)

    monkeypatch.setattr(evaluate, "run_point", run_point)
    sizes = ["--set", "study.sweep.array.rows=[8]"]
    assert cli.main(["run", study, "--out", str(tmp_path / "run"), "--workers", "1", *sizes]) == 1
    assert (
        "AssertionError: two lines (a mistake of this program; OLIVINE_TRACEBACK=1 shows where)"
        in capsys.readouterr().err
    )
    assert cli.main(["run", study, "--out", str(tmp_path / "run"), "--workers", "1", *sizes]) == 0
    assert len(calls) == 5


# Constraints


def test_what_breaks_a_constraint_on_area_is_not_simulated(tmp_path, counted):
    sizes = {"baseline": None, "sweep": {"array.rows": [8, 16, 32]}}
    whole = sim.run_study(STUDY | sizes, tmp_path / "whole")
    limit = float(whole["area_total_um2"].median())
    counted.clear()
    asked = STUDY | sizes | {"constraints": [f"area_total_um2 < {limit!r}", "array.rows > 0"]}
    table = sim.run_study(asked, tmp_path / "run")
    meets = whole["area_total_um2"] < limit
    assert 0 < meets.sum() < len(whole)
    assert table["meets_constraints"].tolist() == meets.tolist()
    assert table["total_cycles"].notna().tolist() == meets.tolist()
    assert table["area_total_um2"].tolist() == whole["area_total_um2"].tolist()
    assert len(counted) == meets.sum()
    assert table.loc[meets, "total_cycles"].tolist() == whole.loc[meets, "total_cycles"].tolist()
    again = sim.run_study(asked, tmp_path / "run")
    assert len(counted) == meets.sum(), "what was left out is stored as left out"
    pd.testing.assert_frame_equal(again, table)
    freed = sim.run_study(asked | {"constraints": []}, tmp_path / "run")
    assert len(counted) == len(whole), "without the constraint it is simulated"
    pd.testing.assert_frame_equal(freed, whole)


def test_a_constraint_on_results_marks(tmp_path, counted):
    study = STUDY | {"sweep": {"array.rows": [8, 16, 32, 64]}}
    limit = sim.run_study(study, tmp_path / "all")["total_cycles"].median()
    counted.clear()
    table = sim.run_study(study | {"constraints": [f"total_cycles < {limit} or speedup > 1e9"]}, tmp_path / "run")
    assert len(counted) == 8
    assert table["meets_constraints"].tolist() == (table["total_cycles"] < limit).tolist()
    assert 0 < table["meets_constraints"].sum() < 8


SMALL = STUDY | {"sweep": {"array.rows": [4, 8]}}


def test_a_constraint_that_cannot_be_worked_out_leaves_nothing_behind(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(ConfigError, match=r"constraints\[0\]"):
        execute(SMALL | {"constraints": ["area_total_um2 / (rows - 8) <= 1e12"]}, out, workers=1)
    assert not execute(SMALL, out, workers=1).failures


def test_the_baseline_is_simulated_whatever_it_breaks(tmp_path):
    table = sim.run_study(SMALL | {"constraints": ["design != 'int8_systolic'"]}, tmp_path / "run", workers=1)
    assert table["speedup"].notna().all()
    assert (table["meets_constraints"] == (table["design"] != "int8_systolic")).all()


def test_fresh_forgets_nothing_for_a_study_that_is_wrong(tmp_path, counted):
    out = tmp_path / "run"
    execute(SMALL, out, workers=1)
    with pytest.raises(ConfigError):
        execute(SMALL | {"sweep": {"array.rows": [4, -1]}}, out, workers=1, fresh=True)
    assert execute(SMALL, out, workers=1).reused == 4
    assert len(counted) == 4


# Layers


@pytest.mark.parametrize(("policy", "most"), [("front", 500), ("auto", 3)])
def test_layers_of_the_front_alone(policy, most, tmp_path, monkeypatch):
    """The same rows as where all are kept."""
    study = STUDY | {"sweep": {"array.rows": [8, 16, 32, 64], "memory.dram.bandwidth_gb_s": [4, 64]}}
    whole = sim.run_study(study, tmp_path / "whole")
    every = pd.read_parquet(tmp_path / "whole" / "layers.parquet")
    monkeypatch.setattr(reuse, "MOST_WITH_LAYERS", most)
    table = sim.run_study(study | {"layers": policy}, tmp_path / "run")
    pd.testing.assert_frame_equal(table, whole)
    front = whole[non_dominated(whole[["latency_s", "energy_total_pj"]].to_numpy())]
    assert 0 < len(front) < len(whole)
    places = ["design", "axis:array.rows", "axis:memory.dram.bandwidth_gb_s"]
    expected = every.merge(front[places], on=places)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "run" / "layers.parquet"), expected)
    assert execute(study | {"layers": "all"}, tmp_path / "run").ran == len(whole) - len(front)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "run" / "layers.parquet"), every)


def test_layers_of_none(tmp_path):
    sim.run_study(STUDY | {"layers": "none"}, tmp_path / "run")
    assert pd.read_parquet(tmp_path / "run" / "layers.parquet").empty


# Fields of the study on the command line


def test_a_study_s_own_fields_are_set(study, tmp_path, capsys):
    more = ["--set", "study.fidelity=bound", "--set", "study.sweep.array.rows=[16]", "--set", "study.seed=3"]
    assert cli.main(["run", study, "--out", str(tmp_path / "run"), "--set", "clock_mhz=500.0", "--json", *more]) == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    assert {(r["fidelity"], r["axis:array.rows"], r["seed"], r["clock_mhz"]) for r in rows} == {("bound", 16, 3, 500.0)}
    assert [c for c in rows[0] if c.startswith("axis:")] == ["axis:array.rows", "axis:memory.out_buffer.capacity_kib"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("study.fidelty=bound", "--set: fidelty: unknown key; did you mean 'fidelity'?"),
        ("study.fidelity=fast", "--set: fidelity: found 'fast'; allowed: bound, pipeline, event, pe_array"),
        ("study.sweep.array.rows=8", "--set: sweep.array.rows: expected a list or a mapping, found number 8"),
        ("study.=8", "--set: 'study.' is not a dotted path such as array.rows"),
    ],
)
def test_a_study_s_own_fields_are_checked(text, complaint, study, tmp_path, capsys):
    assert cli.main(["run", study, "--out", str(tmp_path / "run"), "--set", text]) == 2
    assert capsys.readouterr().err == f"olivine: {complaint}\n"


# Documentation and the shipped sweep


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)


def naive_where(design, at):
    rows, cols = at["array.rows"], at["array.cols"]
    flow = at["array.dataflow"] == "os" or rows * cols in (256, 1024)
    return rows >= cols and flow and not (design == "olive_systolic" and rows < 16)


def test_examples_of_the_documentation(tmp_path):
    axes, conditions = map(yaml.safe_load, blocks("yaml"))
    points = open_points(StudySetup(*load_study(axes), {}))
    assert points.total == 2 * 2 * 4 * 3 * 3 * 2
    at = points.axes(points.total - 1)
    assert (at["array.rows"], at["memory.act_buffer.capacity_kib"], at["memory.dram.bandwidth_gb_s"]) == (32, 128, 32.0)
    assert (at["memory.weight_buffer.capacity_kib"], at["memory.out_buffer.capacity_kib"]) == (64, 48)
    table = sim.run_study(conditions, tmp_path / "run")
    points = open_points(StudySetup(*load_study(conditions | {"where": []}), {}))
    kept = [i for i in points.indices() if naive_where(points.design_names[points.split(i)[0]], points.axes(i))]
    assert len(table) == len(kept)
    assert table["meets_constraints"].tolist() == [
        bool(area <= 2.5e6 and latency < 1e-3)
        for area, latency in zip(table["area_total_um2"], table["latency_s"], strict=True)
    ]


def test_the_command_of_the_documentation_runs(tmp_path, capsys):
    (block,) = blocks("sh")
    command = shlex.split(block.replace("\\\n", " ").replace("reports/", f"{tmp_path}/"))
    assert cli.main([*command[1:], "--set", "study.workloads=[bert_tiny]"]) == 0
    table = pd.read_csv(tmp_path / "slice" / "results.csv")
    assert len(table) == 4 * 2 * 2 * 3 * 5
    assert capsys.readouterr().err == ""


def test_the_shipped_sweep_has_ten_thousand_points_and_none_is_wrong():
    """Every field, price and datapath of every point; corners are run."""
    points = open_points(StudySetup(*load_study("design_space"), {}))
    indices = list(points.indices())
    assert len(indices) == 12_152
    every = 61
    assert len({points.key(index) for index in indices[::every]}) == len(indices[::every])
    corners = [indices[0], indices[-1], *indices[1000::4000]]
    for result in evaluate.evaluate(points.setup, corners):
        assert result.failure is None
        assert result.row["macs"] == 11_173_625_856


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("area_part_decodr_um2", "; did you mean 'area_part_decoder_um2'?"),
        ("energy_part_act_bufer_pj", "; did you mean 'energy_part_act_buffer_pj'?"),
        ("tokens_per_s", ""),
        ("dram_row_hits", ""),
        ("accuracy_cosine", ""),
    ],
)
def test_a_constraint_on_a_column_that_no_point_has_is_refused_before_anything_runs(column, told, tmp_path, counted):
    with pytest.raises(ConfigError) as caught:
        execute(STUDY | {"constraints": [f"{column} > 0"]}, tmp_path / "run", workers=1)
    complaint = f"constraints[0]: no point of this study has a column '{column}'{told}"
    assert complaint in str(caught.value)
    assert counted == []
    assert not (tmp_path / "run").exists()


def test_a_column_that_one_value_of_one_axis_has_is_known(tmp_path):
    dram = {"memory.dram": [{"model": "banked", "part": "ddr4_3200"}, {"model": "none"}]}
    study = SMALL | {"sweep": dram, "constraints": ["dram_row_hits >= 0"]}
    table = sim.run_study(study, tmp_path / "run", workers=1)
    assert table["meets_constraints"].tolist() == [True, False] * 2


def test_the_place_in_a_reason_is_that_of_the_study_which_asks(study, tmp_path, capsys, counted):
    """A failed point that another study finds in the store is told with that study's file and line."""
    out = ["--out", str(tmp_path / "run"), "--workers", "1"]
    assert cli.main(["run", study, *out]) == 1
    line = Path(study).read_text(encoding="utf-8").splitlines().index("  memory.out_buffer.capacity_kib:") + 1
    assert f"study.yaml:{line}: sweep: memory.out_buffer.capacity_kib: " in capsys.readouterr().err
    other = tmp_path / "other.yaml"
    other.write_text("# moved\n# down\n" + Path(study).read_text(encoding="utf-8"), encoding="utf-8")
    assert cli.main(["run", str(other), *out]) == 1
    assert f"other.yaml:{line + 2}: sweep: memory.out_buffer.capacity_kib: " in capsys.readouterr().err
    assert len(counted) == 8
    assert str(other) in pd.read_csv(tmp_path / "run" / "results.csv")["failure"].dropna().iloc[0]
