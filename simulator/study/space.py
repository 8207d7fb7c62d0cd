"""The space of a sweep: every combination of its axes, counted and found by number, none of them built."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from simulator.config.sweep import Axis

__all__ = ["Choices", "Space"]

Choices = tuple[int, ...]
"""For each axis, or some of them, the place of its value on it."""


@dataclass(frozen=True)
class Space:
    """The cartesian product of axes, the last one fastest, as nested loops in the order in which axes are written."""

    axes: tuple[Axis, ...]

    @cached_property
    def size(self) -> int:
        """Combinations, however many."""
        return math.prod(map(len, self.axes))

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self.combination(index) for index in range(self.size))

    @property
    def paths(self) -> tuple[str, ...]:
        """Every field that changes, in the order of the axes."""
        return tuple(path for axis in self.axes for path in axis.paths)

    def choices(self, index: int) -> Choices:
        """For each axis the place of its value in a combination. Raises: IndexError."""
        if not 0 <= index < self.size:
            raise IndexError(f"combination {index} of {self.size}")
        return tuple(index // step % count for step, count in self._steps)

    @cached_property
    def _steps(self) -> list[tuple[int, int]]:
        """For each axis by how much its next value is further, and its values."""
        counts = list(map(len, self.axes))
        return [(math.prod(counts[axis + 1 :]), count) for axis, count in enumerate(counts)]

    @cached_property
    def values(self) -> tuple[tuple[dict[str, Any], ...], ...]:
        """For each axis what it sets at each of its places: path -> value."""
        return tuple(tuple(axis.at(place) for place in range(len(axis))) for axis in self.axes)

    def index_of(self, choices: Sequence[int]) -> int:
        """The number of the combination that takes those places of the axes: the inverse of ``choices``."""
        index = 0
        for axis, place in zip(self.axes, choices, strict=True):
            if not 0 <= place < len(axis):
                raise IndexError(f"value {place} of {len(axis)} on axis {', '.join(axis.paths)}")
            index = index * len(axis) + place
        return index

    def combination(self, index: int) -> dict[str, Any]:
        """Path -> value."""
        return self.at(self.choices(index))

    def at(self, choices: Choices) -> dict[str, Any]:
        """Path -> value at the places ``choices`` of the axes."""
        found: dict[str, Any] = {}
        for values, place in zip(self.values, choices, strict=True):
            found |= values[place]
        return found
