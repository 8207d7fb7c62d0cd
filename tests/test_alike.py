"""Points run at once against each of them run alone: the same rows, bit for bit, of whatever is swept."""

from __future__ import annotations

import random

import pytest

from simulator.config import load_design
from simulator.config.design import SystolicDesign
from simulator.errors import OlivineError
from simulator.resources import shipped_names
from simulator.study.alike import alike_rows
from simulator.study.evaluate import run_point
from simulator.study.points import Points, open_points
from simulator.study.rows import Row
from simulator.study.setup import StudySetup, read_study

AXES = {
    "array.rows": [1, 6, 16, 33],
    "array.cols": [5, 16],
    "array.dataflow": ["os", "ws", "is"],
    "memory.act_buffer.capacity_kib, memory.weight_buffer.capacity_kib, memory.out_buffer.capacity_kib": [
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


DEPEND_ON_VALUES = {"gobo_array", "gobo_dram_systolic", "llm_int8_systolic", "olaccel_systolic"}


@pytest.mark.parametrize("design", sorted({*SYSTOLIC} - DEPEND_ON_VALUES))
def test_rows_of_every_systolic_design_whose_costs_follow_from_shapes(design):
    ran, failed = compared(opened(designs=[design], workloads=["bert_tiny"]))
    print(design, ran, failed)


@pytest.mark.parametrize("design", sorted(DEPEND_ON_VALUES))
def test_costs_that_depend_on_values_are_left_to_each_point_alone(design):
    points = opened(designs=[design], workloads=["bert_tiny"])
    with points.remembering():
        built = {i: points.point(i) for i in points.indices() if can_be_built(points, i)}
        assert built
        assert alike_rows(built, "pipeline", 0) == {}
