"""Reports of sweeps: what is chosen of many points, and that it is the best of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from simulator.report import pareto


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
