"""Points run at once against each of them run alone: the same rows, bit for bit, of whatever is swept."""

from __future__ import annotations

import random
import warnings
from dataclasses import replace

import pytest

import simulator as sim
from simulator.config import load_design
from simulator.config.design import SystolicDesign
from simulator.errors import ConservationError, OlivineError, RunNote
from simulator.resources import shipped_names
from simulator.study.alike import alike_rows, gemms
from simulator.study.evaluate import evaluate, run_point
from simulator.study.points import Points, open_points
from simulator.study.rows import Row
from simulator.study.setup import StudySetup, read_study

PADS = "memory.act_buffer.capacity_kib, memory.weight_buffer.capacity_kib, memory.out_buffer.capacity_kib"
AXES = {
    "array.rows": [1, 6, 16, 33],
    "array.cols": [5, 16],
    "array.dataflow": ["os", "ws", "is"],
    PADS: [
        [8, 8, 8],
        [32, 64, 8],
        [96, 256, 64],
    ],
    "memory.dram.bandwidth_gb_s": [3.7, 64],
}
MANY = 18
"""Points of each study that are run alone, too: each takes some hundredths of a second."""
SYSTOLIC = [name for name in shipped_names("configs/designs") if isinstance(load_design(name), SystolicDesign)]


def opened(**study) -> Points:
    """The points of a study."""
    data = {"name": "alike", "designs": ["olive_systolic"], "workloads": ["bert_base"], "sweep": AXES} | study
    model, source, overrides = read_study(data, {})
    return open_points(StudySetup(model, source, overrides, keep_layers=False))


def alone(points: Points, index: int) -> Row | str:
    """The row of a point, or why it has none."""
    try:
        return run_point(points.point(index), points.study.fidelity, points.study.seed, with_layers=False)[0]
    except OlivineError as error:
        return str(error)


def can_be_built(points: Points, index: int) -> bool:
    """Whether its design is one."""
    try:
        points.point(index)
    except OlivineError:
        return False
    return True


def same(one: Row, other: Row) -> bool:
    """Whether columns, their order, types and bits are equal."""
    pairs = zip(one.values(), other.values(), strict=True)
    values = all(type(a) is type(b) and (a == b or (a != a and b != b)) for a, b in pairs)
    return list(one) == list(other) and values


def compared(points: Points, some: int = MANY) -> tuple[int, int]:
    """How many of some points of a study ran at once, and how many have no row at all; all that ran are equal."""
    chosen = random.Random(0).sample(list(points.indices()), some)
    with points.remembering():
        expected = {i: alone(points, i) for i in chosen}
        built = {i: points.point(i) for i in chosen if can_be_built(points, i)}
        rows = alike_rows(built, points.study.fidelity, points.study.seed)
    for index, row in rows.items():
        found = expected[index]
        assert isinstance(found, dict), f"{points.label(index)}: ran at once, and alone says {found}"
        assert same(row, found), points.label(index)
    return len(rows), sum(isinstance(row, str) for row in expected.values())


DEPEND_ON_VALUES = {"biscaled_systolic", "gobo_array", "gobo_dram_systolic", "llm_int8_systolic", "olaccel_systolic"}


@pytest.mark.parametrize("design", sorted({*SYSTOLIC} - DEPEND_ON_VALUES))
def test_rows_of_every_systolic_design_whose_costs_follow_from_shapes(design):
    ran, failed = compared(opened(designs=[design], workloads=["bert_tiny"]))
    assert ran == MANY - failed


@pytest.mark.parametrize("workload", ["bert_base", "resnet18", "mobilenet_v2", "llama_7b", "mamba_130m"])
def test_rows_of_transformers_convolutions_and_decoders(workload):
    points = opened(
        workloads=[workload], sweep=AXES | {"array.rows": [16, 32], PADS: [[256, 256, 64], [512, 512, 512]]}
    )
    ran, failed = compared(points, 4)
    assert ran == 4 - failed
    assert ran


