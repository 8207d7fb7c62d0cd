"""Searches of whole studies: what they run, in which order, and that nothing but the points decides it."""

from __future__ import annotations

import importlib.util
import json
from typing import NamedTuple

import pandas as pd
import pytest
import yaml

from simulator.cli import main
from simulator.config.catalogue import Reference
from simulator.errors import ConfigError
from simulator.study import rounds
from simulator.study.executors import Executor, Inline, Local
from simulator.study.points import Points, open_points
from simulator.study.rounds import Means, run_points
from simulator.study.run import execute
from simulator.study.sampling.record import search_notes, search_record
from simulator.study.sampling.searching import point_rounds, require_searchable
from simulator.study.setup import StudySetup, read_study
from simulator.study.store import Store
from simulator.study.tables import Finished, results_of

SMALL = {
    "name": "small",
    "designs": ["int8_systolic", "olive_systolic"],
    "workloads": [{"name": "probe", "gemms": [{"name": "a", "M": 32, "N": 64, "K": 48}]}],
    "set": {"memory.dram.model": "ideal"},
    "sweep": {"array.rows": [4, 8, 16, 32], "array.cols": [4, 8, 16, 32], "array.dataflow": ["os", "ws", "is"]},
}
THIN = {"name": "thin", "gemms": [{"name": "a", "M": 1, "N": 64, "K": 48}]}
KEYS = ["design", "axis:array.rows", "axis:array.cols", "axis:array.dataflow"]


def study(**changes) -> Reference:
    return SMALL | changes


def searched(method: str, points: int, **more):
    return {"method": method, "points": points} | more


def file_of(tmp_path, **changes):
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(study(**changes), sort_keys=False))
    return path


def proposed(results: pd.DataFrame) -> list[tuple]:
    return list(results[KEYS].itertuples(index=False, name=None))


class Outcome(NamedTuple):
    results: pd.DataFrame
    ran: int
    reused: int
    points: Points
    finished: list[Finished]


def run(asked, folder, at_work: Executor | None = None) -> Outcome:
    """A study run as by the command, without its report."""
    record, source, overrides = read_study(asked, {})
    points = open_points(StudySetup(record, source, overrides))
    require_searchable(points)
    with Store(folder) as store:
        ran = run_points(points, Means(store, at_work or Inline()))
    return Outcome(results_of(points, ran.finished, []), ran.ran, ran.reused, points, ran.finished)


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """The store of all 96 points, and their table."""
    folder = tmp_path_factory.mktemp("grid")
    return folder, run(SMALL, folder).results


@pytest.mark.parametrize("method", ["random", "lhs", "nsga2"])
def test_a_search_takes_its_points_from_the_store_and_gives_the_rows_of_the_grid(grid, method):
    folder, whole = grid
    outcome = run(study(search=searched(method, 40)), folder)
    assert (outcome.ran, outcome.reused) == (0, 40)
    found = proposed(outcome.results)
    assert len(set(found)) == 40
    expected = whole.set_index(KEYS).loc[found].reset_index()[list(whole.columns)]
    pd.testing.assert_frame_equal(outcome.results.drop(columns="search_round"), expected, check_like=True)
    rounds_of = outcome.results["search_round"].tolist()
    assert rounds_of == sorted(rounds_of)
    assert set(rounds_of) == (set(range(1, 5)) if method == "nsga2" else {1})  # generations of ten


