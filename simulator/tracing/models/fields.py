"""Reading the numbers of a ``config.json``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from simulator.errors import TraceError

__all__ = ["at_most", "positive_float", "positive_int"]


def positive_int(path: Path, data: dict[str, Any], key: str, default: int | None = None) -> int:
    """The value of ``key``; ``path`` is only for messages. Raises: TraceError if it is no positive integer."""
    value = data.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise TraceError(f"{path}: {key} must be a positive integer, got {value!r}")
    return value


def positive_float(path: Path, data: dict[str, Any], key: str, default: float | None = None) -> float:
    """The value of ``key``; an integer will do. Raises: TraceError if it is no positive number."""
    value = data.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise TraceError(f"{path}: {key} must be a positive number, got {value!r}")
    return float(value)


def at_most(what: str, value: int, most: int) -> None:
    """Raises: TraceError if ``value`` exceeds what the model has."""
    if value > most:
        raise TraceError(f"{what}: {value}, the model has {most}")
