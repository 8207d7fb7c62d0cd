"""Reports of sweeps: what is chosen of many points, and that it is the best of them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import simulator as sim
from simulator.errors import ConfigError
from simulator.report import effects, fronts, heat, pareto, points, problems, roofline, summary
from simulator.report.page import write_page
from simulator.report.run_folder import read_run, write_report
from simulator.report.sweep_figures import undrawn
from simulator.study.columns import is_column
from tests.test_report import study


def by_definition(costs):
    return [not any((o <= p).all() and (o < p).any() for o in costs) and not np.isnan(p).any() for p in costs]


@given(
    arrays(float, st.tuples(st.integers(0, 30), st.integers(1, 4)), elements=st.sampled_from([0, 1, 2, 3.5, np.inf]))
)
@settings(max_examples=100, deadline=None)
def test_the_non_dominated_are_those_that_no_other_beats(costs):
    assert pareto.non_dominated(costs).tolist() == by_definition(costs)


def test_equal_points_stand_together_and_unknown_ones_nowhere():
    costs = np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [0.0, np.nan]])
    assert pareto.non_dominated(costs).tolist() == [True, True, True, False, False]


def frame(**columns):
    return pd.DataFrame({"workload": "w", "latency_s": 1.0} | columns)


def test_the_front_is_of_each_workload_and_leaves_out_what_failed_or_is_not_allowed():
    results = frame(
        workload=["a", "a", "a", "b", "b"],
        latency_s=[3.0, 2.0, 1.0, 9.0, np.nan],
        energy_total_pj=[1.0, 2.0, 0.5, 9.0, np.nan],
        failure=[None, None, None, "", "no buffer is large enough"],
        meets_constraints=[True, True, False, None, None],
    )
    objectives = pareto.varying(results)
    assert [o.name for o in objectives] == ["latency", "energy"]
    assert pareto.front_of(results, objectives).tolist() == [True, True, False, True, False]


def test_more_accurate_is_better():
    results = frame(latency_s=[1.0, 1.0, 2.0], sqnr_db=[10.0, 20.0, np.inf])
    assert pareto.front_of(results, pareto.varying(results)).tolist() == [False, True, True]


@pytest.mark.parametrize("values", [[1.0, 1.0 + 1e-12], [np.nan, 1.0], [np.nan, np.nan]])
def test_what_says_the_same_of_all_points_is_no_objective(values):
    assert pareto.varying(frame(energy_total_pj=values)) == []


# ------------------------------------------------------------------------------------------------- a sweep's figures


@pytest.fixture(scope="module")
def sweep():
    """Numbers made up by formulas that a test can solve: latency falls with rows, energy and area grow with kib."""
    rows, kib, flow = np.meshgrid([8, 16, 32, 64], [32, 64, 128], [0, 1], indexing="ij")
    few, layers, manifest = study(n_ops=2, designs={"a": (1.0, 4, 20.0, 0.0), "b": (2.0, 8, 30.0, 0.0)}, baseline="a")
    parts = []
    for design, slow in (("a", 1.0), ("b", 2.0)):
        one = few[few["design"] == design].iloc[np.zeros(rows.size, dtype=int)].reset_index(drop=True)
        one["axis:array.rows"], one["axis:memory.act_buffer.capacity_kib"] = rows.ravel(), kib.ravel()
        one["axis:memory.out_buffer.capacity_kib"] = kib.ravel() // 2
        one["axis:array.dataflow"] = np.array(["os", "ws"])[flow.ravel()]
        one["latency_s"] = slow * (1 + flow.ravel()) * 1e-3 / rows.ravel()
        one["energy_total_pj"] = slow * (1e6 + 1e4 * kib.ravel())
        one["area_total_um2"] = 1e5 * rows.ravel() + 1e4 * kib.ravel()
        one["edp_js"] = one["latency_s"] * one["energy_total_pj"] * 1e-12
        one["dram_gb_s"] = 16.0
        parts.append(one)
    results = pd.concat(parts, ignore_index=True)
    first = results.drop_duplicates("design")
    layers = layers.merge(first[["design", *(c for c in results if c.startswith("axis:"))]], on="design")
    return results, layers, manifest


def test_a_front_is_named_in_order_with_its_settings(sweep):
    found = fronts.front_of_pair(sweep[0], *pareto.varying(sweep[0])[::2][:2])
    named = found.points.loc[found.named]
    assert named["axis:array.rows"].tolist() == [64, 32, 16, 8]
    assert set(named["axis:memory.act_buffer.capacity_kib"]) == {32}
    heads, lines = fronts._key(found)
    assert heads == ["", "design", "rows", "latency (µs)", "area (mm²)"]
    assert lines[0] == ["1", "a", "64", "15.6", "6.72"]
    caption = fronts._caption(sweep[0], found)
    assert "4 points that no other beats in latency or area" in caption
    assert "act_buffer.capacity_kib=32, dataflow=os" in caption


def test_axes_that_change_together_are_one(sweep):
    together = points.swept_together(sweep[0])
    assert together["axis:memory.act_buffer.capacity_kib"] == ["axis:memory.out_buffer.capacity_kib"]
    assert len(together) == 3


def test_the_strongest_axis_comes_first_and_its_ranges_are_those_of_the_points(sweep):
    results = sweep[0][sweep[0]["design"] == "a"]
    drawing = next(effects.effect_drawings(results, {"effects": ["latency_s"]}))
    assert [axes.get_xlabel() for axes in drawing.figure.axes] == [
        "rows",
        "dataflow",
        "act_buffer.capacity_\nkib",
    ]
    ranges = effects.effect_ranges(results, "axis:array.rows", "latency_s")
    assert ranges["value"].tolist() == ["8", "16", "32", "64"]
    np.testing.assert_allclose(ranges[["low", "median", "high"]].iloc[0], [1e-3 / 8, 1.5e-3 / 8, 2e-3 / 8])
    assert "go out_buffer.capacity_kib" in drawing.caption


def test_a_heat_map_holds_the_best_over_all_other_fields(sweep):
    asked = {
        "heatmaps": [{"x": "array.rows", "y": "memory.act_buffer.capacity_kib", "value": "latency_s", "best": "min"}]
    }
    (drawing,) = heat.heat_drawings(sweep[0], asked)
    (one,) = heat._heats(sweep[0], asked)
    cells = heat.heat_cells(sweep[0][sweep[0]["design"] == "b"], one)
    np.testing.assert_allclose(cells.loc["32"], 2e-3 / np.array([8, 16, 32, 64]))
    assert drawing.caption.startswith("Lowest latency over all values of dataflow")


def test_a_heat_map_with_holes_says_so(sweep):
    results = sweep[0][~((sweep[0]["axis:array.rows"] == 8) & (sweep[0]["design"] == "a"))]
    asked = {"heatmaps": [{"x": "array.rows", "y": "array.dataflow", "value": "speedup", "best": "max"}]}
    results = results.assign(speedup=1.0 * results.index)
    (drawing,) = heat.heat_drawings(results, asked)
    assert "empty" not in drawing.caption  # that design has no such column at all
    assert drawing.caption.startswith("Highest speedup")
    gone = (results["axis:array.rows"] == 16) & (results["axis:array.dataflow"] == "ws") & (results["design"] == "b")
    (drawing,) = heat.heat_drawings(results[~gone], asked)
    assert drawing.caption.endswith(" 1 cell without a point is empty.")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Results and ops of a small real study on an array and on a GPU."""
    gemms = [{"name": "big", "M": 256, "N": 256, "K": 256}, {"name": "thin", "M": 1, "N": 512, "K": 512}]
    folder = tmp_path_factory.mktemp("real")
    study_ = {"name": "r", "designs": ["int8_systolic", "rtx2080ti_int8"], "workloads": [{"name": "w", "gemms": gemms}]}
    return sim.run_study(study_, out=folder), pd.read_parquet(folder / "layers.parquet")


