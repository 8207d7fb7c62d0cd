"""The study key ``search``: directions of objectives, defaults, and what is refused."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from simulator.config.conditions import parse_condition
from simulator.config.search import Search
from simulator.study.fitness import MERITS
from simulator.study.joined import PREFIX


def complaint(**fields) -> str:
    with pytest.raises(ValidationError) as caught:
        Search(**{"method": "nsga2", "points": 100} | fields)
    (error,) = caught.value.errors()
    return error["msg"].removeprefix("Value error, ")


def test_directions_are_known_or_said():
    objectives = ["sqnr_db", "energy_dram_pj", "tokens_per_s", {"accuracy_kendall": "max"}, {"macs": "min"}]
    targets = Search(method="lhs", points=3, objectives=objectives).targets
    assert [(target.column, target.maximise) for target in targets] == [
        *(("sqnr_db", True), ("energy_dram_pj", False), ("tokens_per_s", True)),
        *(("accuracy_kendall", True), ("macs", False)),
    ]


def test_time_energy_and_area_are_the_objectives_unless_others_are_named():
    targets = Search(method="random", points=3).targets
    assert [target.column for target in targets] == ["latency_s", "energy_total_pj", "area_total_um2"]


@pytest.mark.parametrize("merit", MERITS.values(), ids=str)
def test_the_merits_of_models_have_their_directions(merit):
    (target,) = Search(method="random", points=3, objectives=[PREFIX + merit.column]).targets
    assert target.maximise == merit.more_is_better


@pytest.mark.parametrize(("points", "generation"), [(1, 2), (20, 5), (63, 15), (64, 16), (5000, 16)])
def test_a_small_budget_has_small_generations(points, generation):
    assert Search(method="nsga2", points=points).generation == generation


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"objectives": ["latncy_s"]},
            "whether less or more of 'latncy_s' is better is not known; did you mean 'latency_s'?",
        ),
        (
            {"objectives": ["clock"]},
            "whether less or more of 'clock' is better is not known, write {clock: min} or {clock: max}",
        ),
        ({"objectives": ["edp_js", {"edp_js": "max"}]}, "'edp_js' is an objective twice; remove one"),
        ({"objectives": [{"a": "min", "b": "max"}]}, "one column and min or max, found 2 columns"),
        (
            {"objectives": ["speedup"]},
            "speedup compares with the baseline when all points are there; take what it compares",
        ),
        ({"method": "lhs", "population": 8}, "is for method: nsga2, not lhs"),
        ({"method": "random", "mutation": 0.5}, "is for method: nsga2, not random"),
        ({"population": 100}, "100 points are one generation of 100; take a smaller population"),
    ],
)
def test_what_makes_no_sense_is_refused(fields, expected):
    assert complaint(**fields) == expected


@pytest.mark.parametrize(
    ("text", "values", "excess"),
    [
        ("a <= 10", {"a": 15}, 0.5),
        ("a <= 10", {"a": 5}, -0.5),
        ("a <= 10", {"a": 10}, 0.0),
        ("a >= 10", {"a": 8}, 0.2),
        ("a < 10", {"a": 10}, 1.0),  # not met, by nothing: no size
        ("a > 0", {"a": -3}, 3.0),  # nothing to be a share of
        ("a <= 10 and b >= 4", {"a": 12, "b": 2}, 0.5),
        ("a <= 10 or b >= 4", {"a": 12, "b": 2}, 0.2),
        ("a <= 10 or b >= 4", {"a": 12, "b": 5}, -0.25),
        ("not a <= 10", {"a": 5}, 1.0),
        ("a == 4", {"a": 5}, 1.0),
        ("a == 4", {"a": 4}, 0.0),
        ("a <= 10", {"a": math.nan}, 1.0),
        ("a <= 10", {"a": math.inf}, 1.0),
        ("2 * a <= b", {"a": 3, "b": 4}, 0.5),
    ],
)
def test_the_excess_of_a_constraint_is_a_share_of_its_limit(text, values, excess):
    condition = parse_condition(text, ["a", "b"], "s.yaml:1: constraints[0]")
    assert condition.excess(values) == pytest.approx(excess)
    assert condition.holds(values) is (excess <= 0)
