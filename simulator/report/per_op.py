"""The figure of every op: how long it took on each design, and what it waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from simulator.report.formatting import TIME_S, choose_unit, common_start, elide, wrapped
from simulator.report.plotted import cycle_parts, layer_times, point_labels, uniques
from simulator.report.stacks import Part, Row, cause_parts, draw_bars, legend
from simulator.report.style import WIDTH_IN, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MAX_DESIGNS", "first_point", "per_op_figure", "shown_designs"]

MAX_DESIGNS = 6
_NAME_CHARS = 34


def first_point(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first workload at the first sweep point."""
    if frame.empty:
        return frame
    frame = frame[frame["workload"] == frame["workload"].iloc[0]]
    points = point_labels(frame)
    return frame[points == points.iloc[0]]


def shown_designs(results: pd.DataFrame, baseline: str | None) -> list[str]:
    """At most six designs, in study order: past that, the baseline and the fastest others."""
    designs = uniques(results["design"])
    if len(designs) <= MAX_DESIGNS:
        return designs
    ranked = results.sort_values("latency_s", kind="stable")["design"]
    kept = ([baseline] if baseline in designs else []) + [d for d in uniques(ranked) if d != baseline]
    return [d for d in designs if d in kept[:MAX_DESIGNS]]


@styled
def per_op_figure(results: pd.DataFrame, layers: pd.DataFrame, baseline: str | None) -> Figure | None:
    """Time of each op, stacked by cause: one row per op in execution order, one column per design.

    Draws the first workload at the first sweep point of what it is given.
    """
    from matplotlib.figure import Figure

    if layers.empty:
        return None
    layers = first_point(layers)
    workload = layers["workload"].iloc[0]
    results = first_point(results[results["workload"] == workload])
    designs = shown_designs(results, baseline)
    times = layer_times(layers[layers["design"].isin(designs)], results)
    causes = cycle_parts(times)
    unit = choose_unit(times.groupby(["op", "design"])[causes].sum().max(axis=1), TIME_S)
    times[causes] /= unit.worth
    ops = uniques(times["op"])
    start = len(common_start(layers["op"]))
    names = [elide(op[start:], _NAME_CHARS) for op in ops]
    high = _row_height(len(ops))
    wide = (WIDTH_IN - 0.065 * max(map(len, names))) / len(designs) - 0.1
    figure = Figure(figsize=(WIDTH_IN, 0.95 + high * len(ops)), layout="constrained")
    grid = figure.subplots(1, len(designs), squeeze=False, sharex=True, sharey=True)
    parts = cause_parts(times, causes)
    for axes, design in zip(grid[0], designs, strict=True):
        _column(axes, times[times["design"] == design].set_index("op"), ops, parts, wide)
        axes.set_title(wrapped(design, int(wide / 0.078), lines=3), fontsize=8 if len(designs) < 5 else 7)
    grid[0, 0].set_xlim(0, 1.03 * float(times[causes].sum(axis=1).max()) or 1.0)
    grid[0, 0].set_yticks(range(len(ops)), names)
    grid[0, 0].tick_params(axis="y", length=0, labelsize=min(7.5, high * 72 * 0.72))
    grid[0, 0].set_ylim(len(ops) - 0.4, -0.6)
    figure.supxlabel(f"time per op ({unit.name})", fontsize=8)
    legend(figure, parts)
    return figure


def _row_height(count: int) -> float:
    """Inches per op: comfortable for a dozen, a dense listing for a hundred."""
    return 0.2 if count <= 20 else 0.15 if count <= 48 else 0.115


def _column(axes: Axes, times: pd.DataFrame, ops: list[str], parts: list[Part], wide: float) -> None:
    known = times[[part.key for part in parts]].to_dict("index")
    draw_bars(axes, [Row(op, {str(k): v for k, v in known.get(op, {}).items()}, "") for op in ops], parts, gap=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=max(2, int(wide / 0.4)))
