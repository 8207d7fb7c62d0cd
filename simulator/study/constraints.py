"""Constraints of a study on columns of its results: which points meet them, and which need not be simulated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from simulator.config import kind_of
from simulator.config.conditions import ANYTHING, Condition, parse_condition
from simulator.cost import total
from simulator.errors import ConfigError
from simulator.study.point import Point
from simulator.study.points import Points
from simulator.study.rows import Row, geometry

__all__ = [
    "MEETS",
    "breaks_known",
    "constraints_as_written",
    "constraints_of",
    "excesses",
    "is_enough",
    "is_simulated",
    "mark",
    "require_some_simulated",
    "tally",
]

MEETS = "meets_constraints"
"""Column of the results: whether a point meets every constraint."""


def constraints_of(points: Points) -> list[Condition]:
    """The constraints. Raises: ConfigError."""
    return [_parsed(text, where) for text, where in constraints_as_written(points)]


@lru_cache
def _parsed(text: str, where: str) -> Condition:
    """A constraint, whatever it looks at, parsed once for all points. Raises: ConfigError."""
    return parse_condition(text, ANYTHING, where)


def breaks_known(points: Points, point: Point) -> Row | None:
    """What is known of a point without simulating it, if that breaks a constraint; else None. Ratios need the points of
    the baseline, whatever they break.

    Raises: ConfigError for a constraint that cannot be worked out.
    """
    if not points.study.constraints or point.hardware.design.name == points.study.baseline:
        return None
    row = _known_row(points, point)
    return row if _breaks(points, row, point.axes) else None


def _known_row(points: Points, point: Point) -> Row:
    """The columns of a point that need no simulation."""
    hardware, design, area = point.hardware, point.hardware.design, point.hardware.area
    return {
        "design": design.name,
        "workload": point.workload.name,
        "array_kind": kind_of(design),
        "datapath": design.datapath.name,
        "dataflow": hardware.dataflow,
        "area_total_um2": total(area) if area else math.nan,
        "fidelity": points.study.fidelity,
        "seed": points.study.seed,
        "clock_mhz": design.clock_mhz,
        "peak_tops": hardware.peak_tops,
        **geometry(design),
        **{f"area_part_{part}_um2": um2 for part, um2 in area.items()},
    }


def is_simulated(row: Mapping[str, Any]) -> bool:
    """Whether a stored row is of a whole run; one that broke a constraint beforehand is not."""
    return "total_cycles" in row


def require_some_simulated(points: Points, rows: Sequence[Row]) -> None:
    """Raises: ConfigError if every point broke a constraint before it was simulated."""
    if not any(map(is_simulated, rows)):
        where, least = points.setup.source.where(("constraints",)), min(row["area_total_um2"] for row in rows)
        raise ConfigError(f"{where}: every point breaks one; the least area is {least:.4g} um2")


def is_enough(points: Points, row: Row, axes: Mapping[str, Any]) -> bool:
    """Whether a stored row need not be run: a whole one, or one that breaks a constraint of this study too."""
    return is_simulated(row) or (row["design"] != points.study.baseline and _breaks(points, row, axes))


def mark(points: Points, rows: Sequence[Row], axes: Iterable[Mapping[str, Any]], failed: Iterable[bool]) -> None:
    """Set the column ``meets_constraints``; a point without numbers meets none. Raises: ConfigError."""
    if not points.study.constraints:
        return
    constraints = constraints_of(points)
    for row, at, has_none in zip(rows, axes, failed, strict=True):
        row[MEETS] = not has_none and all(each.holds(_values(each, row, at)) for each in constraints)


def tally(points: Points, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """How many results meet and break each constraint, of rows without what is not known; of one that was not simulated
    little is.
    """
    found = []
    for each in constraints_of(points):
        known = [row for row in rows if is_simulated(row) or each.names <= set(row)]
        met = sum(each.holds({name: row.get(name, math.nan) for name in each.names}) for row in known)
        found.append({"text": each.text, "met": met, "broken": len(known) - met})
    return found


def excesses(points: Points, rows: Sequence[Row], indices: Sequence[int]) -> list[dict[str, float]]:
    """For each point by how much it breaks each constraint, as far as that is known; see ``Condition.excess``.

    Args:
        rows: of the points ``indices``; empty for those that failed. A constraint on what is known only at the end
            (ratios, accuracy) is left out.
    """
    columns = {name for row in rows for name in row} | set(points.space.paths)
    known = [(each, each.text) for each in constraints_of(points) if each.names <= columns]
    return [
        {
            text: condition.excess(_values(condition, row, axes))
            for condition, text in known
            if is_simulated(row) or condition.names <= {*row, *axes}
        }
        for row, axes in zip(rows, map(points.axes, indices), strict=True)
    ]


def _breaks(points: Points, row: Row, axes: Mapping[str, Any]) -> bool:
    """Whether what is known breaks a constraint that is about nothing else."""
    known = {*row, *axes}
    return any(not each.holds(_values(each, row, axes)) for each in constraints_of(points) if each.names <= known)


def _values(condition: Condition, row: Row, axes: Mapping[str, Any]) -> dict[str, Any]:
    """What a condition looks at; what a row lacks is not a number, of which no order is true."""
    found = {name: row[name] if name in row else axes.get(name) for name in condition.names}
    return {name: math.nan if value is None else value for name, value in found.items()}


def constraints_as_written(points: Points) -> list[tuple[str, str]]:
    """Each constraint and where it is written."""
    source = points.setup.source
    return [(text, source.where(("constraints", i))) for i, text in enumerate(points.study.constraints)]
