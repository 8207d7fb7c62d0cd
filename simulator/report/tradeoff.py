"""Accuracy against energy: every design named beside its point, the ones nothing else beats ringed and joined."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from simulator.report.formatting import ENERGY_PJ, choose_unit, decibels, elide, is_missing
from simulator.report.pareto import non_dominated
from simulator.report.plotted import point_labels, uniques
from simulator.report.style import GRID, INK, MUTED, PAPER, WIDTH_IN, design_colours, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

__all__ = ["draw_points", "name_points", "tradeoff_figure", "tradeoff_points"]

_SPOTS = ((7, 0), (-7, 0), (0, 8), (0, -8), (6, 7), (6, -7), (-6, 7), (-6, -7))
_FAR_SPOTS = tuple((dx * far, dy * far) for far in (2.5, 4.0, 6.0) for dx, dy in (*_SPOTS[4:], (0, 8), (0, -8)))
"""Where points crowd: joined to the point by a thin line."""
_GAP_DB = 40.0
"""Results that far above all others would flatten those: they are drawn just above them, with their value."""


def tradeoff_points(results: pd.DataFrame) -> pd.DataFrame:
    """Columns workload, design, point, energy_pj, sqnr_db, pareto, drawn_db; rows without an SQNR are left out.

    An infinite SQNR (no error at all) is drawn 6 dB above the largest finite one, and so are finite ones that lie
    ``_GAP_DB`` or more above all others.
    """
    sqnr = pd.Series([math.nan if is_missing(v) else float(v) for v in results["sqnr_db"]], index=results.index)
    table = pd.DataFrame(
        {
            "workload": results["workload"],
            "design": results["design"],
            "point": point_labels(results),
            "energy_pj": results["energy_total_pj"].astype(float),
            "sqnr_db": sqnr,
        }
    ).dropna(subset=["sqnr_db"])
    top = _top(sorted(v for v in table["sqnr_db"] if abs(v) < math.inf))
    table["drawn_db"] = table["sqnr_db"].where(table["sqnr_db"] < top, top)
    table["pareto"] = False
    for _, rows in table.groupby("workload", sort=False):
        table.loc[rows.index, "pareto"] = non_dominated(np.column_stack([rows["energy_pj"], -rows["sqnr_db"]]))
    return table.reset_index(drop=True)


def _top(finite: list[float]) -> float:
    """Where the scale ends: 6 dB above the last of the ascending values before a wide gap, or above the last of all."""
    if not finite:
        return 0.0
    gaps = [low for low, high in itertools.pairwise(finite) if high - low >= _GAP_DB]
    return (gaps[0] if gaps else finite[-1]) + 6


@styled
def tradeoff_figure(results: pd.DataFrame, layers: pd.DataFrame, baseline: str | None) -> Figure | None:
    """Output SQNR against energy, one panel per workload; None where fewer than two results have one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = tradeoff_points(results)
    if len(table) < 2:
        return None
    workloads = uniques(table["workload"])
    n_cols = min(len(workloads), 2)
    n_rows = -(-len(workloads) // n_cols)
    crowded = table["design"].nunique() > 6
    wide = WIDTH_IN if n_cols > 1 or crowded else 4.6
    tall = 4.2 if crowded else 2.5 if n_cols > 1 else 2.8
    figure = Figure(figsize=(wide, 0.5 + n_rows * tall), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(n_rows, n_cols, squeeze=False)
    unit = choose_unit(table["energy_pj"], ENERGY_PJ)
    colours = design_colours(uniques(results["design"]))
    for i, axes in enumerate(grid.flat):
        axes.set_visible(i < len(workloads))
        if i < len(workloads):
            rows = table[table["workload"] == workloads[i]]
            draw_points(axes, rows.assign(x=rows["energy_pj"] / unit.worth), colours)
            axes.set_title(elide(workloads[i], 60 // n_cols))
    figure.supxlabel(f"energy ({unit.name})", fontsize=8)
    figure.supylabel("output SQNR (dB)", fontsize=8)
    figure.draw_without_rendering()
    for i, axes in enumerate(grid.flat):
        if i < len(workloads):
            rows = table[table["workload"] == workloads[i]]
            name_points(axes, rows.assign(x=rows["energy_pj"] / unit.worth))
    return figure


def draw_points(axes: Axes, table: pd.DataFrame, colours: dict[str, dict[str, str]], least_pad: float = 2.0) -> None:
    """Points at ``x`` and ``drawn_db``, those that are ``pareto`` ringed and joined; ``least_pad`` above and below."""
    front = table[table["pareto"]].sort_values("x")
    axes.plot(front["x"], front["drawn_db"], color=MUTED, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    for design, rows in table.groupby("design", sort=False):
        colour = colours[str(design)]["facecolor"]
        best = rows[rows["pareto"]]
        axes.scatter(rows["x"], rows["drawn_db"], s=26, color=colour, edgecolor=PAPER, linewidth=0.6, zorder=3)
        axes.scatter(best["x"], best["drawn_db"], s=62, facecolor="none", edgecolor=INK, linewidth=0.9, zorder=2)
    _limits(axes, table, least_pad)
    axes.grid(color=GRID)


def _limits(axes: Axes, table: pd.DataFrame, least_pad: float) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = table["x"].min(), table["x"].max()
    if low > 0 and high / low > 4:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.5, high * 1.8)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(0, high * 1.15 or 1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.4g}"))
    bottom, top = table["drawn_db"].min(), table["drawn_db"].max()
    pad = max(0.15 * (top - bottom), least_pad)
    axes.set_ylim(bottom - pad, top + pad)


def name_points(axes: Axes, table: pd.DataFrame) -> None:
    """Writes each design once, beside its best point, at the first of eight spots that covers nothing."""
    from matplotlib.transforms import Bbox

    dots = axes.transData.transform(table[["x", "drawn_db"]].to_numpy(dtype=float))
    taken = [Bbox.from_extents(x - 7, y - 7, x + 7, y + 7) for x, y in dots]
    for _, row in table.sort_values(["drawn_db", "x"], ascending=[False, True]).drop_duplicates("design").iterrows():
        beyond = f" ({decibels(row['sqnr_db'])} dB)" if row["sqnr_db"] > row["drawn_db"] else ""
        text = elide(row["design"], 30) + beyond
        taken.append(_place(axes, text, (row["x"], row["drawn_db"]), taken))


def _place(axes: Axes, text: str, at: tuple[float, float], taken: Sequence[Bbox]) -> Bbox:
    """Annotates a point where the text crosses least, and returns the text's box in pixels."""
    from matplotlib.text import Text

    inside = axes.get_window_extent()
    tries = []
    for rank, (dx, dy) in enumerate((*_SPOTS, *_FAR_SPOTS)):
        note = axes.annotate(
            text,
            at,
            xytext=(dx, dy),
            textcoords="offset points",
            ha="left" if dx > 0 else "right" if dx < 0 else "center",
            va="bottom" if dy > 0 else "top" if dy < 0 else "center",
            fontsize=7.5,
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.5} if rank >= len(_SPOTS) else None,
        )
        note.get_window_extent()  # puts the text into its place
        box = Text.get_window_extent(note)  # without the line
        outside = box.x0 < inside.x0 or box.x1 > inside.x1 or box.y0 < inside.y0 or box.y1 > inside.y1
        crossed = sum(box.overlaps(other) for other in taken)
        tries.append((outside * 10 + crossed, rank, note, box))
        if not outside and not crossed:
            break
    tries.sort(key=lambda t: t[:2])
    for _, _, other, _ in tries[1:]:
        other.remove()
    return tries[0][3]
