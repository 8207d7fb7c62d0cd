"""The per-op table of the page: one row per op, each cell with a text to read and a number to sort by."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from simulator.report.formatting import (
    ABSENT,
    BYTES,
    ENERGY_PJ,
    TIME_S,
    Unit,
    choose_unit,
    decibels,
    elide,
    field_text,
    is_missing,
    number,
    verdict,
)
from simulator.report.plotted import GPU_CATEGORIES, axes_of, axis_names, point_labels, uniques
from simulator.report.tables import ERROR_COLUMNS

__all__ = ["MAX_ROWS", "Cell", "Column", "OpTable", "op_table"]

MAX_ROWS = 3000


class Column(NamedTuple):
    """A heading, and whether its cells are numbers."""

    name: str
    numeric: bool


class Cell(NamedTuple):
    """What a cell says and what it sorts by (None where it sorts by what it says)."""

    text: str
    key: float | None


class OpTable(NamedTuple):
    """The rows shown, how many there are in all, and the choices of the two filters."""

    columns: list[Column]
    rows: list[list[Cell]]
    known: int
    designs: list[str]
    workloads: list[str]


def op_table(layers: pd.DataFrame, results: pd.DataFrame) -> OpTable:
    """Formats the first rows of ``layers``; times come from each result's clock."""
    shown = layers.head(MAX_ROWS)
    columns = _text_columns(shown) | _number_columns(shown, _seconds(shown, results))
    heads = [Column(name, cells[0].key is not None if cells else False) for name, cells in columns.items()]
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    return OpTable(heads, rows, len(layers), uniques(shown["design"]), uniques(shown["workload"]))


def _seconds(layers: pd.DataFrame, results: pd.DataFrame) -> pd.Series:
    def keys(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
        return list(zip(frame["design"], frame["workload"], point_labels(frame), strict=True))

    clock = dict(zip(keys(results), results["clock_mhz"].astype(float), strict=True))
    hz = [clock.get(key, float("nan")) * 1e6 for key in keys(layers)]
    return layers["total_cycles"].astype(float) / hz


def _text_columns(layers: pd.DataFrame) -> dict[str, list[Cell]]:
    columns = {"Design": _texts(layers["design"])}
    if layers["workload"].nunique() > 1:
        columns["Workload"] = _texts(layers["workload"])
    for axis, name in axis_names(axes_of(layers)).items():
        columns[name] = _axis_cells(layers[axis])
    return columns | {"Op": _texts(layers["op"]), "Kind": _texts(layers["kind"])}


def _texts(values: pd.Series) -> list[Cell]:
    return [Cell(elide(str(v), 60), None) for v in values]


def _axis_cells(values: pd.Series) -> list[Cell]:
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    return [Cell(field_text(v), _key(v) if numeric else None) for v in values]


def _number_columns(layers: pd.DataFrame, seconds: pd.Series) -> dict[str, list[Cell]]:
    columns = {
        name.title(): _whole(layers[name]) for name in ("M", "N", "K", "rows", "cols", "count") if name in layers
    }
    time, energy = choose_unit(seconds, TIME_S), choose_unit(layers["energy_total_pj"], ENERGY_PJ)
    moved = layers["dram_read_bytes"] + layers["dram_write_bytes"]
    size = choose_unit(moved, BYTES)
    columns |= {
        "Cycles": _whole(layers["total_cycles"]),
        "Stalled (%)": _numbers(100 * (1 - layers["compute_cycles"] / layers["total_cycles"].clip(lower=1))),
        **_fill_drain(layers),
        f"Time ({time.name})": _numbers(seconds / time.worth),
        f"Energy ({energy.name})": _numbers(layers["energy_total_pj"] / energy.worth),
        **_gpu_energy(layers, energy),
        f"DRAM ({size.name})": _numbers(moved / size.worth),
        **_scratchpads(layers),
        "Mapping util. (%)": _numbers(100 * layers["mapping_util"]),
        "Compute util. (%)": _numbers(100 * layers["compute_util"]),
        **{
            name: [Cell(decibels(v), _key(v)) for v in layers[column]]
            for name, column in {"SQNR (dB)": "sqnr_db", **ERROR_COLUMNS}.items()
            if column in layers
        },
        "Exact": [Cell({True: "yes", False: "NO", None: ABSENT}[verdict(v)], None) for v in layers["exact"]],
    }
    return {name: cells for name, cells in columns.items() if any(cell.text != ABSENT for cell in cells)}


def _gpu_energy(layers: pd.DataFrame, unit: Unit) -> dict[str, list[Cell]]:
    """Energy by the categories of GPUs, in one unit."""
    columns = {label: f"energy_gpu_{category}_pj" for category, label in GPU_CATEGORIES.items()}
    return {
        f"{label[0].upper()}{label[1:]} ({unit.name})": _numbers(layers[column] / unit.worth)
        for label, column in columns.items()
        if column in layers
    }


def _scratchpads(layers: pd.DataFrame) -> dict[str, list[Cell]]:
    """Bytes that went in and out of each scratchpad, in one unit."""
    moved = {
        f"{operand.title()} pad": layers[f"count_{operand}_buffer_{operand}_read_bytes"]
        + layers[f"count_{operand}_buffer_{operand}_write_bytes"]
        for operand in ("act", "weight", "out")
        if f"count_{operand}_buffer_{operand}_read_bytes" in layers
    }
    if not moved:
        return {}
    unit = choose_unit(pd.concat(list(moved.values())), BYTES)
    return {f"{name} ({unit.name})": _numbers(n / unit.worth) for name, n in moved.items()}


def _fill_drain(layers: pd.DataFrame) -> dict[str, list[Cell]]:
    if "fill_drain_cycles" not in layers:
        return {}
    return {"Fill+drain (%)": _numbers(100 * layers["fill_drain_cycles"] / layers["total_cycles"].clip(lower=1))}


def _whole(values: pd.Series) -> list[Cell]:
    return [Cell(ABSENT, _key(v)) if is_missing(v) else Cell(f"{int(v):,}", float(v)) for v in values]


def _numbers(values: pd.Series) -> list[Cell]:
    return [Cell(number(v), _key(v)) for v in values]


def _key(value: Any) -> float:
    """Missing values sort first, infinite ones last; both as numbers that a browser can read."""
    return -1e308 if is_missing(value) else max(-1e300, min(float(value), 1e300))
