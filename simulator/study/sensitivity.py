"""Which constants a study's conclusion rests on: each is varied alone, up and down, and what moves most comes first.

The conclusion is each design over the baseline: time, energy, energy-delay product and area, geometric means over the
workloads. Prices change no cycle: counts are simulated once and priced again. Only other quantities of a design, or an
array that ``normalise`` sizes otherwise under another area, are simulated anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.config import Source, Study
from simulator.config.catalogue import Reference
from simulator.counts import Counts
from simulator.errors import ConfigError, OlivineError, did_you_mean
from simulator.study.again import parquet
from simulator.study.conclusion import METRICS, WAYS, Variant, tabulate
from simulator.study.constants import Constant, LeftOut, changed_library, find_constants, price_list
from simulator.study.counted import count_points, counts_key, from_record
from simulator.study.executors import Died, executor
from simulator.study.folders import own_folder
from simulator.study.hardware import Hardware
from simulator.study.keys import code_sha256
from simulator.study.layout import Layout, lay_out
from simulator.study.members import Member
from simulator.study.point import Point, require_runnable
from simulator.study.rounds import Means, Progress
from simulator.study.setup import read_study
from simulator.study.store import Claims, Store

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["METRICS", "Sensitivity", "analyse", "sensitivity"]


@dataclass(frozen=True)
class Sensitivity:
    """What an analysis found and where it left it.

    Attributes:
        table: a row per constant, design and sweep point; the constant that moves ``metric`` most comes first.
        left_out: numbers that were not varied, or not both ways, and why.
        simulated, reused: points simulated now, and found in the store.
    """

    table: pd.DataFrame
    left_out: list[LeftOut]
    folder: Path
    page: Path
    simulated: int
    reused: int


def sensitivity(
    study: Reference,
    out: str | Path | None = None,
    *,
    set: Mapping[str, Any] | None = None,
    by: float = 0.2,
    only: str | None = None,
    top: int = 15,
    metric: str = "edp",
    workers: int | None = None,
    scheduler: str | None = None,
    fresh: bool = False,
) -> pd.DataFrame:
    """Vary each constant of a study by a fraction and rank what moves its ratios over the baseline; writes a folder.

    Args:
        study, out, set, workers, scheduler, fresh: as for ``run_study``; the folder is ``reports/NAME-sensitivity`` by
            default.
        by: the fraction, up and down.
        only: shell pattern of the constants to vary.
        top: so many are drawn.
        metric: ``time``, ``energy``, ``edp`` or ``area``: by which constants are ranked.
    Returns: a row per constant, design and sweep point: ``{metric}_ratio`` as the study has it, ``_low`` and ``_high``.
    Raises: OlivineError, one line.
    """
    return analyse(
        study, out, overrides=set, by=by, only=only, top=top, metric=metric, workers=workers, scheduler=scheduler,
        fresh=fresh,
    ).table  # fmt: skip


def analyse(
    study: Reference,
    out: str | Path | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    by: float = 0.2,
    only: str | None = None,
    top: int = 15,
    metric: str = "edp",
    workers: int | None = None,
    scheduler: str | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
    plugins: Sequence[Path] = (),
) -> Sensitivity:
    """As ``sensitivity``, with progress ``(done, total, label)`` and the whole outcome."""
    _require_options(by, top, metric)
    record, source, set_ = read_study(study, overrides or {})
    _require_comparison(record, source)
    layout = lay_out(record, source, set_)
    folder = own_folder(Path(out) if out else Path("reports") / f"{record.name}-sensitivity", "sensitivity")
    variants, left_out = _variants(layout, by, only)
    with executor(workers, scheduler, plugins) as at_work, Store(folder, "sensitivity", fresh=fresh) as store:
        counts, simulated, reused = _counted(variants, record, Means(store, at_work, progress))
        table = tabulate(variants, counts, record.baseline or "", metric)
        manifest = _manifest(record, source, left_out, {"by": by, "metric": metric, "top": top, "only": only})
        store.save({"sensitivity.parquet": parquet(table), "manifest.json": json.dumps(manifest, default=str).encode()})
    from simulator.report.sensitivity import write_sensitivity

    page = write_sensitivity(folder, table, manifest)
    return Sensitivity(table, left_out, folder, page, simulated, reused)


def _require_options(by: float, top: int, metric: str) -> None:
    if not 0 < by < 1:
        raise ConfigError(f"--by: must be above 0 and below 1, found {by:g}")
    if top < 1:
        raise ConfigError(f"--top: must be at least 1, found {top}")
    if metric not in METRICS:
        raise ConfigError(f"--metric: found '{metric}'; allowed: {', '.join(METRICS)}{did_you_mean(metric, METRICS)}")


def _require_comparison(study: Study, source: Source) -> None:
    if study.baseline is None:
        raise ConfigError(f"{source.label}: baseline: missing; sensitivity is of ratios over a baseline")
    if len(study.designs) < 2:
        raise ConfigError(f"{source.where(('designs',))}: sensitivity is of designs over a baseline; add a second one")


def _variants(layout: Layout, by: float, only: str | None) -> tuple[list[Variant], list[LeftOut]]:
    """The study as it is, then with each constant changed either way."""
    base = layout.sized()
    constants, left_out = find_constants(base, by)
    chosen = [c for c in constants if only is None or fnmatchcase(c.name, only)]
    if not chosen:
        known = [c.name for c in constants]
        hint = did_you_mean(only or "", known) or f"; constants: {', '.join(known[:4])} ..."
        raise ConfigError(f"--only: '{only}' matches no constant of this study{hint}")
    runnable: set[tuple[int, str]] = set()
    variants = [Variant(_runnable(base, runnable))]
    for constant in chosen:
        for way, sign in WAYS.items():
            value = constant.at(1 + sign * by)
            try:
                points = _runnable(_varied(layout, base, constant, value), runnable)
                variants.append(Variant(points, constant, way, value))
            except OlivineError as error:
                left_out.append(LeftOut(f"{constant.name} at {value:g}", str(error)))
    return variants, left_out


def _runnable(layout: Layout, known: set[tuple[int, str]]) -> list[Point]:
    """The points of a layout, those of designs that are not ``known`` mapped. Raises: as ``require_runnable``."""
    points = layout.points()
    for point in points:
        if _identity(point) not in known:
            require_runnable(point)
            known.add(_identity(point))
    return points


def _identity(point: Point) -> tuple[int, str]:
    """What tells apart points that simulate different things; prices leave a design the object that it was."""
    return id(point.hardware.design), point.workload.name


def _varied(layout: Layout, base: Layout, constant: Constant, value: float) -> Layout:
    """The sized layout with one constant changed, arrays sized anew where it may size them."""
    factor = value / constant.value
    if not constant.sizes_arrays:
        return _with(base, lambda member: _repriced(member, constant, factor))
    if constant.kind == "price":
        return _with(layout, lambda member: _repriced(member, constant, factor)).sized()
    return _with(layout, lambda member: _reset(member, constant, value)).sized()


def _with(layout: Layout, change: Any) -> Layout:
    return replace(layout, families=[{at: change(m) for at, m in family.items()} for family in layout.families])


def _repriced(member: Member, constant: Constant, factor: float) -> Member:
    """A design under one changed price; the one that it was if it uses another list."""
    if price_list(member.hardware) != constant.library:
        return member

    def change(hardware: Hardware) -> Hardware:
        return hardware.repriced(lambda library: changed_library(library, constant.path, factor))

    return replace(member, build=lambda *more: change(member.make(*more)))


def _reset(member: Member, constant: Constant, value: float) -> Member:
    """A design with one quantity changed; the one that it was if it has another value of it."""
    if member.hardware.design.name not in constant.designs:
        return member
    overlay = ("sensitivity", {constant.path[0]: value})
    return replace(member, build=lambda *more: member.make(overlay, *more))


def _counted(
    variants: Sequence[Variant],
    study: Study,
    means: Means,
) -> tuple[list[list[Counts]], int, int]:
    """Counts of every point of every variant, each distinct one simulated once and stored; how many were, or not."""
    keys = list(_keys(variants, study))
    points = {
        k: p for variant, own in zip(variants, keys, strict=True) for k, p in zip(own, variant.points, strict=True)
    }
    records = {key: found.row for key, found in means.store.get_many(points).items()}
    missing = {key: (key, point) for key, point in points.items() if key not in records}
    means.tell(len(records), len(points))
    simulated = 0
    for key, record in _simulated(missing, study, means):
        records[key] = record
        simulated += 1
        means.tell(len(records), len(points), points[key].label)
    records |= {key: found.row for key, found in means.store.get_many(set(points) - set(records)).items()}
    counts = {key: from_record(record) for key, record in records.items()}
    return [[counts[key] for key in own] for own in keys], simulated, len(points) - simulated


def _simulated(
    missing: Mapping[str, tuple[str, Point]], study: Study, means: Means
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Counts as they come, stored; not those of points that another analysis in the same folder is at."""
    work = partial(count_points, fidelity=study.fidelity, seed=study.seed)
    with Claims(means.store, missing) as claims, closing(means.executor.map(work, claims)) as found:
        for (key, point), record in chain.from_iterable(found):
            if isinstance(record, Died):
                raise OlivineError(f"{point.label}: {record.reason}, perhaps for lack of memory; run with --workers 1")
            means.store.put(key, record)
            yield key, record


def _keys(variants: Sequence[Variant], study: Study) -> Iterator[list[str]]:
    """Content addresses of each variant's counts; a design that a variant leaves alone is looked at once."""
    known: dict[tuple[int, str], str] = {}
    for variant in variants:
        own = []
        for point in variant.points:
            if _identity(point) not in known:
                known[_identity(point)] = counts_key(point, study.fidelity, study.seed)
            own.append(known[_identity(point)])
        yield own


def _manifest(study: Study, source: Source, left_out: Sequence[LeftOut], options: Mapping[str, Any]) -> dict[str, Any]:
    import simulator

    return {
        "study": study.name,
        "description": study.description,
        "kind": "sensitivity",
        **options,
        "baseline": study.baseline,
        "normalise": study.normalise,
        "olivine_version": simulator.__version__,
        "code_sha256": code_sha256(),
        "seed": study.seed,
        "fidelity": study.fidelity,
        "study_resolved": source.data,
        "left_out": [{"constant": item.name, "reason": item.reason} for item in left_out],
    }
