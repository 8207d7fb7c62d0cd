"""A folder made again from its store alone, exports, and commands that keep off each other's folders."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pandas as pd
import pytest

from simulator import cli
from simulator.study.store import Store

STUDY = """name: again
designs: [int8_systolic, int4_systolic]
workloads:
  - {name: one, gemms: [{name: up, M: 20, N: 30, K: 40}, {name: qk, M: 9, N: 9, K: 9, count: 2}]}
sweep: {array.rows: [8, 16]}
baseline: int8_systolic
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run and an analysis, whole."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "study.yaml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(["run", "study.yaml", "--out", "run"]) == 0
        assert cli.main(["sensitivity", "study.yaml", "--out", "analysis", "--only", "*clock*"]) == 0
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def files(run):
    return {str(p.relative_to(run)): p.read_bytes() for p in Path(run).rglob("*") if p.is_file()}


def only_store(run):
    """Remove everything but the store; what was there."""
    before = files(run)
    (Path(run) / "results.sqlite").rename("kept")
    shutil.rmtree(run)
    Path(run).mkdir()
    Path("kept").rename(Path(run) / "results.sqlite")
    return before


@pytest.mark.parametrize("run", ["run", "analysis"])
def test_a_report_from_the_store_alone_is_the_same(run, folder, capsys):
    before = only_store(run)
    assert cli.main(["report", run]) == 0
    after = files(run)
    pictures = {name for name in before if name.endswith((".png", ".svg"))}
    assert set(after) == set(before)
    assert pictures
    varying = {"index.html", "results.sqlite"}  # the page holds figures, whose bytes may differ
    assert {n: after[n] for n in set(after) - pictures - varying} == {
        n: before[n] for n in set(before) - pictures - varying
    }


def test_a_report_when_one_file_is_lost(folder, capsys):
    before = files("run")
    Path("run/layers.parquet").unlink()
    assert cli.main(["report", "run"]) == 0
    assert files("run")["layers.parquet"] == before["layers.parquet"]


def test_a_report_of_a_run_that_was_not_finished_is_refused(folder, capsys):
    with Store(Path("half")) as store:
        store.put("a", {"x": 1})
    assert cli.main(["report", "half"]) == 2
    assert capsys.readouterr().err == (
        "olivine: half: not finished (1 points stored); run it again, it goes on from there\n"
    )


def test_exports(folder, capsys):
    results, layers = pd.read_parquet("run/results.parquet"), pd.read_parquet("run/layers.parquet")
    csv = Path("run/results.csv").read_bytes()
    only_store("run")
    assert cli.main(["export", "run", "--to", "r.csv", "--layers", "deep/l.parquet"]) == 0
    assert capsys.readouterr().out == "wrote r.csv\nwrote deep/l.parquet\n"
    assert Path("r.csv").read_bytes() == csv
    pd.testing.assert_frame_equal(pd.read_parquet("deep/l.parquet"), layers)
    assert cli.main(["export", "run", "--to", "r.parquet", "--json"]) == 0
    pd.testing.assert_frame_equal(pd.read_parquet("r.parquet"), results)
    assert cli.main(["export", "analysis", "--to", "s.csv"]) == 0
    assert Path("s.csv").read_bytes() == Path("analysis/sensitivity.csv").read_bytes()
    assert [p.name for p in Path("run").iterdir()] == ["results.sqlite"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("run", "nothing to write; name a file with --to, --layers or both"),
        ("run --to r.xls", "r.xls: tables are written as .csv or .parquet; name a file that ends so"),
        ("nowhere --to r.csv", "nowhere: no such run folder; `olivine run STUDY.yaml` writes one"),
        ("analysis --layers l.csv", "--layers: analysis has none"),
    ],
)
def test_exports_that_cannot_be(arguments, line, folder, capsys):
    assert cli.main(["export", *arguments.split()]) == 2
    assert capsys.readouterr().err == f"olivine: {line}\n"


