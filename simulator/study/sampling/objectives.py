"""What a point of a search is worth: its rows on all workloads become one value for each objective."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, geometric_mean
from typing import Any

from simulator.config.search import Objective

__all__ = ["Judged", "judge_point", "mean_of"]

_RATIO_UNITS = ("_s", "_pj", "_um2", "_cycles", "_bytes", "_js", "_token", "_tops", "_value", "macs")
"""Ends of columns that are compared by ratios: of several workloads their geometric mean counts."""


@dataclass(frozen=True)
class Judged:
    """A point of a search, run on every workload.

    Attributes:
        values: one per objective; None if it failed or an objective is empty.
        excess: constraint -> by how much it is violated, as a share of its limit; 0 or less if it is met.
    """

    values: tuple[float, ...] | None
    excess: Mapping[str, float] = field(default_factory=dict)

    @property
    def violates(self) -> bool:
        """Whether a constraint is not met."""
        return any(excess > 0 for excess in self.excess.values())


def judge_point(
    rows: Sequence[Mapping[str, Any]], targets: Sequence[Objective], excesses: Sequence[Mapping[str, float]]
) -> Judged:
    """The rows of a point, one per workload (empty where it failed), with the excess of each constraint in each, as
    far as it is known."""
    if not all(rows):
        return Judged(None)
    names = {name: None for each in excesses for name in each}
    worst = {name: max(each[name] for each in excesses if name in each) for name in names}
    columns = [[_number(row.get(target.column)) for row in rows] for target in targets]
    values = tuple(mean_of(target.column, numbers) for target, numbers in zip(targets, columns, strict=True))
    return Judged(None if any(map(math.isnan, values)) else values, worst)


def mean_of(column: str, values: Sequence[float]) -> float:
    """The geometric mean of quantities with a unit, the mean of decibels and shares; equal values are kept exactly."""
    if len(set(values)) == 1:
        return values[0]
    if any(map(math.isnan, values)):
        return math.nan
    if not column.endswith(_RATIO_UNITS):
        return fmean(values)
    return 0.0 if 0 in values else geometric_mean(values)


def _number(value: Any) -> float:
    return math.nan if value is None or isinstance(value, str) else float(value)