def test_dots_lie_under_their_roofs(real):
    """Two operations per MAC beat neither the array's peak nor DRAM's bandwidth."""
    results, layers = real
    for rows, count in ((layers, 4), (results, 2)):
        table = roofline.roofline_points(rows, results)
        assert len(table) == count
        roof = np.minimum(table["peak_tops"], table["ops_per_byte"] * table["dram_gb_s"] * 1e-3)
        assert (table["tops"] <= roof * (1 + 1e-9)).all()


def test_every_column_of_a_run_is_known(real):
    assert [column for column in real[0].columns if not is_column(column)] == []


def test_without_a_bandwidth_there_is_no_roofline(sweep):
    results, layers, _ = sweep
    assert list(roofline.roofline_drawings(results.assign(dram_gb_s=math.nan), layers, None)) == []
    assert list(roofline.roofline_drawings(results, layers, {"roofline": False})) == []


# --------------------------------------------------------------------------------------------------------- its tables


def test_the_shortlist_is_the_best_by_each_objective(sweep):
    results = sweep[0]
    chosen = points.shortlist(results)
    assert chosen["why"].tolist() == [
        "lowest area",
        "lowest latency, lowest energy, lowest energy-delay product",
        "highest output SQNR, lowest energy-delay product of b",
    ]
    assert chosen["latency_s"].iloc[1] == results["latency_s"].min()
    assert chosen["area_total_um2"].iloc[0] == results["area_total_um2"].min()


