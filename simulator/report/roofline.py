"""Rooflines: operations per second against operations per byte of DRAM, under the peak of the array and of DRAM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from simulator.report.drawing import Drawing, scale
from simulator.report.formatting import elide, plural
from simulator.report.pareto import usable
from simulator.report.plotted import axes_of, point_labels, uniques
from simulator.report.points import swept_axes
from simulator.report.style import GRID, INK, WIDTH_IN, design_colours, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["roofline_drawings", "roofline_points"]

_MAX_ROOFS, _MAX_PANELS, _RASTER_FROM = 6, 4, 300
_LINES = ("-", (0, (5, 2)), (0, (2, 1.5)), (0, (5, 1.5, 1, 1.5)))
_KEYS = ["design", "workload"]


def roofline_points(rows: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Columns design, workload, ops_per_byte, tops, peak_tops, dram_gb_s, share of ``rows`` (results, or their ops).

    ``ops_per_byte`` is 2 MACs over all bytes that DRAM moved; what moves none, or multiplies nothing, has no place.
    """
    rows = rows.assign(point_=point_labels(rows))
    own = results.assign(point_=point_labels(results))[[*_KEYS, "point_", "clock_mhz", "dram_gb_s", "peak_tops"]]
    own = own.rename(columns={"peak_tops": "design_tops"})
    mine = [c for c in rows.columns if c not in ("clock_mhz", "dram_gb_s")]
    table = rows[mine].merge(own, on=[*_KEYS, "point_"], how="inner")
    if "peak_tops" not in table:
        table["peak_tops"] = table["design_tops"]
    moved = (table["dram_read_bytes"] + table["dram_write_bytes"]).astype(float)
    seconds = table["total_cycles"].astype(float) / (table["clock_mhz"].astype(float) * 1e6)
    ops = 2.0 * table["macs"].astype(float)
    table = table.assign(ops_per_byte=ops / moved.where(moved > 0), tops=ops / seconds.where(seconds > 0) * 1e-12)
    table["share"] = seconds / seconds.groupby([table[k] for k in (*_KEYS, "point_")]).transform("sum")
    kept = (table["tops"] > 0) & (table["ops_per_byte"] > 0) & (table["dram_gb_s"] > 0) & (table["peak_tops"] > 0)
    return table[kept].reset_index(drop=True)


def roofline_drawings(
    results: pd.DataFrame, layers: pd.DataFrame, asked: Mapping[str, Any] | None
) -> Iterator[Drawing]:
    """One figure: a dot per op where nothing is swept, else per point; nothing where DRAM has no bandwidth."""
    wanted = asked.get("roofline") if asked else None
    if wanted is False or "dram_gb_s" not in results or "peak_tops" not in results:
        return
    results = results[usable(results)]
    per_op = wanted == "op" or (wanted != "design" and not swept_axes(results))
    if per_op and layers.empty:
        return
    table = roofline_points(layers if per_op else results, results)
    if len(table) < 2:
        return
    figure = _absolute(table, per_op) if len(_roofs(table)) <= _MAX_ROOFS else _relative(table)
    title = "Roofline: each op" if per_op else "Roofline: each point" if swept_axes(results) else "Roofline"
    yield Drawing("roofline", title, figure, _caption(table, per_op))


def _roofs(table: pd.DataFrame) -> pd.DataFrame:
    """Distinct peaks and bandwidths, with the designs that have them."""
    roofs = table.groupby(["peak_tops", "dram_gb_s"], sort=False)["design"].agg(uniques)
    return roofs.reset_index()


