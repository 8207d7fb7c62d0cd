"""Rows of points to the tables of a run folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator.config import Study
from simulator.config.published import Measured
from simulator.study.evaluate import Failure
from simulator.study.rows import CONTRACT_COLUMNS, SHAPE_COLUMNS, Row, add_ratios

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Finished", "tables_of"]


@dataclass(frozen=True)
class Finished:
    """A point with its result, or why it has none: rows with the columns of the axes; in which round it was run."""

    index: int
    row: Row
    layers: list[Row]
    failure: Failure | None = None
    round: int = 1


def tables_of(finished: Sequence[Finished], study: Study, judged: Sequence[Row]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Results and layers. A column ``failure`` says why a point has no numbers, if any has none.

    Args:
        judged: further columns of each row, or none at all.
    """
    import pandas as pd

    rows = [one.row | own for one, own in zip(finished, judged or [{}] * len(finished), strict=True)]
    add_ratios(rows, study.baseline)
    if any(one.failure for one in finished):
        for row, one in zip(rows, finished, strict=True):
            row["failure"] = one.failure.reason if one.failure else ""
    results = pd.DataFrame(rows)
    columns = [*CONTRACT_COLUMNS, *(c for c in results.columns if c not in CONTRACT_COLUMNS)]
    layers = [layer for one in finished for layer in _with_measured(one.row, one.layers, study.measured)]
    return results.reindex(columns=columns), _layers_table(layers)


def _layers_table(layers: list[Row]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(layers)
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
