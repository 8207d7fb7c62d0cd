"""A look at every value before a search runs: one that is wrong wherever it is tried is a mistake of the study."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from simulator.errors import OlivineError
from simulator.study.points import Points

__all__ = ["require_values_fit"]

_TRIES = 16
_DRAWS, _ALL_DRAWS = 400, 100_000
"""Of points with one value, and with all values: a few seconds where conditions deny most of them."""


def require_values_fit(points: Points) -> None:
    """Every design, workload and value of an axis fits some point.

    Each is tried with others drawn by chance until one fits; it is refused if all tries fail for the same reason.
    Raises: that reason.
    """
    sizes = len(points.study.designs), len(points.study.workloads), *map(len, points.space.axes)
    draws = max(_TRIES, min(_DRAWS, _ALL_DRAWS // sum(sizes)))
    for axis, size in enumerate(sizes):
        for place in range(size):
            _require_fits(points, _with_value(points, sizes, axis, place, draws))


def _require_fits(points: Points, indices: Iterator[int]) -> None:
    wrong: list[OlivineError] = []
    for index in islice(indices, _TRIES):
        try:
            points.key(index)
        except OlivineError as error:
            wrong.append(error)
        else:
            return
    if len({str(error) for error in wrong}) == 1:
        raise wrong[0]


def _with_value(points: Points, sizes: tuple[int, ...], axis: int, place: int, draws: int) -> Iterator[int]:
    """Points that have it, drawn by chance."""
    rng = np.random.default_rng(0)
    for _ in range(draws):
        design, workload, *places = (place if i == axis else int(rng.integers(size)) for i, size in enumerate(sizes))
        index = points.index_of(design, workload, points.space.index_of(places))
        if points.exists(index):
            yield index
