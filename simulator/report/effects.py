"""What each swept field does: of all points at each of its values the median and the range, one field at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from simulator.report.drawing import Drawing, axis_label, scale, unit_of
from simulator.report.formatting import elide, field_text, plural, wrapped
from simulator.report.pareto import Objective, usable, varying
from simulator.report.plotted import axes_of, field_texts, uniques
from simulator.report.points import column_of, names_of, objective_of, over_workloads, swept_axes, swept_together
from simulator.report.style import WIDTH_IN, design_colours, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["effect_drawings", "effect_ranges", "effect_strength", "in_order", "paired"]

_MAX_AXES, _MAX_DESIGNS, _MAX_VALUES, _PER_ROW = 9, 4, 16, 4


def effect_drawings(results: pd.DataFrame, asked: Mapping[str, Any] | None) -> Iterator[Drawing]:
    """A figure for each objective that varies, or for each column that is asked for; a panel per swept field."""
    objectives = varying(results)
    if asked and asked.get("effects") is not None:
        objectives = [objective_of(column) for name in asked["effects"] if (column := column_of(results, name))]
    for objective in objectives:
        table = over_workloads(results, [objective.column])
        table = table[usable(table) & table[objective.column].notna()]
        axes = swept_axes(table)
        if len(table) > 2 and axes:
            axes.sort(key=lambda axis: -effect_strength(paired(table, axis), axis, objective.column))
            name = f"effects_{objective.column.removeprefix('axis:')}".replace(".", "_")
            figure = _figure(table, objective, axes[:_MAX_AXES])
            title = f"What each swept field does to {objective.name}"
            yield Drawing(name, title, figure, _caption(results, table, objective, axes))


def in_order(values: pd.Series) -> list[Any]:
    """The distinct values of an axis: numbers ascending, others as they first occur."""
    found = uniques(values)
    return sorted(found) if pd.api.types.is_numeric_dtype(values) and not values.isna().any() else found


def effect_ranges(table: pd.DataFrame, axis: str, column: str) -> pd.DataFrame:
    """Columns value, low, median, high: of ``column`` at each value of the axis."""
    groups = table.groupby(field_texts(table[axis]), sort=False)[column]
    found = pd.DataFrame({"low": groups.min(), "median": groups.median(), "high": groups.max()})
    order = uniques(field_text(value) for value in in_order(table[axis]))
    return found.loc[order].rename_axis("value").reset_index()


def effect_strength(table: pd.DataFrame, axis: str, column: str) -> float:
    """How much of the spread an axis explains: the range of the medians at its values."""
    medians = effect_ranges(table, axis, column)["median"].to_numpy(float)
    if (medians > 0).all():
        medians = np.log(medians)
    return float(np.ptp(medians))


def paired(table: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The points that have a counterpart at every other value of an axis at which their design was run, all other
    fields equal; all points if there are none such, or if a search chose them.
    """
    together = {axis, *swept_together(table).get(axis, [])}
    keys = [field_texts(table[each]) for each in ("design", *(a for a in axes_of(table) if a not in together))]
    values = field_texts(table[axis])
    there = values.groupby(keys, sort=False).transform("nunique")
    ever = values.groupby(field_texts(table["design"]), sort=False).transform("nunique")
    whole = table[(there == ever) & (ever > 1)]
    return table if whole.empty or "search_round" in table else whole


@styled
def _figure(table: pd.DataFrame, objective: Objective, axes: list[str]) -> Figure:
    from matplotlib.figure import Figure

    n_cols = min(len(axes), _PER_ROW)
    n_rows = -(-len(axes) // n_cols)
    figure = Figure(figsize=(WIDTH_IN if n_cols > 2 else 4.6, 0.55 + 1.95 * n_rows), layout="constrained")
    grid = figure.subplots(n_rows, n_cols, squeeze=False, sharey=True)
    unit = unit_of(objective, table[objective.column])
    scaled = table.assign(value_=table[objective.column].astype(float) / unit.worth)
    names = names_of(table, axes)
    for i, panel in enumerate(grid.flat):
        panel.set_visible(i < len(axes))
        if i < len(axes):
            _panel(panel, paired(scaled, axes[i]), axes[i])
            panel.set_xlabel(wrapped(names[axes[i]], 20))
    scale(grid[0, 0], "y", scaled["value_"].tolist())
    figure.supylabel(axis_label(objective, unit), fontsize=8)
    found = (zip(*panel.get_legend_handles_labels(), strict=True) for panel in grid.flat)
    drawn = {label: handle for own in found for handle, label in own}
    labels = [label for design in uniques(table["design"]) if (label := elide(design, 34)) in drawn]
    if len(labels) > 1:
        figure.legend([drawn[e] for e in labels], labels, loc="outside upper left", ncols=min(len(labels), 4))
    return figure


def _panel(panel: Axes, table: pd.DataFrame, axis: str) -> None:
    """A thin line from the least to the largest and a dot at the median, per value and design."""
    designs = uniques(table["design"])
    groups = [(d, table[table["design"] == d]) for d in designs] if len(designs) <= _MAX_DESIGNS else [("", table)]
    values = uniques(field_text(value) for value in in_order(table[axis]))
    places = {value: i for i, value in enumerate(values)}
    colours = design_colours(designs)
    step = 0.56 / len(groups)
    for k, (design, rows) in enumerate(groups):
        found = effect_ranges(rows, axis, "value_")
        at = [places[value] + (k - (len(groups) - 1) / 2) * step for value in found["value"]]
        colour = colours[design or designs[0]]["facecolor"]
        panel.vlines(at, found["low"], found["high"], color=colour, linewidth=1.6, alpha=0.45)
        panel.plot(at, found["median"], "o-", color=colour, markersize=3.6, linewidth=0.8, label=elide(design, 34))
    every = -(-len(values) // _MAX_VALUES)
    ticks = range(0, len(values), every)
    texts = [elide(values[i], 12) for i in ticks]
    upright = sum(map(len, texts)) > 18
    panel.set_xticks(list(ticks), texts, rotation=90 if upright else 0)
    panel.set_xlim(-0.6, len(values) - 0.4)
    panel.grid(axis="y")


def _caption(results: pd.DataFrame, table: pd.DataFrame, objective: Objective, axes: list[str]) -> str:
    what = objective.name[0].upper() + objective.name[1:]
    text = f"{what} of the points at each value of each swept field: the line is from the least to the "
    text += (
        "largest, the dot at the median. The field whose medians differ most comes first; all panels share one scale."
    )
    drawn = [len(paired(table, axis)) for axis in axes]
    if min(drawn) < len(table):
        text += (
            f" A panel has those of the {len(table):,} points that were run at all values of its field, all other "
            "fields equal, so that its medians compare the same points."
        )
    if results["workload"].nunique() > 1:
        text += f" Geometric means over {plural(results['workload'].nunique(), 'workload')}."
    if table["design"].nunique() > _MAX_DESIGNS:
        text += " All designs together."
    text += _together(results)
    if len(axes) > _MAX_AXES:
        text += f" The first {_MAX_AXES} of {len(axes)} fields are drawn."
    return text


def _together(results: pd.DataFrame) -> str:
    """Which fields a panel stands for besides its own."""
    found = {axis: names_of(results, others) for axis, others in swept_together(results).items() if others}
    names = names_of(results, list(found))
    return "".join(f" With {names[axis]} go {', '.join(others.values())}." for axis, others in found.items())
