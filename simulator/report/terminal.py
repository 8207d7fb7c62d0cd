"""The summary of a run on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from simulator.report.formatting import ABSENT, wrapped
from simulator.report.points import is_large, shortlist, swept_together
from simulator.report.summary import summary_table
from simulator.report.tables import ERROR_COLUMNS, cells_of

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["terminal_table"]

_WIDE = 80
_NAMES = ("Design", "Workload")
_OURS = ("Energy ratio", "Energy per token")


def terminal_table(results: pd.DataFrame) -> Table:
    """The summary for a terminal of 80 columns, of a large sweep its best points; a value that differs from its
    reference is red.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    whole = results
    if is_large(results):
        followers = [axis for others in swept_together(results).values() for axis in others]
        results = shortlist(results).drop(columns=followers)
    summary = summary_table(results)
    one = results["workload"].nunique() == 1
    dropped = [
        c
        for c in summary.columns
        if c.startswith(("DRAM", "Compute util.", "Energy per token"))
        or c in ERROR_COLUMNS
        or (one and c == "Workload")
    ]
    if is_large(whole):  # room for the swept fields
        dropped += ["Speedup", "Energy ratio", *(["Exact"] if (summary["Exact"] == ABSENT).all() else [])]
    if "Tokens/s" in summary:  # room for it
        dropped += [c for c in summary.columns if c.startswith("Area")]
        dropped += ["Exact"] if (summary["Exact"] == ABSENT).all() else []
    summary = _fitted(summary.drop(columns=dropped, errors="ignore"))
    title = Text(str(results["workload"].iloc[0])) if one else None
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left", collapse_padding=True)
    for name in summary.columns:
        left = name in _NAMES
        table.add_column(Text(_head(name)), justify="left" if left else "right", overflow="fold", no_wrap=not left,
                         min_width=12 if left else None)  # fmt: skip
    for row in cells_of(summary):
        table.add_row(*(Text(cell, style="bold red" if cell == "NO" else "") for cell in row))
    return table


def _fitted(summary: pd.DataFrame) -> pd.DataFrame:
    """The table without the columns that matter least until it is no wider than 80 characters; what is left out is in
    ``results.csv`` and on the page.
    """
    spare = ["Exact", "Area", "Energy ratio", "Speedup", "SQNR", "Tokens/s"]
    if (summary.get("Exact", pd.Series(dtype=object)) == "NO").any():
        spare.remove("Exact")
    while spare and _width(summary) > _WIDE:
        beginning = spare.pop(0)
        summary = summary.drop(columns=[name for name in summary.columns if name.startswith(beginning)])
    return summary


def _width(summary: pd.DataFrame) -> int:
    """In characters, a blank on either side of each column shared by neighbours."""
    cells = [[name, *(str(value) for value in summary[name])] for name in summary.columns]
    lines = ([*_head(name).split("\n"), *values] for name, *values in cells)
    return sum(max(map(len, column)) + 2 for column in lines)


def _head(name: str) -> str:
    return name.replace(" ", "\n", 1) if " (" in name or name in _OURS else wrapped(name, 13, lines=4)
