"""The per-op table of the page: one row per op."""

from __future__ import annotations

from typing import Any

import pandas as pd

from simulator.report.formatting import ABSENT, BYTES, ENERGY_PJ, TIME_S, Unit, choose_unit, elide, verdict
from simulator.report.grid import Grid, GridColumn
from simulator.report.plotted import GPU_CATEGORIES, axes_of, axis_names, point_labels
from simulator.report.summary import axis_column
from simulator.report.tables import ERROR_COLUMNS

__all__ = ["MAX_ROWS", "op_grid"]

MAX_ROWS = 3000


def op_grid(layers: pd.DataFrame, results: pd.DataFrame) -> Grid:
    """The first rows of ``layers``; times come from each result's clock."""
    shown = layers.head(MAX_ROWS)
    if shown.empty:
        return Grid("ops", "ops", [], 0)
    columns = [*_text_columns(shown), *_number_columns(shown, _seconds(shown, results))]
    return Grid("ops", "ops", [c for c in columns if not c.empty], len(layers))


def _seconds(layers: pd.DataFrame, results: pd.DataFrame) -> pd.Series:
    def keys(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
        return list(zip(frame["design"], frame["workload"], point_labels(frame), strict=True))

    clock = dict(zip(keys(results), results["clock_mhz"].astype(float), strict=True))
    hz = [clock.get(key, float("nan")) * 1e6 for key in keys(layers)]
    return layers["total_cycles"].astype(float) / hz


def _text_columns(layers: pd.DataFrame) -> list[GridColumn]:
    columns = [_texts("Design", layers["design"])]
    if layers["workload"].nunique() > 1:
        columns.append(_texts("Workload", layers["workload"]))
    columns += [axis_column(name, layers[axis]) for axis, name in axis_names(axes_of(layers)).items()]
    return [*columns, _texts("Op", layers["op"]), _texts("Kind", layers["kind"])]


def _texts(name: str, values: pd.Series) -> GridColumn:
    return GridColumn(name, "text", [elide(str(v), 60) for v in values])


def _number_columns(layers: pd.DataFrame, seconds: pd.Series) -> list[GridColumn]:
    time, energy = choose_unit(seconds, TIME_S), choose_unit(layers["energy_total_pj"], ENERGY_PJ)
    moved = layers["dram_read_bytes"] + layers["dram_write_bytes"]
    size = choose_unit(moved, BYTES)
    return [
        *(_whole(name.title(), layers[name]) for name in ("M", "N", "K", "rows", "cols", "count") if name in layers),
        _whole("Cycles", layers["total_cycles"]),
        _numbers("Stalled (%)", 100 * (1 - layers["compute_cycles"] / layers["total_cycles"].clip(lower=1))),
        *_fill_drain(layers),
        _numbers(f"Time ({time.name})", seconds / time.worth),
        _numbers(f"Energy ({energy.name})", layers["energy_total_pj"] / energy.worth),
        *_gpu_energy(layers, energy),
        _numbers(f"DRAM ({size.name})", moved / size.worth),
        *_scratchpads(layers),
        _numbers("Mapping util. (%)", 100 * layers["mapping_util"]),
        _numbers("Compute util. (%)", 100 * layers["compute_util"]),
        *(
            GridColumn(name, "db", layers[column].tolist())
            for name, column in {"SQNR (dB)": "sqnr_db", **ERROR_COLUMNS}.items()
            if column in layers
        ),
        *_exact(layers["exact"]),
    ]


def _exact(values: pd.Series) -> list[GridColumn]:
    """Nothing where no op was checked."""
    verdicts = [verdict(v) for v in values]
    known = {True: "yes", False: "NO", None: ABSENT}
    return [GridColumn("Exact", "text", [known[v] for v in verdicts])] if set(verdicts) != {None} else []


def _gpu_energy(layers: pd.DataFrame, unit: Unit) -> list[GridColumn]:
    """Energy by the categories of GPUs, in one unit."""
    columns = {label: f"energy_gpu_{category}_pj" for category, label in GPU_CATEGORIES.items()}
    return [
        _numbers(f"{label[0].upper()}{label[1:]} ({unit.name})", layers[column] / unit.worth)
        for label, column in columns.items()
        if column in layers
    ]


def _scratchpads(layers: pd.DataFrame) -> list[GridColumn]:
    """Bytes that went in and out of each scratchpad, in one unit."""
    moved = {
        f"{operand.title()} pad": layers[f"count_{operand}_buffer_{operand}_read_bytes"]
        + layers[f"count_{operand}_buffer_{operand}_write_bytes"]
        for operand in ("act", "weight", "out")
        if f"count_{operand}_buffer_{operand}_read_bytes" in layers
    }
    if not moved:
        return []
    unit = choose_unit(pd.concat(list(moved.values())), BYTES)
    return [_numbers(f"{name} ({unit.name})", n / unit.worth) for name, n in moved.items()]


def _fill_drain(layers: pd.DataFrame) -> list[GridColumn]:
    if "fill_drain_cycles" not in layers:
        return []
    return [_numbers("Fill+drain (%)", 100 * layers["fill_drain_cycles"] / layers["total_cycles"].clip(lower=1))]


def _whole(name: str, values: pd.Series) -> GridColumn:
    return GridColumn(name, "whole", values.tolist())


def _numbers(name: str, values: pd.Series) -> GridColumn:
    return GridColumn(name, "number", values.tolist())
