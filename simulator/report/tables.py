"""Tables of texts, written in Markdown and in LaTeX."""

from __future__ import annotations

import re

import pandas as pd

__all__ = ["ERROR_COLUMNS", "TEXT_COLUMNS", "cells_of", "latex_table", "markdown_table"]

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
    "Best in",
    "First point",
    "Constraint",
    "Front",
    "Constraints",
    "Failure",
)
ERROR_COLUMNS = {"Encoding SQNR (dB)": "sqnr_quantisation_db", "Arithmetic SQNR (dB)": "sqnr_arithmetic_db"}
"""The two parts of the error: of the codes, and of sums that round."""


def cells_of(df: pd.DataFrame) -> list[list[str]]:
    """The cells on one line each, row by row."""
    return [[" ".join(str(cell).split()) for cell in row] for row in df.itertuples(index=False, name=None)]


def markdown_table(df: pd.DataFrame) -> str:
    """``df`` as a GitHub Markdown table; texts left, numbers right, every special character escaped."""
    rules = [":---" if name in TEXT_COLUMNS else "---:" for name in df.columns]
    rows = [[_markdown(cell) for cell in row] for row in cells_of(df)]
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
    head, *body = [" & ".join(map(_latex, row)) + r" \\" for row in [list(df.columns), *cells_of(df)]]
    lines = [f"\\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *body]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