def test_an_interrupted_search_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch, grid):
    asked = study(search=searched("nsga2", 40))
    evaluate, left = rounds.evaluated, 17

    def interrupted(*args):
        nonlocal left
        for result in evaluate(*args):
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            yield result

    monkeypatch.setattr(rounds, "evaluated", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(asked, tmp_path)
    monkeypatch.undo()
    again = run(asked, tmp_path)
    assert again.ran == 40 - again.reused
    assert 18 <= again.reused < 40  # the eighteenth, and those of its chunk, were stored before anyone asked for it
    assert again.results.to_csv() == run(asked, grid[0]).results.to_csv()


def test_processes_change_nothing(tmp_path, grid):
    asked = study(search=searched("nsga2", 10, seed=3, population=5))
    with Local(2) as at_work:
        apart = run(asked, tmp_path, at_work)
    assert apart.ran == 10
    assert apart.results.to_csv() == run(asked, grid[0]).results.to_csv()


def test_the_seed_is_the_study_s_unless_the_search_has_its_own(tmp_path):
    def drawn(**more):
        record, source, overrides = read_study(study(**more), {})
        return next(point_rounds(open_points(StudySetup(record, source, overrides))))

    own = drawn(search=searched("random", 20, seed=7))
    assert own == drawn(search=searched("random", 20), seed=7) == drawn(search=searched("random", 20, seed=7), seed=1)
    assert own != drawn(search=searched("random", 20))


def test_a_larger_budget_only_adds_points(grid):
    first, more = (run(study(search=searched("nsga2", n, population=6)), grid[0]) for n in (30, 45))
    assert proposed(more.results)[:30] == proposed(first.results)


def test_a_point_is_judged_on_every_workload(tmp_path):
    workloads = [*SMALL["workloads"], THIN]
    outcome = run(study(workloads=workloads, search=searched("nsga2", 20, population=5)), tmp_path)
    assert outcome.ran == 40
    assert outcome.results["workload"].tolist() == ["probe", "thin"] * 20
    assert outcome.results["search_round"].value_counts().tolist() == [10] * 4
    first, second = (proposed(outcome.results.iloc[start::2]) for start in (0, 1))
    assert first == second


def test_conditions_and_constraints_are_respected(grid):
    folder, whole = grid
    limit = whole["area_total_um2"].quantile(0.6)
    changes = {"where": ["array.rows >= array.cols"], "constraints": [f"area_total_um2 <= {limit}"]}
    chance = run(study(**changes), folder).results["meets_constraints"].mean()
    results = run(study(**changes, search=searched("nsga2", 40, population=5)), folder).results
    assert (results["axis:array.rows"] >= results["axis:array.cols"]).all()
    assert 0 < chance < results["meets_constraints"].mean() < 1


def test_points_that_a_constraint_keeps_from_being_simulated_still_count(tmp_path, grid):
    limit = grid[1]["area_total_um2"].quantile(0.4)
    asked = study(constraints=[f"area_total_um2 <= {limit}"], search=searched("nsga2", 40, population=5))
    results = run(asked, tmp_path).results
    assert len(results) == 40
    assert results["total_cycles"].isna().tolist() == (~results["meets_constraints"]).tolist()
    assert results["meets_constraints"][20:].mean() > results["meets_constraints"][:10].mean()


def test_the_record_says_how_far_each_round_came(grid):
    outcome = run(study(search=searched("nsga2", 40)), grid[0])
    kept = search_record(outcome.points, outcome.finished)
    assert kept["rounds"] == [10, 10, 10, 10]
    assert kept["population"] == 10
    assert kept["hypervolume"] == sorted(kept["hypervolume"])
    assert kept["hypervolume"][0] < kept["hypervolume"][-1] == 1.0
    assert kept["objectives"][0] == {"column": "latency_s", "better": "min"}


def test_more_points_than_there_are_gives_all_of_them_in_order_and_says_so(grid):
    folder, whole = grid
    outcome = run(study(search=searched("lhs", 500)), folder)
    assert proposed(outcome.results) == proposed(whole)
    assert search_notes(outcome.points, len(outcome.results)) == [
        "search: 500 points were asked for; there are 96, and all were run"
    ]


def test_the_command_runs_a_search_and_keeps_what_it_did(tmp_path, capsys):
    path = file_of(tmp_path, search=searched("nsga2", 3, population=2))
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 0
    assert "3 points run, 0 found in the store" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["search"]["rounds"] == [2, 1]


# What is refused


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"search": searched("nsga2", 40, objectives=["latency_s", "sqnr_db"])},
            "search.objectives[1]: 'sqnr_db' is no objective here; it is empty in all 10 results so far",
        ),
        (
            {"search": searched("nsga2", 40, objectives=[{"total_cycle": "min"}])},
            "search.objectives[0]: 'total_cycle' is no objective here; did you mean 'total_cycles'?",
        ),
        (
            {"search": searched("nsga3", 40)},
            "search.method: found 'nsga3'; allowed: random, lhs, nsga2; did you mean 'nsga2'?",
        ),
        ({"search": searched("lhs", 40), "sweep": {}, "designs": ["int8_systolic"]}, "search: there is one point only"),
        (
            {"search": searched("lhs", 9), "workloads": [*SMALL["workloads"], THIN], "where": ["workload == 'thin'"]},
            "where[0]: a search judges each point on every workload; take 'workload' out, or search without it",
        ),
        (
            {"search": searched("lhs", 9), "sweep": SMALL["sweep"] | {"array.dataflow": ["os", "wss"]}},
            "sweep: array.dataflow: found 'wss'; allowed: os, ws, is; did you mean 'ws'?",
        ),
    ],
)
def test_bad_searches_are_one_line_and_leave_nothing(tmp_path, capsys, changes, expected):
    out = tmp_path / "out"
    assert main(["run", str(file_of(tmp_path, **changes)), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert "s.yaml:" in line
    assert not (out / "results.csv").exists()


@pytest.mark.parametrize(("method", "package"), [("lhs", "scipy"), ("nsga2", "optuna"), ("nsga2", "moocore")])
def test_a_missing_package_is_named_before_anything_is_run(tmp_path, capsys, monkeypatch, method, package):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else found(name))
    out = tmp_path / "out"
    assert main(["run", str(file_of(tmp_path, search=searched(method, 9))), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f": search: method: {method} needs the 'search' extra: pip install 'olivine[search]'")
    assert not out.exists()


def test_a_condition_that_leaves_nothing_of_a_huge_space_is_refused_at_once(tmp_path):
    """A space that nobody could go through, and its grid, which nobody could run."""
    sizes = {"from": 1, "to": 1000, "step": 1}
    sweep = {"array.rows": sizes, "array.cols": sizes, "memory.act_buffer.capacity_kib": {**sizes, "from": 16}}
    asked = study(sweep=sweep, where=["array.rows > 1000"], search=searched("random", 5))
    with pytest.raises(ConfigError, match=r"where: leaves none of \d+ points; loosen a condition or narrow the axes"):
        execute(asked, tmp_path / "run", workers=1)
    with pytest.raises(
        ConfigError, match=r"sweep: \d+ points; a study is run point by point, at most 16777216; narrow"
    ):
        execute(study(sweep=sweep), tmp_path / "run", workers=1)
    assert not (tmp_path / "run").exists()
