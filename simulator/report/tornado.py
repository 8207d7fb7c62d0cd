"""Tornado figure: how far each constant, varied alone, moves each design's ratio over the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from simulator.report.formatting import elide, wrapped
from simulator.report.stacks import edges
from simulator.report.style import INK, PAPER, WIDTH_IN, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MAX_PANELS", "METRIC_NAMES", "changes", "panels_of", "short_names", "strongest", "swings", "tornado_figure"]

METRIC_NAMES = {"time": "time", "energy": "energy", "edp": "energy-delay product", "area": "area"}
MAX_PANELS = 9
_WAYS = {"low": "#2b6a99", "high": "#dd8a3c"}
_ROW_IN = 0.2
_NAME_CHARS = 44


def changes(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Columns low, high: by what fraction a ratio is larger than the study's own; NaN where it was not varied."""
    base = table[f"{metric}_ratio"]
    return pd.DataFrame({way: table[f"{metric}_ratio_{way}"] / base - 1 for way in _WAYS})


def swings(table: pd.DataFrame, metric: str) -> dict[str, float]:
    """Of each constant the largest change, either way, of any design."""
    largest = changes(table, metric).abs().max(axis=1).fillna(0.0)
    return {str(name): float(swing) for name, swing in largest.groupby(table["constant"], sort=False).max().items()}


def strongest(table: pd.DataFrame, metric: str, top: int) -> list[str]:
    """The ``top`` constants that move a metric most, and at all."""
    found = swings(table, metric)
    order = sorted(found, key=lambda name: (-found[name], name))
    return [name for name in order if found[name] > 0][:top]


def panels_of(table: pd.DataFrame, metric: str) -> list[tuple[str, str]]:
    """Designs and sweep points in the order of the study; of more than ``MAX_PANELS`` those that move most."""
    places = list(dict.fromkeys(zip(table["design"], table["point"], strict=True)))
    if len(places) <= MAX_PANELS:
        return places
    largest = changes(table, metric).abs().max(axis=1).groupby([table["design"], table["point"]]).max()
    kept = set(largest.nlargest(MAX_PANELS).index)
    return [place for place in places if place in kept]


@styled
def tornado_figure(table: pd.DataFrame, metric: str, by: float, baseline: str, top: int) -> Figure | None:
    """A panel for each design, a pair of bars for each of the strongest constants; None if nothing moves the metric."""
    from matplotlib.figure import Figure

    names = strongest(table, metric, top)
    if not names:
        return None
    labels = [elide(name, _NAME_CHARS) for name in short_names(names)]
    places = panels_of(table, metric)
    n_cols = {1: 1, 2: 2, 4: 2}.get(len(places), 3)
    n_rows = -(-len(places) // n_cols)
    size = (WIDTH_IN, 0.8 + n_rows * (0.45 + _ROW_IN * len(names)))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(n_rows, n_cols, squeeze=False, sharex=True)
    frame = pd.concat([table[["constant", "design", "point"]], 100 * changes(table, metric)], axis=1)
    for i, axes in enumerate(grid.flat):
        if i >= len(places):
            axes.set_visible(False)
            continue
        design, point = places[i]
        here = frame[(frame["design"] == design) & (frame["point"] == point)].set_index("constant").loc[names]
        _bars(axes, here)
        axes.set_title(wrapped(f"{design} {point}".strip(), 44 // n_cols + 6))
        edges(axes, labels if i % n_cols == 0 else [""] * len(names), last=i + n_cols >= len(places))
    figure.supxlabel(f"change of {METRIC_NAMES[metric]} over {elide(baseline, 40)} (%)", fontsize=8)
    _legend(figure, by)
    return figure


def short_names(names: Sequence[str]) -> list[str]:
    """Without the price list where all that have one have the same, and without its sections."""
    lists = {name.partition(":")[0] for name in names if ":" in name}
    shown = [name.partition(":")[2] if ":" in name and len(lists) == 1 else name for name in names]
    return [name.replace("parts.", "").replace("actions.", "") for name in shown]


def _bars(axes: Axes, rows: pd.DataFrame) -> None:
    """From the top down at y = 0, 1, ...; where both ways move the same side, the shorter bar lies on the longer."""
    for way, colour in _WAYS.items():
        axes.barh(range(len(rows)), rows[way].fillna(0.0), height=0.68, color=colour, edgecolor=PAPER, linewidth=0.4)
    for y, (low, high) in enumerate(zip(rows["low"], rows["high"], strict=True)):
        if low * high > 0:
            way = "low" if abs(low) < abs(high) else "high"
            axes.barh(y, rows[way].iloc[y], height=0.68, color=_WAYS[way], edgecolor=PAPER, linewidth=0.4)
    axes.axvline(0, color=INK, linewidth=0.7, zorder=3)
    axes.set_ylim(len(rows) - 0.45, -0.55)


def _legend(figure: Figure, by: float) -> None:
    from matplotlib.patches import Patch

    labels = {"low": f"constant {100 * by:g} % lower", "high": f"{100 * by:g} % higher"}
    handles = [Patch(facecolor=_WAYS[way], edgecolor=PAPER, linewidth=0.5, label=labels[way]) for way in _WAYS]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
