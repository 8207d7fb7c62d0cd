"""The points of a study, run: what the store does not have is evaluated and stored as soon as it is there."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

from simulator import errors
from simulator.errors import MismatchError, OlivineError, RunNote
from simulator.study.checks import require_some_fit
from simulator.study.constraints import require_some_simulated
from simulator.study.evaluate import PointResult, documents_of, evaluate, failure_of, require_same_files
from simulator.study.executors import Died, Executor
from simulator.study.failure import Failure, placed
from simulator.study.points import Points
from simulator.study.reuse import keeps_layers, usable
from simulator.study.rows import Row, with_axes
from simulator.study.sampling.searching import answered, point_rounds, points_asked
from simulator.study.store import Claims, Store, Stored
from simulator.study.tables import Finished

__all__ = ["Means", "Progress", "Ran", "evaluated", "require_possible", "run_points"]

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Ran:
    """All points of a study in their order; how many were run now, found, and which values were wrong then."""

    finished: list[Finished]
    ran: int
    reused: int
    mismatches: list[str]


@dataclass(frozen=True)
class Means:
    """With what points are run: where results go, who works, who is told how many of how many are there, whether
    points that are stored as failed are run again, what else a search has to know of the points of a round, and who is
    told of a round's points and their addresses before they are run. ``noted``: what was told.
    """

    store: Store
    executor: Executor
    progress: Progress | None = None
    retry_failed: bool = False
    judge: Callable[[Sequence[Finished]], Sequence[Row]] | None = None
    begin: Callable[[Mapping[int, str]], None] | None = None
    noted: list[str] = field(default_factory=list)

    def tell(self, done: int, total: int, label: str | Callable[[], str] = "") -> None:
        """Tell whoever wants to know."""
        if self.progress:
            self.progress(done, total, label if isinstance(label, str) else label())

    def note(self, note: str) -> None:
        """Tell, once in a run, that points were run otherwise than usual."""
        if note and not self.noted:
            self.noted.append(note)
            warnings.warn(RunNote(note), stacklevel=2)


def run_points(points: Points, means: Means) -> Ran:
    """Run a study. A point that fails is recorded and the rest go on.

    Raises: OlivineError if a design, a workload or a value is wrong whatever the point, or if every point fails.
    """
    rounds = point_rounds(points)
    indices: list[int] | None = next(rounds)
    run: list[Ran] = []
    while indices is not None:
        counting = _counting_on(means, run, points_asked(points) - len(indices))
        run.append(_run_round(points, indices, counting, len(run) + 1))
        indices = answered(rounds, _answer(run[-1].finished, means))
    finished = [one for each in run for one in each.finished]
    _require_some_result(finished)
    require_some_simulated(points, [one.row for one in finished if not one.failure])
    wrong_values = [line for each in run for line in each.mismatches]
    return Ran(finished, sum(each.ran for each in run), sum(each.reused for each in run), wrong_values)


def _answer(finished: Sequence[Finished], means: Means) -> list[Row]:
    """What a search is told of its points: their rows, empty where they failed."""
    more = means.judge(finished) if means.judge else [{}] * len(finished)
    return [{} if one.failure else one.row | own for one, own in zip(finished, more, strict=True)]


def require_possible(points: Points) -> None:
    """Raises: OlivineError if a design, a workload or a value is wrong whatever the point; nothing is run."""
    indices = list(points.indices())
    _, wrong = _keys(points, indices)
    require_some_fit(points, wrong, indices)


def _run_round(points: Points, indices: Sequence[int], means: Means, number: int) -> Ran:
    """Those points, of which other rounds have none."""
    keys, wrong = _keys(points, indices)
    if points.study.search is None:
        require_some_fit(points, wrong, indices)
    known = means.store.get_many(keys.values(), layers=keeps_layers(points))
    stored = usable(points, keys, known)
    if means.retry_failed:
        stored = {key: found for key, found in stored.items() if not found.failure}
    missing = {key: index for index, key in reversed(keys.items()) if key not in stored}
    mismatches: dict[int, list[str]] = {}
    total = len(stored) + len(missing)
    means.tell(len(stored), total)
    if means.begin and (missing or points.study.search):
        means.begin(keys)
    while missing:
        again = {key for key in known if key in missing}
        for result in evaluated(points, missing, again, means, keeps_layers(points)):
            stored[result.key] = Stored(result.row, result.layers, result.failure)
            mismatches[result.index] = result.mismatches
            means.note(result.note)
            means.tell(len(stored), total, partial(points.label, result.index))
        missing = {key: index for key, index in missing.items() if key not in stored}
        known = _from_others(means.store, list(missing), layers=keeps_layers(points))
        stored |= usable(points, keys, known)  # another study may have had other wishes
        missing = {key: index for key, index in missing.items() if key not in stored}
    failed = {index: Stored({}, [], failure_of(error)) for index, error in wrong.items()}
    finished = [_finished(points, i, failed[i] if i in failed else stored[keys[i]], number) for i in indices]
    wrong_values = [line for index in sorted(mismatches) for line in mismatches[index]]
    return Ran(finished, len(mismatches), len(keys) - len(mismatches), wrong_values)


def _counting_on(means: Means, run: Sequence[Ran], most: int) -> Means:
    """The same, whose progress counts rounds that were run already and ``most`` points in rounds to come."""
    if means.progress is None:
        return means
    before = sum(len(each.finished) for each in run)
    more = max(before, most)
    return replace(means, progress=lambda done, total, label: means.tell(before + done, more + total, label))


def _keys(points: Points, indices: Sequence[int]) -> tuple[dict[int, str], dict[int, OlivineError]]:
    """Addresses of the results, and of the points that have none what is wrong with them."""
    keys: dict[int, str] = {}
    wrong: dict[int, OlivineError] = {}
    for index in indices:
        try:
            keys[index] = points.key(index)
        except OlivineError as error:
            wrong[index] = error
    return keys, wrong


def evaluated(
    points: Points, missing: Mapping[str, int], again: Collection[str], means: Means, keep_layers: bool
) -> Iterator[PointResult]:
    """Results as they come, stored: those of points that no other run is at or has finished by then.

    Args:
        missing: numbers of the points by key.
        again: of the missing those that are stored, but not as they are wanted.
    """
    keys = {index: key for key, index in missing.items()}
    ordered = {keys[index]: index for index in sorted(keys)}
    work = partial(evaluate, replace(points.setup, keep_layers=keep_layers))
    with Claims(means.store, ordered, again) as claims, closing(means.executor.map(work, claims)) as found:
        for chunk in found:
            yield from _stored(points, means.store, chunk, keys)


def _stored(
    points: Points, store: Store, chunk: Sequence[tuple[int, PointResult | Died]], keys: Mapping[int, str]
) -> list[PointResult]:
    """Results that came together, stored together before anybody is told of one."""
    results: list[PointResult] = []
    try:
        for index, result in chunk:
            if isinstance(result, Died):
                result = PointResult(index, keys[index], {}, [], [], Failure(result.reason, final=False))
            require_same_files(points, result, keys[index])
            results.append(result)
    finally:
        to_keep = (each for each in results if each.failure is None or each.failure.final)
        store.put_many({each.key: Stored(each.row, each.layers, each.failure) for each in to_keep})
    return results


def _from_others(store: Store, keys: Sequence[str], layers: bool) -> dict[str, Stored]:
    """What other runs on the same store finished meanwhile."""
    found = store.get_many(keys, layers=layers)
    if len(found) < len(keys):
        raise OlivineError(f"{store.path}: points went missing while the study ran; did another run with --fresh?")
    return found


def _finished(points: Points, index: int, found: Stored, number: int) -> Finished:
    axes = points.axes(index)
    row = _empty_row(points, index) if found.failure else with_axes(found.row, axes)
    if points.study.search is not None:
        row["search_round"] = number
    failure = (
        placed(found.failure, documents_of(points, index)) if found.failure and found.failure.of else found.failure
    )
    return Finished(index, row, [with_axes(layer, axes) for layer in found.layers], failure, number)


def _empty_row(points: Points, index: int) -> Row:
    """What is known of a point without a result."""
    design, workload, _ = points.split(index)
    names = {"design": points.design_names[design], "workload": points.workload_names[workload]}
    how = {"fidelity": points.study.fidelity, "seed": points.study.seed}
    return with_axes(names | how, points.axes(index))


def _require_some_result(finished: Sequence[Finished]) -> None:
    """Raises: what the first point failed of, if all failed."""
    reasons: list[Failure] = [one.failure for one in finished if one.failure]
    if len(reasons) == len(finished):
        more = f" (and {len(reasons) - 1} more points failed)" if len(reasons) > 1 else ""
        raised = getattr(errors, reasons[0].kind, OlivineError)
        raise (MismatchError if issubclass(raised, MismatchError) else OlivineError)(reasons[0].reason + more)
