"""Outlier statistics of a trace's tensors, for people: a table, CSV and JSON, and one figure per model."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.report.atomic import write_bytes
from simulator.report.formatting import BYTES, choose_unit, common_start, elide, number, plural
from simulator.report.style import GRID, MUTED, WIDTH_IN, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["outlier_figure", "outlier_lines", "totals", "write_outliers"]

Row = dict[str, Any]
"""One row of ``simulator.tracing.describe``: an op, its columns ``a_..`` and ``w_..`` those of its operands."""

_COLOURS = {"a": "#dd8a3c", "w": "#2b6a99"}
_WORDS = {"a": "first operand (activations)", "w": "second operand (weights, or activations)"}
_MOST_TICKS = 16


def totals(rows: Sequence[Row]) -> str:
    """``48 ops, 698,351,616 MACs, 29.5 MB as the ops read it``."""
    moved = sum(row["bytes"] for row in rows)
    unit = choose_unit([moved], BYTES)
    macs = sum(row["macs"] for row in rows)
    return f"{plural(len(rows), 'op')}, {macs:,} MACs, {number(moved / unit.worth)} {unit.name} as the ops read it"


def outlier_lines(rows: Sequence[Row]) -> list[str]:
    """A line per op and one per operand under it, for a terminal of 80 columns."""
    shown = [(row, side, _cells(row, side)) for row in rows for side in ("a", "w")]
    widths = [max(len(cells[i]) for *_, cells in [*shown, (None, "", _HEADS)]) for i in range(len(_HEADS))]
    lines = ["    " + " ".join(head.rjust(width) for head, width in zip(_HEADS, widths, strict=True))]
    for row, side, cells in shown:
        if side == "a":
            lines.append(f"{row['name']}: {row['kind']}, {row['macs']:,} MACs")
        lines.append(f"  {side} " + " ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)))
    return lines


_HEADS = ("shape", "stored", "MB", "largest", "largest/σ", ">3σ %", "kurtosis", "ON %", "OO %", "|x|>=6")


def _cells(row: Row, side: str) -> list[str]:
    rows = row["M" if side == "a" else "N"]
    kept = row[f"{side}_rows_kept"]
    batch = f"{row['count']}x" if row["count"] > 1 else ""
    stored = _SHORT[row[f"{side}_dtype"]] + (f" {kept} rows" if kept != rows else "")
    shares = (row[f"{side}_{key}"] for key in ("share_3sigma", "pairs_outlier_normal", "pairs_outlier_outlier"))
    beyond, on, oo = (f"{100 * share:.3f}" for share in shares)
    return [
        f"{batch}{rows}x{row['K']}",
        stored,
        number(row[f"{side}_bytes"] / 1e6),
        number(row[f"{side}_absmax"]),
        f"{row[f'{side}_max_over_sigma']:.1f}",
        beyond,
        f"{row[f'{side}_kurtosis']:.1f}",
        on,
        oo,
        str(row[f"{side}_feature_dims"]),
    ]


_SHORT = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "int8": "int8"}


def write_outliers(out: Path, name: str, rows: Sequence[Row]) -> list[Path]:
    """``outliers.csv``, ``outliers.json`` and ``figures/outliers.png`` and ``.svg`` in a folder.

    Raises: OutputError if they cannot be written there.
    """
    from simulator.report.figures import save_figure

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    data = json.dumps({"trace": name, "ops": list(rows)}, indent=1, ensure_ascii=False) + "\n"
    return [
        write_bytes(out / "outliers.csv", text.getvalue().encode()),
        write_bytes(out / "outliers.json", data.encode()),
        *save_figure(outlier_figure(name, rows), out / "figures" / "outliers"),
    ]


@styled
def outlier_figure(name: str, rows: Sequence[Row]) -> Figure:
    """Every operand of every op in order: its largest value, how heavy its tails are, how many pairs hold outliers."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(WIDTH_IN, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    for side, colour in _COLOURS.items():
        style = {"color": colour, "s": 11 if side == "a" else 8, "marker": "o" if side == "a" else "D", "linewidths": 0}
        places = range(len(rows))
        top.scatter(places, [row[f"{side}_max_over_sigma"] for row in rows], label=_WORDS[side], **style)
        middle.scatter(places, [row[f"{side}_kurtosis"] for row in rows], **style)
        mixed = [100 * (row[f"{side}_pairs_outlier_normal"] + row[f"{side}_pairs_outlier_outlier"]) for row in rows]
        bottom.scatter(places, mixed, **style)
        both = [100 * row[f"{side}_pairs_outlier_outlier"] for row in rows]
        bottom.scatter(
            places, both, **(style | {"facecolors": "none", "edgecolors": colour, "linewidths": 0.8, "color": None})
        )
    top.set_yscale("log")
    lowest = min(row[f"{side}_max_over_sigma"] or 3.0 for row in rows for side in _COLOURS)
    _scale(top, "largest value (σ)", 0.85 * min(3.0, lowest))
    top.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    middle.set_yscale("symlog", linthresh=1)
    _scale(middle, "excess kurtosis", -2.5)  # no distribution has less than -2
    bottom.set_ylabel("pairs along K (%)")
    bottom.set_ylim(bottom=0)
    bottom.set_title("pairs with an outlier beyond 3σ; hollow: with two", fontsize=7, color=MUTED, fontweight="normal")
    bottom.grid(color=GRID, axis="y")
    top.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
    figure.suptitle(name, x=0.01, ha="left", fontsize=9, fontweight="bold")
    _name_ops(bottom, [row["name"] for row in rows])
    return figure


def _scale(axes: Axes, label: str, least: float) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    axes.set_ylabel(label)
    axes.set_ylim(bottom=least)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(color=GRID, axis="y")


def _name_ops(axes: Axes, names: list[str]) -> None:
    """Names of evenly spaced ops; the others lie between them."""
    step = -(-len(names) // _MOST_TICKS)
    places = list(range(0, len(names), step))
    start = len(common_start(names))
    labels = [elide(names[place][start:], 34) for place in places]
    axes.set_xticks(places, labels, rotation=40, ha="right", rotation_mode="anchor", fontsize=6.5)
    axes.set_xlim(-0.8, len(names) - 0.2)
