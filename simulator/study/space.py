"""The space of a sweep: every combination of its axes, counted and found by number, none of them built."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.config.sweep import Axis

__all__ = ["Space"]


@dataclass(frozen=True)
class Space:
    """The cartesian product of axes, the last one fastest, as nested loops in the order in which axes are written."""

    axes: tuple[Axis, ...]

    @property
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

    def choices(self, index: int) -> tuple[int, ...]:
        """For each axis the place of its value in a combination. Raises: IndexError."""
        if not 0 <= index < self.size:
            raise IndexError(f"combination {index} of {self.size}")
        places = []
        for axis in reversed(self.axes):
            index, place = divmod(index, len(axis))
            places.append(place)
        return tuple(reversed(places))

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
        return {
            path: value
            for axis, place in zip(self.axes, self.choices(index), strict=True)
            for path, value in axis.at(place).items()
        }
