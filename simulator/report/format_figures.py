"""Figures of encodings: accuracy of many formats side by side, and a tensor's distribution before and after one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.report.formatting import common_start, elide
from simulator.report.style import GRID, INK, MUTED, PAPER, WIDTH_IN, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["histogram_figure", "sqnr_bits_figure"]

_PANELS = 8
_KINDS = {"activations": "#dd8a3c", "weights": "#2b6a99"}
_SIZES = {"activations": 34, "weights": 13}
"""Where both lie on one spot, both are seen."""


@styled
def sqnr_bits_figure(table: pd.DataFrame) -> Figure | None:
    """SQNR of each format, a row each in the order given, beside its stored bits; None for fewer than two formats.

    A format without any error is drawn at the right edge, as a ring.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = [kind for kind in _KINDS if table[f"{kind}_sqnr_db"].notna().any()]
    if len(table) < 2 or not kinds:
        return None
    figure = Figure(figsize=(WIDTH_IN, 0.9 + 0.155 * len(table)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    finite = [v for kind in kinds for v in table[f"{kind}_sqnr_db"] if math.isfinite(v)]
    edge = max(finite, default=0.0) + 6
    drawn = [np.minimum(table[f"{kind}_sqnr_db"].to_numpy(float), edge) for kind in kinds]
    rows = np.arange(len(table))
    axes.hlines(rows, np.nanmin(drawn, axis=0), np.nanmax(drawn, axis=0), color=GRID, linewidth=2)
    for kind, x in zip(kinds, drawn, strict=True):
        face = [PAPER if at == edge else _KINDS[kind] for at in x]
        label = kind if len(kinds) > 1 else None
        axes.scatter(x, rows, s=_SIZES[kind], c=face, edgecolors=_KINDS[kind], linewidths=1, label=label, zorder=3)
    _name_rows(axes, table)
    axes.set_xlim(min(0.0, *finite) if finite else 0.0, edge + 2)
    axes.set_xlabel("SQNR (dB)" + ("; rings at the right: no error at all" if edge in np.concatenate(drawn) else ""))
    if len(kinds) > 1:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure


def _name_rows(axes: Axes, table: pd.DataFrame) -> None:
    """Format and bits per value beside each row, and a rule wherever another whole number of bits begins."""
    bits = table["bits_per_value"].to_numpy(float)
    rows = range(len(table))
    axes.set_yticks(rows, [f"{name}  {size:5.2f}" for name, size in zip(table["format"], bits, strict=True)])
    axes.tick_params(axis="y", length=0, labelsize=6.5)
    axes.set_ylim(len(table) - 0.4, -0.6)
    for row in rows[1:]:
        if int(bits[row]) != int(bits[row - 1]):
            axes.axhline(row - 0.5, color=MUTED, linewidth=0.4)
    axes.set_title("bits per value", loc="left", x=-0.01, ha="right", fontsize=6.5, color=MUTED)
    axes.grid(color=GRID, axis="x")


@styled
def histogram_figure(statistics: Sequence[dict[str, Any]], edges: Sequence[float], format_name: str) -> Figure:
    """Distribution of each tensor (the first eight) before and after one format, on a logarithmic scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [s for s in statistics if s["format"] == format_name][:_PANELS]
    start = len(common_start([s["tensor"] for s in shown]))
    n_cols = min(len(shown), 2)
    n_rows = -(-len(shown) // n_cols)
    figure = Figure(figsize=(WIDTH_IN if n_cols > 1 else 4.6, 0.5 + 1.6 * n_rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(n_rows, n_cols, squeeze=False, sharex=True).flat)
    for axes, one in zip(panels, shown, strict=False):
        _before_and_after(axes, one, edges)
        axes.set_title(elide(one["tensor"][start:], 44), fontsize=7)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    panels[0].legend(loc="upper left", fontsize=6.5)
    figure.supxlabel("value (standard deviations; the last bins hold all beyond)", fontsize=8)
    figure.supylabel("share of values", fontsize=8)
    return figure


def _before_and_after(axes: Axes, one: dict[str, Any], edges: Sequence[float]) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    least = 0.5 / one["values"]
    before, after = (np.asarray(one[k], float) / one["values"] for k in ("histogram", "decoded_histogram"))
    axes.set_yscale("log")
    axes.stairs(after, edges, baseline=least, fill=True, color="#8fc1e3", label=f"decoded {one['format']}")
    axes.stairs(np.maximum(before, least), edges, baseline=None, color=INK, linewidth=0.9, label="as captured")
    axes.set_ylim(least, 1.5)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(color=GRID, axis="y")
