"""Heat maps: one column of the results over two swept fields, the best of it over all others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from simulator.report.drawing import Drawing, axis_label, unit_of
from simulator.report.effects import effect_strength, in_order, paired
from simulator.report.formatting import Unit, elide, field_text, number, plural
from simulator.report.pareto import Objective, usable, varying
from simulator.report.plotted import field_texts, uniques
from simulator.report.points import column_of, names_of, objective_of, over_workloads, swept_axes
from simulator.report.style import GRID, WIDTH_IN, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Heat", "heat_cells", "heat_drawings"]

_MAX_PANELS, _MAX_CELLS_NAMED, _LOG_FROM = 9, 10, 6.0
_LEAST_CELLS = 6
_COLOURS = 48


class Heat(NamedTuple):
    """What is drawn along x and up, of which column, and whether its least or its largest value counts."""

    x: str
    y: str
    value: Objective


def heat_drawings(results: pd.DataFrame, asked: Mapping[str, Any] | None) -> Iterator[Drawing]:
    """The maps that the study asks for, or of the first two objectives over the two fields that move each most."""
    for heat in _heats(results, asked):
        table = over_workloads(results, [heat.value.column])
        table = table[usable(table) & table[heat.value.column].notna()]
        if table.empty or table[heat.x].astype(str).nunique() < 2 or table[heat.y].astype(str).nunique() < 2:
            continue
        x, y = (heat.x.removeprefix("axis:"), heat.y.removeprefix("axis:"))
        name = re.sub(r"[^A-Za-z0-9]+", "_", f"heat_{heat.value.column}_{x}_{y}")
        title = f"{heat.value.name[0].upper()}{heat.value.name[1:]} over {x} and {y}"
        yield Drawing(name, title, _figure(table, heat), _caption(results, table, heat))


def _heats(results: pd.DataFrame, asked: Mapping[str, Any] | None) -> Iterator[Heat]:
    if asked and asked.get("heatmaps") is not None:
        for wanted in asked["heatmaps"]:
            x, y, value = (column_of(results, wanted[field]) for field in ("x", "y", "value"))
            if x and y and value:
                yield Heat(x, y, objective_of(value)._replace(larger=wanted["best"] == "max"))
        return
    for objective in varying(results)[:2]:
        table = over_workloads(results, [objective.column])
        table = table[usable(table) & table[objective.column].notna()]
        strengths = {a: effect_strength(paired(table, a), a, objective.column) for a in swept_axes(table)}
        axes = [axis for axis in sorted(strengths, key=lambda axis: -strengths[axis]) if strengths[axis] > 0]
        if len(axes) > 1 and table[axes[0]].nunique() * table[axes[1]].nunique() >= _LEAST_CELLS:
            x, y = sorted(axes[:2], key=list(table.columns).index)
            yield Heat(x, y, objective)


def heat_cells(rows: pd.DataFrame, heat: Heat) -> pd.DataFrame:
    """The best value at each pair of values, rows along y and columns along x in their order; NaN where no point is."""
    keys = [field_texts(rows[heat.y]), field_texts(rows[heat.x])]
    groups = rows.groupby(keys, sort=False)[heat.value.column]
    cells = (groups.max() if heat.value.larger else groups.min()).unstack()
    order = [uniques(field_text(v) for v in in_order(rows[axis])) for axis in (heat.y, heat.x)]
    return cells.reindex(index=order[0], columns=order[1]).astype(float)


@styled
def _figure(table: pd.DataFrame, heat: Heat) -> Figure:
    from matplotlib.figure import Figure

    designs = _drawn_designs(table, heat)
    unit = unit_of(heat.value, table[heat.value.column])
    cells = [heat_cells(table[table["design"] == design], heat) / unit.worth for design in designs]
    n_cols = {1: 1, 2: 2, 4: 2}.get(len(designs), 3)
    n_rows = -(-len(designs) // n_cols)
    tall = 0.75 + 0.19 * max(len(cell) for cell in cells)
    figure = Figure(figsize=(WIDTH_IN if n_cols > 1 else 4.8, 0.3 + n_rows * max(tall, 1.3)), layout="constrained")
    grid = figure.subplots(n_rows, n_cols, squeeze=False)
    norm = _norm(np.concatenate([cell.to_numpy().ravel() for cell in cells]))
    several = table["design"].nunique() > 1
    for i, panel in enumerate(grid.flat):
        panel.set_visible(i < len(cells))
        if i < len(cells):
            mesh = _panel(panel, cells[i], norm, heat)
            panel.set_title(elide(str(designs[i]), 90 // n_cols) if several else "")
    names = names_of(table, [column for column in (heat.x, heat.y) if column.startswith("axis:")])
    figure.supxlabel(names.get(heat.x, heat.x), fontsize=8)
    figure.supylabel(names.get(heat.y, heat.y), fontsize=8)
    _colour_bar(figure, grid, mesh, heat, unit)
    return figure


def _drawn_designs(table: pd.DataFrame, heat: Heat) -> list[str]:
    """In the order of the study; of too many those with the best values."""
    best = table.groupby("design", sort=False)[heat.value.column].agg("max" if heat.value.larger else "min")
    kept = set(best.sort_values(ascending=not heat.value.larger, kind="stable").index[:_MAX_PANELS])
    return [design for design in uniques(table["design"]) if design in kept]


def _norm(values: np.ndarray) -> Any:
    """One scale of colours for all panels, logarithmic where values span much."""
    from matplotlib.colors import LogNorm, Normalize

    found = values[np.isfinite(values)]
    low, high = float(found.min()), float(found.max())
    return LogNorm(low, high) if low > 0 and high / low > _LOG_FROM else Normalize(low, high)


def _panel(panel: Axes, cells: pd.DataFrame, norm: Any, heat: Heat) -> Any:
    """Coloured cells, the value written into each where there is room; cells without a point stay empty."""
    from matplotlib import colormaps

    colours = colormaps["cividis" if heat.value.larger else "cividis_r"].resampled(_COLOURS)
    values = np.ma.masked_invalid(cells.to_numpy())
    edges = [np.arange(n + 1) - 0.5 for n in (cells.shape[1], cells.shape[0])]
    mesh = panel.pcolormesh(*edges, values, cmap=colours, norm=norm, edgecolor=GRID, linewidth=0.3)
    for side, names in ((panel.xaxis, cells.columns), (panel.yaxis, cells.index)):
        every = -(-len(names) // 16)
        side.set_ticks(range(0, len(names), every), [elide(name, 12) for name in names[::every]])
        side.set_tick_params(length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)
    if cells.shape[1] <= _MAX_CELLS_NAMED:
        for (row, col), value in np.ndenumerate(cells.to_numpy()):
            if np.isfinite(value):
                red, green, blue, _ = colours(norm(value))
                dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
                panel.text(
                    col, row, number(value), ha="center", va="center_baseline", fontsize=6,
                    color="#fefefe" if dark else "#111316",
                )  # fmt: skip
    return mesh


def _colour_bar(figure: Figure, grid: np.ndarray, mesh: Any, heat: Heat, unit: Unit) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    bar = figure.colorbar(mesh, ax=grid, fraction=0.035, pad=0.015, aspect=30)
    bar.outline.set_visible(False)
    bar.solids.set_rasterized(False)  # type: ignore[union-attr]
    logs = type(mesh.norm).__name__ == "LogNorm"
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if logs else MaxNLocator(5))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.4g}"))
    bar.set_label(axis_label(heat.value, unit))


def _caption(results: pd.DataFrame, table: pd.DataFrame, heat: Heat) -> str:
    names = names_of(table, [axis for axis in swept_axes(table) if axis not in (heat.x, heat.y)])
    best = "highest" if heat.value.larger else "lowest"
    what = f"{best.capitalize()} {heat.value.name}" if names else f"{heat.value.name[0].upper()}{heat.value.name[1:]}"
    text = what + (f" over all values of {', '.join(names.values())}" if names else "")
    if results["workload"].nunique() > 1:
        text += f", the geometric mean over {plural(results['workload'].nunique(), 'workload')}"
    text += "; brighter is better, all panels share one scale."
    drawn, known = len(_drawn_designs(table, heat)), table["design"].nunique()
    if drawn < known:
        text += f" The best {drawn} of {plural(known, 'design')} are drawn."
    holes = sum(
        int(heat_cells(table[table["design"] == d], heat).isna().to_numpy().sum()) for d in _drawn_designs(table, heat)
    )
    return text + (f" {plural(holes, 'cell')} without a point {'is' if holes == 1 else 'are'} empty." if holes else "")
