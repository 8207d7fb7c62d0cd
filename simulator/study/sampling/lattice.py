"""What samplers choose from: one place on each axis, without a look at what the axes mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from simulator.errors import ConfigError

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["Choice", "Lattice", "unseen"]

Choice = tuple[int, ...]

_LISTED = 1 << 20
"""Lattices up to so many points are gone through in full; larger ones are drawn from."""
_BLOCK = 1024
_RAREST = 1000
"""Draws for one that exists before it is said that hardly any does."""


@dataclass(frozen=True)
class Lattice:
    """The product of axes; ``exists`` says which of its choices are points of the study."""

    sizes: tuple[int, ...]
    exists: Callable[[Choice], bool]

    @property
    def size(self) -> int:
        """Choices, those that do not exist included."""
        return math.prod(self.sizes)

    @property
    def listed(self) -> bool:
        """Whether all of it can be gone through."""
        return self.size <= _LISTED

    def choice(self, number: int) -> Choice:
        """The choices in order, the last axis fastest."""
        places = []
        for size in reversed(self.sizes):
            number, place = divmod(number, size)
            places.append(place)
        return tuple(reversed(places))

    def existing(self) -> Iterator[Choice]:
        """Every choice that exists, in order."""
        return filter(self.exists, map(self.choice, range(self.size)))

    def has_at_most(self, points: int) -> bool:
        """Whether no more than so many choices exist."""
        return self.listed and len(list(islice(self.existing(), points + 1))) <= points


def unseen(lattice: Lattice, rng: Generator, seen: Container[Choice]) -> Iterator[Choice]:
    """Choices that exist and are not in ``seen``, in random order, none twice; the first are the same however many are
    taken.

    Raises: ConfigError if next to none of a large lattice exist.
    """
    if lattice.listed:
        order = map(lattice.choice, map(int, rng.permutation(lattice.size)))
        return (choice for choice in order if choice not in seen and lattice.exists(choice))
    return _drawn(lattice, rng, seen)


def _drawn(lattice: Lattice, rng: Generator, seen: Container[Choice]) -> Iterator[Choice]:
    given: set[Choice] = set()
    in_vain = 0
    while in_vain < _RAREST:
        for places in rng.integers(lattice.sizes, size=(_BLOCK, len(lattice.sizes))):
            choice = tuple(int(place) for place in places)
            if choice in seen or choice in given or not lattice.exists(choice):
                in_vain += 1
                continue
            in_vain = 0
            given.add(choice)
            yield choice
    raise ConfigError(f"where leaves so few of {lattice.size} points that draws do not find them; narrow the axes")
