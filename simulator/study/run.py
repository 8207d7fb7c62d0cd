"""From a study to its run folder: open its points, run what is missing, store each, report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.config import Study
from simulator.config.catalogue import Reference
from simulator.study.accountings import accounting_rows, other_studies
from simulator.study.checks import require_sound
from simulator.study.constraints import tally
from simulator.study.executors import executor
from simulator.study.folders import own_folder
from simulator.study.front_layers import with_front
from simulator.study.joined import accuracy_of, bench_of, seeks_accuracy
from simulator.study.manifest import manifest_of
from simulator.study.point import require_runnable
from simulator.study.points import Points, open_points
from simulator.study.possible import require_columns
from simulator.study.rounds import Means, Progress, Ran, require_possible, run_points
from simulator.study.rows import Row
from simulator.study.sampling.record import search_notes, search_record
from simulator.study.sampling.searching import require_searchable
from simulator.study.setup import StudySetup, read_study
from simulator.study.space import Choices
from simulator.study.store import Store
from simulator.study.tables import Finished, layers_of, results_of
from simulator.study.timeline import TIMELINE_NAME, require_timeline, save_timeline, timelines
from simulator.study.unfinished import PLANS, Plan

if TYPE_CHECKING:
    import pandas as pd

    from simulator.study.accuracy import Bench

__all__ = ["Progress", "RunOutcome", "execute", "run_study"]


@dataclass(frozen=True)
class RunOutcome:
    """What a run left behind.

    Attributes:
        results, layers: the tables that were written.
        folder, page: where; no page where no report was asked for.
        ran, reused: points run now, and points found in the store.
        mismatches: one line per op whose values differ from the exact reference.
        failures: one line per point that has no result.
        notes: what else a user should know, one line each.
    """

    results: pd.DataFrame
    layers: pd.DataFrame
    folder: Path
    page: Path | None
    ran: int
    reused: int
    mismatches: list[str]
    failures: list[str]
    notes: list[str]


def run_study(
    study: Reference,
    out: str | Path | None = None,
    *,
    set: Mapping[str, Any] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    timeline: bool = False,
    report: bool = True,
) -> pd.DataFrame:
    """Run a study by shipped name, path or mapping; returns one row per point and writes the run folder.

    Args:
        out: the run folder; ``reports/NAME`` by default.
        set: dotted path -> value, applied to every design.
        workers: processes; by default as many as there are cores, once what is left is worth their start.
        scheduler: address of a Dask scheduler, whose workers run the points instead.
        fresh: run points again that are already stored.
        retry_failed: run points again that are stored as failed.
        timeline: also write ``timeline.json``, a Chrome trace of every tile of every point.
        report: also write tables, figures and the page, which ``olivine report`` makes later otherwise.
    Raises: OlivineError, one line.
    """
    return execute(
        study, out, overrides=set, workers=workers, scheduler=scheduler, fresh=fresh, retry_failed=retry_failed,
        timeline=timeline, report=report,
    ).results  # fmt: skip


def execute(
    study: Reference,
    out: str | Path | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    timeline: bool = False,
    report: bool = True,
    progress: Progress | None = None,
    plugins: Sequence[Path] = (),
) -> RunOutcome:
    """As ``run_study``, with progress ``(done, total, label)``, files of datapaths for other processes to load, and the
    whole outcome.
    """
    started = time.perf_counter()
    record, source, set_ = read_study(study, overrides or {})
    if timeline:
        require_timeline(record.fidelity)
    points = _opened(StudySetup(record, source, set_))
    bench = bench_of(record, source)
    others = [_opened(setup) for setup in other_studies(points)]
    if fresh and record.search is None:  # before anything is forgotten
        require_possible(points)
    folder = own_folder(Path(out) if out is not None else Path("reports") / record.name, "run")
    with executor(workers, scheduler, plugins) as at_work, Store(folder, fresh=fresh) as store:
        judge = partial(_accuracy, points, bench, store) if bench and seeks_accuracy(record.search) else None
        means = Means(store, at_work, progress, retry_failed, judge)
        begun = replace(means, begin=Plan(store, points).add)
        ran = [run_points(points, begun), *(run_points(each, means) for each in others)]
        judged, accuracy = accuracy_of(bench, _designs(points, ran[0].finished), store, progress) if bench else ([], {})
        results = results_of(points, ran[0].finished, judged)
        layers = layers_of(with_front(points, ran[0].finished, results, means), record)
        have = [one.index for one in ran[0].finished if not one.failure]
        new, reused = sum(run.ran for run in ran), sum(run.reused for run in ran)
        timings = {"simulate_s": time.perf_counter() - started, "points_run": new, "points_reused": reused}
        more: dict[str, Any] = {"beside": _beside(record, ran)} if record.beside else {}
        more |= {"accuracy": accuracy} if accuracy else {}
        more |= {"search": search_record(points, ran[0].finished, judged)} if record.search else {}
        more |= {"constraints": _tally(points, ran[0].finished, results)} if record.constraints else {}
        page = _report(store, results, layers, manifest_of(points, have, timings) | more, report)
    (folder / TIMELINE_NAME).unlink(missing_ok=True)  # of an earlier run
    if timeline:
        save_timeline(folder / TIMELINE_NAME, timelines(map(points.point, have), record.fidelity, record.seed))
    wrong, failed = _mismatches(ran), _failures(points, ran[0])
    return RunOutcome(results, layers, folder, page, new, reused, wrong, failed, search_notes(points, len(results)))


def _opened(setup: StudySetup) -> Points:
    """The points of a study, whose mistakes that no point can mend are complained of. Of a single combination that is
    all of them: every op and pass is mapped. Raises: OlivineError.
    """
    points = open_points(setup)
    require_sound(points)
    require_columns(points)
    require_searchable(points)
    if points.space.size == 1:
        for index in points.indices():
            require_runnable(points.point(index))
    return points


def _accuracy(points: Points, bench: Bench, store: Store, finished: Sequence[Finished]) -> list[Row]:
    """Columns that a search needs of a round's points before it asks for others; the store keeps what they are of."""
    return accuracy_of(bench, _designs(points, finished), store)[0]


