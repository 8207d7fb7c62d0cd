"""What a run writes down before it has results: enough to report on the points that are stored if it does not end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simulator.config import Study, from_mapping, validate
from simulator.study.failure import Failure
from simulator.study.manifest import manifest_of
from simulator.study.points import Points, open_points
from simulator.study.rows import Row, with_axes
from simulator.study.sampling.searching import points_asked
from simulator.study.setup import StudySetup
from simulator.study.store import Store, Stored
from simulator.study.tables import Finished, layers_of, results_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PLANS", "Plan", "unfinished"]

_BEGUN, _PLAN = "begun.json", "plan.json"
PLANS = (_BEGUN, _PLAN)
"""Documents of a run under way; one that has ended removes them."""


class Plan:
    """The points of a run, written down round by round with the addresses of their results."""

    def __init__(self, store: Store, points: Points) -> None:
        self._store = store
        self._points = points
        self._rounds: list[list[tuple[int, str]]] = []

    def add(self, keys: Mapping[int, str]) -> None:
        """A round, before it is run; with the first one the manifest."""
        documents = {} if self._rounds else {_BEGUN: _begun(self._points, keys)}
        self._rounds.append(list(keys.items()))
        self._store.save(documents | {_PLAN: json.dumps(self._rounds).encode()})


def _begun(points: Points, keys: Mapping[int, str]) -> bytes:
    names = {"designs": points.design_names, "workloads": points.workload_names}
    manifest = manifest_of(points, list(keys), {})
    own = {"label": points.setup.source.label, "names": names, "asked": points_asked(points)}
    return json.dumps(own | {"manifest": manifest}, default=str).encode()


def unfinished(store: Store) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]] | None:
    """Results, layers and manifest of the points that a run had stored when it was stopped; None if there are none, or
    no run was. Columns that need all points, as of a model's accuracy, are left out.
    """
    begun, plan = (store.document(name) for name in PLANS)
    if begun is None or plan is None:
        return None
    told = json.loads(begun)
    manifest: dict[str, Any] = told["manifest"]
    points = _points(manifest, told["label"])
    finished = _finished(points, json.loads(plan), store, told["names"])
    if all(one.failure for one in finished):
        return None
    manifest["unfinished"] = {"points": len(finished), "of": told["asked"]}
    return results_of(points, finished, []), layers_of(finished, points.study), manifest


def _points(manifest: Mapping[str, Any], label: str) -> Points:
    """The study with its axes; no file that it names is read."""
    source = from_mapping(manifest["study_resolved"], label)
    return open_points(StudySetup(validate(source, Study), source, {}))


def _finished(
    points: Points, rounds: list[list[tuple[int, str]]], store: Store, names: Mapping[str, list[str]]
) -> list[Finished]:
    found = store.get_many({key for each in rounds for _, key in each})
    searched = points.study.search is not None
    return [
        _one(points, index, found[key], names, number if searched else 0)
        for number, each in enumerate(rounds, start=1)
        for index, key in each
        if key in found
    ]


def _one(points: Points, index: int, found: Stored, names: Mapping[str, list[str]], number: int) -> Finished:
    axes = points.axes(index)
    design, workload, _ = points.split(index)
    empty: Row = {"design": names["designs"][design], "workload": names["workloads"][workload]}
    empty |= {"fidelity": points.study.fidelity, "seed": points.study.seed}
    row = with_axes(empty if found.failure else found.row, axes)
    if number:
        row["search_round"] = number
    return Finished(index, row, [with_axes(layer, axes) for layer in found.layers], _said(found.failure), number or 1)


def _said(failure: Failure | None) -> Failure | None:
    """A reason with the field that it is about; where that is written is not known here."""
    if failure is None or not failure.field:
        return failure
    return Failure(f"{failure.field}: {failure.reason}", failure.kind, failure.final)
