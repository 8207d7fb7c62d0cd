"""What encodings did to tensors: accuracy against stored bits as one table, one page, one figure; histograms."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from simulator.report.format_figures import histogram_figure, sqnr_bits_figure

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

__all__ = ["format_page", "format_table", "mean_sqnr_db", "terminal_table_of_formats", "write_quantisation"]

Statistics = dict[str, Any]
"""``TensorStatistics.to_dict()`` of one tensor in one format."""

_HEADINGS = {
    "format": "Format",
    "bits_per_value": "Bits per value",
    "victim_share": "Victims (%)",
    "activations_sqnr_db": "Activations: SQNR (dB)",
    "activations_worst_db": "Activations: worst (dB)",
    "weights_sqnr_db": "Weights: SQNR (dB)",
    "weights_worst_db": "Weights: worst (dB)",
}
_ONE_KIND = {"weights_sqnr_db": "SQNR (dB)", "weights_worst_db": "Worst (dB)"}


def write_quantisation(
    out: Path, statistics: Sequence[Statistics], edges: Sequence[float], source: str, command: str
) -> pd.DataFrame:
    """Statistics, the table of formats (CSV, Markdown, LaTeX, a page) and figures into ``out``; returns the table.

    Args:
        source: where the tensors are from; command: what makes all this again.
    Raises: OutputError if the folder cannot be written.
    """
    from simulator.report.atomic import write_bytes
    from simulator.report.figures import save_figure
    from simulator.report.tables import latex_table, markdown_table

    table = format_table(statistics)
    record = {"command": command, "histogram_edges_sigma": list(edges), "tensors": list(statistics)}
    write_bytes(out / "statistics.json", (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
    write_bytes(out / "formats.csv", table.to_csv(index=False, lineterminator="\n").encode())
    shown = _for_people(table)
    write_bytes(out / "tables" / "formats.md", markdown_table(shown).encode())
    write_bytes(out / "tables" / "formats.tex", latex_table(shown).encode())
    for name in table["format"]:
        save_figure(histogram_figure(statistics, edges, name), out / "figures" / f"histogram_{name}")
    figure = sqnr_bits_figure(_by_size(table))
    if figure is not None:
        save_figure(figure, out / "figures" / "sqnr_bits")
    write_bytes(out / "formats.md", format_page(table, source, command, pictured=figure is not None).encode())
    return table


def format_table(statistics: Sequence[Statistics]) -> pd.DataFrame:
    """One row per format: stored bits per value, victims, mean and worst SQNR.

    Activations are the tensors with one scale for all, weights those with a scale per row. Bits and victims are over
    all values; the mean SQNR is that of the mean relative noise power.
    """
    import pandas as pd

    rows = []
    for name in dict.fromkeys(s["format"] for s in statistics):
        mine = [s for s in statistics if s["format"] == name]
        values = sum(s["values"] for s in mine)
        row = {
            "format": name,
            "bits_per_value": sum(s["stored_bits"] for s in mine) / values,
            "victim_share": sum(s["victims"] for s in mine) / values,
        }
        for kind, granularity in (("activations", "tensor"), ("weights", "row")):
            chosen = [s for s in mine if s["granularity"] == granularity]
            row[f"{kind}_sqnr_db"] = mean_sqnr_db(chosen)
            row[f"{kind}_worst_db"] = min((_db(s) for s in chosen), default=math.nan)
        rows.append(row)
    return pd.DataFrame(rows)


def _db(statistics: Statistics) -> float:
    return math.inf if statistics["sqnr_db"] is None else float(statistics["sqnr_db"])


def mean_sqnr_db(statistics: Sequence[Statistics]) -> float:
    """SQNR of the mean relative noise power [dB]; NaN of nothing."""
    if not statistics:
        return math.nan
    noise = sum(10 ** (-_db(s) / 10) for s in statistics) / len(statistics)
    return math.inf if noise == 0 else -10 * math.log10(noise)


def _by_size(table: pd.DataFrame) -> pd.DataFrame:
    """Fewest bits first, then the least accurate first."""
    accuracy = table[["activations_sqnr_db", "weights_sqnr_db"]].min(axis=1)
    keys = table.assign(size=table["bits_per_value"].round(2), accuracy=accuracy.round(1))
    return table.loc[keys.sort_values(["size", "accuracy", "format"]).index]


def _for_people(table: pd.DataFrame) -> pd.DataFrame:
    """Rounded, with headings; columns without a number, and victims where there is none, are left out."""
    kept = [c for c in table.columns if c == "format" or table[c].notna().any()]
    if not table["victim_share"].any():
        kept.remove("victim_share")
    shown = table[kept].copy()
    for column in kept[1:]:
        shown[column] = [_cell(column, value) for value in table[column]]
    headings = _HEADINGS if "activations_sqnr_db" in kept else _HEADINGS | _ONE_KIND
    return shown.rename(columns=headings)


def _cell(column: str, value: float) -> str:
    if column == "victim_share":
        return f"{100 * value:.2f}" if value else ""
    if math.isfinite(value):
        return f"{value:.{2 if column == 'bits_per_value' else 1}f}"
    return "∞" if math.isinf(value) else ""


def terminal_table_of_formats(table: pd.DataFrame) -> Table:
    """The table of formats for a terminal of 80 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    shown = _for_people(table)
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0)
    for i, column in enumerate(shown.columns):
        head = column.replace(": ", "\n") if ": " in column else column.replace("per ", "per\n").replace(" (%", "\n(%")
        drawn.add_column(Text(head), justify="right" if i else "left", no_wrap=True)
    for row in shown.itertuples(index=False):
        drawn.add_row(*(Text(str(cell)) for cell in row))
    return drawn


def format_page(table: pd.DataFrame, source: str, command: str, pictured: bool) -> str:
    """A Markdown page: what was done, the table with the fewest bits first, and what its columns mean."""
    from simulator.report.tables import markdown_table

    both = table["activations_sqnr_db"].notna().any()
    scales = (
        "Weights have a scale per output channel, activations one per tensor, as in OliVe's quantiser"
        if both
        else "Every row (all axes but the last) has a scale of its own"
    )
    scales += "; block formats have their own scales on top, and formats that define their scale keep to it."
    parts = [
        f"# Number formats on {source}",
        f"Made by `{command}`.",
        fill(scales, 112),
        markdown_table(_for_people(_by_size(table))).rstrip(),
        _LEGEND,
    ]
    if pictured:
        parts.insert(3, "![SQNR of every format, fewest stored bits first](figures/sqnr_bits.svg)")
    return "\n\n".join(parts) + "\n"


_LEGEND = """\
- **Bits per value**: all that is stored, over all values: codes, scales, zero points, dictionaries, outlier lists,
  padding. It is the size of the arrays in the files that `olivine quantize` writes, to the bit.
- **SQNR**: power of the values over power of the error, `10 log10(sum x^2 / sum (x - decoded)^2)`; over several tensors
  that of the mean relative noise power. **worst** is the tensor with the lowest one. ∞: every value came back, as from
  `fp16` where the tensors are stored in half precision.
- **Victims**: values other than zero that were given up because an outlier is stored beside them (`ovp*`).
- `*_unsigned` is for tensors without negative values; on others it stores every negative value as zero.

An SQNR says what an encoding does to the values, not what it does to a model's answers: a few large errors on values
that matter little weigh as much here as many small ones on those that do."""
