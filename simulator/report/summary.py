"""The results as a table: every row in a sweep's page, the best of many elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from simulator.report.formatting import ABSENT, BYTES, ENERGY_PJ, TIME_S, Unit, choose_unit, elide, verdict
from simulator.report.grid import MAX_WRITTEN, Grid, GridColumn, text_frame
from simulator.report.pareto import failed, front_of, varying
from simulator.report.plotted import axes_of, axis_names
from simulator.report.points import letters, shortlist, swept_axes
from simulator.report.tables import ERROR_COLUMNS, TEXT_COLUMNS

__all__ = ["best_table", "front_table", "results_grid", "summary_columns", "summary_table"]

_MAX_FRONT = 200


def summary_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per result, every cell a text: times, energies and bytes in one unit per column, a dash where unknown.

    Speedup and relative energy are over the run's baseline; columns that hold nothing are left out.
    """
    return text_frame(summary_columns(results))


def summary_columns(results: pd.DataFrame) -> list[GridColumn]:
    """The columns that matter, with their values in the units that their names give."""
    columns = [_texts("Design", results["design"]), _texts("Workload", results["workload"])]
    columns += [axis_column(name, results[axis]) for axis, name in axis_names(axes_of(results)).items()]
    columns += [
        _scaled("Latency", results["latency_s"], TIME_S),
        GridColumn("Speedup", "times", results["speedup"].tolist()),
        _scaled("Energy", results["energy_total_pj"], ENERGY_PJ),
        GridColumn("Energy ratio", "times", results["energy_ratio"].tolist()),
    ]
    if "tokens_per_s" in results:
        columns.append(GridColumn("Tokens/s", "number", results["tokens_per_s"].tolist()))
        columns.append(_scaled("Energy per token", results["pj_per_token"], ENERGY_PJ))
    columns += [
        _scaled("DRAM", results["dram_read_bytes"] + results["dram_write_bytes"], BYTES),
        GridColumn("Area (mm²)", "number", (results["area_total_um2"] / 1e6).tolist()),
        GridColumn("Compute util. (%)", "number", (results["compute_util"] * 100).tolist()),
    ]
    columns += [
        GridColumn(name, "db", results[column].tolist())
        for name, column in {"SQNR (dB)": "sqnr_db", **ERROR_COLUMNS}.items()
        if column in results
    ]
    columns.append(_texts("Exact", results["exact"].map(_exact)))
    return [c for c in columns if c.name in TEXT_COLUMNS or not c.empty or not len(results)]


def axis_column(name: str, values: pd.Series) -> GridColumn:
    """A swept field: numbers as they are written, anything else as text."""
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    return GridColumn(name, "plain" if numeric else "text", values.tolist())


def _texts(name: str, values: pd.Series) -> GridColumn:
    return GridColumn(name, "text", [str(value) for value in values])


def _scaled(name: str, values: pd.Series, ladder: tuple[Unit, ...]) -> GridColumn:
    unit = choose_unit(values, ladder)
    return GridColumn(f"{name} ({unit.name})", "number", (values / unit.worth).tolist())


def _exact(value: object) -> str:
    return {True: "yes", False: "NO", None: ABSENT}[verdict(value)]


def results_grid(results: pd.DataFrame) -> Grid:
    """All results. Of a sweep: whether a row is on its workload's front, and why it has no numbers or is not allowed;
    those of the front first. Where rows are too many to be written into the page, every other column that varies too,
    hidden at first.
    """
    verdicts = {name: values for name, values in _verdicts(results).items() if (values != "").any()}
    order = results.index
    if "Front" in verdicts:
        order = verdicts["Front"].ne("yes").sort_values(kind="stable").index
    rows = results.loc[order]
    place = {index: line for line, index in enumerate(results.index, start=2)}
    columns = summary_columns(rows)
    columns += [_texts(name, values.loc[order]) for name, values in verdicts.items() if name != "Front"]
    if "Front" in verdicts:
        columns.insert(0, _texts("Front", verdicts["Front"].loc[order]))
    if len(results) > MAX_WRITTEN:
        columns.append(GridColumn("Row of results.csv", "whole", [place[i] for i in order], False))
        columns += _others(rows)
    return Grid("results", "results", columns, len(results))


def _verdicts(results: pd.DataFrame) -> dict[str, pd.Series]:
    """Texts per row, empty where there is nothing to say."""
    nothing = pd.Series("", index=results.index, dtype=object)
    objectives = varying(results)
    front = front_of(results, objectives) if swept_axes(results) and len(objectives) > 1 else nothing != ""
    found = {"Front": nothing.mask(front, "yes"), "Constraints": nothing, "Failure": nothing}
    if "meets_constraints" in results:
        words = {True: "met", False: "broken", None: ""}
        found["Constraints"] = results["meets_constraints"].map(lambda v: words[verdict(v)]).mask(failed(results), "")
    if "failure" in results:
        found["Failure"] = results["failure"].map(lambda v: elide(str(v), 160), na_action="ignore").fillna("")
    return found


def _others(results: pd.DataFrame) -> list[GridColumn]:
    """Columns of ``results.csv`` that vary and that no column above stands for, under their own names."""
    shown = {"design", "workload", "latency_s", "speedup", "energy_total_pj", "energy_ratio", "compute_util", "sqnr_db"}
    shown |= {"area_total_um2", "exact", "failure", "meets_constraints", *ERROR_COLUMNS.values(), *axes_of(results)}
    found = []
    for name in (c for c in results.columns if c not in shown):
        values = results[name]
        numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        if (values if numeric else values.astype(str)).nunique(dropna=False) < 2:
            continue
        found.append(GridColumn(name, "number" if numeric else "text", values.tolist(), False))
    return found


def best_table(results: pd.DataFrame) -> pd.DataFrame:
    """The shortlist of a sweep, lettered, with what each row is the best in."""
    chosen = shortlist(results)
    table = summary_table(chosen)
    table.insert(0, "Point", letters(len(chosen)))
    table.insert(1, "Best in", chosen["why"].tolist())
    return _without_columns_of_dashes(table)


def front_table(results: pd.DataFrame) -> pd.DataFrame | None:
    """The points of a sweep that no other beats over all that varies, fastest first, the first of many; or None."""
    objectives = varying(results)
    if not swept_axes(results) or len(objectives) < 2:
        return None
    rows = results[front_of(results, objectives)].sort_values(["workload", "latency_s"], kind="stable")
    return _without_columns_of_dashes(summary_table(rows.head(_MAX_FRONT)))


def _without_columns_of_dashes(table: pd.DataFrame) -> pd.DataFrame:
    empty: Sequence[str] = [name for name in table.columns if len(table) and (table[name] == ABSENT).all()]
    return table.drop(columns=list(empty))
