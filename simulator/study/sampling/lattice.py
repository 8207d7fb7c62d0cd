"""What samplers choose from: one place on each axis, without a look at what the axes mean."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["Choice", "Lattice", "unseen"]

Choice = tuple[int, ...]

_LISTED = 1 << 20
"""Lattices up to so many points are gone through in full; larger ones are drawn from."""
_TRIED = 1 << 16
"""Combinations of the axes that conditions look at which are tried one by one, a second or two."""
_BLOCK = 1024
_PATIENCE = 50_000
"""Draws in vain after which no more points are looked for, about a second: of those that exist, one in ten thousand or
fewer are then left.
"""


@dataclass(frozen=True)
class Lattice:
    """The product of axes; ``exists`` says which of its choices are points of the study.

    ``looked_at``: the axes that ``exists`` depends on; all of them if it is not known.
    """

    sizes: tuple[int, ...]
    exists: Callable[[Choice], bool]
    looked_at: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        """Choices, those that do not exist included."""
        return math.prod(self.sizes)

    @property
    def listed(self) -> bool:
        """Whether all of it can be gone through."""
        return self.size <= _LISTED

    @property
    def axes_looked_at(self) -> tuple[int, ...]:
        """Those that ``exists`` may depend on."""
        return tuple(range(len(self.sizes))) if self.looked_at is None else self.looked_at

    @cached_property
    def allowed(self) -> list[Choice] | None:
        """Of the axes that ``exists`` looks at the places together that exist; None if they are too many to try."""
        sizes = [self.sizes[axis] for axis in self.axes_looked_at]
        if math.prod(sizes) > _TRIED:
            return None
        return [places for places in itertools.product(*map(range, sizes)) if self.exists(self.placed(places))]

    def placed(self, places: Sequence[int], others: Sequence[int] | None = None) -> Choice:
        """A choice with these places on the axes that ``exists`` looks at, the first or those of another elsewhere."""
        choice = list(others or [0] * len(self.sizes))
        for axis, place in zip(self.axes_looked_at, places, strict=True):
            choice[axis] = place
        return tuple(choice)

    @property
    def count(self) -> int | None:
        """Choices that exist, of a large lattice; None if that is not known."""
        free = math.prod(size for axis, size in enumerate(self.sizes) if axis not in self.axes_looked_at)
        return None if self.allowed is None else len(self.allowed) * free

    def choice(self, number: int) -> Choice:
        """The choices in order, the last axis fastest."""
        places = []
        for size in reversed(self.sizes):
            number, place = divmod(number, size)
            places.append(place)
        return tuple(reversed(places))

    def existing(self) -> Iterator[Choice]:
        """Every choice that exists, in order."""
        if self.listed or self.allowed is None:
            return filter(self.exists, map(self.choice, range(self.size)))
        free = [(0,) if axis in self.axes_looked_at else range(size) for axis, size in enumerate(self.sizes)]
        found = (self.placed(places, others) for places in self.allowed for others in itertools.product(*free))
        return iter(sorted(found))

    def has_at_most(self, points: int) -> bool:
        """Whether no more than so many choices exist, which then can be gone through; False if that is not known."""
        if not self.listed:
            return self.count is not None and self.count <= min(points, _LISTED)
        return len(list(islice(self.existing(), points + 1))) <= points


def unseen(lattice: Lattice, rng: Generator, seen: Container[Choice]) -> Iterator[Choice]:
    """Choices that exist and are not in ``seen``, in random order, none twice; the first are the same however many are
    taken. Of a large lattice they end when draws find no more.
    """
    if lattice.listed:
        order = map(lattice.choice, map(int, rng.permutation(lattice.size)))
        return (choice for choice in order if choice not in seen and lattice.exists(choice))
    if lattice.count is not None and lattice.count <= _LISTED:
        there = list(lattice.existing())
        return (choice for i in rng.permutation(len(there)) if (choice := there[i]) not in seen)
    return _drawn(lattice, rng, seen)


def _drawn(lattice: Lattice, rng: Generator, seen: Container[Choice]) -> Iterator[Choice]:
    given: set[Choice] = set()
    in_vain = 0
    while in_vain < _PATIENCE:
        for choice in _block(lattice, rng):
            if choice in seen or choice in given or not lattice.exists(choice):
                in_vain += 1
                continue
            in_vain = 0
            given.add(choice)
            yield choice


def _block(lattice: Lattice, rng: Generator) -> Iterator[Choice]:
    """Some choices by chance, where possible only such as exist."""
    drawn = [tuple(map(int, places)) for places in rng.integers(lattice.sizes, size=(_BLOCK, len(lattice.sizes)))]
    if not lattice.looked_at or not lattice.allowed:
        return iter(drawn)
    which = rng.integers(len(lattice.allowed), size=_BLOCK)
    return (lattice.placed(lattice.allowed[i], places) for i, places in zip(which, drawn, strict=True))
