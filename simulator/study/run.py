"""From a study to its run folder: expand, run what is missing, store each point, report."""

from __future__ import annotations

import json
import math
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import simulator
from simulator import datapath as datapaths
from simulator.config import Source, Study, load_study
from simulator.config.catalogue import Reference
from simulator.config.published import Measured
from simulator.errors import OutputError
from simulator.study.accountings import accounting_rows, other_studies
from simulator.study.assumptions import ASSUMPTIONS
from simulator.study.expand import WORKLOAD_PREFIX, Point, expand
from simulator.study.joined import accuracy_of, bench_of
from simulator.study.passes import PassResult, simulate_step
from simulator.study.prices import prices_used
from simulator.study.processes import in_processes
from simulator.study.rows import CONTRACT_COLUMNS, SHAPE_COLUMNS, Row, add_ratios, layer_row, point_row
from simulator.study.simulate import OpResult
from simulator.study.store import Store, code_sha256, point_key
from simulator.study.timeline import TIMELINE_NAME, require_timeline, save_timeline, timelines

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Progress", "RunOutcome", "execute", "run_study", "writable"]

PointResult = tuple[Row, list[Row], list[str]]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class RunOutcome:
    """What a run left behind.

    Attributes:
        results, layers: the tables that were written.
        folder, page: where.
        ran, reused: points run now, and points found in the store.
        mismatches: one line per op whose values differ from the exact reference.
    """

    results: pd.DataFrame
    layers: pd.DataFrame
    folder: Path
    page: Path
    ran: int
    reused: int
    mismatches: list[str]


def run_study(
    study: Reference,
    out: str | Path | None = None,
    *,
    set: Mapping[str, Any] | None = None,
    workers: int = 1,
    fresh: bool = False,
    timeline: bool = False,
) -> pd.DataFrame:
    """Run a study by shipped name, path or mapping; returns one row per point and writes the run folder.

    Args:
        out: the run folder; ``reports/NAME`` by default.
        set: dotted path -> value, applied to every design.
        workers: processes.
        fresh: run points again that are already stored.
        timeline: also write ``timeline.json``, a Chrome trace of every tile of every point.
    Raises: OlivineError, one line.
    """
    return execute(study, out, overrides=set, workers=workers, fresh=fresh, timeline=timeline).results


def execute(
    study: Reference,
    out: str | Path | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    workers: int = 1,
    fresh: bool = False,
    timeline: bool = False,
    progress: Progress | None = None,
    plugins: Sequence[Path] = (),
) -> RunOutcome:
    """As ``run_study``, with progress ``(done, total, label)`` and the whole outcome."""
    started = time.perf_counter()
    record, source = load_study(study)
    if timeline:
        require_timeline(record.fidelity)
    points = expand(record, source, overrides or {})
    bench = bench_of(record, source)
    others = other_studies(record, source, points, overrides or {})
    folder = writable(Path(out) if out is not None else Path("reports") / record.name)
    store = Store(folder)
    if fresh:
        store.clear()
    finished = [_finish(own, study, store, workers, plugins, progress) for study, own in [(record, points), *others]]
    judged, accuracy = accuracy_of(bench, points, store, progress) if bench else ([], {})
    simulated = time.perf_counter()
    results, layers_table = _tables(finished[0].stored, record, judged)
    ran = sum(run.ran for run in finished)
    reused = sum(len(run.stored) for run in finished) - ran
    timings = {"simulate_s": simulated - started, "points_run": ran, "points_reused": reused}
    beside = {"beside": _beside(record, finished)} if record.beside else {}
    shown = {"accuracy": accuracy} if accuracy else {}
    page = _report(folder, results, layers_table, _manifest(record, source, points, timings) | beside | shown)
    (folder / TIMELINE_NAME).unlink(missing_ok=True)  # of an earlier run
    if timeline:
        save_timeline(folder / TIMELINE_NAME, timelines(points, record.fidelity, record.seed))
    wrong = [line for run in finished for line in run.mismatches]
    stale = [
        f"{r['design']} on {r['workload']}: stored values differ"
        for run in finished
        for r, _ in run.stored
        if r["exact"] is False
    ]
    return RunOutcome(results, layers_table, folder, page, ran, reused, wrong or stale)


