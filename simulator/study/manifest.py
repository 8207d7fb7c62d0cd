"""Everything needed to know where each number of a run comes from, and to make it again."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version

import simulator
from simulator.config import Study
from simulator.errors import OlivineError
from simulator.study.assumptions import ASSUMPTIONS
from simulator.study.keys import code_sha256
from simulator.study.point import WORKLOAD_PREFIX, Point
from simulator.study.points import Points
from simulator.study.prices import prices_used
from simulator.study.rows import Row
from simulator.study.workloads import Workload

__all__ = ["manifest_of", "shown_points"]

MOST_BUILT = 500
"""Points that are built to be described; of more, those that show every value of every axis."""


def manifest_of(points: Points, indices: Collection[int], timings: Row) -> Row:
    """The manifest of a run.

    Args:
        indices: points that have results.
    """
    study = points.study
    shown = list(_built(points, shown_points(points, indices)))
    designs = {p.hardware.design.name: p for p in shown}
    workloads = {p.workload.name: p.workload for p in shown}
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
        "figures": study.figures.model_dump() if study.figures else None,
        "study_resolved": points.setup.source.data,
        "designs": [_design_record(p) for p in designs.values()],
        "workloads": [_workload_record(w) for w in workloads.values()],
        "timings": timings,
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("numpy", "numba", "pandas", "matplotlib", "simpy")},
        "prices": prices_used(h.bill for p in shown for h in p.hardware.precisions),
        "assumptions": _assumptions(study, shown),
    }


def shown_points(points: Points, indices: Collection[int]) -> list[int]:
    """All of few points; of many, for each design and workload those that show each value of each axis first."""
    if len(indices) <= MOST_BUILT:
        return list(indices)
    seen: set[tuple[int, ...]] = set()
    shown = []
    for index in indices:
        design, workload, combination = points.split(index)
        parts = {(design, workload, axis, place) for axis, place in enumerate(points.space.choices(combination))}
        if not parts <= seen:
            seen |= parts
            shown.append(index)
    return shown


def _built(points: Points, indices: Iterable[int]) -> Iterator[Point]:
    for index in indices:
        try:
            yield points.point(index)
        except OlivineError:  # its row says so
            continue


def _assumptions(study: Study, points: Sequence[Point]) -> list[str]:
    return [
        *ASSUMPTIONS,
        *_left_out(study),
        *_counted(points),
        *_of_workloads(points),
        *_drawn(points),
        *_conventions(points),
        *_scaled(points),
        *_sizes(points),
    ]


def _left_out(study: Study) -> list[str]:
    """Which steps of its workloads a study does not run."""
    what = {
        "products": "passes of the vector unit",
        "layers": "passes of the vector unit and products of two activations",
    }
    return [f"Left out of this study (steps: {study.steps}): {what[study.steps]}."] if study.steps in what else []


def _counted(points: Sequence[Point]) -> list[str]:
    """That values were looked at, and not computed with."""
    names = ", ".join(dict.fromkeys(p.workload.name for p in points if p.workload.counted))
    said = (
        "no product was computed or held to the reference; outliers that decide a cost were looked for in the tensors"
    )
    return [f"{names} (values: counted): {said}."] if names else []


def _of_workloads(points: Sequence[Point]) -> list[str]:
    """What the shapes of workloads take for granted, once each."""
    return list(dict.fromkeys(f"{p.workload.name}: {text}" for p in points for text in p.workload.assumed))


def _drawn(points: Sequence[Point]) -> list[str]:
    """What was drawn for workloads of which only shapes are known."""
    blind = [p.hardware for p in points if not p.workload.has_tensors]
    precisions = [h for hardware in blind for h in hardware.precisions]
    drawn = {f"{h.datapath.name}, shapes only: {text}" for h in precisions if (text := h.datapath.assumed_distribution)}
    return sorted(drawn)


def _scaled(points: Sequence[Point]) -> list[str]:
    """From which node to which prices were scaled, once each."""
    bills = [p.hardware.bill for p in points]
    return list(dict.fromkeys(f"The price list {b.library.name}: {b.scaling}." for b in bills if b.scaling))


def _sizes(points: Sequence[Point]) -> list[str]:
    """Which arrays a study chose, once each."""
    return list(dict.fromkeys(p.size + _at(p) + "." for p in points if p.size))


def _at(point: Point) -> str:
    own = {path: value for path, value in point.axes.items() if not path.startswith(WORKLOAD_PREFIX)}
    axes = ", ".join(f"{path}={value}" for path, value in own.items())
    return f" at {axes}" if axes else ""


def _conventions(points: Sequence[Point]) -> list[str]:
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
    resolved = point.hardware.design.model_dump(mode="json")
    digest = sha256(json.dumps(resolved, sort_keys=True).encode()).hexdigest()
    library = point.hardware.bill.library.name
    return {"name": point.hardware.design.name, "sha256": digest, "resolved": resolved, "cost_library": library}


def _workload_record(workload: Workload) -> Row:
    return {
        "name": workload.name,
        "kind": workload.kind,
        "sha256": workload.fingerprint,
        "provenance": workload.provenance,
    }