@styled
def _absolute(table: pd.DataFrame, per_op: bool) -> Figure:
    """TOPS over operations per byte, a panel per workload, a line per roof."""
    from matplotlib.figure import Figure

    workloads = uniques(table["workload"])[:_MAX_PANELS]
    n_cols = min(2, len(workloads))
    n_rows = -(-len(workloads) // n_cols)
    figure = Figure(figsize=(WIDTH_IN if n_cols > 1 else 5.2, 0.5 + 2.7 * n_rows), layout="constrained")
    grid = figure.subplots(n_rows, n_cols, squeeze=False, sharex=True, sharey=True)
    colours = design_colours(uniques(table["design"]))
    ridge = table["peak_tops"] * 1e3 / table["dram_gb_s"]
    left, right = table["ops_per_byte"].min() / 1.5, max(table["ops_per_byte"].max(), ridge.max()) * 2
    for axes, workload in zip(grid.flat, workloads, strict=False):
        rows = table[table["workload"] == workload]
        _roof_lines(axes, table, colours, np.geomspace(left, right, 200))
        _dots(axes, rows, colours, "ops_per_byte", "tops", per_op)
        axes.set_title(elide(str(workload), 60) if table["workload"].nunique() > 1 else "")
    for axes in grid.flat[len(workloads) :]:
        axes.set_visible(False)
    scale(grid[0, 0], "x", [left, right], logs=True)
    scale(grid[0, 0], "y", [table["tops"].min() / 1.3, table["peak_tops"].max() * 1.2], logs=True)
    figure.supxlabel("operations per byte of DRAM", fontsize=8)
    figure.supylabel("TOPS", fontsize=8)
    _legend(figure, colours, _roof_handles(table, colours))
    return figure


def _roof_handles(table: pd.DataFrame, colours: dict[str, dict[str, str]]) -> list[Any]:
    """What each line is: the peak of an array and the bandwidth of DRAM."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=colour, linewidth=1.1, linestyle=style, label=f"{peak:.3g} TOPS, {bandwidth:.3g} GB/s")
        for peak, bandwidth, colour, style in _looks(table, colours)
    ]


def _looks(table: pd.DataFrame, colours: dict[str, dict[str, str]]) -> Iterator[tuple[float, float, str, Any]]:
    """Peak [TOPS], bandwidth [GB/s], colour and style of each roof."""
    for i, (peak, bandwidth, designs) in enumerate(_roofs(table).itertuples(index=False, name=None)):
        colour = colours[designs[0]]["facecolor"] if len(designs) == 1 else INK
        yield peak, bandwidth, colour, _LINES[i % len(_LINES)]


def _roof_lines(axes: Axes, table: pd.DataFrame, colours: dict[str, dict[str, str]], x: np.ndarray) -> None:
    for peak, bandwidth, colour, style in _looks(table, colours):
        axes.plot(x, np.minimum(peak, x * bandwidth * 1e-3), color=colour, linewidth=1.1, linestyle=style, zorder=2)


@styled
def _relative(table: pd.DataFrame) -> Figure:
    """Each point over its own peak and its own balance: one roof for all."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.3), layout="constrained")
    axes = figure.subplots()
    balance = table["peak_tops"] * 1e3 / table["dram_gb_s"]
    table = table.assign(x_=table["ops_per_byte"] / balance, y_=100 * table["tops"] / table["peak_tops"])
    colours = design_colours(uniques(table["design"]))
    left, right = min(table["x_"].min() / 1.5, 0.5), max(table["x_"].max() * 1.5, 2.0)
    x = np.geomspace(left, right, 200)
    axes.plot(x, 100 * np.minimum(1.0, x), color=INK, linewidth=1.1, zorder=2)
    _dots(axes, table, colours, "x_", "y_", per_op=False)
    scale(axes, "x", [left, right], logs=True)
    scale(axes, "y", [table["y_"].min() / 1.2, 110.0], logs=True)
    axes.set_xlabel("operations per byte of DRAM over those at which array and DRAM balance")
    axes.set_ylabel("of the array's peak (%)")
    _legend(figure, colours)
    return figure


def _dots(axes: Axes, rows: pd.DataFrame, colours: dict[str, dict[str, str]], x: str, y: str, per_op: bool) -> None:
    """A dot per row, of an op as large as its share of the time."""
    many = len(rows) > _RASTER_FROM
    for design, own in rows.groupby("design", sort=False):
        size = 6 + 500 * own["share"].clip(upper=0.4) if per_op else 7 if many else 18
        axes.scatter(
            own[x], own[y], s=size, color=colours[str(design)]["facecolor"], alpha=0.35 if many else 0.65,
            linewidth=0, rasterized=many, zorder=3,
        )  # fmt: skip
    axes.grid(color=GRID)


def _legend(figure: Figure, colours: dict[str, dict[str, str]], roofs: Sequence[Any] = ()) -> None:
    """Designs by colour, roofs by line."""
    from matplotlib.lines import Line2D

    look = {"linestyle": "none", "marker": "o", "markersize": 5, "markeredgewidth": 0}
    handles = [Line2D([], [], color=c["facecolor"], label=elide(d, 34), **look) for d, c in colours.items()]  # type: ignore[arg-type]
    handles = [*(handles if len(handles) > 1 else []), *roofs]
    if handles:
        columns = min(len(handles), 3 if roofs else 4)
        figure.legend(handles=_by_rows(handles, columns), loc="outside upper left", ncols=columns, handlelength=2.6)


def _by_rows(handles: Sequence[Any], columns: int) -> list[Any]:
    """In the order in which a legend, which is filled by columns, shows them row by row."""
    return [handle for column in range(columns) for handle in handles[column::columns]]


def _caption(table: pd.DataFrame, per_op: bool) -> str:
    dots = "Each dot is an op, as large as its share of the time" if per_op else "Each dot is a point of the study"
    text = f"{dots}: what it attains, two operations per MAC, over what it does per byte that DRAM moved. "
    if len(_roofs(table)) <= _MAX_ROOFS:
        several = len(_roofs(table)) > 1
        text += (
            f"The line{'s are' if several else ' is'} the lower of the array's peak and DRAM's bandwidth times that; "
        )
        shared = any(len(designs) > 1 for designs in _roofs(table)["design"])
        text += "a black one is shared by designs; " if shared and several else ""
    else:
        text += (
            "Both are over the point's own: the peak of its array, and the operations per byte at which array and DRAM "
        )
        text += "take the same time; "
    text += "left of the ridge DRAM bounds a dot, right of it the array."
    known = table["workload"].nunique()
    if known > _MAX_PANELS and len(_roofs(table)) <= _MAX_ROOFS:
        text += f" The first {_MAX_PANELS} of {plural(known, 'workload')} are drawn."
    if axes_of(table) and per_op:
        text += " Ops of all sweep points that have them."
    return text