@dataclass(frozen=True)
class _Finished:
    """Rows of all points of a study, in order; how many were run now, and which values were wrong then."""

    stored: list[tuple[Row, list[Row]]]
    ran: int
    mismatches: list[str]


def _finish(
    points: list[Point], study: Study, store: Store, workers: int, plugins: Sequence[Path], progress: Progress | None
) -> _Finished:
    """Run what the store does not have, each point stored as soon as it is there."""
    keys = [point_key(p, study.fidelity, study.seed) for p in points]
    stored = {key: known for key in keys if (known := store.get(key))}
    missing = [i for i, key in enumerate(keys) if key not in stored]
    mismatches: dict[int, list[str]] = {}
    work = partial(_run_point, fidelity=study.fidelity, seed=study.seed)
    found = in_processes(work, {i: points[i] for i in missing}, workers, plugins)
    for done, (i, (row, layers, wrong)) in enumerate(found, start=1):
        store.put(keys[i], row, layers)
        stored[keys[i]] = (row, layers)
        mismatches[i] = wrong
        if progress:
            progress(done, len(missing), points[i].label)
    return _Finished(
        [stored[key] for key in keys], len(missing), [w for i in sorted(mismatches) for w in mismatches[i]]
    )


def _beside(study: Study, finished: Sequence[_Finished]) -> Row:
    """What the page shows of the studies beside this one, and of this one."""
    assert study.beside is not None
    texts = [study.beside.text, *(other.text for other in study.beside.studies)]
    rows = [
        line
        for text, run in zip(texts, finished, strict=True)
        for line in accounting_rows(text, [row for row, _ in run.stored])
    ]
    return {"over": study.beside.over, "studies": [other.study for other in study.beside.studies], "rows": rows}


