"""Results as points of a sweep: what tells them apart, one point over all workloads, the few best of many."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

import numpy as np
import pandas as pd

from simulator.report.formatting import BYTES, ENERGY_PJ, TIME_S, field_text
from simulator.report.pareto import AREA_UM2, OBJECTIVES, Objective, costs_of, usable, varying
from simulator.report.plotted import axes_of, axis_names, field_texts, geomean, point_labels, uniques

__all__ = [
    "MAX_COMBINATIONS",
    "column_of",
    "is_large",
    "layers_of",
    "letters",
    "names_of",
    "objective_of",
    "over_workloads",
    "point_key",
    "settings_text",
    "shortlist",
    "swept_axes",
    "swept_together",
    "title_of",
    "with_letters",
]

MAX_COMBINATIONS = 40
"""With more workloads x sweep points than this a bar for each says nothing: the best are drawn, and where all lie."""
_LARGER = ("sqnr", "accuracy_", "speedup", "_util", "per_s", "peak_tops")
_UNITS = {"_pj": ENERGY_PJ, "_um2": AREA_UM2, "_bytes": BYTES, "_s": TIME_S}
"""Ends of names that say a unit, which is then shown as is handiest."""
_EDP = Objective("edp_js", "energy-delay product", ())
_MAX_DESIGNS = 6
_MAX_WORKLOADS = 3


def is_large(results: pd.DataFrame) -> bool:
    """Is this a sweep of so many points that only some can have bars of their own?"""
    return bool(swept_axes(results)) and len(results[["workload", *axes_of(results)]].astype(str).drop_duplicates()) > (
        MAX_COMBINATIONS
    )


def swept_axes(results: pd.DataFrame) -> list[str]:
    """The axis columns that take more than one value; of those that always change together the first."""
    return list(swept_together(results))


def swept_together(results: pd.DataFrame) -> dict[str, list[str]]:
    """Each axis column that takes more than one value, and those after it that change whenever it does."""
    codes = {axis: pd.factorize(field_texts(results[axis]))[0] for axis in axes_of(results)}
    found: dict[str, list[str]] = {}
    for axis, own in codes.items():
        if not len(own) or own.max() < 1:
            continue
        first = next((other for other in found if np.array_equal(codes[other], own)), None)
        found.setdefault(first or axis, []).extend([axis] if first else [])
    return found


def names_of(results: pd.DataFrame, axes: Sequence[str]) -> dict[str, str]:
    """Axis column -> its short name, distinct among all axes of the results."""
    names = axis_names(axes_of(results))
    return {axis: names[axis] for axis in axes}


def column_of(results: pd.DataFrame, name: str) -> str | None:
    """The column that a study means: one of the results, or a swept field by its path; None if there is none."""
    return next((column for column in (f"axis:{name}", name) if column in results), None)


def title_of(column: str) -> str:
    """How a column is called in a figure: a known one by its name, an axis by its path, others without underscores."""
    known = {objective.column: objective.name for objective in (*OBJECTIVES, _EDP)}
    return known.get(column) or (column[5:] if column.startswith("axis:") else column.replace("_", " "))


def objective_of(column: str) -> Objective:
    """A column as an objective: accuracies, rates and utilisations are to be large, all else small."""
    known = {objective.column: objective for objective in OBJECTIVES}
    if column in known:
        return known[column]
    larger = any(word in column for word in _LARGER)
    bare = column.startswith("axis:") or column.endswith(("per_s", "gb_s"))
    end = next((end for end in _UNITS if column.endswith(end) and not bare), "")
    return Objective(column, title_of(column.removesuffix(end)), _UNITS.get(end, ()), larger)


def over_workloads(results: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """One row per design and sweep point: the geometric mean over all workloads, of accuracies in dB the worst.

    Points that lack a workload are left out; of one workload the rows are as they are.
    """
    workloads = uniques(results["workload"])
    if len(workloads) < 2:
        return results
    keys = results[["design", *axes_of(results)]].astype(str).agg("\x1f".join, axis=1)
    rows = results.assign(usable_=usable(results)).groupby(keys, sort=False)
    table = rows[["design", *axes_of(results)]].first()
    for column in columns:
        table[column] = rows[column].agg("min" if column.endswith("_db") else geomean)
    whole = rows["workload"].nunique() == len(workloads)
    table["latency_s"] = rows["latency_s"].agg(geomean)
    table = table.assign(workload="", meets_constraints=rows["usable_"].all())
    return table[whole].reset_index(drop=True)


def settings_text(row: pd.Series, axes: Sequence[str]) -> str:
    """``"rows=8, dataflow=os"`` of one row."""
    every = [str(column) for column in row.index if str(column).startswith("axis:")]
    names = {axis: name for axis, name in axis_names(every).items() if axis in axes}
    return ", ".join(f"{name}={field_text(row[axis])}" for axis, name in names.items())


def shortlist(results: pd.DataFrame) -> pd.DataFrame:
    """Of each of the first workloads the best row by each objective, and of each design that of the least
    energy-delay product; column ``why`` says what a row is the best in. In the order of the records.
    """
    rows = results[usable(results)]
    why: dict[Any, list[str]] = {}
    objectives = varying(rows, (*OBJECTIVES, _EDP))
    designs = uniques(rows["design"])
    for workload in uniques(rows["workload"])[:_MAX_WORKLOADS]:
        own = rows[rows["workload"] == workload]
        for objective in objectives:
            adjective = "highest" if objective.larger else "lowest"
            _note(why, own, objective, f"{adjective} {objective.name}")
        for design in designs[:_MAX_DESIGNS] if len(designs) > 1 else []:
            _note(why, own[own["design"] == design], _EDP, f"lowest energy-delay product of {design}")
    chosen = results.loc[[index for index in results.index if index in why]]
    return chosen.assign(why=[_joined(why[index]) for index in chosen.index])


def _note(why: dict[Any, list[str]], rows: pd.DataFrame, objective: Objective, text: str) -> None:
    if objective.column not in rows:
        return
    costs = pd.Series(costs_of(rows, [objective])[:, 0], index=rows.index)
    if costs.notna().any():
        ties = rows[costs == costs.min()]
        why.setdefault(ties["edp_js"].idxmin() if ties["edp_js"].notna().any() else ties.index[0], []).append(text)


def _joined(reasons: list[str]) -> str:
    """The reasons, without that of its design where the row is the best of all."""
    first = [reason for reason in reasons if " of " not in reason]
    best = _EDP.name in " ".join(first)
    return ", ".join(reason for reason in reasons if not (best and " of " in reason))


def letters(count: int) -> list[str]:
    """A, B, ... Z, A2, B2, ..."""
    return [ascii_uppercase[i % 26] + (str(i // 26 + 1) if i >= 26 else "") for i in range(count)]


def with_letters(chosen: pd.DataFrame) -> pd.DataFrame:
    """The shortlist as bars: its letter before the name of the design, and no axes."""
    names = [f"{letter} {design}" for letter, design in zip(letters(len(chosen)), chosen["design"], strict=True)]
    return chosen.drop(columns=axes_of(chosen)).assign(design=names)


def layers_of(layers: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """The ops of these results."""
    if layers.empty:
        return layers
    chosen = set(point_key(results))
    return layers[[key in chosen for key in point_key(layers)]]


def point_key(frame: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Design, workload and sweep point of each row, to find its ops."""
    return [
        (str(d), str(w), p) for d, w, p in zip(frame["design"], frame["workload"], point_labels(frame), strict=True)
    ]
