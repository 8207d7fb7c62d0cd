"""Points on tensors run at once against each of them run alone: the same rows, bit for bit, whatever values decide."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulator.datapath.olaccel import OlAccel
from simulator.errors import ConservationError
from simulator.study import judged as judging
from simulator.study import quality
from simulator.study.alike import alike_rows, groups, products, valued
from simulator.study.evaluate import evaluate
from simulator.study.points import Points
from tests.test_alike import AXES, DEPEND_ON_VALUES, PADS, SYSTOLIC, alone, can_be_built, compared, opened, same

TRACE = "minilm-l6-sample"
DRAWN = {
    "name": "probe",
    "gemms": [
        {"name": "up", "M": 60, "N": 70, "K": 700},
        {"name": "qk", "M": 33, "N": 17, "K": 32, "count": 3, "kind": "bmm"},
    ],
    "statistics": {"activations": "C(2, 0.5, 20, 1)", "weights": "P(0.01, 0.0005, 20)", "seed": 3},
}


@pytest.fixture(autouse=True)
def forgetful():
    judging.MEMORY.clear()
    yield
    judging.MEMORY.clear()


def at_once(points: Points, some: int) -> tuple[int, int]:
    """How many points of a study ran at once, and how many it has. Some are run alone before, and nothing of what was
    found of tensors is remembered: these are equal, or run neither way.
    """
    indices = list(points.indices())
    step = max(1, len(indices) // some)
    with points.remembering():
        expected = {i: alone(points, i) for i in indices[step // 2 :: step]}
        judging.MEMORY.clear()
        built = {i: points.point(i) for i in indices if can_be_built(points, i)}
        rows = alike_rows(built, points.study.fidelity, points.study.seed)
    for index, found in expected.items():
        assert (index in rows) == isinstance(found, dict), points.label(index)
        if isinstance(found, dict):
            assert same(rows[index], found), points.label(index)
    return len(rows), len(indices)


@pytest.mark.parametrize("design", sorted({*SYSTOLIC}))
def test_rows_of_every_systolic_design_on_drawn_tensors(design):
    """Of several sizes, dataflows, channels and seeds."""
    axes = AXES | {"workload.statistics.seed": [1, 2], PADS: [[8, 8, 8], [32, 64, 8]]}
    points = opened(designs=[design], workloads=[DRAWN], sweep=axes)
    ran, of = at_once(points, 25)
    assert ran > of / 4


@pytest.mark.parametrize("design", ["llm_int8_systolic"])
def test_rows_on_a_trace(design):
    axes = {"array.rows": [16, 33], "memory.dram.bandwidth_gb_s": [4, 64], "clock_mhz": [500, 800]}
    assert compared(opened(designs=[design], workloads=[TRACE], sweep=axes), 3) == (3, 0)


@pytest.mark.parametrize("design", sorted(DEPEND_ON_VALUES | {"olive_systolic"}))
def test_what_decides_codes_and_costs_parts_points(design):
    """Scales and how they are found, overlaps of folds, places in scratchpads, limits of the DMA, prices."""
    axes = {
        "array.fold_overlap": ["none", "full", "scalesim"],
        "quantisation.weights.calibration": ["mse", "absmax"],
        "memory.weight_buffer.double_buffer, memory.out_buffer.double_buffer": [[True, False], [False, True]],
        "memory.dram.outstanding_bursts": [2, 64],
        "array.rows": [7, 12],
    }
    points = opened(designs=[design], workloads=[DRAWN], sweep=axes, set={"memory.weight_buffer.capacity_kib": 16})
    ran, all_of_them = at_once(points, 20)
    assert 0 < ran <= all_of_them


def test_options_of_a_datapath_part_points():
    axes = {"datapath.stalls": [True, False], "array.dataflow": ["os", "ws"], "array.rows": [8, 16]}
    assert at_once(opened(designs=["olaccel_systolic"], workloads=[DRAWN], sweep=axes), 8) == (8, 8)


def small(design: str = "olaccel_systolic") -> Points:
    return opened(designs=[design], workloads=[DRAWN], sweep={"array.rows": [8, 16, 24]})


def test_values_that_add_no_whole_numbers_are_left_to_each_point_alone(monkeypatch):
    """On some of the arrays here: sums of fractions would depend on their order."""
    whole = OlAccel.tile_costs

    def costs(self, job):
        found = whole(self, job)
        return replace(found, actions=found.actions | {"reg_bit": 0.3}) if job.rows == 16 else found

    monkeypatch.setattr(OlAccel, "tile_costs", costs)
    points = small()
    with points.remembering():
        rows = alike_rows({i: points.point(i) for i in points.indices()}, "pipeline", 0)
    assert [points.axes(i)["array.rows"] for i in rows] == [8, 24]
    for index, row in rows.items():
        judging.MEMORY.clear()
        found = alone(points, index)
        assert isinstance(found, dict)
        assert same(row, found)


def test_wrong_values_are_told_of_each_point(monkeypatch):
    """By its own name, as when it is run alone."""
    monkeypatch.setattr(quality, "first_mismatch", lambda *_: (0, 0))
    points = small()
    results = evaluate(points.setup, list(points.indices()))
    assert [r.note for r in results] == [""] * 3
    for result in results:
        assert len(result.mismatches) == 2
        assert all(line.startswith(points.label(result.index)) for line in result.mismatches)


def test_a_broken_law_of_traced_products_is_told(monkeypatch):
    points, timed = small(), valued.timed_each

    def broken(hardware, costs):
        timing, counts = timed(hardware, costs)
        return replace(timing, total_cycles=timing.total_cycles + 1), counts

    monkeypatch.setattr(valued, "timed_each", broken)
    with pytest.raises(ConservationError, match="cycles by cause sum to"), points.remembering():
        alike_rows({i: points.point(i) for i in points.indices()}, "pipeline", 0)
    results = evaluate(points.setup, list(points.indices()))
    for result in results:
        assert result.failure is None
        assert "cycles by cause sum to" in result.note


def test_options_without_a_hash_are_left_to_each_point_alone(monkeypatch):
    monkeypatch.setattr(groups, "numbers_of", lambda hardware: ["no hash"])
    points = small()
    with points.remembering():
        assert not alike_rows({i: points.point(i) for i in points.indices()}, "pipeline", 0)


def test_what_costs_look_at_is_let_go_op_by_op(monkeypatch):
    kept, whole = [], products.valued_op
    monkeypatch.setattr(products, "valued_op", lambda *given: kept.append(given[3]) or whole(*given))
    points = small()
    with points.remembering():
        assert len(alike_rows({i: points.point(i) for i in points.indices()}, "pipeline", 0)) == 3
    assert kept
    assert not any(known.operands for known in kept)


def test_tensors_that_cannot_be_had_fail_point_by_point():
    points = opened(
        designs=["gobo_array"],
        workloads=[DRAWN | {"gemms": [{"name": "big", "M": 4, "N": 4, "K": 1 << 24, "count": 2}]}],
        sweep={"array.rows": [8, 16]},
    )
    results = evaluate(points.setup, list(points.indices()))
    assert all(r.failure and not r.note for r in results)
