"""A figure that is drawn but not yet written, and what figures of sweeps share: scales, colours, units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from simulator.report.formatting import Unit, choose_unit, number
from simulator.report.pareto import Objective

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Drawing", "axis_label", "scale", "shown_value", "unit_of"]

_ONE = Unit("", 1.0)
_LOG_FROM = 6.0


class Drawing(NamedTuple):
    """A figure with what is said of it; ``notes``: id inside the SVG -> what a mouse resting there is told."""

    name: str
    title: str
    figure: Figure
    caption: str
    notes: dict[str, str] = {}  # noqa: RUF012


def unit_of(objective: Objective, values: pd.Series) -> Unit:
    """The unit a column is shown in; one that has none is shown as it is."""
    return choose_unit(values.dropna(), objective.units) if objective.units else _ONE


def axis_label(objective: Objective, unit: Unit) -> str:
    """Name and unit."""
    return f"{objective.name} ({unit.name})" if unit.name else objective.name


def scale(axes: Axes, which: str, values: Sequence[float], *, logs: bool = False) -> None:
    """Room at both ends, plain numbers at the ticks; logarithmic where positive values span much, or with ``logs``."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = min(values), max(values)
    side = getattr(axes, f"{which}axis")
    if low > 0 and (logs or high / low > _LOG_FROM):
        getattr(axes, f"set_{which}scale")("log")
        side.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
        side.set_minor_locator(NullLocator())
        room = (high / low) ** 0.06
        getattr(axes, f"set_{which}lim")(low / room, high * room)
    else:
        room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
        getattr(axes, f"set_{which}lim")(low - room, high + room)
    side.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.4g}"))


def shown_value(value: float, objective: Objective, unit: Unit) -> str:
    """A value with its unit, as texts have it."""
    return f"{number(value / unit.worth)} {unit.name}".strip()
