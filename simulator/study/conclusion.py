"""What a study concludes, each design over the baseline, and how far each constant moves it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator import units
from simulator.cost import energy_pj, total
from simulator.counts import Counts
from simulator.study.constants import Constant
from simulator.study.point import Point

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["METRICS", "WAYS", "Variant", "ratios", "tabulate"]

METRICS = ("time", "energy", "edp", "area")
WAYS = {"low": -1, "high": 1}


@dataclass(frozen=True)
class Variant:
    """All points of the study with one constant changed one way; without one, as it is."""

    points: list[Point]
    constant: Constant | None = None
    way: str = ""
    value: float = math.nan


def tabulate(
    variants: Sequence[Variant], counts: Sequence[Sequence[Counts]], baseline: str, metric: str
) -> pd.DataFrame:
    """One row per constant, design and sweep point, ranked."""
    import pandas as pd

    found = [ratios(variant.points, own, baseline) for variant, own in zip(variants, counts, strict=True)]
    arrays = [_arrays(variant.points) for variant in variants]
    constants = {v.constant.name: v.constant for v in variants if v.constant}
    places = {(v.constant.name, v.way): i for i, v in enumerate(variants) if v.constant}
    rows = []
    for name, constant in constants.items():
        ways = {way: places.get((name, way)) for way in WAYS}
        resized = any(i is not None and arrays[i] != arrays[0] for i in ways.values())
        for place, base in found[0].items():
            row = _head(constant, place, resized) | {
                f"value_{w}": math.nan if i is None else variants[i].value for w, i in ways.items()
            }
            for m in METRICS:
                row[f"{m}_ratio"] = base[m]
                row |= {f"{m}_ratio_{w}": math.nan if i is None else found[i][place][m] for w, i in ways.items()}
            rows.append(row)
    return _ranked(pd.DataFrame(rows), metric)


def _head(constant: Constant, place: tuple[str, str], resized: bool) -> dict[str, Any]:
    return {
        "constant": constant.name,
        "kind": constant.kind,
        "designs": ", ".join(constant.designs),
        "source": constant.source,
        "resized": resized,
        "design": place[0],
        "point": place[1],
        "value": constant.value,
    }


def _ranked(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """With column ``swing``, the largest relative change of a constant's ratios either way, and ``rank`` by it."""
    from simulator.report.tornado import swings

    swing = swings(table, metric)
    order = sorted(swing, key=lambda name: (-swing[name], name))
    rank = {name: place for place, name in enumerate(order, start=1)}
    table.insert(0, "rank", table["constant"].map(rank))
    table.insert(1, "swing", table["constant"].map(swing))
    return table.sort_values("rank", kind="stable").reset_index(drop=True)


def ratios(points: Sequence[Point], counts: Sequence[Counts], baseline: str) -> dict[tuple[str, str], dict[str, float]]:
    """Each design but the baseline over it, by design and sweep point: geometric means over the workloads."""
    figures = [_figures(point, own) for point, own in zip(points, counts, strict=True)]
    base = {(p.workload.name, _axes(p)): f for p, f in zip(points, figures, strict=True) if _name(p) == baseline}
    logs: dict[tuple[str, str], list[dict[str, float]]] = {}
    for point, own in zip(points, figures, strict=True):
        if _name(point) != baseline:
            other = base[point.workload.name, _axes(point)]
            logs.setdefault((_name(point), _axes(point)), []).append({m: _log_ratio(own[m], other[m]) for m in METRICS})
    return {
        place: {m: math.exp(math.fsum(log[m] for log in found) / len(found)) for m in METRICS}
        for place, found in logs.items()
    }


def _log_ratio(own: float, other: float) -> float:
    """NaN where one of them is nothing: the area of a GPU to which a datapath adds no part."""
    return math.log(own / other) if own and other else math.nan


def _figures(point: Point, counts: Counts) -> dict[str, float]:
    """Time [s], energy [pJ], their product and area [um2] of a point."""
    bill = point.hardware.bill
    seconds, energy = units.cycles_to_s(counts.cycles, bill.clock_mhz), total(energy_pj(bill, counts))
    return {"time": seconds, "energy": energy, "edp": seconds * energy, "area": total(point.hardware.area)}


def _arrays(points: Sequence[Point]) -> list[float]:
    """What tells whether ``normalise`` chose other arrays."""
    return [p.hardware.macs_per_cycle for p in points]


def _name(point: Point) -> str:
    return point.hardware.design.name


def _axes(point: Point) -> str:
    return ", ".join(f"{path}={value}" for path, value in point.axes.items())