def _tally(points: Points, finished: Sequence[Finished], results: pd.DataFrame) -> list[Row]:
    """How many points meet and break each constraint; those that failed do neither."""
    rows = [
        {str(name): value for name, value in row.items() if value is not None and value == value}
        | points.axes(one.index)
        for one, row in zip(finished, results.to_dict("records"), strict=True)
        if one.failure is None
    ]
    return tally(points, rows)


def _designs(points: Points, finished: Sequence[Finished]) -> list[Any]:
    """The design of each point, None of those that failed."""
    return [None if one.failure else points.design(*_place(points, one)) for one in finished]


def _place(points: Points, one: Finished) -> tuple[int, Choices]:
    """Which design, and where on the axes."""
    design, _, combination = points.split(one.index)
    return design, points.space.choices(combination)


def _mismatches(ran: Sequence[Ran]) -> list[str]:
    """What was found wrong now, else what is stored as wrong."""
    stored = [
        f"{one.row['design']} on {one.row['workload']}: stored values differ"
        for run in ran
        for one in run.finished
        if one.row.get("exact") is False
    ]
    return [line for run in ran for line in run.mismatches] or stored


def _failures(points: Points, ran: Ran) -> list[str]:
    return [f"{points.label(one.index)}: {one.failure.reason}" for one in ran.finished if one.failure]


def _beside(study: Study, ran: Sequence[Ran]) -> Row:
    """What the page shows of the studies beside this one, and of this one."""
    assert study.beside is not None
    texts = [study.beside.text, *(other.text for other in study.beside.studies)]
    rows = [
        line
        for text, run in zip(texts, ran, strict=True)
        for line in accounting_rows(text, [one.row for one in run.finished if not one.failure])
    ]
    return {"over": study.beside.over, "studies": [other.study for other in study.beside.studies], "rows": rows}


def _report(store: Store, results: pd.DataFrame, layers: pd.DataFrame, manifest: Row, drawn: bool) -> Path | None:
    """The page, if it is asked for, and whatever is needed to make it again in the store as well."""
    from simulator.report.run_folder import records_of, remove_report, write_records, write_report

    records = records_of(results, layers, manifest)
    store.save({name: content for name, content in records.items() if name != "results.csv"}, instead_of=PLANS)
    if drawn:
        return write_report(store.path.parent, results, layers, manifest, records)
    write_records(store.path.parent, records)
    remove_report(store.path.parent)
    return None
