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
    summary = summary.drop(columns=dropped, errors="ignore")
    title = Text(str(results["workload"].iloc[0])) if one else None
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left", collapse_padding=True)
    for name in summary.columns:
        left = name in ("Design", "Workload")
        head = Text(name.replace(" ", "\n", 1) if " " in name else wrapped(name, 13, lines=3))
        table.add_column(head, justify="left" if left else "right", overflow="fold", no_wrap=not left)
    for row in cells_of(summary):
        table.add_row(*(Text(cell, style="bold red" if cell == "NO" else "") for cell in row))
    return table
