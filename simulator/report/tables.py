"""The summary of a run as a table: for the page, the terminal, Markdown and LaTeX."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pandas as pd

from simulator.report.formatting import (
    ABSENT,
    BYTES,
    ENERGY_PJ,
    TIME_S,
    Unit,
    choose_unit,
    decibels,
    field_text,
    is_missing,
    number,
    verdict,
)
from simulator.report.plotted import axes_of, axis_names

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["ERROR_COLUMNS", "TEXT_COLUMNS", "latex_table", "markdown_table", "summary_table", "terminal_table"]

TEXT_COLUMNS = (
    "Design",
    "Workload",
    "Exact",
    "Format",
    "Claim",
    "Quantity",
    "Source",
    "Point",
    "Constant",
    "Moves most",
    "Reason",
    "Op",
    "Accounting",
    "Activations",
    "Weights",
    "Scales",
)
ERROR_COLUMNS = {"Encoding SQNR (dB)": "sqnr_quantisation_db", "Arithmetic SQNR (dB)": "sqnr_arithmetic_db"}
"""The two parts of the error: of the codes, and of sums that round."""


def summary_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per result, every cell a text: times, energies and bytes in one unit per column, a dash where unknown.

    Speedup and relative energy are over the run's baseline; columns that hold nothing are left out.
    """
    table = {"Design": results["design"].astype(str), "Workload": results["workload"].astype(str)}
    for axis, name in axis_names(axes_of(results)).items():
        table[name] = results[axis].map(field_text)
    table |= _scaled("Latency", results["latency_s"], TIME_S)
    table["Speedup"] = results["speedup"].map(lambda v: _times(v))
    table |= _scaled("Energy", results["energy_total_pj"], ENERGY_PJ)
    table["Energy ratio"] = results["energy_ratio"].map(lambda v: _times(v))
    if "tokens_per_s" in results:
        table["Tokens/s"] = results["tokens_per_s"].map(number)
        table |= _scaled("Energy per token", results["pj_per_token"], ENERGY_PJ)
    table |= _scaled("DRAM", results["dram_read_bytes"] + results["dram_write_bytes"], BYTES)
    table["Area (mm²)"] = (results["area_total_um2"] / 1e6).map(number)
    table["Compute util. (%)"] = (results["compute_util"] * 100).map(number)
    for name, column in {"SQNR (dB)": "sqnr_db", **ERROR_COLUMNS}.items():
        if column in results:
            table[name] = results[column].map(decibels)
    table["Exact"] = results["exact"].map(_exact)
    frame = pd.DataFrame(table, dtype=object).reset_index(drop=True)
    empty = [c for c in frame.columns if c not in TEXT_COLUMNS and len(frame) and (frame[c] == ABSENT).all()]
    return frame.drop(columns=empty)


def _scaled(name: str, values: pd.Series, ladder: tuple[Unit, ...]) -> dict[str, pd.Series]:
    unit = choose_unit(values, ladder)
    return {f"{name} ({unit.name})": (values / unit.worth).map(number)}


def _times(value: Any) -> str:
    if is_missing(value):
        return ABSENT
    return f"{float(value):.2f}×" if 0.1 <= float(value) < 100 else f"{number(value)}×"


def _exact(value: Any) -> str:
    return {True: "yes", False: "NO", None: ABSENT}[verdict(value)]


def terminal_table(results: pd.DataFrame) -> Table:
    """The summary for a terminal of 80 columns; a value that differs from its reference is red."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    summary = summary_table(results)
    one = results["workload"].nunique() == 1
    dropped = [
        c
        for c in summary.columns
        if c.startswith(("DRAM", "Compute util.", "Energy per token"))
        or c in ERROR_COLUMNS
        or (one and c == "Workload")
    ]
    if "Tokens/s" in summary:  # room for it
        dropped += [c for c in summary.columns if c.startswith("Area")]
        dropped += ["Exact"] if (summary["Exact"] == ABSENT).all() else []
    summary = summary.drop(columns=dropped)
    title = Text(str(results["workload"].iloc[0])) if one else None
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left", collapse_padding=True)
    for name in summary.columns:
        left = name in ("Design", "Workload")
        head = Text(name.replace(" ", "\n", 1))
        table.add_column(head, justify="left" if left else "right", overflow="fold", no_wrap=not left)
    for row in _cells(summary):
        table.add_row(*(Text(cell, style="bold red" if cell == "NO" else "") for cell in row))
    return table


def _cells(df: pd.DataFrame) -> list[list[str]]:
    """The cells on one line each, row by row."""
    return [[" ".join(str(cell).split()) for cell in row] for row in df.itertuples(index=False, name=None)]


def markdown_table(df: pd.DataFrame) -> str:
    """``df`` as a GitHub Markdown table; texts left, numbers right, every special character escaped."""
    rules = [":---" if name in TEXT_COLUMNS else "---:" for name in df.columns]
    rows = [[_markdown(cell) for cell in row] for row in _cells(df)]
    return "".join(f"| {' | '.join(line)} |\n" for line in [map(_markdown, df.columns), rules, *rows])


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*\[\]<>|~$&])|(?<!\w)_|_(?!\w)", lambda m: "\\" + m[0], text)


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after a line break these two would be read as its arguments
    "*": "{*}",
    "×": r"$\times$",
    "µ": r"$\mu$",
    "²": r"$^2$",
    "∞": r"$\infty$",
    "–": "--",
    "−": "$-$",
}


def latex_table(df: pd.DataFrame) -> str:
    """``df`` as a LaTeX tabular for the booktabs package; texts left, numbers right, everything escaped."""
    columns = "".join("l" if name in TEXT_COLUMNS else "r" for name in df.columns)
    head, *body = [" & ".join(map(_latex, row)) + r" \\" for row in [list(df.columns), *_cells(df)]]
    lines = [f"\\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *body]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
