"""Samplers on lattices of their own: what they may propose, how evenly, and that the same answers give the same."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.config.search import Search
from simulator.study.sampling import Judged, Lattice, drawn, rounds
from simulator.study.sampling import lattice as lattices
from simulator.study.sampling.drawn import latin_hypercube, random_points
from simulator.study.sampling.hypervolume import hypervolume
from simulator.study.sampling.objectives import judge_point, mean_of

METHODS = ("random", "lhs", "nsga2")
SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)


def always(choice) -> bool:
    return True


def run(asked: Search, lattice: Lattice, seed: int, judge=None) -> list[list]:
    """All rounds of a search, every point worth what ``judge`` says; its coordinates by default."""
    judge = judge or (lambda choice: Judged((float(sum(choice)), -float(choice[0]))))
    asking = rounds(asked, lattice, seed)
    made, answer = [], None
    try:
        while True:
            made.append(asking.send(answer))
            answer = [judge(choice) for choice in made[-1]]
    except StopIteration:
        return made


def search(method: str, points: int, **more) -> Search:
    return Search(method=method, points=points, objectives=["latency_s", "energy_total_pj"], **more)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(METHODS), SIZES, st.integers(1, 40), st.integers(0, 5), st.booleans())
def test_points_exist_are_new_and_as_many_as_asked_for_or_as_there_are(method, sizes, points, seed, half):
    def exists(choice):
        return not half or sum(choice) % 2 == 0

    made = run(search(method, points), Lattice(sizes, exists), seed)
    proposed = list(itertools.chain(*made))
    possible = [choice for choice in itertools.product(*map(range, sizes)) if exists(choice)]
    assert len(set(proposed)) == len(proposed) == min(points, len(possible))
    assert set(proposed) <= set(possible)
    if points >= len(possible):
        assert made == [possible]  # as a grid has them


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_proposes_the_same_and_another_others(method):
    lattice = Lattice((5, 6, 7), always)
    first, again, other = (run(search(method, 40), lattice, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("method", ["random", "nsga2"])
def test_a_larger_budget_begins_with_the_points_of_a_smaller_one(method):
    lattice = Lattice((9, 9, 9), always)
    few, many = (list(itertools.chain(*run(search(method, n), lattice, 3))) for n in (70, 150))
    assert many[:70] == few


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 8), st.lists(st.integers(1, 6), min_size=3, max_size=4), st.integers(0, 100))
def test_a_latin_hypercube_meets_each_value_of_an_axis_equally_often(times, sizes, seed):
    points = math.lcm(*sizes) * times
    spread = drawn._spread(Lattice(tuple(sizes), always), points, np.random.default_rng(seed))
    for axis, size in enumerate(sizes):
        assert Counter(choice[axis] for choice in spread) == dict.fromkeys(range(size), points // size)


def test_a_latin_hypercube_keeps_shares_where_no_point_is_drawn_twice():
    places = np.array(latin_hypercube(Lattice((997, 4, 991), always), 40, 0))
    assert np.bincount(places[:, 1]).tolist() == [10, 10, 10, 10]
    assert len(set(places[:, 0])) == len(set(places[:, 2])) == 40


def test_a_crowded_latin_hypercube_is_filled_up():
    points = latin_hypercube(Lattice((3, 4, 5), lambda choice: choice != (1, 1, 1)), 58, 0)
    assert len(set(points)) == 58


def test_random_points_have_equal_chances():
    lattice = Lattice((3, 4), lambda choice: choice != (1, 1))
    drawn = [choice for seed in range(1100) for choice in random_points(lattice, 2, seed)]
    counts = [drawn.count(choice) for choice in lattice.existing()]
    assert len(counts) == 11
    assert sum((n - 200) ** 2 / 200 for n in counts) < 29.6  # chi square of 10 degrees at 0.1 %; the seeds are fixed


def test_a_lattice_too_large_to_list_is_drawn_from():
    lattice = Lattice((10**6, 10**6, 3), lambda choice: choice[0] % 2 == 0)
    few, many = random_points(lattice, 10, 0), random_points(lattice, 3000, 0)
    assert many[:10] == few
    assert len(set(many)) == 3000
    assert all(choice[0] % 2 == 0 for choice in many)
    assert len(latin_hypercube(lattice, 100, 0)) == 100


def test_of_a_large_lattice_of_which_next_to_nothing_exists_draws_end():
    lattice = Lattice((10**6, 10**6), lambda choice: choice == (5, 5))
    assert random_points(lattice, 3, 0) == []
    assert lattice.count is None
    some = Lattice((10**6, 10**6), lambda choice: choice[0] < 1000)
    assert len(random_points(some, 30, 0)) == 30, "one in a thousand"


def test_of_a_large_lattice_what_conditions_allow_is_counted_and_drawn_evenly():
    """Conditions that look at few axes, whose allowed places are known: no draw is in vain."""
    lattice = Lattice((1000, 10**6, 4, 10**6), lambda choice: choice[0] + choice[2] >= 1000, (0, 2))
    assert lattice.count == (3 + 2 + 1) * 10**12
    points = random_points(lattice, 6000, 0)
    assert len(set(points)) == 6000
    assert all(map(lattice.exists, points))
    counts = [sum((p[0], p[2]) == pair for p in points) for pair in ((999, 1), (999, 2), (999, 3), (998, 2), (997, 3))]
    assert all(850 < n < 1150 for n in counts)


@pytest.mark.parametrize("method", ["random", "lhs", "nsga2"])
def test_all_points_that_exist_of_a_large_lattice_are_run_if_they_are_few(method):
    small = Lattice((200, 3, 300, 40), lambda choice: (choice[0], choice[2]) == (199, 298), (0, 2))
    assert (small.listed, small.count) == (False, 120)
    made = run(search(method, 200), small, 0)
    assert [choice for one in made for choice in one] == [(199, a, 298, b) for a in range(3) for b in range(40)]
    some = [choice for one in run(search(method, 50), small, 0) for choice in one]
    assert len(set(some)) == len(some) == 50
    assert all(map(small.exists, some))


# NSGA-II


def test_generations_are_as_large_as_asked_and_the_last_is_cut_to_the_budget():
    made = run(search("nsga2", 50, population=12), Lattice((9, 9, 9), always), 0)
    assert [len(one) for one in made] == [12, 12, 12, 12, 2]


def test_where_points_fail_more_are_proposed_and_what_failed_leaves_no_children():
    def judge(choice):
        return Judged(None) if choice[2] < 6 else Judged((float(choice[0]), float(choice[1])))

    made = run(search("nsga2", 300), Lattice((12, 12, 12), always), 0, judge)
    alive = [sum(choice[2] >= 6 for choice in one) for one in made]
    assert sum(alive) > 0.65 * 300  # by chance half of them
    assert len(made) < 30


def test_a_search_of_which_every_point_fails_ends():
    made = run(search("nsga2", 200), Lattice((12, 12, 12), always), 0, lambda choice: Judged(None))
    assert sum(map(len, made)) == 200


@pytest.mark.parametrize("seed", range(3))
def test_generations_cover_more_of_a_front_than_chance_does(seed):
    lattice = Lattice((12, 12, 12), always)

    def values(choice):
        return choice[0] + choice[1] + 2.0 * choice[2], choice[0] + 11.0 - choice[1] + 2 * choice[2]

    def covered(choices):
        return hypervolume([values(choice) for choice in choices], [48, 48])

    bred, drawn_, spread = (
        covered(itertools.chain(*run(search(method, 200), lattice, seed, lambda choice: Judged(values(choice)))))
        for method in ("nsga2", "random", "lhs")
    )
    whole = covered(lattice.existing())
    assert bred > 0.97 * whole > 0.95 * whole > max(drawn_, spread)


@pytest.mark.parametrize("seed", range(3))
def test_constraints_drive_the_search_into_what_they_allow(seed):
    def judge(choice):
        excess = (choice[1] - 2) / 2  # three of the twelve values of the second axis are allowed
        values = (float(choice[0]), -float(choice[1]))
        return Judged(None if excess > 0 and choice[2] % 2 else values, {"c": excess})  # some were not simulated

    made = run(search("nsga2", 200), Lattice((12, 12, 12), always), seed, judge)
    assert sum(choice[1] <= 2 for one in made for choice in one) > 1.6 * 50


def test_a_small_space_is_searched_to_its_last_points():
    made = run(search("nsga2", 124, population=8), Lattice((5, 5, 5), always), 0)
    assert len(set(itertools.chain(*made))) == 124


@pytest.mark.parametrize("direction", ["min", "max"])
def test_objectives_are_minimised_and_maximised(direction):
    asked = Search(method="nsga2", points=160, objectives=[{"a": direction}, {"b": direction}])
    made = run(asked, Lattice((30, 30, 5), always), 0, lambda choice: Judged((float(choice[0]), float(choice[1]))))
    mean = np.mean([choice[0] + choice[1] for one in made for choice in one])
    assert mean > 29 + 7 if direction == "max" else mean < 29 - 7  # 29 by chance


# What a point is worth


def test_several_workloads_count_by_the_geometric_mean_of_quantities_and_the_mean_of_decibels():
    targets = search("random", 1).targets
    rows = [{"latency_s": 1.0, "energy_total_pj": 5.0}, {"latency_s": 4.0, "energy_total_pj": 5.0}]
    judged = judge_point(rows, targets, [{"c": -0.5}, {"c": 0.25}])
    assert judged.values == (pytest.approx(2.0), 5.0)
    assert judged.excess == {"c": 0.25}
    assert judged.violates
    assert mean_of("sqnr_db", [20.0, 30.0]) == 25.0
    assert mean_of("dram_read_bytes", [0.0, 30.0]) == 0.0
    assert mean_of("energy_total_pj", [0.1 + 0.2] * 3) == 0.1 + 0.2


@pytest.mark.parametrize("value", [None, math.nan, "", "text"])
def test_an_empty_objective_is_no_value(value):
    targets = search("random", 1).targets
    assert judge_point([{"latency_s": value, "energy_total_pj": 1.0}], targets, []).values is None
    assert judge_point([{"energy_total_pj": 1.0}], targets, []).values is None


def test_listed_and_drawn_lattices_agree_on_what_there_is(monkeypatch):
    small = Lattice((3, 5), lambda choice: sum(choice) % 2 == 0)
    expected = set(random_points(small, 100, 0))
    monkeypatch.setattr(lattices, "_LISTED", 1)
    large = Lattice((3, 5), small.exists)
    seen: set = set()
    found = set(itertools.islice(lattices.unseen(large, np.random.default_rng(0), seen), len(expected)))
    assert found == expected == set(small.existing())
