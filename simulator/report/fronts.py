"""Pareto fronts: every pair of latency, energy, area and error that varies, the front's points listed below."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from simulator.report.drawing import Drawing, axis_label, scale, shown_value, unit_of
from simulator.report.formatting import Unit, elide, field_text, number, plural
from simulator.report.pareto import Objective, costs_of, non_dominated, usable, varying
from simulator.report.plotted import uniques
from simulator.report.points import column_of, names_of, objective_of, over_workloads, settings_text, swept_axes
from simulator.report.style import GRID, INK, MUTED, PAPER, WIDTH_IN, design_colours, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Front", "front_figure", "front_of_pair", "pareto_drawings", "pareto_pairs"]

_RASTER_FROM = 300
"""More dominated points than this are drawn as one picture inside the figure."""
_MAX_NAMED = 14
_MAX_TOLD = 120
_APART = 0.035
"""Least distance of two named points, as a part of the figure's width and height."""
_ROW_IN, _PLOT_IN = 0.155, 3.3
_CHAR_IN = 0.056


class Front(NamedTuple):
    """Points of a pair of objectives: all that can be drawn, which of them are the front, which of those are named."""

    pair: tuple[Objective, Objective]
    units: tuple[Unit, Unit]
    points: pd.DataFrame
    allowed: pd.Series
    front: list[Any]
    named: list[Any]


def pareto_pairs(results: pd.DataFrame, asked: Mapping[str, Any] | None) -> list[tuple[Objective, Objective]]:
    """The pairs that the study asks for, or all pairs of what varies."""
    if asked and asked.get("pareto") is not None:
        columns = [[column_of(results, name) for name in pair] for pair in asked["pareto"]]
        return [(objective_of(x), objective_of(y)) for x, y in columns if x and y]
    return list(itertools.combinations(varying(results), 2))


def pareto_drawings(results: pd.DataFrame, asked: Mapping[str, Any] | None) -> Iterator[Drawing]:
    """A figure for each pair of which at least three points are known."""
    for x, y in pareto_pairs(results, asked):
        found = front_of_pair(results, x, y)
        if len(found.points) > 2 and found.front:
            title = f"Pareto front: {x.name} and {y.name}"
            name = f"pareto_{x.column.removeprefix('axis:')}_{y.column.removeprefix('axis:')}".replace(".", "_")
            yield Drawing(name, title, front_figure(found), _caption(results, found), _notes(found))


def front_of_pair(results: pd.DataFrame, x: Objective, y: Objective) -> Front:
    """The front of two objectives over all workloads, along ``x``."""
    table = over_workloads(results, [x.column, y.column])
    costs = costs_of(table, [x, y])
    drawn = pd.Series(np.isfinite(costs).all(axis=1), index=table.index)
    table, costs = table[drawn].reset_index(drop=True), costs[drawn.to_numpy(bool)]
    allowed = usable(table)
    front = np.zeros(len(table), dtype=bool)
    front[allowed.to_numpy(bool)] = non_dominated(costs[allowed.to_numpy(bool)])
    order = sorted(np.flatnonzero(front), key=lambda i: tuple(costs[i]))
    units = unit_of(x, table[x.column]), unit_of(y, table[y.column])
    return Front((x, y), units, table, allowed, order, _spread(costs, order))


def _spread(costs: np.ndarray, order: Sequence[Any]) -> list[Any]:
    """Of a front those that are named: both ends, then again and again the one farthest from all named ones."""
    if len(order) < 2:
        return list(order)
    scaled = np.column_stack([_unit_range(costs[order, i]) for i in (0, 1)])
    chosen = [0, len(order) - 1]
    while len(chosen) < min(_MAX_NAMED, len(order)):
        far = np.abs(scaled[:, None] - scaled[chosen][None]).max(axis=2).min(axis=1)
        if far.max() < _APART:
            break
        chosen.append(int(far.argmax()))
    return [order[i] for i in sorted(set(chosen))]


def _unit_range(values: np.ndarray) -> np.ndarray:
    """From 0 to 1, on a logarithmic scale where all are of one sign."""
    logs = np.log(np.abs(values)) if (values > 0).all() or (values < 0).all() else values
    span = logs.max() - logs.min()
    return (logs - logs.min()) / span if span else np.zeros(len(values))


@styled
def front_figure(found: Front) -> Figure:
    """The points with their front, and under it a line for each point that is named."""
    from matplotlib.figure import Figure

    heads, rows = _key(found)
    below = _ROW_IN * (len(rows) + 1.4)
    figure = Figure(figsize=(WIDTH_IN, _PLOT_IN + below), layout="constrained")
    plot, key = figure.subplots(2, 1, height_ratios=[_PLOT_IN, below])
    _points(plot, found)
    _line(plot, found)
    for axes, objective, unit, which in zip((plot, plot), found.pair, found.units, "xy", strict=True):
        scale(axes, which, (found.points[objective.column] / unit.worth).tolist())
        getattr(axes, f"set_{which}label")(axis_label(objective, unit))
    plot.grid(color=GRID)
    _legend(plot)
    _write_key(key, heads, rows)
    return figure


def _xy(found: Front, rows: pd.DataFrame) -> tuple[list[float], list[float]]:
    x, y = ((rows[o.column] / unit.worth).tolist() for o, unit in zip(found.pair, found.units, strict=True))
    return x, y


