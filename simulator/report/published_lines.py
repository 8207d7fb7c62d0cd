"""Published lines beside ours: speed over a baseline along one quantity, a panel for each group of lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
    labels = [_label(row) for row in points.to_dict("records")]
    colours = {name: look["facecolor"] for name, look in design_colours(uniques(labels)).items()}
    points = points.assign(label=labels)
    figure = Figure(figsize=(WIDTH_IN, 0.6 + 2.1 * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey="row").ravel()
    for axes, panel in zip(grid, panels, strict=False):
        _panel(axes, points[points["panel"] == panel], panel, colours)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure


def _label(point: Mapping[Any, Any]) -> str:
    """A line's name without that of its panel: the same kind of line has one colour in every panel."""
    return str(point["series"]).removeprefix(f"{point['panel']}: ")


def _panel(axes: Axes, points: pd.DataFrame, title: str, colours: dict[str, str]) -> None:
    for name in uniques(points["label"]):
        line = points[points["label"] == name]
        ours = {"marker": "o", "markersize": 3, "linewidth": 1.3, "label": f"{elide(name, 30)}, ours"}
        paper = {"marker": "x", "markersize": 4, "linewidth": 1, "label": f"{elide(name, 30)}, paper"}
        axes.plot(line["at"], line["ours"], color=colours[name], **ours)  # type: ignore[arg-type]
        axes.plot(line["at"], line["paper"], color=colours[name], linestyle=(0, (3, 2)), **paper)  # type: ignore[arg-type]
    places = uniques(points["at"])
    axes.axhline(1, color=INK, linewidth=0.6)
    axes.set_ylim(0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(places, [f"{place:g}" for place in places], rotation=45, ha="right", rotation_mode="anchor")
    axes.minorticks_off()
    axes.set_xlabel(points["x"].iloc[0])
    axes.set_ylabel("times as fast")
    axes.set_title(elide(title, 46))
    axes.grid(axis="y")
