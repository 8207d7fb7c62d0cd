"""Points of a study, built one by one and found again by content: against designs laid over by hand."""

from __future__ import annotations

import gc
import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import simulator as sim
from simulator.config import load_design, load_study
from simulator.config.once import remembering
from simulator.resources import shipped_dir, shipped_names
from simulator.study import keys
from simulator.study.building import build
from simulator.study.evaluate import evaluate
from simulator.study.hardware import Hardware
from simulator.study.keys import datapath_sha256
from simulator.study.points import open_points
from simulator.study.setup import StudySetup
from simulator.study.workloads import resolve_workload
from tests.test_imports import imports, package_of

PROBE = {"name": "probe", "gemms": [{"name": "up", "M": 20, "N": 30, "K": 40}]}
SWEPT = {
    "name": "swept",
    "designs": ["int8_systolic", "olive_systolic"],
    "workloads": [PROBE],
    "sweep": {"array.rows": [8, 16], "array.dataflow": ["os", "ws"], "memory.dram.bandwidth_gb_s": [8, 64]},
}


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    monkeypatch.setattr("simulator.report.figures.write_figures", lambda *_: [])


def opened(study, overrides=None):
    return open_points(StudySetup(*load_study(study), overrides or {}))


def by_hand(study, near):
    """Every point of a study without sizing: nested loops over ``load_design`` and ``resolve_workload``."""
    axes = study.get("sweep", {})
    for design, workload in itertools.product(study["designs"], study["workloads"]):
        for values in itertools.product(*axes.values()):
            at = dict(zip(axes, values, strict=True))
            both = study.get("set", {}), at
            own = [{k: v for k, v in each.items() if not k.startswith("workload.")} for each in both]
            run = [{k[9:]: v for k, v in each.items() if k.startswith("workload.")} for each in both]
            ran = resolve_workload(workload, near, [("x", each) for each in run]).only(study.get("steps", "all"))
            built = build(load_design(design, near=near, overlays=[("x", each) for each in own]))
            yield built.on(ran.name), ran, at


def listed(name):
    return yaml.safe_load((shipped_dir("configs/studies") / f"{name}.yaml").read_text(encoding="utf-8"))


LISTED = [n for n in shipped_names("configs/studies") if n not in ("design_space", "search")]  # whose axes are ranges


@pytest.mark.parametrize("study", [*LISTED, SWEPT], ids=[*LISTED, "swept"])
def test_a_point_is_what_loops_by_hand_build(study):
    data = study if isinstance(study, dict) else listed(study)
    near = Path() if isinstance(study, dict) else shipped_dir("configs/studies")
    sized = data.get("normalise", "none") != "none"
    points = opened(study)
    naive = list(by_hand(data, near))
    assert len(naive) == points.total
    for index, (hardware, workload, axes) in enumerate(naive):
        point = points.point(index)
        assert (point.workload.name, point.workload.fingerprint) == (workload.name, workload.fingerprint)
        assert point.axes == axes
        expected = hardware.design
        if sized and point.size:
            side = {"rows": point.hardware.design.array.rows, "cols": point.hardware.design.array.cols}
            expected = expected.model_copy(update={"array": expected.array.model_copy(update=side)})
        assert point.hardware.design.model_dump() == expected.model_dump()
        if not sized:
            assert repr(point.hardware) == repr(hardware)
    assert list(points.indices()) == list(range(points.total))


def test_conditions_leave_out_what_a_filter_by_hand_leaves_out():
    asked = [
        "array.rows >= 16 or array.dataflow == 'ws'",
        "design != 'olive_systolic' or memory.dram.bandwidth_gb_s < 64",
    ]
    points, whole = opened(SWEPT | {"where": asked}), opened(SWEPT)
    kept = [
        i
        for i in whole.indices()
        if (at := whole.axes(i))["array.rows"] >= 16 or at["array.dataflow"] == "ws"
        if whole.split(i)[0] != 1 or at["memory.dram.bandwidth_gb_s"] < 64
    ]
    assert list(points.indices()) == kept
    assert 0 < len(kept) < whole.total


def test_numbers_and_back():
    points = opened(SWEPT | {"workloads": [PROBE, PROBE | {"name": "other"}]})
    assert [points.index_of(*points.split(i)) for i in range(points.total)] == list(range(points.total))
    assert points.total == 2 * 2 * 8


def test_a_sweep_holds_few_designs():
    """However many points it has."""
    study = SWEPT | {"sweep": {"array.rows": list(range(8, 208)), "array.cols": [8, 16]}, "workloads": [PROBE]}
    points = opened(study)
    for index in points.indices():
        points.key(index)
        if index % 2:
            points.point(index)
    gc.collect()
    assert sum(issubclass(type(each), Hardware) for each in gc.get_objects()) < 200


# Keys


