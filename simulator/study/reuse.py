"""What of a store need not be run again, and of which points the rows of layers are kept."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from simulator.study.constraints import is_enough, is_simulated
from simulator.study.points import Points
from simulator.study.sampling.searching import points_asked
from simulator.study.store import Stored

__all__ = ["MOST_WITH_LAYERS", "keeps_layers", "usable"]

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
