"""Conditions of a study on names and values of axes, each asked once for all points that it cannot tell apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator.config.conditions import Condition
from simulator.study.held import held
from simulator.study.space import Choices, Space

__all__ = ["Conditioned", "conditioned"]

_HELD = 1 << 16


@dataclass(frozen=True)
class Conditioned:
    """A condition, and where among the places of a point's design, workload and axes is what it looks at."""

    condition: Condition
    places: tuple[int, ...]
    known: dict[Choices, bool] = field(default_factory=dict)

    def holds(self, at: Choices, values: Callable[[], Mapping[str, Any]]) -> bool:
        """Whether it is true of a point.

        Args:
            at: places of its design, of its workload, and of each axis.
            values: what it may look at, by name.
        Raises: ConfigError.
        """
        key = tuple(at[place] for place in self.places)
        if key in self.known:
            return self.known[key]
        return held(self.known, key, self.condition.holds(values()), _HELD)


def conditioned(conditions: Sequence[Condition], space: Space) -> tuple[Conditioned, ...]:
    """Conditions on ``design``, ``workload`` and the axes of a space."""
    names = [("design",), ("workload",), *(axis.paths for axis in space.axes)]
    return tuple(
        Conditioned(each, tuple(place for place, own in enumerate(names) if each.names.intersection(own)))
        for each in conditions
    )
