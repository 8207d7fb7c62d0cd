"""Points by number, run in whatever process: from a setup to rows, with what failed told and not thrown."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

from simulator import datapath as datapaths
from simulator.config.study import Fidelity
from simulator.datapath.blame import TRACEBACK_VARIABLE
from simulator.errors import OlivineError, OutputError, TraceError
from simulator.study.alike import alike_rows
from simulator.study.constraints import breaks_known
from simulator.study.failure import Failure, Where, unplaced
from simulator.study.passes import PassResult, simulate_step
from simulator.study.point import Point
from simulator.study.points import Points, open_points
from simulator.study.rows import Row, layer_row, point_row
from simulator.study.setup import StudySetup
from simulator.study.simulate import OpResult

__all__ = ["PointResult", "documents_of", "evaluate", "failure_of", "require_same_files", "run_point"]

_NOTE_LETTERS = 300


@dataclass(frozen=True)
class PointResult:
    """One point, run. Rows are without the columns of the axes, which depend on the study that asks.

    Attributes:
        row: its columns; those alone that need no simulation where these break a constraint of the study.
        layers: rows of its ops and passes, if they are kept.
        key: address of the result, from the files as this process saw them.
        mismatches: one line per op whose values differ from the exact reference.
        note: why it was not run with the points that are like it, if it should have been.
    """

    index: int
    key: str
    row: Row
    layers: list[Row]
    mismatches: list[str]
    failure: Failure | None = None
    note: str = ""


def evaluate(setup: StudySetup, indices: Sequence[int]) -> list[PointResult]:
    """Run points by number, in their order. Raises: OlivineError if the study itself cannot be opened."""
    points = open_points(setup)
    with points.remembering():
        begun = [_begun(points, index) for index in indices]
        asked = {one.index: one.point for one in begun if isinstance(one, _Built)}
        rows, notes = _at_once(points, asked)
        return [_finished(points, one, rows, notes) if isinstance(one, _Built) else one for one in begun]


@dataclass(frozen=True)
class _Built:
    """A point that has to be run."""

    index: int
    key: str
    point: Point


def _begun(points: Points, index: int) -> PointResult | _Built:
    """A point built, or what is known of it without running it."""
    key = points.key(index)
    try:
        point = points.point(index)
    except Exception as error:
        return PointResult(index, key, {}, [], [], unplaced(failure_of(error), documents_of(points, index)))
    known = breaks_known(points, point)  # what it raises is wrong with the study, not with the point
    if known is not None:
        return PointResult(index, key, known, [], [])
    return _Built(index, key, point)


def _at_once(points: Points, asked: Mapping[int, Point]) -> tuple[dict[int, Row], dict[int, str]]:
    """Rows of the points that can be run together; and of those that should have been, but broke a law of conservation
    or raised anything else, a note that says so: each of them is run alone.
    """
    notes: dict[int, str] = {}
    if points.setup.keep_layers:
        return {}, notes

    def broken(names: Sequence[int], error: Exception) -> None:
        why = shorten(failure_of(error).reason, _NOTE_LETTERS, placeholder=" ...")
        note = f"{asked[names[0]].label} and points like it were run one by one, because running them at once failed: "
        notes.update(dict.fromkeys(names, note + why))

    return alike_rows(asked, points.study.fidelity, points.study.seed, broken), notes


def _finished(points: Points, built: _Built, rows: Mapping[int, Row], notes: Mapping[int, str]) -> PointResult:
    index, key, point, study = built.index, built.key, built.point, points.study
    if index in rows:
        return PointResult(index, key, rows[index], [], [])
    try:
        row, layers, mismatches = run_point(point, study.fidelity, study.seed, with_layers=points.setup.keep_layers)
    except Exception as error:
        return PointResult(index, key, {}, [], [], unplaced(failure_of(error), documents_of(points, index)))
    return PointResult(index, key, row, layers, mismatches, note=notes.get(index, ""))


def documents_of(points: Points, index: int) -> dict[str, Where]:
    """Where fields of a point's design and of its study are written."""
    place, _, combination = points.split(index)
    design = points.design(place, points.space.choices(combination))
    return {"design": lambda steps: design.where(*steps), "study": points.setup.source.where}


def require_same_files(points: Points, result: PointResult, key: str) -> None:
    """What another process, or this one later, read must be what the key was made of. Raises: OlivineError."""
    if result.key != key:
        raise OlivineError(f"{points.label(result.index)}: its files changed while the study ran; run it again")


def _may_pass(error: OlivineError) -> bool:
    """Whether another time may go well: a file or memory was wanting."""
    return isinstance(error, TraceError | OutputError) or isinstance(error.__cause__, MemoryError | OSError)


def failure_of(error: Exception) -> Failure:
    """What to say of what a point raised. Raises: what is no OlivineError again, if its traceback was asked for."""
    kind = type(error).__name__
    if isinstance(error, OlivineError):
        return Failure(" ".join(str(error).split()), kind, not _may_pass(error))
    if os.environ.get(TRACEBACK_VARIABLE):
        raise error
    if isinstance(error, MemoryError):
        return Failure(f"not enough memory: {error}", kind, final=False)
    hint = f"a mistake of this program; {TRACEBACK_VARIABLE}=1 shows where"
    return Failure(f"{kind}: {' '.join(str(error).split())} ({hint})", kind, final=False)


@datapaths.blamed()
def run_point(
    point: Point, fidelity: Fidelity, seed: int, *, with_layers: bool = True
) -> tuple[Row, list[Row], list[str]]:
    """A point's row, those of its ops and passes if they are asked for, and mismatches; tensors of one op are in memory
    at a time.
    """
    layers: list[Row] = []
    mismatches: list[str] = []
    results: list[OpResult | PassResult] = []
    for index in range(len(point.workload.steps)):
        tensors = point.workload.source(index)
        how: Any = {"fidelity": fidelity, "seed": seed, "accesses": with_layers}
        result = simulate_step(point.hardware, point.workload.steps, index, tensors, **how)
        if with_layers:
            layers.append(layer_row(point, result))
        if isinstance(result, OpResult):
            if result.quality and result.quality.mismatch:
                mismatches.append(f"{point.label}: {result.quality.mismatch}")
            result = result.without_arrays()
        results.append(result)
    return point_row(point, results, fidelity, seed), layers, mismatches
