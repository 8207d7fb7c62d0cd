"""Panels of horizontal stacked bars: one layout behind the energy, cycles and area figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from simulator.report.formatting import elide, wrapped
from simulator.report.style import INK, PAPER, WIDTH_IN, part_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Panel", "Part", "Row", "cause_parts", "draw_bars", "edges", "legend", "stacked_figure"]

_ROW_IN = 0.21
_NAME_CHARS = 30
_CAUSE_LABELS = {
    "fill_drain_cycles": "fill and drain",
    "stall_bank_cycles": "waiting: bank conflicts",
    "stall_vector_cycles": "vector unit",
}


@dataclass(frozen=True)
class Part:
    """One kind of segment."""

    key: str
    label: str
    colour: str


@dataclass(frozen=True)
class Row:
    """One bar: its name, a value per part key, and the text at its end."""

    label: str
    values: dict[str, float]
    note: str


@dataclass(frozen=True)
class Panel:
    """A titled group of bars."""

    title: str
    rows: list[Row] = field(default_factory=list)


def _panel_columns(count: int) -> int:
    """How many panels stand side by side."""
    return {1: 1, 2: 2, 4: 2}.get(count, 3)


def stacked_figure(
    panels: Sequence[Panel], parts: Sequence[Part], xlabel: str, *, inside: bool = False, mark: float | None = None
) -> Figure:
    """Draws the panels in a grid that shares both axes.

    Args:
        inside: write each segment's percentage into it where it fits; values are shares of 1.
        mark: a vertical dashed line at this value (the baseline).
    """
    from matplotlib.figure import Figure

    n_cols = _panel_columns(len(panels))
    n_rows = -(-len(panels) // n_cols)
    wide, note = _widths(panels, n_cols)
    titles = [wrapped(panel.title, int((wide + note) / 0.074), lines=3) for panel in panels]
    head = 0.42 + 0.14 * max(title.count("\n") for title in titles)
    most = max(len(panel.rows) for panel in panels)
    figure = Figure(figsize=(WIDTH_IN, 0.62 + n_rows * (head + _ROW_IN * most)), layout="constrained")
    grid = figure.subplots(n_rows, n_cols, squeeze=False, sharex=True)
    widest = max(sum(row.values.values()) for panel in panels for row in panel.rows) or 1.0
    least = 0.3 / wide if inside else None
    for i, axes in enumerate(grid.flat):
        if i >= len(panels):
            axes.set_visible(False)
            continue
        named = i % n_cols == 0 or _names(panels[i]) != _names(panels[i - 1])
        draw_bars(axes, panels[i].rows, parts, least=least)
        edges(axes, _names(panels[i]) if named else [""] * len(panels[i].rows), last=i + n_cols >= len(panels))
        axes.set_ylim(most - 0.45, -0.55)
        axes.set_xlim(0, widest * (1 + note / wide))
        axes.set_title(titles[i])
        if mark is not None:
            axes.axvline(mark, color=INK, linewidth=0.7, linestyle=(0, (4, 2)), zorder=3)
    figure.supxlabel(xlabel, fontsize=8)
    legend(figure, parts)
    return figure


def _names(panel: Panel) -> list[str]:
    return [elide(row.label, _NAME_CHARS) for row in panel.rows]


def _widths(panels: Sequence[Panel], n_cols: int) -> tuple[float, float]:
    """Estimated inches of the longest bar and of the note after it."""
    longest = max(len(row.note) for panel in panels for row in panel.rows)
    names = max(len(name) for panel in panels for name in _names(panel))
    note = 0.065 * longest + 0.08
    return max((WIDTH_IN - 0.07 * names) / n_cols - 0.15 - note, 0.3), note


def draw_bars(
    axes: Axes, rows: Sequence[Row], parts: Sequence[Part], *, least: float | None = None, gap: float = 0.4
) -> None:
    """One horizontal stacked bar per row, from the top down at y = 0, 1, ...; empty segments are not drawn.

    Args:
        least: write the percentage into segments of at least this share; values are shares of 1.
        gap: width of the line between segments [pt].
    """
    left = [0.0] * len(rows)
    for part in parts:
        values = [row.values.get(part.key, 0.0) for row in rows]
        seen = [(y, start, v) for y, (start, v) in enumerate(zip(left, values, strict=True)) if v > 0]
        if seen:
            places, starts, widths = zip(*seen, strict=True)
            axes.barh(places, widths, left=starts, height=0.68, color=part.colour, edgecolor=PAPER, linewidth=gap)
        if least is not None:
            _percentages(axes, [s for s in seen if s[2] >= least], dark=_is_dark(part.colour))
        left = [a + b for a, b in zip(left, values, strict=True)]
    for y, (row, end) in enumerate(zip(rows, left, strict=True)):
        if not row.note:
            continue
        axes.annotate(
            row.note,
            (end, y),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            ha="left",
            fontsize=7.5,
            zorder=4,  # above the dashed line
            bbox={"boxstyle": "square,pad=0.1", "facecolor": PAPER, "edgecolor": "none"},
        )


def _percentages(axes: Axes, seen: Sequence[tuple[int, float, float]], *, dark: bool) -> None:
    for y, start, share in seen:
        axes.text(
            start + share / 2,
            y,
            f"{share:.0%}",
            ha="center",
            va="center_baseline",
            fontsize=6.5,
            color="#fefefe" if dark else "#111316",  # on its own colour in either theme
        )


def _is_dark(colour: str) -> bool:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue < 140


def edges(axes: Axes, names: Sequence[str], *, last: bool) -> None:
    """Names instead of ticks at the left; numbers below, if this is the last panel of its column."""
    axes.spines["left"].set_visible(False)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelbottom=last)
    axes.grid(axis="x")
    axes.locator_params(axis="x", nbins=5)


def legend(figure: Figure, parts: Sequence[Part]) -> None:
    """The parts, above the panels."""
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=p.colour, edgecolor=PAPER, linewidth=0.5, label=p.label) for p in parts]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(len(parts), 5))


def cause_parts(table: pd.DataFrame, causes: Sequence[str]) -> list[Part]:
    """What the array did and the stalls that happened at all, for cycle columns of any name."""
    return [
        Part(column, _cause_label(column), part_colour(column.removesuffix("_cycles"), place))
        for place, column in enumerate(causes)
        if not column.startswith("stall_") or table[column].gt(0).any()
    ]


def _cause_label(column: str) -> str:
    if column in _CAUSE_LABELS:
        return _CAUSE_LABELS[column]
    words = column.removesuffix("_cycles").removeprefix("stall_").replace("_", " ").replace("dram", "DRAM")
    return f"waiting: {words}" if column.startswith("stall_") else words