def test_every_way_to_cut_and_to_wait():
    """Fold overlaps, scratchpads with one place, pinned tilings, clocks, limits of the DMA: kinds of their own."""
    axes = {
        "array.fold_overlap": ["none", "wave", "full", "scalesim"],
        "array.dataflow": ["os", "ws", "is"],
        "memory.act_buffer.double_buffer, memory.out_buffer.double_buffer": [[True, False], [False, True]],
        "memory.dram.outstanding_bursts": [2, 64],
        "clock_mhz": [100, 940.5],
        "vector_unit.fused": [[], ["gelu"]],
        "array.rows": [7, 32],
    }
    ran, failed = compared(opened(designs=["int8_systolic"], workloads=["bert_tiny"], sweep=axes), 3 * MANY)
    assert ran == 3 * MANY - failed
    assert ran > 2 * MANY


def test_points_that_do_not_fit_are_left_to_say_so_alone():
    axes = {"array.rows, array.cols": [[256, 256], [8, 8]], "memory.out_buffer.capacity_kib": [8, 512]}
    ran, failed = compared(opened(workloads=["bert_tiny"], sweep=axes), 4)
    assert (ran, failed) == (3, 1)


def test_an_op_too_large_for_any_array_is_refused_as_it_is_alone():
    long = {"name": "long", "gemms": [{"name": "x", "M": 1, "N": 1, "K": 1 << 25}]}
    assert compared(opened(workloads=[long], sweep={"array.rows": [8, 16]}), 2) == (0, 2)


def test_a_broken_law_is_told_of_the_point_that_breaks_it(monkeypatch):
    """Run at once, a group that is wrong has no rows; each of its points is then run alone."""
    points = opened(workloads=["bert_tiny"], sweep={"array.rows": [8, 16, 32]})
    broken = gemms.accounted
    monkeypatch.setattr(gemms, "accounted", lambda *a: (broken(*a)[0], replace(broken(*a)[1], macs=1)))
    with pytest.raises(ConservationError, match="MACs were run"), points.remembering():
        alike_rows({i: points.point(i) for i in points.indices()}, "pipeline", 0)
    results = evaluate(points.setup, list(points.indices()))
    assert [r.failure for r in results] == [None] * 3
    for result in results:
        assert "were run one by one, because running them at once failed: " in result.note
        assert "MACs were run" in result.note
        expected = alone(points, result.index)
        assert isinstance(expected, dict)
        assert same(result.row, expected)


def test_a_run_says_once_that_points_were_run_one_by_one(monkeypatch, tmp_path):
    """Its results are those of a run in which nothing was wrong; which of these says nothing."""
    study = {
        "name": "broken",
        "designs": ["olive_systolic", "int8_systolic"],
        "workloads": ["bert_tiny"],
        "sweep": {"array.rows": [8, 16, 24]},
        "layers": "none",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error", RunNote)
        expected = sim.run_study(study, out=tmp_path / "whole", workers=1)
    broken = gemms.accounted
    monkeypatch.setattr(gemms, "accounted", lambda *a: (broken(*a)[0], replace(broken(*a)[1], macs=1)))
    with pytest.warns(RunNote) as told:
        found = sim.run_study(study, out=tmp_path / "broken", workers=1)
    assert len(told) == 1
    message = str(told[0].message)
    assert "systolic on bert_tiny (array.rows=" in message
    assert "and points like it were run one by one, because running them at once failed: " in message
    assert found.equals(expected)


@pytest.mark.parametrize("wrong", [ZeroDivisionError("by hand"), MemoryError("of it")])
def test_whatever_goes_wrong_at_once_ends_no_study(monkeypatch, wrong):
    points = opened(workloads=["bert_tiny"], sweep={"array.rows": [8, 16]})

    def fails(*_):
        raise wrong

    monkeypatch.setattr(gemms, "accounted", fails)
    results = evaluate(points.setup, list(points.indices()))
    assert [r.failure for r in results] == [None] * 2
    assert all(str(wrong) in r.note for r in results)


def test_other_engines_and_kept_layers_run_alone():
    for more in ({"fidelity": "event"}, {"fidelity": "bound"}):
        points = opened(workloads=["bert_tiny"], sweep={"array.rows": [8, 16]}, **more)
        assert alike_rows({i: points.point(i) for i in points.indices()}, points.study.fidelity, 0) == {}


@pytest.mark.parametrize("design", sorted(DEPEND_ON_VALUES))
def test_costs_that_depend_on_values_are_left_to_each_point_alone(design):
    points = opened(designs=[design], workloads=["bert_tiny"])
    with points.remembering():
        built = {i: points.point(i) for i in points.indices() if can_be_built(points, i)}
        assert built
        assert alike_rows(built, "pipeline", 0) == {}
