"""Tables that the page sorts, filters and pages: columns of values, and how each is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from simulator.report.formatting import ABSENT, decibels, field_text, is_missing, number

__all__ = ["MAX_WRITTEN", "Cell", "Grid", "GridColumn", "data_of", "rows_of", "text_frame", "times"]

MAX_WRITTEN = 200
"""A table of more rows is data that the page's script draws, some rows at a time; one of fewer is in the page."""
_DIGITS = 6
"""Significant digits of the values inside the page; all of them are in the files beside it."""


class GridColumn(NamedTuple):
    """A heading with its unit, how its cells are written (a key of ``WRITTEN``), its values, and whether it is shown at
    first.
    """

    name: str
    kind: str
    values: Sequence[Any]
    shown: bool = True

    @property
    def numeric(self) -> bool:
        """Does it sort as numbers?"""
        return self.kind != "text"

    @property
    def empty(self) -> bool:
        """Does it hold nothing at all?"""
        return all(is_missing(value) for value in self.values)


class Grid(NamedTuple):
    """A table: name of its element, what its rows are called, its columns, and how many rows there are in all."""

    name: str
    noun: str
    columns: list[GridColumn]
    known: int

    @property
    def height(self) -> int:
        """Rows in it."""
        return len(self.columns[0].values) if self.columns else 0

    @property
    def written(self) -> bool:
        """Are its rows in the page as text, for those without a script and for paper?"""
        return self.height <= MAX_WRITTEN


class Cell(NamedTuple):
    """What a cell says, what it sorts by (None for a text), and whether it is a number."""

    text: str
    key: float | None
    numeric: bool


def times(value: Any) -> str:
    """A ratio, ``2.00×``."""
    if is_missing(value):
        return ABSENT
    return f"{float(value):.2f}×" if 0.1 <= float(value) < 100 else f"{number(value)}×"


def _whole(value: Any) -> str:
    return ABSENT if is_missing(value) else f"{int(value):,}"


def _text(value: Any) -> str:
    return ABSENT if is_missing(value) else str(value)


WRITTEN: dict[str, Callable[[Any], str]] = {
    "text": _text,
    "number": number,
    "times": times,
    "db": decibels,
    "whole": _whole,
    "plain": field_text,
}
"""How the cells of each kind are written; ``templates/grid.js`` does the same."""


def text_frame(columns: Sequence[GridColumn]) -> pd.DataFrame:
    """Every cell as its text."""
    return pd.DataFrame({c.name: [WRITTEN[c.kind](v) for v in c.values] for c in columns}, dtype=object)


def rows_of(grid: Grid) -> list[list[Cell]]:
    """The shown cells row by row, as the page writes them."""
    columns = [
        [Cell(WRITTEN[c.kind](v), _key(v) if c.numeric else None, c.numeric) for v in c.values]
        for c in grid.columns
        if c.shown
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def _key(value: Any) -> float | None:
    return None if is_missing(value) else float(value)


def data_of(grid: Grid) -> dict[str, Any]:
    """The table as JSON can hold it: columns of values, or of few distinct values and where each of them stands."""
    return {
        "columns": [
            {"name": c.name, "kind": c.kind, "shown": c.shown} | _packed(_plains(c.values, c.numeric))
            for c in grid.columns
        ]
    }


def _packed(values: list[Any]) -> dict[str, Any]:
    places = {value: i for i, value in enumerate(dict.fromkeys(values))}
    if len(places) * 2 > len(values):
        return {"values": values}
    return {"of": list(places), "at": [places[value] for value in values]}


def _plains(values: Sequence[Any], numeric: bool) -> list[Any]:
    """``_plain`` of each value, once for equal ones where these are written the same."""
    kinds = {type(value) for value in values}
    if kinds - {int, float, str} or (len(kinds) > 1 and not numeric):
        return [_plain(value, numeric) for value in values]
    known = {value: _plain(value, numeric) for value in set(values)}
    return [known[value] for value in values]


def _plain(value: Any, numeric: bool) -> Any:
    """A text, a number, null, or the name of an infinity, for which JSON has no number."""
    if is_missing(value):
        return None
    if not numeric:
        return str(value)
    x = float(value)
    if math.isinf(x):
        return "inf" if x > 0 else "-inf"
    return int(x) if x == int(x) and abs(x) < 2**53 else float(f"{x:.{_DIGITS}g}")
