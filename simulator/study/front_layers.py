"""Layers of the best points of a study too large to keep all layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from simulator.errors import OlivineError
from simulator.study.points import Points
from simulator.study.reuse import keeps_layers
from simulator.study.rounds import Means, evaluated
from simulator.study.rows import with_axes
from simulator.study.store import Stored
from simulator.study.tables import Finished

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["with_front"]


def with_front(points: Points, finished: Sequence[Finished], results: pd.DataFrame, means: Means) -> list[Finished]:
    """The points with layers of those on the front of least time and energy, where not all are kept: run again, if they
    are not stored, which gives the same. Raises: OlivineError.
    """
    if keeps_layers(points) or points.study.layers == "none":
        return list(finished)
    from simulator.report.pareto import OBJECTIVES, front_of, varying

    on_front = front_of(results, varying(results, OBJECTIVES[:2]))
    chosen = {one.index: points.key(one.index) for one, on in zip(finished, on_front, strict=True) if on}
    stored = _with_layers(points, chosen, means)
    return [_joined(points, one, stored[chosen[one.index]]) if one.index in chosen else one for one in finished]


def _with_layers(points: Points, chosen: dict[int, str], means: Means) -> dict[str, Stored]:
    """Results of these points, those without layers run again, by whoever runs points."""
    found = means.store.get_many(chosen.values())
    stored = {key: one for key, one in found.items() if one.layers}
    missing = {key: index for index, key in chosen.items() if key not in stored}
    total = len(stored) + len(missing)
    for result in evaluated(points, missing, set(missing) & set(found), means, keep_layers=True):
        if result.failure:
            raise OlivineError(f"{points.label(result.index)}: {result.failure.reason}")
        stored[result.key] = Stored(result.row, result.layers)
        means.tell(len(stored), total, f"layers of the front: {points.label(result.index)}")
    return stored | means.store.get_many(key for key in missing if key not in stored)


def _joined(points: Points, one: Finished, found: Stored) -> Finished:
    axes = points.axes(one.index)
    return replace(one, layers=[with_axes(layer, axes) for layer in found.layers])