def test_failures_are_counted_by_reason_and_constraints_told(sweep):
    results = sweep[0].assign(failure="", meets_constraints=True)
    results.loc[:2, "failure"] = "no tile fits"
    results.loc[5, "failure"] = "<b>other</b>"
    results.loc[8:11, "meets_constraints"] = False
    several = {
        "study_resolved": {"constraints": ["a <= 1", "b <= 1"]},
        "constraints": [{"text": "a <= 1", "met": 43, "broken": 1}, {"text": "b <= 1", "met": 41, "broken": 3}],
    }
    told = problems.problems(results, several)["constraints"]
    assert told.to_numpy().tolist() == [["a <= 1", "43", "1"], ["b <= 1", "41", "3"], ["all of them", "40", "4"]]
    found = problems.problems(results, {"study_resolved": {"constraints": ["area_total_um2 <= 1e7"]}})
    assert found["failures"]["Points"].tolist() == ["3", "1"]
    assert found["failures"]["First point"].iloc[0].startswith("a on minilm-l6-sample, rows=8")
    assert found["constraints"].iloc[0].tolist() == ["area_total_um2 <= 1e7", "40", "4"]
    table = summary.results_grid(results)
    texts = {c.name: c.values for c in table.columns}
    assert sorted(texts["Failure"])[-3:] == ["no tile fits"] * 3
    assert list(texts["Constraints"]).count("broken") == 4
    assert texts["Front"][0] == "yes"


def test_a_large_sweep_is_reported_by_its_best(tmp_path, sweep):
    results, layers, manifest = sweep
    results = pd.concat([results.assign(workload=w) for w in ("v", "w")], ignore_index=True)
    layers = pd.concat([layers.assign(workload=w) for w in ("v", "w")], ignore_index=True)
    assert points.is_large(results)
    page = write_report(tmp_path, results, layers, manifest).read_text(encoding="utf-8")
    names = {path.name for path in (tmp_path / "figures").glob("*.svg")}
    assert {"pareto_latency_s_area_total_um2.svg", "effects_latency_s.svg", "roofline.svg", "energy.svg"} <= names
    assert any(name.startswith("heat_latency_s") for name in names)
    assert "speedup.svg" not in names
    assert "<title>a, rows=64, act_buffer.capacity_kib=32, dataflow=os, latency 15.6" in page
    assert "Letters are those of the table of best points." in page
    assert len((tmp_path / "tables/summary.md").read_text().splitlines()) == 2 + len(points.shortlist(results))
    assert (tmp_path / "tables/pareto.tex").exists()
    write_report(tmp_path, *study(n_ops=1))
    left = {path.name for path in tmp_path.rglob("*")}
    assert not [name for name in left if name.startswith(("pareto", "effects", "heat_"))]


