"""Every command does what it says, a run's folder holds what the contract lists, and its numbers add up."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simulator as sim
from simulator import cli
from simulator.config import kind_of
from simulator.datapath import Accumulation
from simulator.resources import shipped_dir, shipped_names

CONTRACT_COLUMNS = [
    "design",
    "workload",
    "array_kind",
    "datapath",
    "dataflow",
    "total_cycles",
    "compute_cycles",
    "latency_s",
    "macs",
    "mapping_util",
    "compute_util",
    "dram_read_bytes",
    "dram_write_bytes",
    "energy_total_pj",
    "energy_static_pj",
    "energy_dram_pj",
    "energy_buffer_pj",
    "energy_core_pj",
    "area_total_um2",
    "edp_js",
    "sqnr_db",
    "exact",
]
DEMO_BITS = {"fp16_systolic": 16, "int8_systolic": 8, "int4_systolic": 4, "olive_systolic": 4}
OUTPUT_BITS = 16

SMALL = """name: small
designs: [olive_systolic, int8_systolic]
workloads:
  - {name: wide, gemms: [{name: up, M: 9, N: 70, K: 33}, {name: qk, M: 16, N: 16, K: 8, count: 3}]}
  - {name: narrow, gemms: [{name: down, M: 5, N: 3, K: 129}]}
sweep:
  array.rows: [16, 8]
  clock_mhz: [500, 250]
baseline: int8_systolic
"""


def olivine(*args: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(a) for a in args])
    return code, out.getvalue(), err.getvalue()


def ok(*args: object) -> str:
    code, out, err = olivine(*args)
    assert (code, err) == (0, "")
    return out


def parsed(*args: object) -> dict:
    """The one JSON object that a command prints, by the rules of JSON: no NaN, no infinity."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    data = json.loads(ok(*args, "--json"), parse_constant=refuse)
    assert isinstance(data, dict)
    return data


def table(folder: Path) -> pd.DataFrame:
    """The rows of results.csv, every bit of every number."""
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        return pd.DataFrame([{key: value(text) for key, text in row.items()} for row in csv.DictReader(file)])


def value(text: str) -> str | int | float | bool:
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text or "nan")
    return text


