"""Tokens per second and energy per token against a swept parameter of the run: batch, context, length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from simulator.report.formatting import elide, field_text
from simulator.report.plotted import axes_of, axis_names, uniques
from simulator.report.style import GRID, MUTED, WIDTH_IN, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MAX_COLUMNS", "throughput_axis", "throughput_figure", "throughput_lines"]

MAX_COLUMNS, _MAX_LINES = 4, 8
_FIRST = ("axis:workload.batch", "axis:workload.context", "axis:workload.tokens")
"""Which axis is drawn along x, if several are swept."""
_DASHED: dict[str, Any] = {"linewidth": 0.9, "linestyle": (0, (2, 2))}
_COLUMNS = {"tokens_per_s": "tokens/s", "j_per_token": "J per token"}


def throughput_axis(results: pd.DataFrame) -> str | None:
    """The axis drawn along x: a numeric one of the run that takes several values; None if there is none."""
    if "tokens_per_s" not in results:
        return None
    numeric = [a for a in _FIRST if a in results and results[a].nunique() > 1]
    return next((a for a in numeric if pd.api.types.is_numeric_dtype(results[a])), None)


def throughput_lines(results: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Columns design, workload, line, x, tokens_per_s, j_per_token, dram_bound_tokens_per_s: a row per result."""
    rows = results.dropna(subset=["tokens_per_s"])
    others = [a for a in axes_of(rows) if a != axis and rows[a].nunique() > 1]
    names = axis_names(axes_of(rows))
    labels = [", ".join(f"{names[a]} {field_text(row[a])}" for a in others) for _, row in rows.iterrows()]
    return pd.DataFrame(
        {
            "design": rows["design"],
            "workload": rows["workload"],
            "line": labels,
            "x": rows[axis].astype(float),
            "tokens_per_s": rows["tokens_per_s"].astype(float),
            "j_per_token": rows["pj_per_token"].astype(float) * 1e-12,
            "dram_bound_tokens_per_s": rows["dram_bound_tokens_per_s"].astype(float),
        }
    ).reset_index(drop=True)


@styled
def throughput_figure(results: pd.DataFrame, layers: pd.DataFrame, baseline: str | None) -> Figure | None:
    """A column of two panels per design and workload, a line per value of the other axes; None if nothing is swept."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    axis = throughput_axis(results)
    if axis is None:
        return None
    table = throughput_lines(results, axis)
    columns = uniques(zip(table["workload"], table["design"], strict=True))[:MAX_COLUMNS]
    lines = uniques(table["line"])[:_MAX_LINES]
    figure = Figure(figsize=(WIDTH_IN, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, len(columns), squeeze=False, sharex="col", sharey="row")
    several = table["workload"].nunique() > 1
    for i, (workload, design) in enumerate(columns):
        rows = table[(table["workload"] == workload) & (table["design"] == design)]
        title = f"{design}\n{workload}" if several else design
        grid[0][i].set_title("\n".join(elide(part, 84 // len(columns)) for part in title.split("\n")))
        for axes, column in zip(grid[:, i], _COLUMNS, strict=True):
            _panel(axes, rows, column, lines)
    for axes, label in zip(grid[:, 0], _COLUMNS.values(), strict=True):
        axes.set_ylabel(label)
    figure.supxlabel(axis_names([axis])[axis], fontsize=8)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 5))
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, column: str, lines: list[str]) -> None:
    from matplotlib import colormaps
    from matplotlib.ticker import FuncFormatter, NullLocator

    for place, line in enumerate(lines):
        own = rows[rows["line"] == line].sort_values("x")
        colour = colormaps["viridis"](0.85 * place / max(len(lines) - 1, 1))
        axes.plot(
            own["x"], own[column], color=colour, marker="o", markersize=3, linewidth=1.2, label=line or "simulated"
        )
        if column == "tokens_per_s":
            axes.plot(own["x"], own["dram_bound_tokens_per_s"], color=colour, **_DASHED)
    axes.plot([], [], color=MUTED, label="DRAM alone", **_DASHED)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sorted(set(rows["x"])))
    axes.xaxis.set_minor_locator(NullLocator())
    for side in (axes.xaxis, axes.yaxis):
        side.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.4g}"))
    axes.grid(color=GRID)