@pytest.fixture
def studied(tmp_path):
    """A study whose files are its own: price list, DRAM part, workload."""
    for folder, name in (("configs/cost", "open"), ("configs/dram", "ddr4_3200")):
        shutil.copytree(shipped_dir(folder), tmp_path / Path(folder).name)
        assert (tmp_path / Path(folder).name / f"{name}.yaml").exists()
    design = {
        "extends": "int8_systolic", "name": "mine", "cost": "./cost/open.yaml",
        "memory": {"dram": {"model": "banked", "part": "./dram/ddr4_3200.yaml"}},
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(design), encoding="utf-8")
    (tmp_path / "work.yaml").write_text(yaml.safe_dump(PROBE), encoding="utf-8")
    study = {"name": "s", "designs": ["./mine.yaml"], "workloads": ["./work.yaml"], "sweep": {"array.rows": [8, 16]}}

    def key(**more):
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(study | more), encoding="utf-8")
        return opened(tmp_path / "study.yaml").key(0)

    return tmp_path, key


def edited(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_equal_content_equal_key(studied):
    folder, key = studied
    before = key()
    assert key() == before
    assert key(sweep={"array.rows": [8, 32]}, description="other words") == before
    assert key(sweep={"array.rows, array.dataflow": [[8, "os"]]}) == before, "an axis that says what the design says"
    assert key(sweep={}, set={"array.rows": 8}) == before
    assert key(baseline="mine", where=["array.rows == 8"], constraints=["area_total_um2 > 0"], layers="none") == before
    for name in ("mine.yaml", "work.yaml", "cost/open.yaml"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text("# a comment\n" + text, encoding="utf-8")
    assert key() == before
    for name in ("mine.yaml", "work.yaml"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text + "\ndescription: in other words\n", encoding="utf-8")
    assert key() == before, "what is said about a design or a workload changes no number"


PACKAGE = Path(keys.__file__).resolve().parent.parent


def left_out(module):
    return any(f"{module}/".startswith(f"{name}/") for name in keys.NO_NUMBERS)


def imported_by(module):
    """Files of this package that a file imports, wherever in it, those of the packages that they are in included."""
    for _, name in imports((PACKAGE / module).read_text(encoding="utf-8"), package_of(PACKAGE / module)):
        steps = name.split(".")[1:] if name.startswith("simulator.") else []
        for depth in range(1, len(steps) + 1):
            here = PACKAGE.joinpath(*steps[:depth])
            found = (here.with_suffix(".py"), here / "__init__.py")
            yield from (str(path.relative_to(PACKAGE)) for path in found if path.exists())


def reached_from(*modules):
    seen, left = set(), list(modules)
    while left:
        module = left.pop()
        if module not in seen:
            seen.add(module)
            left += imported_by(module)
    return seen


def test_what_keys_leave_out_is_imported_by_nothing_that_numbers_come_from():
    for name in keys.NO_NUMBERS:
        assert (PACKAGE / name).exists(), name
    registered = [
        str(p.relative_to(PACKAGE)) for room in ("datapath", "formats") for p in (PACKAGE / room).glob("*.py")
    ]
    reached = reached_from("study/evaluate.py", "study/counted.py", *registered)
    assert len(reached) > 150
    assert [module for module in reached if left_out(module)] == []
    verdicts = reached_from(*(m for m in imported_by("study/accuracy.py") if not m.startswith("study/store/")))
    assert [module for module in verdicts if left_out(module)] == [], "a store gives back what was put there"


def test_the_code_of_the_store_is_in_no_key_and_that_of_the_engine_is(tmp_path, monkeypatch):
    shutil.copytree(PACKAGE, tmp_path / "simulator", ignore=shutil.ignore_patterns("__pycache__", "_shipped"))
    monkeypatch.setattr(keys, "__file__", str(tmp_path / "simulator" / "study" / "keys.py"))

    def after(edit):
        path = tmp_path / "simulator" / edit
        path.write_text(path.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
        return keys.numbers_sha256.__wrapped__(), keys.code_sha256.__wrapped__()

    before = keys.numbers_sha256.__wrapped__(), keys.code_sha256.__wrapped__()
    for edit in ("study/store/claims.py", "study/executors/local.py", "study/sampling/nsga2.py", "study/run.py"):
        numbers, code = after(edit)
        assert (numbers == before[0], code == before[1]) == (True, False)
        before = numbers, code
    for edit in ("engine/pipeline.py", "study/evaluate.py", "cost/pricing.py", "study/points.py", "config/sweep.py"):
        numbers, code = after(edit)
        assert (numbers == before[0], code == before[1]) == (False, False)
        before = numbers, code


def test_key_changes_with_a_price(studied):
    folder, key = studied
    before = key()
    edited(folder / "cost/open.yaml", "leakage_nw: ", "leakage_nw: 1")
    assert key() != before


def test_key_changes_with_a_timing_of_the_dram_part(studied):
    folder, key = studied
    before = key()
    edited(folder / "dram/ddr4_3200.yaml", "CL: ", "CL: 1")
    assert key() != before


@pytest.mark.parametrize(
    "more",
    [
        {"sweep": {"array.rows": [16]}},
        {"sweep": {"array.rows": [8], "array.cols": [8]}},
        {"set": {"clock_mhz": 123.0}},
        {"set": {"memory.dram.queue_depth": 4}},
        {"set": {"datapath.act_bits": 4, "datapath.weight_bits": 4}},
        {"fidelity": "event"},
        {"seed": 1},
        {"steps": "layers"},
        {"set": {"workload.gemms": [{"name": "up", "M": 20, "N": 30, "K": 41}]}},
        {"normalise": "iso_area", "sizing": {"budget_mm2": 1.0}, "sweep": {"clock_mhz": [1000.0]}},
    ],
    ids=lambda more: json.dumps(more)[:40],
)
def test_key_changes_with_what_a_study_says(studied, more):
    _, key = studied
    assert key(**more) != key()


def test_key_changes_with_the_workload_the_code_and_a_list_of_kernels(studied, monkeypatch, tmp_path):
    folder, key = studied
    before = key()
    edited(folder / "work.yaml", "K: 40", "K: 41")
    assert key() != before
    edited(folder / "work.yaml", "K: 41", "K: 40")
    assert key() == before
    for name in ("numbers_sha256", "datapath_sha256"):
        with monkeypatch.context() as patch:
            patch.setattr(keys, name, lambda *_: "other")
            assert key() != before
    shutil.copytree(shipped_dir("configs/kernels"), folder / "kernels")
    listed = next((folder / "kernels").glob("llm_int8*.yaml"))
    gpu = {
        "extends": "a100",
        "name": "gpu",
        "kernels": f"./kernels/{listed.name}",
        "datapath": {"name": "mixed_int8_fp16"},
    }
    (folder / "gpu.yaml").write_text(yaml.safe_dump(gpu), encoding="utf-8")
    study = {"designs": ["./gpu.yaml"], "sweep": {}}
    before = key(**study)
    edited(listed, "launches: ", "launches: 1") if "launches: " in listed.read_text() else edited(
        listed, "us: ", "us: 1"
    )
    assert key(**study) != before


def test_sizing_has_a_key_of_its_own_and_follows_the_baseline():
    study = SWEPT | {"normalise": "iso_area", "baseline": "int8_systolic", "sweep": {"clock_mhz": [500.0]}}
    before = opened(study)
    after = opened(
        study
        | {"designs": [{"extends": "int8_systolic", "name": "int8_systolic", "array": {"rows": 8}}, "olive_systolic"]}
    )
    assert before.key(1) != after.key(1), "the design that is sized depends on the one that gives the size"
    assert before.key(1) != opened(SWEPT | {"sweep": {"clock_mhz": [500.0]}}).key(1)
    assert before.key(0) == opened(SWEPT | {"sweep": {"clock_mhz": [500.0]}}).key(0), "which keeps its own"


def test_a_file_is_read_once_in_a_run(studied):
    folder, key = studied
    key()
    points = opened(folder / "study.yaml")
    before = points.key(0)
    edited(folder / "cost/open.yaml", "leakage_nw: ", "leakage_nw: 1")
    assert points.key(1) != before
    assert points.key(0) == before == evaluate(points.setup, [0])[0].key
    changed = evaluate(replace(points.setup, token="another process"), [0])[0]
    assert changed.key != before, "which the run that asked for it refuses"


# Runs


def test_an_extended_sweep_runs_what_is_new(tmp_path):
    out, ran = tmp_path / "run", []
    for sweep in (
        {"array.rows": [8, 16]},
        {"array.rows": [8, 16, 32]},
        {"array.rows": [8, 16], "array.cols": [64, 32]},
    ):
        from simulator.study.run import execute

        outcome = execute(SWEPT | {"designs": ["int8_systolic"], "sweep": sweep, "set": {"array.cols": 32}}, out)
        ran.append((outcome.ran, outcome.reused))
        assert [c for c in outcome.results if c.startswith("axis:")] == [f"axis:{path}" for path in sweep]
    assert ran == [(2, 0), (1, 2), (2, 2)]


def test_normalise_in_a_sweep_sizes_at_each_combination(tmp_path):
    study = SWEPT | {"normalise": "iso_area", "baseline": "int8_systolic", "sweep": {"vector_unit.lanes": [16, 64]}}
    table = sim.run_study(study, tmp_path / "run")
    for lanes in (16, 64):
        alone = study | {"sweep": {}, "set": {"vector_unit.lanes": lanes}}
        single = sim.run_study(alone, tmp_path / f"alone{lanes}")
        own = table[table["axis:vector_unit.lanes"] == lanes].drop(columns="axis:vector_unit.lanes")
        assert own.reset_index(drop=True).equals(single)


def test_a_plug_in_that_is_edited_has_another_hash_in_the_next_run(tmp_path):
    plugin = tmp_path / "own.py"
    plugin.write_text("a = 1\n", encoding="utf-8")
    with remembering({}):
        before = datapath_sha256(plugin)
        plugin.write_text("a = 2\n", encoding="utf-8")
        assert datapath_sha256(plugin) == before, "a run sees one state of each file"
    with remembering({}):
        assert datapath_sha256(plugin) != before
