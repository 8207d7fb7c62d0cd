"""The text of a SCALE-Sim topology: which columns it has, and its rows as numbers.

What SCALE-Sim reads: a header line, whatever it says; rows split at commas, the last piece dropped. What its own files
hold besides, all of which is read here: rows without a last comma, tabs or semicolons instead of commas, a byte order
mark, CRLF, spaces, tabs before a name, rows of commas alone, titles between rows, comments, and further columns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from simulator.errors import WorkloadError, did_you_mean

__all__ = ["COLUMNS", "Row", "Table", "Topology", "complaint"]

COLUMNS = {
    "conv": ("IFMAP Height", "IFMAP Width", "Filter Height", "Filter Width", "Channels", "Num Filter", "Strides"),
    "gemm": ("M", "N", "K"),
}
"""Kind of topology -> its columns behind the layer's name, in the order in which SCALE-Sim reads them."""

MOST = 2**31 - 1
MOST_LAYERS = 100_000


@dataclass(frozen=True)
class Row:
    """One layer: its line in the file, the title above it, its name, its sizes by column, and the cells behind those by
    position.
    """

    line: int
    title: str
    layer: str
    sizes: dict[str, int]
    further: dict[int, str]

    @property
    def name(self) -> str:
        """What the layer is called here."""
        return self.title + self.layer


@dataclass(frozen=True)
class Topology:
    """A whole file.

    Attributes:
        labels: what the header calls each column, by position; 0 is the layer's name.
        notes: what was read otherwise than SCALE-Sim reads it.
        open_names: names that stand where numbers should, with a value or without.
    """

    kind: str
    rows: list[Row]
    labels: dict[int, str]
    notes: list[str]
    open_names: set[str]


def complaint(path: Path, line: int, what: str) -> WorkloadError:
    """``file:line: what``."""
    return WorkloadError(f"{path}:{line}: {what}")


class Table:
    """One pass over the lines of a file."""

    def __init__(self, path: Path, text: str, dims: Mapping[str, int]) -> None:
        self.path = path
        self.dims = dims
        self.notes: list[str] = []
        self.open_names: set[str] = set()
        self.lines = [(i, _cells(line)) for i, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1)]
        self.lines = [(i, cells) for i, cells in self.lines if any(cells)]

    def topology(self, kind: str | None) -> Topology:
        """The file's layers. Raises: WorkloadError with file, line and column."""
        if not self.lines:
            raise WorkloadError(f"{self.path}: the file is empty")
        first, _ = self.lines[0]
        header = self.header()
        found = kind or self.kind(header)
        self.require_order(first, header, COLUMNS[found])
        rows = self.rows(found)
        if not rows:
            raise WorkloadError(f"{self.path}: no layers; a row is: name, {', '.join(COLUMNS[found])}")
        return Topology(found, rows, dict(enumerate(header)), self.notes, self.open_names)

    def header(self) -> list[str]:
        """The cells of the first line; none if it is a layer, which SCALE-Sim would skip."""
        line, cells = self.lines[0]
        if len(cells) >= 4 and all(map(_is_number, cells[1:4])):
            self.notes.append(f"line {line} is a layer, not a header: it is read, SCALE-Sim skips it")
            return []
        del self.lines[0]
        if any("intraline" in _plain(cell) for cell in cells):
            raise complaint(self.path, line, "a SCALE-Sim layout, not a topology; layouts have no counterpart here")
        return cells

    def kind(self, header: list[str]) -> str:
        """``conv`` or ``gemm``, by the header's words, else by how many numbers the first layer has."""
        words = [_plain(cell) for cell in header]
        if {"m", "n", "k"} <= set(words):
            return "gemm"
        if sum("filter" in word or "ifmap" in word for word in words) >= 2:
            return "conv"
        counts = (sum(map(_is_number, cells[1:])) for _, cells in self.lines)
        return "conv" if next((count for count in counts if count), 0) >= len(COLUMNS["conv"]) else "gemm"

    def require_order(self, line: int, header: list[str], columns: tuple[str, ...]) -> None:
        """A header that has a column in another place contradicts how SCALE-Sim reads the rows."""
        given, wanted = ([_plain(name) for name in names] for names in (header[1:], columns))
        if any(name in given and name not in given[i : i + 1] for i, name in enumerate(wanted)):
            order, found = ", ".join(columns), ", ".join(header[1:])
            what = f"the header says {found}, but SCALE-Sim reads the columns as {order}; put them in that order"
            raise complaint(self.path, line, what)

    def rows(self, kind: str) -> list[Row]:
        """All layers; a title's rows have its name before their own."""
        rows: list[Row] = []
        title = ""
        for line, cells in self.lines:
            if not any(cells[1:]):
                title = self.title(line, cells[0], kind)
            elif not self.is_header(cells, kind):
                rows.append(self.row(line, title, cells, kind))
            if len(rows) > MOST_LAYERS:
                raise complaint(self.path, line, f"more than {MOST_LAYERS} layers")
        return rows

    def title(self, line: int, text: str, kind: str) -> str:
        """The name of a network between rows, as ``Alexnet,``."""
        if len(text.split()) > 1 and all(map(_is_number, text.split()[1:])):
            what = f"no commas; a row is: name, {', '.join(COLUMNS[kind])}"
            raise complaint(self.path, line, what)
        self.notes.append(f"line {line}, {text!r}, has no numbers: it is read as a title, SCALE-Sim fails")
        return f"{text}/"

    def is_header(self, cells: list[str], kind: str) -> bool:
        """Whether a line repeats the header, as in files that were put together."""
        return [_plain(c) for c in cells[1:4]] == [_plain(c) for c in COLUMNS[kind][:3]]

    def row(self, line: int, title: str, cells: list[str], kind: str) -> Row:
        """One layer."""
        columns = COLUMNS[kind]
        sizes = {}
        for i, column in enumerate(columns, start=1):
            cell = cells[i] if i < len(cells) else ""
            sizes[column] = self.number(line, column, cell)
        further = {i: cell for i, cell in enumerate(cells) if i > len(columns) and cell}
        return Row(line, title, cells[0] or f"line {line}", sizes, further)

    def number(self, line: int, column: str, text: str) -> int:
        """A cell as a whole number from 1, or as the value that was given for its name."""
        if _is_number(text):
            if not 1 <= int(text) <= MOST:
                raise complaint(self.path, line, f"{column}: must be from 1 to {MOST}, found {text}")
            return int(text)
        if re.fullmatch("[A-Za-z_][A-Za-z_0-9]{0,40}", text):
            self.open_names.add(text)
            if text in self.dims:
                return self.dims[text]
            near = did_you_mean(text, self.dims)
            give = f"give it one: olivine import --dim {text}=1, or dims: {{{text}: 1}} beside extends{near}"
            raise complaint(self.path, line, f"{column}: '{text}' is no number; {give}")
        what = f"found {text[:60]!r}, expected a whole number" if text else "missing"
        raise complaint(self.path, line, f"{column}: {what}")


def _cells(line: str) -> list[str]:
    """The cells of a line without what follows a cell that begins a comment."""
    text = line.strip()
    mark = next((m for m in (",", "\t", ";") if m in text), ",")
    cells = [cell.strip() for cell in text.split(mark)]
    comment = next((i for i, cell in enumerate(cells) if cell.startswith("#")), len(cells))
    return cells[:comment] or [""]


def _is_number(text: str) -> bool:
    return re.fullmatch("[0-9]{1,19}", text) is not None


def _plain(label: str) -> str:
    """A column's name without case, spaces, and the s of a plural."""
    return re.sub("[^a-z0-9]", "", label.lower()).rstrip("s")
