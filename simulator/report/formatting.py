"""Numbers for people: significant digits, one unit per column, and short names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import takewhile
from typing import Any, NamedTuple, SupportsFloat

__all__ = [
    "ABSENT",
    "BYTES",
    "ENERGY_PJ",
    "TIME_S",
    "Unit",
    "choose_unit",
    "common_start",
    "decibels",
    "elide",
    "field_text",
    "is_missing",
    "number",
    "plural",
    "verdict",
    "wrapped",
]

ABSENT = "–"


class Unit(NamedTuple):
    """A display unit and what one of it is worth in the unit of the records."""

    name: str
    worth: float


TIME_S = (Unit("s", 1.0), Unit("ms", 1e-3), Unit("µs", 1e-6), Unit("ns", 1e-9))
ENERGY_PJ = (Unit("J", 1e12), Unit("mJ", 1e9), Unit("µJ", 1e6), Unit("nJ", 1e3), Unit("pJ", 1.0))
BYTES = (Unit("GB", 1e9), Unit("MB", 1e6), Unit("kB", 1e3), Unit("B", 1.0))


def is_missing(value: Any) -> bool:
    """None, NaN or pandas' NA: a cell that holds nothing."""
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, str | int):
        return False
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, SupportsFloat) and math.isnan(float(value))


def decibels(value: Any) -> str:
    """A ratio in dB with one decimal; ∞ where there is no noise."""
    if is_missing(value):
        return ABSENT
    return "∞" if math.isinf(float(value)) else f"{float(value):.1f}"


def choose_unit(values: Iterable[float], ladder: tuple[Unit, ...]) -> Unit:
    """The largest unit in which the median of the positive ``values`` is at least 1."""
    known = sorted(v for v in values if not is_missing(v) and v > 0)
    middle = known[len(known) // 2] if known else 0.0
    return next((unit for unit in ladder if middle >= unit.worth), ladder[-1])


def number(value: Any, digits: int = 3) -> str:
    """``value`` to ``digits`` significant digits without exponents: 0.0274, 2.94, 12.3, 1,234; a dash if missing."""
    if is_missing(value):
        return ABSENT
    x = float(value)
    if math.isinf(x):
        return "∞" if x > 0 else "-∞"
    if x == 0:
        return "0"
    if abs(x) < 1e-4:
        return f"{x:.{digits - 1}e}"
    rounded = float(f"{x:.{digits}g}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{x:,.{decimals}f}"


def verdict(value: Any) -> bool | None:
    """An ``exact`` cell as yes, no or not checked."""
    if is_missing(value) or value == "":
        return None
    return str(value).lower() in {"true", "1", "1.0", "yes"}


def field_text(value: Any) -> str:
    """The value of a swept field: whole numbers without a point, a dash if missing."""
    if is_missing(value):
        return ABSENT
    return f"{value:g}" if isinstance(value, float) else str(value)


def elide(text: str, limit: int) -> str:
    """``text`` on one line, its middle cut out if it is longer than ``limit`` characters."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    head = (limit - 1) * 2 // 5
    return f"{line[:head]}…{line[len(line) - (limit - 1 - head) :]}"


def wrapped(text: str, width: int, lines: int = 2) -> str:
    """``text`` on at most ``lines`` lines of ``width`` characters, broken after a separator where there is one."""
    rest = " ".join(text.split())
    out: list[str] = []
    while len(rest) > width and len(out) < lines - 1:
        cut = max((rest.rfind(mark, 0, width) + 1 for mark in (" ", "_", "-", ".")), default=0) or width
        out.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return "\n".join([*out, elide(rest, width)])


def common_start(names: Iterable[str]) -> str:
    """The dotted start that all of several names share, ``"encoder.layer."``; empty if any would lose its last part."""
    split = [name.split(".")[:-1] for name in dict.fromkeys(names)]
    if len(split) < 2:
        return ""
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*split, strict=False))
    return "".join(f"{parts[0]}." for parts in shared)


def plural(count: int, noun: str) -> str:
    """``"1 design"``, ``"1,024 designs"``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
