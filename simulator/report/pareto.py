"""Which points nothing else beats: the non-dominated set, and over which columns of a run it is taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simulator.report.formatting import ENERGY_PJ, TIME_S, Unit, verdict

__all__ = [
    "AREA_UM2",
    "OBJECTIVES",
    "Objective",
    "costs_of",
    "failed",
    "front_of",
    "non_dominated",
    "usable",
    "varying",
]

AREA_UM2 = (Unit("mm²", 1e6), Unit("µm²", 1.0))
_DIFFERENT = 1e-9
"""Relative range below which a column says the same of all points."""


class Objective(NamedTuple):
    """A column to be as small as can be, or as large; its name and the units it is shown in."""

    column: str
    name: str
    units: tuple[Unit, ...]
    larger: bool = False


OBJECTIVES = (
    Objective("latency_s", "latency", TIME_S),
    Objective("energy_total_pj", "energy", ENERGY_PJ),
    Objective("area_total_um2", "area", AREA_UM2),
    Objective("sqnr_db", "output SQNR", (Unit("dB", 1.0),), larger=True),
)
"""What every study is judged by, in this order; others can be asked for."""


def non_dominated(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Of points (rows) with costs (columns, smaller is better) those that no other is at least as good as everywhere
    and better than somewhere. Equal points stand or fall together; a point with a NaN is never in the set.
    """
    costs = np.asarray(costs, dtype=float)
    found = np.zeros(len(costs), dtype=bool)
    left = np.flatnonzero(~np.isnan(costs).any(axis=1))
    left = left[np.lexsort(costs[left].T[::-1])]  # whoever dominates a point comes before it
    while len(left):
        first = costs[left[0]]
        worse = (costs[left] >= first).all(axis=1) & (costs[left] > first).any(axis=1)
        same = (costs[left] == first).all(axis=1)
        found[left[same]] = True
        left = left[~(worse | same)]
    return found


def failed(results: pd.DataFrame) -> pd.Series:
    """Rows that say why they have no numbers, as booleans."""
    if "failure" not in results:
        return pd.Series(False, index=results.index)
    return results["failure"].notna() & results["failure"].ne("")


def usable(results: pd.DataFrame) -> pd.Series:
    """Rows that have numbers (no ``failure``) and meet the study's constraints, as booleans."""
    kept = results["latency_s"].notna() & ~failed(results)
    if "meets_constraints" in results:
        kept &= results["meets_constraints"].map(verdict).ne(False)
    return kept


def varying(results: pd.DataFrame, objectives: Sequence[Objective] = OBJECTIVES) -> list[Objective]:
    """The objectives of which usable rows have at least two different values."""
    rows = results[usable(results)]
    found = []
    for objective in objectives:
        values = costs_of(rows, [objective])[:, 0] if objective.column in rows else np.empty(0)
        values = values[~np.isnan(values)]
        if len(values) > 1 and not np.isclose(values.min(), values.max(), rtol=_DIFFERENT, atol=0):
            found.append(objective)
    return found


def costs_of(results: pd.DataFrame, objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """A column per objective, the sign changed where larger is better; NaN where nothing is known."""
    columns = [pd.to_numeric(results[o.column], errors="coerce").to_numpy(float, na_value=np.nan) for o in objectives]
    return np.column_stack([-c if o.larger else c for c, o in zip(columns, objectives, strict=True)])


def front_of(results: pd.DataFrame, objectives: Sequence[Objective]) -> pd.Series:
    """Which rows are on the front of their workload: usable, and not dominated over all ``objectives``."""
    front = pd.Series(False, index=results.index)
    rows = results[usable(results)]
    for _, own in rows.groupby("workload", sort=False):
        if objectives:
            front.loc[own.index] = non_dominated(costs_of(own, objectives))
    return front
