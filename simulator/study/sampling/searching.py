"""A study's points in rounds: all of them at once, or what its search asks for."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from simulator.config.search import Search
from simulator.errors import ConfigError, did_you_mean
from simulator.study.constraints import excesses, is_simulated
from simulator.study.points import Points
from simulator.study.rows import Row
from simulator.study.sampling import Choice, Judged, Lattice, judge_point, require_installed, rounds, unseen
from simulator.study.sampling.probing import require_values_fit

__all__ = [
    *("Rounds", "answered", "judged_points", "lattice_of", "point_rounds", "points_asked", "require_searchable"),
    "seed_of",
]

Rounds = Generator[list[int], Sequence[Row], None]
"""Numbers of points, to be run in this order; a round is to be answered with their rows, empty where a point failed."""


def point_rounds(points: Points) -> Rounds:
    """All points of a study at once, or what its search asks for.

    Raises: ConfigError if an objective or a constraint is about nothing that results have.
    """
    asked = points.study.search
    if asked is None:
        yield list(points.indices())
        return
    asking = rounds(asked, lattice_of(points), seed_of(points))
    choices: list[Choice] | None = next(asking)
    sound = False
    while choices:
        indices = [index for choice in choices for index in indices_of(points, choice)]
        rows = yield indices
        sound = sound or _are_objectives(points, asked, [row for row in rows if is_simulated(row)])
        choices = answered(asking, judged_points(points, indices, rows))


def answered(asking: Generator[list[Any], Any, None], answer: Any) -> list[Any] | None:
    """The next round, None after the last."""
    try:
        return asking.send(answer)
    except StopIteration:
        return None


def points_asked(points: Points) -> int:
    """How many points are run at most, on every workload; those that conditions deny may count."""
    asked = points.study.search
    return points.total if asked is None else min(points.total, asked.points * len(points.study.workloads))


def seed_of(points: Points) -> int:
    """The seed of a study's search."""
    asked = points.study.search
    return points.study.seed if asked is None or asked.seed is None else asked.seed


def lattice_of(points: Points) -> Lattice:
    """Designs and axes as places to choose from: a point of a search is a design at values of the axes."""
    sizes = len(points.study.designs), *map(len, points.space.axes)
    return Lattice(sizes, lambda choice: points.exists(indices_of(points, choice)[0]), _looked_at(points))


def _looked_at(points: Points) -> tuple[int, ...]:
    """The axes, the design among them, that the conditions of a study look at."""
    names = {name for condition in points.conditions for name in condition.names}
    axes = [("design",), *(axis.paths for axis in points.space.axes)]
    return tuple(i for i, paths in enumerate(axes) if names & set(paths))


def indices_of(points: Points, choice: Choice) -> list[int]:
    """Numbers of a point of a search on each workload."""
    design, *places = choice
    combination = points.space.index_of(places)
    return [points.index_of(design, workload, combination) for workload in range(len(points.study.workloads))]


def judged_points(points: Points, indices: Sequence[int], rows: Sequence[Row]) -> list[Judged]:
    """What the points of a search are worth, each with a row per workload, empty where it failed."""
    asked, width = points.study.search, len(points.study.workloads)
    assert asked is not None, "only a search judges its points"
    over = excesses(points, rows, indices)
    places = [slice(start, start + width) for start in range(0, len(rows), width)]
    return [judge_point(rows[place], asked.targets, over[place]) for place in places]


def require_searchable(points: Points) -> None:
    """What is wrong with a search whatever it finds. Raises: OlivineError."""
    study, source = points.study, points.setup.source
    if study.search is None:
        return
    try:
        require_installed(study.search)
    except ConfigError as error:
        raise ConfigError(f"{source.where(('search',))}: {error}") from None
    for i, condition in enumerate(points.conditions):
        if "workload" in condition.names and len(study.workloads) > 1:
            what = "a search judges each point on every workload; take 'workload' out, or search without it"
            raise ConfigError(f"{source.where(('where', i))}: {what}")
    lattice = lattice_of(points)
    if next(unseen(lattice, np.random.default_rng(seed_of(points)), ()), None) is None:
        what = (
            f"leaves none of {lattice.size} points"
            if lattice.count == 0 or lattice.listed
            else (f"leaves so few of {lattice.size} points that draws do not find them")
        )
        raise ConfigError(f"{source.where(('where',))}: {what}; loosen a condition or narrow the axes")
    require_values_fit(points)


def _are_objectives(points: Points, asked: Search, rows: Sequence[Row]) -> bool:
    """Whether every objective is a column with numbers; False without rows. Raises: ConfigError if one is not."""
    for i, target in enumerate(asked.targets if rows else ()):
        if any(_is_number(row.get(target.column)) for row in rows):
            continue
        where = points.setup.source.where(("search", "objectives", i))
        hint = did_you_mean(target.column, rows[0]) or "; results have no such column"
        if target.column in rows[0]:
            hint = f"; it is empty in all {len(rows)} results so far"
        raise ConfigError(f"{where}: '{target.column}' is no objective here{hint}")
    return bool(rows)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
