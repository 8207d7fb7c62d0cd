"""Sweep axes as a study writes them: lists, ranges and several fields that change together."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from simulator.config.load import Source
from simulator.config.record import Record
from simulator.config.yaml_nodes import found, shorten
from simulator.errors import ConfigError

__all__ = ["MOST_VALUES", "Axis", "Range", "axes_of"]

MOST_VALUES = 10_000
"""Of one axis: beyond it a typing error in a range is likelier than a wish."""


_WAYS = ("step", "factor", "points")
"""Of saying which values a range has."""


def _given(way: str) -> dict[str, Any]:
    """JSON Schema of a range that says it in this way."""
    return {"required": [way], "properties": {way: {"type": "number"}}}


class Range(Record):
    """Values from one number to another, both included if they are hit.

    One of three says which: ``step`` adds (8, 16, 24 ...), ``factor`` multiplies (8, 16, 32 ...), ``points`` spreads so
    many, evenly on a ``scale`` that is ``linear`` or ``log``. Whole ends give whole values, rounded if need be.
    """

    model_config = ConfigDict(validate_by_name=True, json_schema_extra={"oneOf": [_given(way) for way in _WAYS]})

    start: float | int = Field(alias="from")
    """First value."""
    to: float | int
    """No value is beyond it."""
    step: Annotated[float | int, Field(gt=0)] | None = None
    """What is added from one value to the next."""
    factor: Annotated[float | int, Field(gt=1)] | None = None
    """What one value is multiplied by to give the next."""
    points: Annotated[int, Field(ge=2, le=MOST_VALUES)] | None = None
    """How many values, both ends among them."""
    scale: Literal["linear", "log"] = "linear"
    """How `points` are spread."""


@dataclass(frozen=True)
class Axis:
    """One axis of a sweep: fields by dotted path that change together, and the values that they take together."""

    paths: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]

    def __len__(self) -> int:
        return len(self.values)

    def at(self, index: int) -> dict[str, Any]:
        """Path -> value at one place of the axis."""
        return dict(zip(self.paths, self.values[index], strict=True))


def axes_of(sweep: Mapping[str, list[Any] | Range], source: Source) -> tuple[Axis, ...]:
    """The axes of a study, in the order in which they are written.

    Args:
        sweep: dotted path, or several with commas between, -> values.
        source: the study, for complaints.
    Raises: ConfigError naming file, line and axis.
    """
    axes = tuple(_axis(key, values, source) for key, values in sweep.items())
    paths = [(path, key) for key, axis in zip(sweep, axes, strict=True) for path in axis.paths]
    for i, (path, key) in enumerate(paths):
        for other, _ in paths[:i]:
            if path == other or path.startswith(f"{other}.") or other.startswith(f"{path}."):
                what = f"is on two axes: '{other}' sets it too" if path != other else "is on two axes"
                raise ConfigError(f"{source.where(('sweep', key))}: '{path}' {what}; remove one")
    return axes


def _axis(key: str, values: list[Any] | Range, source: Source) -> Axis:
    paths = tuple(path.strip() for path in key.split(","))
    where = source.where(("sweep", key))
    if not all(all(step.strip() == step != "" for step in path.split(".")) for path in paths):
        raise ConfigError(f"{where}: {shorten(key)} is no dotted path such as array.rows, nor several with commas")
    if isinstance(values, Range):
        if len(paths) > 1:
            raise ConfigError(f"{where}: fields that change together need a list of lists, found a range")
        try:
            written: list[Any] = _numbers(values)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from None
    else:
        written = values
    _require_distinct(written, key, source)
    together = (_together(value, len(paths), source, ("sweep", key, i)) for i, value in enumerate(written))
    return Axis(paths, tuple((value,) for value in written) if len(paths) == 1 else tuple(together))


def _together(value: Any, width: int, source: Source, path: tuple[str | int, ...]) -> tuple[Any, ...]:
    """One value for each of several fields."""
    if not isinstance(value, list) or len(value) != width:
        what = f"a list of {len(value)}" if isinstance(value, list) else found(value)
        raise ConfigError(f"{source.where(path)}: expected a list of {width} values, one for each field, found {what}")
    return tuple(value)


def _require_distinct(values: Sequence[Any], key: str, source: Source) -> None:
    if not values:
        raise ConfigError(f"{source.where(('sweep', key))}: an axis needs at least one value")
    if len(values) > MOST_VALUES:
        raise ConfigError(f"{source.where(('sweep', key))}: {len(values)} values; at most {MOST_VALUES} on one axis")
    seen: set[str] = set()
    for i, value in enumerate(values):
        text = json.dumps(value, sort_keys=True)
        if text in seen:
            raise ConfigError(f"{source.where(('sweep', key, i))}: {text} is on this axis twice; remove one")
        seen.add(text)


def _numbers(asked: Range) -> list[Any]:
    """The values of a range. Raises: ValueError for one that makes no sense."""
    given = [name for name in _WAYS if getattr(asked, name) is not None]
    if len(given) != 1:
        raise ValueError(f"a range needs one of step, factor and points, found {' and '.join(given) or 'none'}")
    if not asked.start < asked.to:
        raise ValueError(f"a range goes up: from {asked.start} must be below to {asked.to}")
    if asked.start <= 0 and (asked.factor is not None or asked.scale == "log"):
        raise ValueError(f"a range by factor or on a log scale starts above 0, found {asked.start}")
    if asked.scale == "log" and asked.points is None:
        raise ValueError(f"scale: log is for points, found {given[0]}")
    if asked.points is not None:
        return _spread(asked, asked.points)
    return _stepped(asked)


def _stepped(asked: Range) -> list[Any]:
    """By step or factor, exactly in decimals: 0.1, 0.2, 0.3."""
    start, to = _exact(asked.start), _exact(asked.to)
    after: Callable[[Fraction], Fraction]
    if asked.step is not None:
        by, after = _exact(asked.step), lambda value: value + by
        if (to - start) / by >= MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES} values; take a larger step")
    else:
        assert asked.factor is not None, "a range that steps has a step or a factor"
        by, after = _exact(asked.factor), lambda value: value * by
        if math.log(to / start) / math.log(by) >= MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES} values; take a larger factor")
    whole = all(isinstance(n, int) for n in (asked.start, asked.step, asked.factor) if n is not None)
    values = list(_until(start, to, after))
    return [int(value) if whole else float(value) for value in values]


def _until(start: Fraction, to: Fraction, after: Callable[[Fraction], Fraction]) -> Iterator[Fraction]:
    value = start
    while value <= to:
        yield value
        value = after(value)


def _rounded(value: float) -> float:
    """To twelve digits, so that 8 between 4 and 16 is 8 and conditions meet it."""
    return float(f"{value:.12g}")


def _spread(asked: Range, points: int) -> list[Any]:
    """So many values, both ends exact. Raises: ValueError if two round to the same whole number."""
    start, to = _exact(asked.start), _exact(asked.to)
    shares = [Fraction(i, points - 1) for i in range(points)]
    if asked.scale == "log":
        ratio = math.log(asked.to / asked.start)
        inner = [_rounded(asked.start * math.exp(ratio * float(share))) for share in shares[1:-1]]
    else:
        inner = [_rounded(float(start + (to - start) * share)) for share in shares[1:-1]]
    if not (isinstance(asked.start, int) and isinstance(asked.to, int)):
        return [float(asked.start), *inner, float(asked.to)]
    whole = [asked.start, *map(round, inner), asked.to]
    twice = next((value for i, value in enumerate(whole) if value in whole[:i]), None)
    if twice is not None:
        raise ValueError(f"{points} points round to {twice} twice; take fewer points, or decimal ends such as 8.0")
    return whole


def _exact(number: float) -> Fraction:
    """The decimal that a number prints as."""
    return Fraction(repr(number))
