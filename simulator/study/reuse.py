"""What of a store need not be run again, and of which points the rows of layers are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from simulator.errors import OlivineError
from simulator.study.constraints import is_enough, is_simulated
from simulator.study.evaluate import evaluate, require_same_files
from simulator.study.points import Points
from simulator.study.rows import with_axes
from simulator.study.sampling.searching import points_asked
from simulator.study.store import Store, Stored
from simulator.study.tables import Finished

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_WITH_LAYERS", "keeps_layers", "usable", "with_front"]

MOST_WITH_LAYERS = 500
"""Points of a study whose layers are all kept by ``layers: auto``; a point of BERT-base has 60 kB of them."""


def keeps_layers(points: Points) -> bool:
    """Whether the rows of layers of every point are kept."""
    policy = points.study.layers
    if policy != "auto":
        return policy == "all"
    if points.study.search is not None:
        return points_asked(points) <= MOST_WITH_LAYERS
    return len(list(islice(points.indices(), MOST_WITH_LAYERS + 1))) <= MOST_WITH_LAYERS


def usable(points: Points, keys: Mapping[int, str], stored: Mapping[str, Stored]) -> dict[str, Stored]:
    """Of what is stored what this study need not run again: all but points of which it wants layers that were not
    kept, and points that were not simulated because they broke a constraint that this study has not.
    """
    needs_layers = keeps_layers(points)
    indices = {key: index for index, key in keys.items()}
    return {
        key: found
        for key, found in stored.items()
        if found.failure
        or (
            is_enough(points, found.row, points.axes(indices[key]))
            and (found.layers or not needs_layers or not is_simulated(found.row))
        )
    }


def with_front(points: Points, finished: Sequence[Finished], results: pd.DataFrame, store: Store) -> list[Finished]:
    """The points with layers of those on the front of least time and energy, where not all are kept: run again, if they
    are not stored, which gives the same.
    """
    if keeps_layers(points) or points.study.layers == "none":
        return list(finished)
    from simulator.report.pareto import OBJECTIVES, front_of, varying

    on_front = front_of(results, varying(results, OBJECTIVES[:2]))
    return [_with_layers(points, one, store) if on else one for one, on in zip(finished, on_front, strict=True)]


def _with_layers(points: Points, one: Finished, store: Store) -> Finished:
    key = points.key(one.index)
    found = store.get(key)
    if found is None or not found.layers:
        (result,) = evaluate(replace(points.setup, keep_layers=True), [one.index])
        if result.failure:
            raise OlivineError(f"{points.label(one.index)}: {result.failure.reason}")
        require_same_files(points, result, key)
        found = Stored(result.row, result.layers)
        store.put(key, *found)
    axes = points.axes(one.index)
    return replace(one, layers=[with_axes(layer, axes) for layer in found.layers])