def test_a_sweep_without_layers_is_reported_too(tmp_path, sweep):
    results, _, manifest = sweep
    results = pd.concat([results.assign(workload=w) for w in ("v", "w")], ignore_index=True)
    page = write_report(tmp_path, results, pd.DataFrame(), manifest).read_text(encoding="utf-8")
    assert "Per op" not in page
    again = read_run(tmp_path)
    assert again[1].empty
    assert write_page(tmp_path / "again", *again, []).exists()


def test_many_points_are_one_picture_inside_the_figure(sweep):
    results = pd.concat([sweep[0]] * 8, ignore_index=True)
    results["axis:seed"] = np.arange(len(results))
    found = fronts.front_of_pair(results, *pareto.varying(results)[:2])
    figure = fronts.front_figure(found)
    assert [bool(c.get_rasterized()) for c in figure.axes[0].collections] == [True, True]


# -------------------------------------------------------------------------------------------------- what is asked for

GOOD = {"designs": ["int8_systolic"], "workloads": ["bert_base"], "name": "n", "sweep": {"array.rows": [8, 16]}}


@pytest.mark.parametrize(
    ("figures", "complaint"),
    [
        (
            {"pareto": [["latency_s", "sqnr_d"]]},
            "pareto[0][1]: 'sqnr_d' is no column of the results and no swept field; did you mean 'sqnr_db'?",
        ),
        (
            {"heatmaps": [{"x": "array.row", "y": "array.rows"}]},
            "heatmaps[0].x: 'array.row' is no swept field; did you mean 'array.rows'?",
        ),
        ({"effects": ["speedup"]}, "effects[0]: 'speedup' needs a baseline; name one of the designs"),
        (
            {"pareto": [["latency_s", "latency_s"]]},
            "pareto[0][1]: 'latency_s' is along x already; name another column",
        ),
        ({"heatmap": []}, "heatmap: unknown key; did you mean 'heatmaps'?"),
    ],
)
def test_an_unknown_column_is_one_line_and_nothing_is_written(figures, complaint, tmp_path):
    with pytest.raises(ConfigError) as error:
        sim.run_study(GOOD | {"figures": figures}, out=tmp_path / "out")
    assert str(error.value).endswith(f": figures.{complaint}")
    assert not (tmp_path / "out").exists()


def test_what_is_asked_for_and_not_known_is_said(sweep):
    asked = {"pareto": [["latency_s", "tokens_per_s"]], "heatmaps": None, "effects": None}
    assert undrawn(sweep[0], asked) == ["tokens_per_s"]


def test_effects_compare_points_that_are_there_at_every_value(sweep):
    results = sweep[0][sweep[0]["design"] == "a"]
    whole = effects.paired(results, "axis:array.rows")
    assert len(whole) == len(results)
    rows = results["axis:array.rows"]
    gone = results[~((rows == 64) & (results["axis:array.dataflow"] == "os"))]
    left = effects.paired(gone, "axis:array.rows")
    assert set(left["axis:array.dataflow"]) == {"ws"}, "of os there is nothing to compare with at 64 rows"
    assert left.groupby("axis:array.rows").size().nunique() == 1
    drawn = next(effects.effect_drawings(gone, {"effects": ["latency_s"]}))
    assert "so that its medians compare the same points" in drawn.caption
    assert len(effects.paired(gone.assign(search_round=1), "axis:array.rows")) == len(gone)
