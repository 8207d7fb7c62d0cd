"""Hypervolumes against brute force that follows the definition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.study.sampling.hypervolume import hypervolume, log_hypervolume

COORDINATE = st.integers(0, 6)  # few values: ties and equal points are common


def points(objectives: int):
    return st.lists(st.tuples(*[COORDINATE] * objectives), min_size=1, max_size=12)


SOME = st.integers(1, 4).flatmap(lambda n: st.tuples(points(n), st.lists(st.booleans(), min_size=n, max_size=n)))


@given(SOME)
def test_the_hypervolume_is_the_number_of_unit_cubes_that_a_point_covers(case):
    table, maximise = case
    reference = [2 if up else 5 for up in maximise]  # inside the range: some points are beyond it
    corners = itertools.product(range(-1, 7), repeat=len(maximise))

    def covered(cube):  # the unit cube above ``cube`` is dominated by a point and within the reference
        ends = [(c, c + 1) for c in cube]
        inside = all(lo >= r if up else hi <= r for (lo, hi), r, up in zip(ends, reference, maximise, strict=True))
        return inside and any(
            all(p >= hi if up else p <= lo for p, (lo, hi), up in zip(point, ends, maximise, strict=True))
            for point in table
        )

    assert hypervolume(table, reference, maximise) == sum(covered(cube) for cube in corners)


def test_points_without_a_value_cover_nothing():
    assert hypervolume([[math.nan, 0], [1, 1], [2, 2]], [3, 3]) == 4
    assert hypervolume([[math.nan, 1]], [3, 3]) == 0


def test_no_point_and_no_table():
    assert hypervolume(np.empty((0, 2)), [1, 1]) == 0
    with pytest.raises(ValueError, match="values must be"):
        hypervolume([1, 2, 3], [4])


def test_logarithms_measure_ratios():
    table = np.array([[1.0, 8.0], [4.0, 2.0]])
    whole = log_hypervolume(table, [16, 16])
    assert whole == pytest.approx(log_hypervolume(table * 1000, [16000, 16000]))
    assert whole == pytest.approx(math.log(16) * math.log(2) + math.log(4) * math.log(4))
    with pytest.raises(ValueError, match="above 0"):
        log_hypervolume([[0.0, 1.0]], [2, 2])
