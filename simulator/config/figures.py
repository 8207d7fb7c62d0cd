"""Figures that a study asks for; without them the report chooses by what the study has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from simulator.config.load import FieldError
from simulator.config.record import Record

__all__ = ["Figures", "HeatMap"]

Column = Annotated[str, Field(min_length=1, max_length=200)]
"""A column of the results, or a swept field by its dotted path."""


class HeatMap(Record):
    """``value`` over two swept fields, the ``best`` of it over all others; a panel per design."""

    x: Column
    """The swept field along x."""
    y: Column
    """The swept field along y."""
    value: Column = "latency_s"
    """The column of the results that is drawn as colour."""
    best: Literal["min", "max"] = "min"
    """Which of the values at one place is drawn: the least or the most."""

    @model_validator(mode="after")
    def _has_two_sides(self) -> HeatMap:
        if self.x == self.y:
            raise FieldError(("y",), f"'{self.y}' is along x already; name another field")
        return self


class Figures(Record):
    """What is drawn instead of the report's own choice; a kind that is left out stays the report's, an empty one is
    not drawn.
    """

    pareto: list[Annotated[list[Column], Field(min_length=2, max_length=2)]] | None = Field(None, max_length=12)
    """Pairs of columns whose fronts are drawn, the second upwards; of accuracies, `speedup`, `peak_tops`, utilisations
    and tokens per second more is better, of all else less.
    """
    heatmaps: list[HeatMap] | None = Field(None, max_length=12)
    """Maps over two swept fields."""
    effects: list[Column] | None = Field(None, max_length=6)
    """Columns of which the effects of each swept field are drawn."""
    roofline: bool | Literal["op", "design"] | None = None
    """A dot per `op`, or per `design` at each of its points; `true`: as the report chooses."""

    @model_validator(mode="after")
    def _asks_for_each_once(self) -> Figures:
        for field in ("pareto", "heatmaps", "effects"):
            asked = getattr(self, field) or []
            for i, one in enumerate(asked):
                if one in asked[:i]:
                    raise FieldError((field, i), "is asked for twice; remove one")
        for i, (x, y) in enumerate(self.pareto or []):
            if x == y:
                raise FieldError(("pareto", i, 1), f"'{y}' is along x already; name another column")
        return self

    def columns(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Every column that is named, and where."""
        for i, pair in enumerate(self.pareto or []):
            yield from ((("pareto", i, j), name) for j, name in enumerate(pair))
        yield from ((("effects", i), name) for i, name in enumerate(self.effects or []))
        for i, heat in enumerate(self.heatmaps or []):
            yield from ((("heatmaps", i, field), getattr(heat, field)) for field in ("x", "y", "value"))
