"""What encodings did to tensors: distribution before and after, accuracy against stored bits, one table."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.report.formatting import common_start, elide
from simulator.report.style import GRID, INK, MUTED, PAPER, WIDTH_IN, design_colours, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from rich.table import Table

__all__ = ["format_table", "histogram_figure", "terminal_table_of_formats", "tradeoff_of_formats", "write_quantisation"]

Statistics = dict[str, Any]
"""``TensorStatistics.to_dict()`` of one tensor in one format."""
_PANELS = 8


_HEADINGS = {
    "format": "Format",
    "bits_per_value": "Bits per value",
    "activations_sqnr_db": "Activations SQNR (dB)",
    "activations_worst_db": "worst",
    "weights_sqnr_db": "Weights SQNR (dB)",
    "weights_worst_db": "worst ",
}


def write_quantisation(out: Path, statistics: Sequence[Statistics], edges: Sequence[float]) -> pd.DataFrame:
    """Statistics, the table of formats (CSV, Markdown, LaTeX) and figures into ``out``; returns the table.

    Raises: OutputError if the folder cannot be written.
    """
    from simulator.report.atomic import write_bytes
    from simulator.report.figures import save_figure
    from simulator.report.tables import latex_table, markdown_table

    table = format_table(statistics)
    record = {"histogram_edges_sigma": list(edges), "tensors": list(statistics)}
    write_bytes(out / "statistics.json", (json.dumps(record, indent=1) + "\n").encode())
    write_bytes(out / "formats.csv", table.to_csv(index=False, lineterminator="\n").encode())
    shown = _for_people(table)
    write_bytes(out / "tables" / "formats.md", markdown_table(shown).encode())
    write_bytes(out / "tables" / "formats.tex", latex_table(shown).encode())
    for name in table["format"]:
        save_figure(histogram_figure(statistics, edges, name), out / "figures" / f"histogram_{name}")
    figure = tradeoff_of_formats(table)
    if figure is not None:
        save_figure(figure, out / "figures" / "sqnr_bits")
    return table


def terminal_table_of_formats(table: pd.DataFrame) -> Table:
    """The table of formats for a terminal."""
    from rich.table import Table

    shown = _for_people(table)
    drawn = Table(header_style="bold")
    for i, column in enumerate(shown.columns):
        drawn.add_column(column.strip(), justify="right" if i else "left")
    for row in shown.itertuples(index=False):
        drawn.add_row(*map(str, row))
    return drawn


def _for_people(table: pd.DataFrame) -> pd.DataFrame:
    """Rounded, with headings; columns without a number are left out."""
    kept = [c for c in table.columns if c == "format" or table[c].notna().any()]
    shown = table[kept].copy()
    for column in kept[1:]:
        digits = 2 if column == "bits_per_value" else 1
        shown[column] = ["∞" if math.isinf(v) else "" if math.isnan(v) else f"{v:.{digits}f}" for v in table[column]]
    return shown.rename(columns=_HEADINGS)


def format_table(statistics: Sequence[Statistics]) -> pd.DataFrame:
    """One row per format: stored bits per value, and mean and worst SQNR over activations (``.a``) and the rest.

    Bits per value are over all values; the mean SQNR is that of the mean relative noise power.
    """
    import pandas as pd

    rows = []
    for name in dict.fromkeys(s["format"] for s in statistics):
        mine = [s for s in statistics if s["format"] == name]
        values = sum(s["values"] for s in mine)
        row = {"format": name, "bits_per_value": sum(s["bits_per_value"] * s["values"] for s in mine) / values}
        for kind, chosen in (("activations", _of_kind(mine, True)), ("weights", _of_kind(mine, False))):
            row[f"{kind}_sqnr_db"] = mean_sqnr_db(chosen)
            row[f"{kind}_worst_db"] = min((_db(s) for s in chosen), default=math.nan)
        rows.append(row)
    return pd.DataFrame(rows)


def _of_kind(statistics: Sequence[Statistics], activations: bool) -> list[Statistics]:
    return [s for s in statistics if s["tensor"].endswith(".a") == activations]


def _db(statistics: Statistics) -> float:
    return math.inf if statistics["sqnr_db"] is None else float(statistics["sqnr_db"])


def mean_sqnr_db(statistics: Sequence[Statistics]) -> float:
    """SQNR of the mean relative noise power [dB]; NaN of nothing."""
    if not statistics:
        return math.nan
    noise = sum(10 ** (-_db(s) / 10) for s in statistics) / len(statistics)
    return math.inf if noise == 0 else -10 * math.log10(noise)


@styled
def histogram_figure(statistics: Sequence[Statistics], edges: Sequence[float], format_name: str) -> Figure:
    """Distribution of each tensor (the first eight) before and after one format, on a logarithmic scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullLocator

    shown = [s for s in statistics if s["format"] == format_name][:_PANELS]
    start = len(common_start([s["tensor"] for s in shown]))
    n_cols = min(len(shown), 2)
    n_rows = -(-len(shown) // n_cols)
    figure = Figure(figsize=(WIDTH_IN if n_cols > 1 else 4.6, 0.5 + 1.6 * n_rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(n_rows, n_cols, squeeze=False, sharex=True)
    middles = (np.asarray(edges)[1:] + np.asarray(edges)[:-1]) / 2
    width = float(edges[1] - edges[0])
    for i, axes in enumerate(grid.flat):
        axes.set_visible(i < len(shown))
        if i >= len(shown):
            continue
        before, after = (
            np.asarray(shown[i][k], float) / shown[i]["values"] for k in ("histogram", "decoded_histogram")
        )
        axes.bar(middles, after, width=width, color="#8fc1e3", label=f"decoded {format_name}")
        axes.step(middles, before, where="mid", color=INK, linewidth=0.9, label="as captured")
        axes.set_yscale("log")
        axes.set_ylim(0.5 / shown[i]["values"], 1.5)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_title(elide(shown[i]["tensor"][start:], 44), fontsize=7)
        axes.grid(color=GRID, axis="y")
        if i == 0:
            axes.legend(loc="upper left", fontsize=6.5)
    figure.supxlabel("value (standard deviations; the last bins hold all beyond)", fontsize=8)
    figure.supylabel("share of values", fontsize=8)
    return figure


@styled
def tradeoff_of_formats(table: pd.DataFrame) -> Figure | None:
    """SQNR of activations and weights against stored bits per value; None for fewer than two formats."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = [k for k in ("activations", "weights") if np.isfinite(table[f"{k}_sqnr_db"].astype(float)).any()]
    if len(table) < 2 or not kinds:
        return None
    figure = Figure(figsize=(WIDTH_IN, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    colours = design_colours(list(table["format"]))
    for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False).flat, kinds, strict=True):
        for _, row in table.iterrows():
            x, y = float(row["bits_per_value"]), float(row[f"{kind}_sqnr_db"])
            if math.isfinite(y):
                axes.scatter(x, y, s=22, color=colours[row["format"]]["facecolor"], edgecolor=PAPER, zorder=3)
                axes.annotate(
                    row["format"], (x, y), xytext=(4, 2), textcoords="offset points", fontsize=5.5, color=MUTED
                )
        axes.set_title(kind)
        axes.set_xlabel("stored bits per value")
        axes.grid(color=GRID)
    figure.supylabel("SQNR (dB)", fontsize=8)
    return figure
