"""What a run keeps of its search: what was asked for, and how far each round came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simulator.study.points import Points
from simulator.study.sampling.hypervolume import hypervolume
from simulator.study.sampling.searching import judged_points, lattice_of, seed_of
from simulator.study.tables import Finished

__all__ = ["search_notes", "search_record"]

Row = dict[str, Any]


def search_record(points: Points, finished: Sequence[Finished], more: Sequence[Row] = ()) -> Row:
    """For the manifest: the search with its defaults, and the points of each round; of generations also the share of
    the final hypervolume that was there after each.

    Args:
        more: further columns of each row, or none at all.
    """
    asked = points.study.search
    if asked is None:
        return {}
    record: Row = {"method": asked.method, "points": asked.points, "seed": seed_of(points)}
    record["objectives"] = [{"column": target.column, "better": target.direction} for target in asked.targets]
    rounds = np.array([one.round for one in finished[:: len(points.study.workloads)]])
    record["rounds"] = [int((rounds == number).sum()) for number in range(1, rounds.max() + 1)]
    if asked.method == "nsga2":
        more = more or [{}] * len(finished)
        rows = [{} if one.failure else one.row | own for one, own in zip(finished, more, strict=True)]
        judged = judged_points(points, [one.index for one in finished], rows)
        values = [one.values if one.values and not one.violates else (np.nan,) * len(asked.targets) for one in judged]
        shares = _shares(np.array(values), rounds, [target.maximise for target in asked.targets])
        record |= {"population": asked.generation, "hypervolume": shares}
    return record


def search_notes(points: Points, run: int) -> list[str]:
    """What a user should know of a search that has fewer points than were asked for; ``run``: rows of its results."""
    asked = points.study.search
    if asked is None:
        return []
    there = run // len(points.study.workloads)
    if lattice_of(points).has_at_most(asked.points - 1):
        return [f"search: {asked.points} points were asked for; there are {there}, and all were run"]
    if there < asked.points:
        return [f"search: {asked.points} points were asked for; {there} were found that `where` allows, and run"]
    return []


def _shares(values: np.ndarray[Any, Any], rounds: np.ndarray[Any, Any], maximise: Sequence[bool]) -> list[float]:
    """Hypervolume after each round over that after the last, as far as the worst value of each objective; of logarithms
    where all are above 0. Empty where no point beats the worst.
    """
    known = np.isfinite(values).all(axis=1)
    if not known.any():
        return []
    values, rounds, last = values[known], rounds[known], int(rounds.max())
    ratios = (values > 0).all(axis=0)
    values = np.where(ratios, np.log(np.where(ratios, values, 1.0)), values)
    worst = np.where(maximise, values.min(axis=0), values.max(axis=0))
    volumes = [hypervolume(values[rounds <= number], worst, maximise) for number in range(1, last + 1)]
    return [volume / volumes[-1] for volume in volumes] if volumes[-1] else []
