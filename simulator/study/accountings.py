"""The designs of a study as other studies have them, at other sizes and prices: rows for one table of all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simulator.config import load_study, named_at
from simulator.cost.pricing import BUFFERS
from simulator.errors import ConfigError, did_you_mean
from simulator.study.points import Points, open_points
from simulator.study.setup import StudySetup

__all__ = ["accounting_rows", "other_studies"]

_NOT_CORE = ("vector", "global_buffer", *BUFFERS)
"""Parts of an area that are beside the array."""

Row = dict[str, Any]


def other_studies(points: Points) -> list[StudySetup]:
    """The studies that stand beside the one of these points.

    Raises: ConfigError naming the line that names them.
    """
    study, source = points.study, points.setup.source
    found: list[StudySetup] = []
    if study.beside is None:
        return found
    over = study.beside.over
    _require_design(over, study.name, points, source.where(("beside", "over")))
    for i, entry in enumerate(study.beside.studies):
        where = source.where(("beside", "studies", i, "study"))
        path = Path(source.label).parent / entry.study
        with named_at(where):
            other, other_source = load_study(path if path.is_file() else entry.study)
        if other.sweep:
            raise ConfigError(f"{where}: '{other.name}' has sweep axes; a study beside another has none")
        found.append(StudySetup(other, other_source, points.setup.overrides))
        _require_design(over, other.name, open_points(found[-1]), where)
    return found


def _require_design(name: str, study: str, points: Points, where: str) -> None:
    known = points.design_names
    if name not in known:
        hint = did_you_mean(name, known) or f"; designs: {', '.join(known)}"
        raise ConfigError(f"{where}: '{study}' has no design '{name}'{hint}")


def accounting_rows(accounting: str, rows: Sequence[Row]) -> list[Row]:
    """What the table needs of result rows: array, area of the core, time and energy."""
    return [
        {
            "accounting": accounting,
            **{name: row[name] for name in ("design", "workload", "rows", "cols", "latency_s", "energy_total_pj")},
            "macs_per_cycle": round(row["peak_tops"] / (2e-6 * row["clock_mhz"])),
            "core_um2": _core_um2(row),
        }
        for row in rows
    ]


def _core_um2(row: Row) -> float:
    prefix, suffix = "area_part_", "_um2"
    beside = {f"{prefix}{part}{suffix}" for part in _NOT_CORE}
    return float(sum(um2 for name, um2 in row.items() if name.startswith(prefix) and name not in beside))