def writable(folder: Path) -> Path:
    """The folder, if it or its nearest existing parent can be written: tried, and nothing left. Raises: OutputError."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise OutputError(f"{existing}: is a file; a run needs a folder")
    try:
        tempfile.TemporaryDirectory(prefix=".olivine-", dir=existing).cleanup()
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{existing}: cannot be written: {reason}; name another folder with --out") from None
    return folder


@datapaths.blamed()
def _run_point(point: Point, fidelity: Any, seed: int) -> PointResult:
    """All ops and passes of one point; tensors of one op are in memory at a time."""
    layers: list[Row] = []
    mismatches: list[str] = []
    results: list[OpResult | PassResult] = []
    for index in range(len(point.workload.steps)):
        result = simulate_step(
            point.hardware, point.workload.steps, index, point.workload.tensors(index), fidelity=fidelity, seed=seed
        )
        layers.append(layer_row(point, result))
        if isinstance(result, OpResult):
            if result.quality and result.quality.mismatch:
                mismatches.append(f"{point.label}: {result.quality.mismatch}")
            result = result.without_arrays()
        results.append(result)
    return point_row(point, results, fidelity, seed), layers, mismatches


def _tables(
    stored: list[tuple[Row, list[Row]]], study: Study, judged: Sequence[Row]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    rows = [row | own for (row, _), own in zip(stored, judged or [{}] * len(stored), strict=True)]
    add_ratios(rows, study.baseline)
    if study.measured:
        stored = [(row, _with_measured(row, layers, study.measured)) for row, layers in stored]
    results = pd.DataFrame(rows)
    columns = [*CONTRACT_COLUMNS, *(c for c in results.columns if c not in CONTRACT_COLUMNS)]
    layers_table = pd.DataFrame([layer for _, layers in stored for layer in layers])
    return results[columns], layers_table.astype(dict.fromkeys(SHAPE_COLUMNS, "Int64"))


def _with_measured(row: Row, layers: list[Row], measured: Measured) -> list[Row]:
    """Layers with what they took, and what was measured of them (empty where nothing was)."""
    times = {(time.workload, time.op): time.time_us for time in measured.times}
    return [
        layer
        | {
            "simulated_us": layer["total_cycles"] / row["clock_mhz"],
            "measured_us": times.get((layer["workload"], layer["op"]), math.nan),
        }
        for layer in layers
    ]


def _report(folder: Path, results: pd.DataFrame, layers: pd.DataFrame, manifest: Row) -> Path:
    from simulator.report import write_report

    return write_report(folder, results, layers, manifest)


def _manifest(study: Study, source: Source, points: list[Point], timings: Row) -> Row:
    """Everything needed to know where each number comes from and to make it again."""
    designs = {p.hardware.design.name: p for p in points}
    workloads = {p.workload.name: p.workload for p in points}
    return {
        "study": study.name,
        "description": study.description,
        "command": " ".join(["olivine", *sys.argv[1:]]) if sys.argv[0].endswith("olivine") else "simulator.run_study",
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "olivine_version": simulator.__version__,
        "code_sha256": code_sha256(),
        "seed": study.seed,
        "fidelity": study.fidelity,
        "baseline": study.baseline,
        "published": study.published.model_dump() if study.published else None,
        "measured": study.measured.model_dump() if study.measured else None,
        "study_resolved": source.data,
        "designs": [_design_record(p) for p in designs.values()],
        "workloads": [
            {"name": w.name, "kind": w.kind, "sha256": w.fingerprint, "provenance": w.provenance}
            for w in workloads.values()
        ],
        "timings": timings,
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("numpy", "numba", "pandas", "matplotlib", "simpy")},
        "prices": prices_used(h.bill for p in points for h in p.hardware.precisions),
        "assumptions": [
            *ASSUMPTIONS,
            *_left_out(study),
            *_of_workloads(points),
            *_drawn(points),
            *_conventions(points),
            *_scaled(points),
            *_sizes(points),
        ],
    }


def _left_out(study: Study) -> list[str]:
    """Which steps of its workloads a study does not run."""
    what = {
        "products": "passes of the vector unit",
        "layers": "passes of the vector unit and products of two activations",
    }
    return [f"Left out of this study (steps: {study.steps}): {what[study.steps]}."] if study.steps in what else []


def _of_workloads(points: list[Point]) -> list[str]:
    """What the shapes of workloads take for granted, once each."""
    return list(dict.fromkeys(f"{p.workload.name}: {text}" for p in points for text in p.workload.assumed))


def _drawn(points: list[Point]) -> list[str]:
    """What was drawn for workloads of which only shapes are known."""
    blind = [p.hardware for p in points if not p.workload.has_tensors]
    precisions = [h for hardware in blind for h in hardware.precisions]
    drawn = {f"{h.datapath.name}, shapes only: {text}" for h in precisions if (text := h.datapath.assumed_distribution)}
    return sorted(drawn)


def _scaled(points: list[Point]) -> list[str]:
    """From which node to which prices were scaled, once each."""
    bills = [p.hardware.bill for p in points]
    return list(dict.fromkeys(f"The price list {b.library.name}: {b.scaling}." for b in bills if b.scaling))


def _sizes(points: list[Point]) -> list[str]:
    """Which arrays a study chose, once each."""
    return list(dict.fromkeys(p.size + _at(p) + "." for p in points if p.size))


def _at(point: Point) -> str:
    own = {path: value for path, value in point.axes.items() if not path.startswith(WORKLOAD_PREFIX)}
    axes = ", ".join(f"{path}={value}" for path, value in own.items())
    return f" at {axes}" if axes else ""


def _conventions(points: list[Point]) -> list[str]:
    """What price lists charge otherwise than hardware would, and than the assumptions above say."""
    libraries = {bill.library.name: bill.library for bill in (p.hardware.bill for p in points)}
    odd = {
        name: ", ".join(f"{k}: {v}" for k, v in lib.conventions.unusual().items()) for name, lib in libraries.items()
    }
    return [
        f"The price list {name} charges otherwise: {text} (simulator/config/cost.py)."
        for name, text in odd.items()
        if text
    ]


def _design_record(point: Point) -> Row:
    from hashlib import sha256

    resolved = point.hardware.design.model_dump(mode="json")
    digest = sha256(json.dumps(resolved, sort_keys=True).encode()).hexdigest()
    library = point.hardware.bill.library.name
    return {"name": point.hardware.design.name, "sha256": digest, "resolved": resolved, "cost_library": library}