def _points(axes: Axes, found: Front) -> None:
    """All points, faint; one colour per design, grey crosses where a constraint is not met."""
    many = len(found.points) > _RASTER_FROM
    look: dict[str, Any] = {"s": 7 if many else 16, "alpha": 0.35 if many else 0.6, "rasterized": many, "zorder": 1}
    colours = design_colours(uniques(found.points["design"]))
    for design, rows in found.points[found.allowed].groupby("design", sort=False):
        colour = colours[str(design)]["facecolor"]
        axes.scatter(*_xy(found, rows), color=colour, linewidth=0, label=elide(str(design), 34), **look)
    if not found.allowed.all():
        rows = found.points[~found.allowed]
        axes.scatter(
            *_xy(found, rows), color=MUTED, marker="x", linewidth=0.6, label="breaks a constraint", **look | {"s": 9}
        )


def _line(axes: Axes, found: Front) -> None:
    """The front as a staircase, a dot for each point of it, a number beside those that are named."""
    rows = found.points.loc[found.front]
    colours = design_colours(uniques(found.points["design"]))
    axes.plot(*_xy(found, rows), color=MUTED, linewidth=0.9, drawstyle="steps-post", zorder=2)
    x, y = _xy(found, rows)
    for place, (index, left, up) in enumerate(zip(found.front, x, y, strict=True)):
        colour = colours[str(rows.loc[index, "design"])]["facecolor"]
        axes.plot(
            left, up, "o", markersize=4.5, color=colour, markeredgecolor=INK, markeredgewidth=0.7, zorder=3,
            gid=f"front-{place}",
        )  # fmt: skip
        if index in found.named:
            number_ = str(found.named.index(index) + 1)
            spot: dict[str, Any] = {"xytext": (4, 4), "textcoords": "offset points", "fontsize": 7, "zorder": 4}
            halo = {"boxstyle": "square,pad=0.05", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.7}
            axes.annotate(number_, (left, up), bbox=halo, **spot)


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) < 2:
        return
    legend = axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(len(labels), 4))
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set(alpha=1.0, rasterized=False)
            handle.set_sizes([20])  # type: ignore[attr-defined]


def _key(found: Front) -> tuple[list[str], list[list[str]]]:
    """Headings and a line per named point: number, design, the settings in which the front differs, both values."""
    rows = found.points.loc[found.named]
    names = names_of(found.points, _told_axes(found))
    several = found.points["design"].nunique() > 1
    heads = ["", *(["design"] if several else []), *names.values()]
    heads += [axis_label(o, unit) for o, unit in zip(found.pair, found.units, strict=True)]
    lines = []
    for place, (_, row) in enumerate(rows.iterrows(), start=1):
        line = [str(place), *([elide(str(row["design"]), 30)] if several else [])]
        line += [elide(field_text(row[axis]), 18) for axis in names]
        line += [number(row[o.column] / unit.worth) for o, unit in zip(found.pair, found.units, strict=True)]
        lines.append(line)
    return heads, lines


def _told_axes(found: Front) -> list[str]:
    """The swept fields that are not the same all along the front."""
    front = found.points.loc[found.front]
    return [axis for axis in swept_axes(found.points) if front[axis].astype(str).nunique() > 1]


def _write_key(axes: Axes, heads: list[str], rows: list[list[str]]) -> None:
    """The list as columns of text, as wide as the widest of each and the figure allow."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(len(rows) + 1, -0.4)
    wide = [max(len(line[i]) for line in [heads, *rows]) * _CHAR_IN + 0.14 for i in range(len(heads))]
    shrink = min(1.0, (WIDTH_IN - 0.8) / sum(wide))
    left = 0.0
    for i, width in enumerate(wide):
        for y, line in enumerate([heads, *rows]):
            axes.text(
                left / (WIDTH_IN - 0.8), y, line[i], va="center", fontsize=7 * max(shrink, 0.7),
                color=INK if y else MUTED,
            )  # fmt: skip
        left += width * shrink


def _told(found: Front, row: pd.Series) -> str:
    """A point of the front in words."""
    values = [
        f"{o.name} {shown_value(row[o.column], o, unit)}" for o, unit in zip(found.pair, found.units, strict=True)
    ]
    return ", ".join([str(row["design"]), settings_text(row, swept_axes(found.points)), *values]).replace(", ,", ",")


def _notes(found: Front) -> dict[str, str]:
    return {
        f"front-{place}": _told(found, found.points.loc[index])
        for place, index in enumerate(found.front[:_MAX_TOLD])
    }  # fmt: skip


def _caption(results: pd.DataFrame, found: Front) -> str:
    x, y = found.pair
    text = f"Each dot is one of {plural(len(found.points), 'point')}"
    if results["workload"].nunique() > 1:
        db = "; of accuracies in dB the worst" if any(o.column.endswith("_db") for o in found.pair) else ""
        text += f", the geometric mean over {plural(results['workload'].nunique(), 'workload')}{db}"
    text += f". On the line: {plural(len(found.front), 'point')} that no other beats in {x.name} or {y.name} without "
    text += "losing in the other"
    same = [axis for axis in swept_axes(found.points) if axis not in _told_axes(found)]
    if same:
        text += f"; all have {settings_text(found.points.loc[found.front[0]], same)}"
    text += "."
    if len(found.named) < len(found.front):
        text += f" {len(found.named)} are numbered and listed, spread along the front; all are in the table of results."
    left_out = int((~found.allowed).sum())
    if left_out:
        text += f" {plural(left_out, 'point')} break{'s' if left_out == 1 else ''} a constraint and cannot be on it."
    return text
