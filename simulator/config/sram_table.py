"""SRAM macros of a price list that are kept in a CSV file: ``table``, ``variant`` and ``node_nm`` become ``macros``."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from simulator.config.load import Source
from simulator.config.text_file import note
from simulator.errors import ConfigError, did_you_mean
from simulator.resources import shipped_dir

__all__ = ["has_node", "with_macros"]

_COUNTS = ("size_bytes", "word_bits")
_FIGURES = ("read_pj", "write_pj", "leakage_mw", "area_mm2")
_COLUMNS = ("variant", "node_nm", *_COUNTS, *_FIGURES)
_Row = tuple[int, dict[str, str]]


def has_node(source: Source, node_nm: float) -> bool:
    """Whether a cost library names a table of macros that knows that node."""
    sram = source.data.get("sram")
    if not isinstance(sram, Mapping) or "table" not in sram:
        return False
    _, rows = _table(source, sram)
    return any(row["node_nm"] == f"{node_nm:g}" for _, row in rows)


def with_macros(source: Source, node_nm: float | None = None) -> Source:
    """The document of a cost library with its macros read from the table that it names, if it names one.

    The file is looked for beside the one that names it, then among what is shipped.
    Args:
        node_nm: take those of this node and not of ``sram.node_nm``.
    Raises: ConfigError with file, line and field.
    """
    sram = source.data.get("sram")
    if not isinstance(sram, Mapping) or "table" not in sram:
        return source
    if node_nm is not None:
        sram = {**sram, "node_nm": int(node_nm) if float(node_nm).is_integer() else node_nm}
    path, rows = _table(source, sram)
    for column in ("variant", "node_nm"):
        rows = _choose(rows, column, sram.get(column), source.where(("sram", column)))
    data = {key: value for key, value in sram.items() if key != "table"}
    data["macros"] = [_macro(row, path, line) for line, row in rows]
    return replace(source, data={**source.data, "sram": data})


def _table(source: Source, sram: Mapping[str, Any]) -> tuple[Path, list[_Row]]:
    """The file that a cost library names, and its rows."""
    where = source.where(("sram", "table"))
    if "macros" in sram:
        raise ConfigError(f"{where}: macros are given too; give a table or macros, not both")
    beside = Path(source.origin(("sram", "table"))[0]).parent / str(sram["table"])
    path = beside if beside.exists() else shipped_dir("configs/cost") / str(sram["table"])
    return path, _rows(path if path.exists() else beside, where)


def _rows(path: Path, where: str) -> list[_Row]:
    """Line number and columns of each row; lines that begin with # are remarks."""
    try:
        note(path)
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{where}: cannot read {path}: {reason}") from None
    numbered = [(i, line) for i, line in enumerate(lines, start=1) if line and not line.startswith("#")]
    found = next(csv.reader(line for _, line in numbered[:1]), [])
    if tuple(found) != _COLUMNS:
        raise ConfigError(f"{path}: columns must be {','.join(_COLUMNS)}, found {','.join(found) or 'none'}")
    reader = csv.DictReader((line for _, line in numbered[1:]), fieldnames=found, restkey="more", restval="")
    return [(i, row) for (i, _), row in zip(numbered[1:], reader, strict=True)]


def _choose(rows: list[_Row], column: str, wanted: object, where: str) -> list[_Row]:
    """The rows of one variant or node. Raises: ConfigError naming those that there are."""
    known = list(dict.fromkeys(row[column] for _, row in rows))
    chosen = [(line, row) for line, row in rows if row[column] == str(wanted)]
    if not chosen:
        hint = did_you_mean(str(wanted), known) if column == "variant" else ""
        found = "nothing is chosen" if wanted is None else f"the table has no macros of {wanted}"
        raise ConfigError(f"{where}: {found}; it has {', '.join(known)}{hint}")
    return chosen


def _macro(row: Mapping[str, str], path: Path, line: int) -> dict[str, float]:
    try:
        return {c: int(row[c]) for c in _COUNTS} | {c: float(row[c]) for c in _FIGURES}
    except ValueError as error:
        raise ConfigError(f"{path}:{line}: {error}") from None
