"""Rows of points to the tables of a run folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator.config import Study
from simulator.config.published import Measured
from simulator.study.constraints import is_simulated, mark
from simulator.study.evaluate import Failure
from simulator.study.points import Points
from simulator.study.rows import CONTRACT_COLUMNS, SHAPE_COLUMNS, Row

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Finished", "layers_of", "results_of"]


_LAYER_COLUMNS = [
    *("design", "workload", "op", "kind", *SHAPE_COLUMNS, "count", "tiles", "partition"),
    *("total_cycles", "compute_cycles", "fill_drain_cycles", "macs", "dram_read_bytes", "dram_write_bytes"),
    *("mapping_util", "compute_util", "energy_total_pj", "sqnr_db", "exact"),
]
"""Of a table of layers that has no rows."""


@dataclass(frozen=True)
class Finished:
    """A point with its result, or why it has none: rows with the columns of the axes."""

    index: int
    row: Row
    layers: list[Row]
    failure: Failure | None = None


def results_of(points: Points, finished: Sequence[Finished], judged: Sequence[Row]) -> pd.DataFrame:
    """A row per point. A column ``failure`` says why a point has no numbers, if any has none, ``meets_constraints``
    whether it meets those of the study, if it has any.

    Args:
        judged: further columns of each row, or none at all.
    Raises: ConfigError for a constraint on a column that there is not.
    """
    import pandas as pd

    rows = [one.row | own for one, own in zip(finished, judged or [{}] * len(finished), strict=True)]
    _add_ratios(rows, points.study.baseline)
    failed = [one.failure is not None for one in finished]
    if any(failed):
        for row, one in zip(rows, finished, strict=True):
            row["failure"] = one.failure.reason if one.failure else ""
    mark(points, rows, (points.axes(one.index) for one in finished), failed)
    whole_first = sorted(rows, key=lambda row: not is_simulated(row))  # whatever fails, columns keep their order
    columns = dict.fromkeys([*CONTRACT_COLUMNS, *(column for row in whole_first for column in row)])
    return pd.DataFrame(rows, columns=list(columns))


def _add_ratios(rows: list[Row], baseline: str | None) -> None:
    """Speedup and energy ratio of each row over the baseline design on the same workload at the same axis values; NaN
    where either has no numbers.
    """

    def place(row: Row) -> tuple[Any, ...]:
        return (row["workload"], *(str(v) for k, v in row.items() if k.startswith("axis:")))

    base = {place(row): row for row in rows if row["design"] == baseline and "latency_s" in row}
    for row in rows:
        other = base.get(place(row)) if "latency_s" in row else None
        row["speedup"] = other["latency_s"] / row["latency_s"] if other else math.nan
        row["energy_ratio"] = row["energy_total_pj"] / other["energy_total_pj"] if other else math.nan


def layers_of(finished: Sequence[Finished], study: Study) -> pd.DataFrame:
    """A row per op and pass of the points that have any."""
    return _layers_table([layer for one in finished for layer in _with_measured(one.row, one.layers, study.measured)])


def _layers_table(layers: list[Row]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(layers, columns=None if layers else _LAYER_COLUMNS)
    return table.astype({column: "Int64" for column in SHAPE_COLUMNS if column in table})


def _with_measured(row: Row, layers: list[Row], measured: Measured | None) -> list[Row]:
    """Layers with what they took, and what was measured of them (empty where nothing was)."""
    if measured is None:
        return layers
    times: dict[tuple[Any, Any], float] = {(time.workload, time.op): time.time_us for time in measured.times}
    return [
        layer
        | {
            "simulated_us": layer["total_cycles"] / row["clock_mhz"],
            "measured_us": times.get((layer["workload"], layer["op"]), math.nan),
        }
        for layer in layers
    ]
