"""The study key ``search``: directions of objectives, defaults, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

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
