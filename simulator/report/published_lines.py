"""Published lines beside ours: speed over a baseline along one quantity, a panel for each group of lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from simulator.report.formatting import elide
from simulator.report.plotted import uniques
from simulator.report.style import INK, WIDTH_IN, design_colours, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["published_figure"]

_ACROSS = 2


@styled
def published_figure(points: pd.DataFrame) -> Figure | None:
    """Ours as lines with dots, the paper's dashed in the same colour; None if nothing is published as a line.

    Args:
        points: as ``beside.series_points`` gives them.
    """
    if points.empty:
        return None
    from matplotlib.figure import Figure

    panels = uniques(points["panel"])
    across = min(_ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(WIDTH_IN, 0.6 + 2.3 * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    for axes, panel in zip(grid, panels, strict=False):
        _panel(axes, points[points["panel"] == panel], panel)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure


def _panel(axes: Axes, points: pd.DataFrame, title: str) -> None:
    names = uniques(points["series"])
    colours = design_colours(names)
    for name in names:
        line = points[points["series"] == name]
        colour = colours[name]["facecolor"]
        label = elide(name.removeprefix(f"{title}: "), 30)
        axes.plot(
            line["at"], line["ours"], color=colour, marker="o", markersize=3, linewidth=1.3, label=f"{label}, ours"
        )
        axes.plot(
            line["at"],
            line["paper"],
            color=colour,
            marker="x",
            markersize=4,
            linewidth=1,
            linestyle=(0, (3, 2)),
            label=f"{label}, paper",
        )
    places = uniques(points["at"])
    axes.axhline(1, color=INK, linewidth=0.6)
    axes.set_xscale("log", base=2)
    axes.set_xticks(places, [f"{place:g}" for place in places], rotation=45, ha="right", rotation_mode="anchor")
    axes.minorticks_off()
    axes.set_xlabel(points["x"].iloc[0])
    axes.set_ylabel("times as fast")
    axes.set_title(elide(title, 60))
    axes.grid(axis="y")