def written(folder: Path, text: str, name: str = "study.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The shipped study, run once: its folder and what was printed."""
    folder = tmp_path_factory.mktemp("demo") / "run"
    return folder, ok("run", "demo", "--out", folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A study of shapes with two axes: its file and its folder."""
    folder = tmp_path_factory.mktemp("small")
    study = written(folder, SMALL)
    ok("run", study, "--out", folder / "run")
    return study, folder / "run"


@pytest.fixture
def undrawn(monkeypatch):
    """Runs without figures, for tests that look at numbers only."""
    monkeypatch.setattr("simulator.report.figures.write_figures", lambda *_: [])


# A run and its folder


def test_run_prints_a_table_and_where_the_report_is(demo):
    folder, out = demo
    for design in DEMO_BITS:
        assert design in out
    assert out.endswith(f"4 points run, 0 found in the store\nreport: {folder / 'index.html'}\n")


def test_run_folder_holds_what_the_contract_lists(demo):
    folder, _ = demo
    names = {p.name for p in folder.iterdir()}
    assert names >= {
        "results.csv", "results.parquet", "layers.parquet", "results.sqlite", "index.html", "figures", "manifest.json",
    }  # fmt: skip
    assert not [name for name in names if "tmp" in name or name.startswith(".") or name.startswith("results.sqlite-")]
    figures = {p.name for p in (folder / "figures").iterdir()}
    stems = {Path(name).stem for name in figures}
    assert len(stems) >= 5
    assert figures == {f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")}
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["seed"] == 0
    assert manifest["command"]
    assert manifest["olivine_version"] == sim.__version__
    assert {"python", "numpy"} <= set(manifest["versions"])
    assert {len(d["sha256"]) for d in manifest["designs"]} == {64}
    assert {"simulate_s", "points_run", "points_reused"} <= set(manifest["timings"])


def test_columns_of_the_contract_come_first_and_in_order(demo, small):
    for folder in (demo[0], small[1]):
        assert list(table(folder).columns[: len(CONTRACT_COLUMNS)]) == CONTRACT_COLUMNS


def test_csv_and_parquet_agree(demo, small):
    for folder in (demo[0], small[1]):
        stored = pd.read_parquet(folder / "results.parquet")
        text = table(folder)
        assert list(stored.columns) == list(text.columns)
        for column in text.columns:
            if pd.api.types.is_numeric_dtype(text[column].dtype) and column not in ("exact", "sqnr_db"):
                assert np.array_equal(stored[column].astype(float), text[column].astype(float), equal_nan=True), column


def test_rows_come_in_the_order_written(small):
    rows = table(small[1])
    found = list(zip(rows["design"], rows["workload"], rows["axis:array.rows"], rows["axis:clock_mhz"], strict=True))
    assert found == [
        (design, workload, side, clock)
        for design in ("olive_systolic", "int8_systolic")
        for workload in ("wide", "narrow")
        for side in (16, 8)
        for clock in (500, 250)
    ]
    layers = pd.read_parquet(small[1] / "layers.parquet")
    assert list(layers["op"][:8]) == ["up", "qk"] * 4
    assert len(layers) == 2 * (2 + 1) * 4


@pytest.mark.parametrize("which", ["demo", "small"])
def test_what_a_row_says_adds_up(which, request):
    folder = request.getfixturevalue(which)[which == "small"]
    rows, layers = table(folder), pd.read_parquet(folder / "layers.parquet")
    stalls = [c for c in rows.columns if c.startswith("stall_") and c.endswith("_cycles")]
    assert len(stalls) >= 3
    parts = [c for c in rows.columns if c.startswith("energy_part_")]
    areas = [c for c in rows.columns if c.startswith("area_part_")]
    groups = ["energy_static_pj", "energy_dram_pj", "energy_buffer_pj", "energy_core_pj"]
    for row in rows.to_dict("records"):
        assert row["compute_cycles"] + sum(row[c] for c in stalls) == row["total_cycles"]
        assert sum(row[c] for c in groups) == pytest.approx(row["energy_total_pj"], rel=1e-12)
        assert np.nansum([row[c] for c in parts]) == pytest.approx(row["energy_total_pj"], rel=1e-12)
        assert np.nansum([row[c] for c in areas]) == pytest.approx(row["area_total_um2"], rel=1e-12)
        assert row["latency_s"] == pytest.approx(row["total_cycles"] / (row["clock_mhz"] * 1e6), rel=1e-12)
        assert row["edp_js"] == pytest.approx(row["energy_total_pj"] * 1e-12 * row["latency_s"], rel=1e-12)
        assert row["compute_util"] == pytest.approx(
            row["macs"] / (row["rows"] * row["cols"] * row["total_cycles"]), rel=1e-12
        )
        own = layers[(layers["design"] == row["design"]) & (layers["workload"] == row["workload"])]
        for axis in (c for c in rows.columns if c.startswith("axis:")):
            own = own[own[axis] == row[axis]]
        assert row["macs"] == (own["M"] * own["N"] * own["K"] * own["count"]).sum() == own["macs"].sum()
        for column in ("total_cycles", "compute_cycles", "dram_read_bytes", "dram_write_bytes"):
            assert row[column] == own[column].sum()
        bits = DEMO_BITS[row["design"]]
        operands = ((own["M"] + own["N"]) * own["K"] * own["count"]).sum() * bits / 8
        assert row["dram_read_bytes"] >= operands
        assert row["dram_write_bytes"] >= (own["M"] * own["N"] * own["count"]).sum() * OUTPUT_BITS / 8


def test_demo_values_are_exact_and_macs_are_the_traces(demo):
    rows = table(demo[0])
    ops = sim.open_trace(shipped_dir("traces") / "minilm-l6-sample").ops
    assert list(rows["design"]) == list(DEMO_BITS)
    assert rows["exact"].tolist() == [True] * 4
    assert set(rows["macs"]) == {sum(op.M * op.N * op.K * op.count for op in ops)}


def test_ratios_are_over_the_baseline_at_the_same_point(small):
    rows = table(small[1])
    place = ["workload", "axis:array.rows", "axis:clock_mhz"]
    base = rows[rows["design"] == "int8_systolic"].set_index(place)
    assert set(base["speedup"]) == set(base["energy_ratio"]) == {1.0}
    for row in rows.to_dict("records"):
        other = base.loc[tuple(row[c] for c in place)]
        assert row["speedup"] == other["latency_s"] / row["latency_s"]
        assert row["energy_ratio"] == row["energy_total_pj"] / other["energy_total_pj"]


def test_shapes_have_no_values(small):
    rows = table(small[1])
    assert rows["sqnr_db"].isna().all()
    assert rows["exact"].isna().all()


def test_report_again_gives_the_same_bytes(demo):
    folder, _ = demo
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert ok("report", folder) == f"report: {folder / 'index.html'}\n"
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_report_json(demo, undrawn, tmp_path):
    for name in ("results.parquet", "layers.parquet", "manifest.json"):
        (tmp_path / name).write_bytes((demo[0] / name).read_bytes())
    assert parsed("report", tmp_path) == {"page": str(tmp_path / "index.html")}
    assert (tmp_path / "results.csv").read_bytes() == (demo[0] / "results.csv").read_bytes()


def test_run_json_holds_every_bit_of_the_csv(small, undrawn):
    study, folder = small
    data = parsed("run", study, "--out", folder)
    assert (data["points_run"], data["points_reused"]) == (0, 16)
    assert data["page"] == str(folder / "index.html")
    rows = table(folder)
    assert [list(r) for r in data["results"]] == [list(rows.columns)] * 16
    for found, row in zip(data["results"], rows.to_dict("records"), strict=True):
        for column, value in row.items():
            missing = isinstance(value, float) and math.isnan(value)
            assert found[column] == (None if missing else value), column


# Run again, resume, extend


def test_a_second_run_finds_every_point(small, undrawn):
    study, folder = small
    before = (folder / "results.csv").read_bytes()
    assert "0 points run, 16 found in the store" in ok("run", study, "--out", folder)
    assert (folder / "results.csv").read_bytes() == before


def test_fresh_runs_again(small, undrawn):
    study, folder = small
    before = (folder / "results.csv").read_bytes()
    data = parsed("run", study, "--out", folder, "--fresh")
    assert (data["points_run"], data["points_reused"]) == (16, 0)
    assert (folder / "results.csv").read_bytes() == before


def test_results_without_a_report(small, tmp_path):
    study, folder = small
    run = ("run", study, "--out", tmp_path / "run", "--no-report")
    assert ok(*run).endswith(f"results: {tmp_path / 'run'}\n")
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert names == {"results.csv", "results.parquet", "layers.parquet", "results.sqlite", "manifest.json"}
    assert (tmp_path / "run" / "results.csv").read_bytes() == (folder / "results.csv").read_bytes()
    ok("report", tmp_path / "run")
    assert (tmp_path / "run" / "index.html").exists()
    assert parsed(*run)["page"] is None
    assert not (tmp_path / "run" / "index.html").exists(), "a page would show an earlier run"
    assert not any((tmp_path / "run" / "figures").iterdir())


def test_two_workers_give_the_same_bytes(small, undrawn, tmp_path):
    study, folder = small
    data = parsed("run", study, "--out", tmp_path / "run", "--workers", 2)
    assert data["points_run"] == 16
    for name in ("results.csv", "layers.parquet"):
        assert (tmp_path / "run" / name).read_bytes() == (folder / name).read_bytes()


def test_a_changed_design_runs_again_and_no_other(undrawn, tmp_path):
    study = written(
        tmp_path,
        "name: two\ndesigns: [int8_systolic, ./mine.yaml]\n"
        "workloads: [{name: one, gemms: [{name: qk, M: 4, N: 4, K: 4}]}, {name: two, gemms: "
        "[{name: qk, M: 5, N: 4, K: 4}]}]\nbaseline: int8_systolic\n",
    )
    mine = written(tmp_path, "extends: olive_systolic\nname: mine\n", "mine.yaml")
    run = ("run", study, "--out", tmp_path / "run")
    assert parsed(*run)["points_run"] == 4
    before = table(tmp_path / "run")
    mine.write_text("extends: olive_systolic\nname: mine\nclock_mhz: 1000\n", encoding="utf-8")
    data = parsed(*run)
    assert (data["points_run"], data["points_reused"]) == (2, 2)
    after = table(tmp_path / "run")
    assert after.loc[after["design"] == "int8_systolic"].equals(before.loc[before["design"] == "int8_systolic"])
    assert list(after["clock_mhz"]) == [500, 500, 1000, 1000]
    study.write_text(study.read_text() + "sweep: {array.rows: [8]}\n", encoding="utf-8")
    assert parsed(*run)["points_run"] == 4
    study.write_text(study.read_text().replace("[8]", "[8, 16]"), encoding="utf-8")
    data = parsed(*run)
    assert (data["points_run"], data["points_reused"]) == (4, 4)
    assert parsed(*run, "--set", "array.cols=8")["points_run"] == 8
    assert parsed(*run)["points_run"] == 0, "both variants are kept"


# Where values come from


def test_axis_wins_over_set_option_over_study_over_design(undrawn, tmp_path):
    study = written(
        tmp_path,
        "name: who\ndesigns: [int8_systolic]\nworkloads: [{name: one, gemms: [{name: qk, M: 4, N: 4, K: 4}]}]\n"
        "set: {array.rows: 8, array.cols: 8, clock_mhz: 250}\nsweep: {array.rows: [16, 32]}\n",
    )
    out = tmp_path / "run"
    ok("run", study, "--out", out, "--set", "array.cols=4", "--set", "array.rows=2")
    rows = table(out)
    assert rows["rows"].tolist() == [16, 32]
    assert set(rows["cols"]) == {4}
    assert set(rows["clock_mhz"]) == {250}
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["designs"][0]["resolved"]["memory"]["dram"]["bandwidth_gb_s"] == 64


def test_inline_designs_and_paths_beside_the_study(undrawn, tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    monkeypatch.chdir(here)
    written(there, "extends: int8_systolic\nname: from_file\narray: {rows: 12}\n", "mine.yaml")
    written(there, "name: file_shapes\ngemms: [{name: up, M: 2, N: 2, K: 2, count: 2}]\n", "shapes.yaml")
    study = written(
        there,
        "name: mixed\ndesigns:\n"
        "  - ./mine.yaml\n"
        "  - {extends: int4_systolic, name: inline, array: {rows: 10}}\n"
        "  - {extends: ./mine.yaml, name: inline_of_file, array: {cols: 6}}\n"
        "  - {extends: [int8_systolic, int4_systolic], name: both}\n"
        "workloads: [shapes.yaml, {name: probe, gemms: [{name: qk, M: 8, N: 8, K: 4, count: 12}]}, bert_base]\n"
        "fidelity: bound\n",
    )
    written(here, "extends: int8_systolic\nname: a_decoy\n", "mine.yaml")
    ok("run", study)
    rows = table(here / "reports" / "mixed")
    assert rows["design"].unique().tolist() == ["from_file", "inline", "inline_of_file", "both"]
    assert rows["workload"].unique().tolist() == ["file_shapes", "probe", "bert_base"]
    assert rows["macs"].tolist()[:3] == [16, 8 * 8 * 4 * 12, 11_173_625_856]
    geometry = rows.drop_duplicates("design").set_index("design")
    assert geometry["rows"].tolist() == [12, 10, 12, 72]
    assert geometry["cols"].tolist() == [56, 72, 6, 72]
    assert geometry["datapath"].tolist() == ["int_mac"] * 4
    assert "speedup" in rows.columns
    assert rows["speedup"].isna().all()


def test_a_folder_in_the_way_does_not_hide_a_shipped_workload(undrawn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bert_base").mkdir()
    written(tmp_path, "name: hidden\ndesigns: [int8_systolic]\nworkloads: [bert_base]\nfidelity: bound\n")
    ok("run", "study.yaml", "--out", "run")
    assert table(tmp_path / "run")["workload"].tolist() == ["bert_base"]


# The other commands


@pytest.mark.parametrize("fidelity", ["bound", "pipeline", "event", "pe_array"])
def test_gemm(fidelity):
    args = ("gemm", "olive_systolic", "-m", 33, "-n", 20, "-k", 65, "--fidelity", fidelity, "--set", "array.rows=16")
    data = parsed(*args)
    assert {k: data[k] for k in ("design", "M", "N", "K", "fidelity", "seed")} == {
        "design": "olive_systolic", "M": 33, "N": 20, "K": 65, "fidelity": fidelity, "seed": 0,
    }  # fmt: skip
    assert data["macs"] == 33 * 20 * 65
    cycles = dict(data["cycles"])
    assert cycles.pop("total") == sum(cycles.values())
    assert data["exact"] is (True if fidelity == "pe_array" else None)
    text = ok(*args)
    assert text.startswith("olive_systolic\n")
    assert f"{data['cycles']['total']:,}\n" in text
    assert ("exact yes" in " ".join(text.split())) is (fidelity == "pe_array")
    assert (
        parsed("gemm", "olive_systolic", "-M", 33, "-N", 20, "-K", 65, "--set", "array.rows=16")["macs"] == data["macs"]
    )


def test_gemm_fidelities_are_a_ladder():
    totals = {
        f: parsed("gemm", "int8_systolic", "-m", 130, "-n", 70, "-k", 300, "--fidelity", f)["cycles"]["total"]
        for f in ("bound", "pipeline", "event", "pe_array")
    }
    assert totals["bound"] <= totals["pipeline"] == totals["event"] == totals["pe_array"]


def test_gemm_seed_draws_other_tensors():
    found = [
        parsed("gemm", "int4_systolic", "-m", 8, "-n", 8, "-k", 16, "--fidelity", "pe_array", "--seed", seed)["sqnr_db"]
        for seed in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]


def test_gemm_json_without_noise_is_still_json():
    """One value per scale is met exactly: the SQNR is infinite, which JSON cannot say."""
    data = parsed("gemm", "fp16_systolic", "-m", 1, "-n", 1, "-k", 1, "--fidelity", "pe_array")
    assert data["exact"] is True


def _kind(design):
    return kind_of(sim.load_design(design))


@pytest.mark.parametrize("design", [name for name in shipped_names("configs/designs") if _kind(name) == "tensor_core"])
def test_show_of_tensor_cores(design):
    data = parsed("show", design)
    assert (data["name"], data["array"]["kind"]) == (design, "tensor_core")
    peak = data["peak"]
    assert peak["ops_per_dram_byte"] * peak["dram_gb_s"] * 1e9 == pytest.approx(peak["tops"] * 1e12)
    assert ok("show", design).startswith(f"{design}\n")


@pytest.mark.parametrize("design", [name for name in shipped_names("configs/designs") if _kind(name) == "systolic"])
def test_show(design):
    data = parsed("show", design)
    assert data["name"] == design
    area = dict(data["area_um2"])
    assert area.pop("total") == pytest.approx(sum(area.values()), rel=1e-12)
    assert sum(data["area_share"].values()) == pytest.approx(1, rel=1e-12)
    assert sum(line["total_um2"] for line in data["bill"]) == pytest.approx(data["area_um2"]["total"], rel=1e-12)
    assert sum(line["share"] for line in data["bill"]) == pytest.approx(1, rel=1e-12)
    assert all(line["count"] * line["unit_um2"] == pytest.approx(line["total_um2"]) for line in data["bill"])
    assert {line["name"]: line["count"] for line in data["bill"]}.items() >= data["parts"].items()
    peak = data["peak"]
    assert peak["ops_per_dram_byte"] * peak["dram_gb_s"] * 1e9 == pytest.approx(peak["tops"] * 1e12)
    text = ok("show", design)
    assert text.startswith(f"{design}\n")
    assert "peak" in text


def test_show_prints_the_bill():
    """Components, counts, unit and total area, share; peak ops, peak bandwidth, operations per byte."""
    text = ok("show", "olive_systolic")
    assert re.search(r"^    name +component +count +unit_um2 +total_um2 +share$", text, re.MULTILINE)
    assert re.search(r"^    pe_ei4_acc32 +pe +4,096 +612\.1 +2,507,022 +0\.5\d+$", text, re.MULTILINE)
    for name, figure in (("tops", "4.096"), ("dram_gb_s", "64"), ("ops_per_dram_byte", "64")):
        assert re.search(rf"^    {name} +{re.escape(figure)}$", text, re.MULTILINE), name


def test_show_with_set():
    assert parsed("show", "int8_systolic", "--set", "array.rows=8")["array"]["rows x cols"] == "8 x 56"


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("designs", shipped_names("configs/designs")),
        ("studies", shipped_names("configs/studies")),
        ("workloads", shipped_names("workloads")),
        ("traces", shipped_names("traces")),
        ("datapaths", sim.datapath.names()),
        ("formats", sim.formats.names()),
        ("drams", shipped_names("configs/dram")),
        ("costs", ["gpu_turing", "olive_isca23", "open"]),
    ],
)
def test_list(kind, names):
    assert names
    data = parsed("list", kind)[kind]
    assert [entry["name"] for entry in data] == names
    assert all(entry["description"] for entry in data)
    lines = ok("list", kind).splitlines()
    assert [line.split(" ")[0] for line in lines] == names
    assert all(entry["description"] in line for entry, line in zip(data, lines, strict=True))


def test_verify_one_design():
    data = parsed("verify", "int8_systolic")
    assert data["ok"] is True
    assert {check["design"] for check in data["checks"]} == {"int8_systolic"}
    assert len(data["checks"]) >= 4
    assert all(check["cases"] > 0 and check["complaint"] == "" for check in data["checks"])


def test_verify_of_an_inexact_datapath_exits_1(monkeypatch):
    """One bit of one accumulator, wrong: the text names it, and so does the exit code."""
    from simulator.datapath.int_mac import IntMac

    right = IntMac.matmul

    def wrong(self, act, weight):
        out = right(self, act, weight).copy()
        out[0, 0] ^= 1
        return out

    monkeypatch.setattr(IntMac, "matmul", wrong)
    code, out, err = olivine("verify", "int4_systolic")
    assert code == 1
    assert "FAILED  " in out
    assert err.startswith("olivine: int4_systolic: values on minilm-l6-sample: ")
    assert "Traceback" not in err


@pytest.fixture
def forgetful():
    """Nothing is known of tensors that were met before, nor afterwards of these."""
    from simulator.study.judged import MEMORY

    MEMORY.clear()
    yield
    MEMORY.clear()


def test_a_run_of_an_inexact_datapath_exits_1_then_and_later(monkeypatch, undrawn, forgetful, tmp_path):
    from simulator.datapath.int_mac import IntMac

    monkeypatch.setattr(
        IntMac, "matmul", lambda self, act, weight: np.zeros((len(act.codes), len(weight.codes)), np.int64)
    )
    study = written(tmp_path, "name: bad\ndesigns: [int4_systolic]\nworkloads: [traces/minilm-l6-sample]\n")
    code, _, err = olivine("run", study, "--out", tmp_path / "run")
    assert code == 1
    assert err.startswith(
        "olivine: int4_systolic on minilm-l6-sample: encoder.layer.0.attention.self.query: output (0, 0)"
    )
    assert table(tmp_path / "run")["exact"].tolist() == [False]
    code, _, err = olivine("run", study, "--out", tmp_path / "run")
    assert (code, err) == (1, "olivine: int4_systolic on minilm-l6-sample: stored values differ\n")


def test_trace_info():
    plain, checked = (parsed("trace", "minilm-l6-sample", "--info", *more) for more in ((), ("--checksums",)))
    assert plain == checked
    ops = sim.open_trace(shipped_dir("traces") / "minilm-l6-sample").ops
    assert [row["name"] for row in plain["ops"]] == [op.name for op in ops]
    assert [row["macs"] for row in plain["ops"]] == [op.M * op.N * op.K * op.count for op in ops]
    assert "minilm-l6-sample" in ok("trace", "minilm-l6-sample", "--info")
    assert parsed("trace", shipped_dir("traces") / "minilm-l6-sample", "--info") == plain


def test_without_a_command_help_is_printed():
    out = ok()
    assert out == ok("--help")
    for command in ("run", "gemm", "trace", "verify", "vectors", "show", "list", "report"):
        assert command in out


def test_version():
    assert ok("--version") == f"olivine {sim.__version__}\n"


def test_a_real_process_prints_json_and_nothing_else(tmp_path):
    study = written(tmp_path, SMALL.replace("[16, 8]", "[8]").replace("[500, 250]", "[500]"))
    done = subprocess.run(
        [sys.executable, "-m", "simulator.cli", "run", study.name, "--out", "run", "--json", "--workers", "2"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["results"]) == 4


# From Python


def test_load_design_with_set():
    design = sim.load_design("olive_systolic", set={"array.rows": 64, "array.cols": 32, "memory.dram.model": "none"})
    assert (design.array.rows, design.array.cols, design.memory.dram.model) == (64, 32, "none")
    assert (design.array.kind, design.array.dataflow, design.datapath.name) == ("systolic", "os", "ovp")
    again = sim.load_design(design.model_dump(), set={"clock_mhz": 100})
    assert again.clock_mhz == 100
    assert again.array == design.array


def test_simulate_gemm_of_shapes():
    result = sim.simulate_gemm(sim.load_design("olive_systolic"), M=128, N=96, K=200, fidelity="pipeline")
    cycles = dict(result.cycles)
    assert cycles.pop("total") == sum(cycles.values())
    assert "compute" in cycles
    assert len(cycles) >= 3
    assert result.macs == 128 * 96 * 200
    assert result.latency_s == pytest.approx(result.cycles["total"] / 500e6)
    assert set(result.bytes) >= {"dram"}
    assert all(set(moved) == {"read", "write"} for moved in result.bytes.values())
    assert result.bytes["dram"]["read"] >= (128 + 96) * 200 / 2
    assert result.bytes["dram"]["write"] >= 128 * 96 * 2
    for lines in (dict(result.energy_pj), dict(result.area_um2)):
        assert lines.pop("total") == pytest.approx(sum(lines.values()), rel=1e-12)
        assert len(lines) >= 4
    assert (result.c, result.exact, result.sqnr_db) == (None, None, None)


@pytest.mark.parametrize("fidelity", ["bound", "pipeline", "event", "pe_array"])
@pytest.mark.parametrize("seed", [1, 2], ids=lambda seed: f"seed{seed}")
def test_simulate_gemm_of_tensors(fidelity, seed):
    rng = np.random.default_rng(seed)
    a, w = rng.standard_normal((19, 40)), rng.standard_normal((40, 23))
    design = sim.load_design("int8_systolic", set={"array.rows": 8, "array.cols": 8})
    result = sim.simulate_gemm(design, a=a, w=w, fidelity=fidelity)
    assert result.exact is True
    assert result.mismatch == ""
    assert result.c.shape == (19, 23)
    assert np.linalg.norm(result.c - a @ w) < 0.02 * np.linalg.norm(a @ w)
    assert result.sqnr_db > 34
    assert result.cycles == sim.simulate_gemm(design, 19, 23, 40, fidelity=fidelity).cycles


def test_run_study_returns_what_it_writes(undrawn, tmp_path):
    study = {
        "name": "dict",
        "designs": ["int8_systolic", {"extends": "int8_systolic", "name": "slow", "clock_mhz": 100}],
        "workloads": [{"name": "one", "gemms": [{"name": "qk", "M": 4, "N": 4, "K": 4}]}],
    }
    found = sim.run_study(study, out=tmp_path / "run", set={"array.rows": 8})
    assert isinstance(found, pd.DataFrame)
    assert list(found.columns[: len(CONTRACT_COLUMNS)]) == CONTRACT_COLUMNS
    assert found["design"].tolist() == ["int8_systolic", "slow"]
    assert found["rows"].tolist() == [8, 8]
    assert found["total_cycles"].tolist() == table(tmp_path / "run")["total_cycles"].tolist()


def test_formats():
    f = sim.formats.get("ovp4", pair_rule="larger")
    pairs = np.array([[0.0, -96.0, 16.0, 0.0, 32.0, 0.0]])
    assert f.encode(pairs, 1.0).tolist() == [[0x8F, 0x28, 0x48]]
    x = np.random.default_rng(0).standard_normal((5, 33)).astype(np.float32)
    for method in ("mse", "absmax", "three_sigma"):
        scale = f.calibrate(x, axis=-1, method=method)
        codes = f.encode(x, scale)
        assert codes.dtype == np.uint8
        assert codes.shape == (5, 17)
        values = f.decode(codes, length=33)
        assert values.dtype == np.int32
        assert values.shape == x.shape
    half = sim.formats.get("fp16")
    exact = x.astype(np.float16)
    codes = half.encode(exact, half.calibrate(exact, axis=-1) * 0 + 1)
    assert np.array_equal(half.decode(codes, length=33), exact)


def closed_form(M: int, N: int, K: int, rows: int, cols: int, overlap: str) -> int:
    """Total of an output-stationary GEMM, written from the contract's table."""
    F = math.ceil(M / rows) * math.ceil(N / cols)
    return {
        "none": F * (K + 2 * rows + cols - 2),
        "wave": (F - 1) * (K + rows - 1) + K + 2 * rows + cols - 2,
        "full": (F - 1) * max(K, rows) + K + 2 * rows + cols - 2,
        "scalesim": F * (K + rows + cols - 2) - 1,
    }[overlap]


@pytest.mark.parametrize("overlap", ["none", "wave", "full", "scalesim"])
@pytest.mark.parametrize("seed", range(3), ids=lambda seed: f"seed{seed}")
@pytest.mark.parametrize("design", ["int8_systolic", "olive_systolic"])
def test_without_memory_limits_the_total_is_the_closed_form(design, overlap, seed):
    rng = np.random.default_rng([seed, len(overlap)])
    shapes = [(1, 1, 1, 1, 1), *(tuple(int(n) for n in rng.integers(1, [70, 70, 90, 12, 12])) for _ in range(4))]
    for M, N, K, rows, cols in shapes:
        settings = {
            "array.rows": rows, "array.cols": cols, "array.fold_overlap": overlap, "memory.dram.model": "none",
        }  # fmt: skip
        found = sim.simulate_gemm(sim.load_design(design, set=settings), M, N, K)
        assert found.cycles["total"] == found.cycles["compute"] == closed_form(M, N, K, rows, cols, overlap)
        assert sum(found.cycles.values()) == 2 * found.cycles["total"]


@pytest.mark.parametrize("how", ["set", "extends"])
def test_another_datapath_drops_the_options_of_the_one_it_replaces(how):
    changes = {"datapath.name": "ovp", "datapath.pair_rule": "left"}
    if how == "set":
        design = sim.load_design("int8_systolic", set=changes)
    else:
        datapath = {"name": "ovp", "pair_rule": "left"}
        design = sim.load_design({"extends": "int8_systolic", "name": "mine", "datapath": datapath})
    assert design.datapath.options == {"pair_rule": "left"}
    assert sim.simulate_gemm(design, M=3, N=4, K=5, fidelity="pe_array").exact
    kept = sim.load_design("int8_systolic", set={"datapath.acc_bits": 24})
    assert kept.datapath.options == {"act_bits": 8, "weight_bits": 8, "acc_bits": 24}


def test_report_refuses_a_table_that_is_not_a_run(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text("{}")
    for name in ("results", "layers"):
        pd.DataFrame({"a": [1]}).to_parquet(tmp_path / f"{name}.parquet")
    before = sorted(p.name for p in tmp_path.iterdir())
    assert cli.main(["report", str(tmp_path)]) == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert "results.parquet: not a table of results (no column design, workload" in complaint
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_a_datapath_is_held_to_the_accumulator_it_states(monkeypatch):
    """Even if its own ``matmul`` does not look: 512 products of 127 x 127 do not fit 16 bits."""
    from simulator.datapath import int_mac
    from simulator.errors import AccumulatorOverflowError

    monkeypatch.setattr(int_mac, "require_fit", lambda *_: None)
    design = sim.load_design("int8_systolic", set={"datapath.acc_bits": 32})
    ones = np.ones((2, 512))
    assert sim.simulate_gemm(design, a=ones, w=ones.T).exact
    monkeypatch.setattr(int_mac.IntMac, "accumulation", property(lambda _: Accumulation("int", 16)))
    with pytest.raises(
        AccumulatorOverflowError, match=r"^int_mac: a partial sum of output \(0, 0\) leaves the 16-bit "
    ):
        sim.simulate_gemm(design, a=ones, w=ones.T)


@pytest.mark.parametrize("arguments", [["--out", ""], ["--out="]])
def test_an_empty_out_scatters_nothing(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "demo", *arguments]) == 2
    assert capsys.readouterr().err == "olivine: --out: an empty name was given; name a folder\n"
    assert list(tmp_path.iterdir()) == []
