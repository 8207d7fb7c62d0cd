"""Rows as the store holds them: names once for all rows that have the same, layers column by column and compressed."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from simulator.study.store.complaints import DamagedError

__all__ = ["checksum", "pack_layers", "pack_row", "unpack_layers", "unpack_row"]

Row = dict[str, Any]
_LEVEL = 1
"""Of zlib: 6 saves another fifth and takes thrice as long."""


def pack_row(row: Row) -> tuple[str, str]:
    """Names and values, as JSON lists."""
    return _names(tuple(row)), _text(list(row.values()))


@lru_cache
def _names(names: tuple[str, ...]) -> str:
    return _text(list(names))


def unpack_row(names: Sequence[str], values: str) -> Row:
    """The row of ``pack_row``. Raises: DamagedError."""
    try:
        return dict(zip(names, json.loads(values), strict=True))
    except ValueError as error:
        raise DamagedError(f"a row is damaged ({error})") from None


def checksum(*texts: str) -> int:
    """CRC-32 of a row: SQLite does not notice a flipped bit inside a value."""
    return zlib.crc32("\0".join(texts).encode())


def pack_layers(layers: Sequence[Row]) -> bytes | None:
    """A point's layer rows; None if there are none.

    JSON ``[kinds, which, columns]``: the distinct lists of names, which of them each row has, and per name the values
    of the rows that have it, one value alone if all are the same.
    """
    if not layers:
        return None
    kinds: dict[tuple[str, ...], int] = {}
    which = [kinds.setdefault(tuple(row), len(kinds)) for row in layers]
    columns: dict[str, list[Any]] = {name: [] for kind in kinds for name in kind}
    for row in layers:
        for name, value in row.items():
            columns[name].append(value)
    content = [list(kinds), which, {name: _column(values) for name, values in columns.items()}]
    return zlib.compress(_text(content).encode(), _LEVEL)


def unpack_layers(content: bytes | None) -> list[Row]:
    """The rows of ``pack_layers``. Raises: DamagedError."""
    if content is None:
        return []
    try:
        kinds, which, columns = json.loads(zlib.decompress(content))
        count = {name: sum(name in kinds[kind] for kind in which) for name in columns}
        values = {name: iter(_values(column, count[name])) for name, column in columns.items()}
        return [{name: next(values[name]) for name in kinds[kind]} for kind in which]
    except (ValueError, zlib.error, LookupError, TypeError, StopIteration) as error:
        raise DamagedError(f"layers of a point are damaged ({error})") from None


def _column(values: list[Any]) -> Any:
    """``[value]`` for a column of one value, ``{"all": values}`` otherwise."""
    return [values[0]] if _alike(values) else {"all": values}


def _values(column: Any, count: int) -> Iterable[Any]:
    return column["all"] if isinstance(column, dict) else column * count


def _alike(values: list[Any]) -> bool:
    """Whether all are the same scalar, to the sign of zero."""
    first = values[0]
    if not isinstance(first, str | int | float | None) or values.count(first) != len(values):
        return False
    if len(set(map(type, values))) > 1:  # True == 1 == 1.0
        return False
    return first != 0 or type(first) is not float or len({math.copysign(1, value) for value in values}) == 1


_text = json.JSONEncoder(separators=(",", ":")).encode