@pytest.mark.parametrize("lost", [None, "results.sqlite", "manifest.json"])
@pytest.mark.parametrize(
    ("command", "other", "its"), [("run", "analysis", "sensitivity"), ("sensitivity", "run", "run")]
)
def test_commands_keep_off_each_other_s_folders(command, other, its, lost, folder, capsys):
    if lost:
        (Path(other) / lost).unlink()
    before = files(other)
    assert cli.main([command, "study.yaml", "--out", other]) == 2
    assert capsys.readouterr().err == (
        f"olivine: {other}: holds what `olivine {its}` made, which `olivine {command}` would overwrite; name another "
        "--out\n"
    )
    assert files(other) == before


def stopped(study, after, monkeypatch, arguments=()):
    """A run that is interrupted once it has stored so many points."""
    put, stored = Store.put_many, []

    def some(store, points):
        first = dict(itertools.islice(points.items(), after - len(stored)))
        put(store, first)
        stored.extend(first)
        if len(stored) == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put_many", some)
        assert cli.main(["run", study, "--out", "half", "--workers", "1", *arguments]) == 130


def test_a_report_of_a_run_that_was_stopped_has_what_was_stored(folder, capsys, monkeypatch):
    """From the store alone: the study, and whatever it names, may be gone."""
    whole = pd.read_csv("run/results.csv")
    stopped("study.yaml", 3, monkeypatch)
    Path("study.yaml").rename("away.yaml")
    assert [path.name for path in Path("half").iterdir()] == ["results.sqlite"]
    capsys.readouterr()
    for _ in range(2):
        assert cli.main(["report", "half"]) == 0
        printed = capsys.readouterr()
        assert printed.out == "report: half/index.html\n"
        assert "half: not finished (3 of 4 points); run the study again, it goes on" in printed.err
    found = pd.read_csv("half/results.csv")
    ratios = ["speedup", "energy_ratio"]  # of points whose baseline is not there
    there = whole.merge(found[["design", "axis:array.rows"]])
    assert len(found) == 3
    pd.testing.assert_frame_equal(found.drop(columns=ratios), there.drop(columns=ratios))
    assert found["speedup"].notna().sum() >= 2
    assert set(pd.read_parquet("half/layers.parquet")["op"]) == {"up", "qk"}
    assert "not finished: 3 of 4 points" in Path("half/index.html").read_text(encoding="utf-8")
    assert cli.main(["export", "half", "--to", "some.csv"]) == 0
    assert len(pd.read_csv("some.csv")) == 3


def test_a_run_that_was_stopped_and_reported_goes_on_to_the_same_end(folder, capsys, monkeypatch):
    stopped("study.yaml", 2, monkeypatch)
    assert cli.main(["report", "half"]) == 0
    assert cli.main(["run", "study.yaml", "--out", "half"]) == 0
    assert Path("half/results.csv").read_bytes() == Path("run/results.csv").read_bytes()
    capsys.readouterr()
    assert cli.main(["report", "half"]) == 0
    assert "not finished" not in capsys.readouterr().err
    with Store(Path("half"), read_only=True) as store:
        assert store.document("plan.json") is None


def test_a_report_of_a_search_that_was_stopped(folder, capsys, monkeypatch):
    sizes = "sweep: {array.rows: {from: 8, to: 32, step: 8}, array.cols: {from: 8, to: 32, step: 8}}"
    search = "search: {method: nsga2, points: 12, population: 4, objectives: [latency_s, energy_total_pj]}\n"
    Path("search.yaml").write_text(STUDY.replace("sweep: {array.rows: [8, 16]}", sizes) + search, encoding="utf-8")
    stopped("search.yaml", 10, monkeypatch)
    assert cli.main(["report", "half"]) == 0
    assert "half: not finished (10 of 12 points)" in capsys.readouterr().err
    found = pd.read_csv("half/results.csv")
    assert found["search_round"].tolist() == sorted(found["search_round"])
    assert found["search_round"].nunique() > 1


def test_a_report_of_a_folder_that_is_no_run(folder, capsys):
    Path("empty").mkdir()
    assert cli.main(["report", "empty"]) == 2
    assert capsys.readouterr().err == (
        "olivine: empty: holds no run; `olivine run STUDY.yaml --out empty` would write one\n"
    )
