"""Points by chance, and points spread evenly over every axis."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from simulator.study.sampling.lattice import Choice, Lattice, unseen

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["latin_hypercube", "random_points"]

_REDRAWS = 20


def random_points(lattice: Lattice, points: int, seed: int) -> list[Choice]:
    """Points with equal chances, none twice. More points of the same seed begin with the same."""
    return list(islice(unseen(lattice, np.random.default_rng(seed), ()), points))


def latin_hypercube(lattice: Lattice, points: int, seed: int) -> list[Choice]:
    """Points spread so that the values of an axis have equal shares of them (McKay et al., Technometrics 21(2), 1979).

    What falls on a point that is already there, or that does not exist, is drawn again as a smaller hypercube, and at
    last by chance: shares are then only nearly equal, as they are where an axis does not divide the points.
    """
    rng = np.random.default_rng(seed)
    found: dict[Choice, None] = {}
    for _ in range(_REDRAWS):
        spread = _spread(lattice, points - len(found), rng)
        found.update((choice, None) for choice in spread if lattice.exists(choice))
        if len(found) == points:
            return list(found)
    return [*found, *islice(unseen(lattice, rng, found), points - len(found))]


def _spread(lattice: Lattice, points: int, rng: Generator) -> list[Choice]:
    from scipy.stats import qmc

    shares = qmc.LatinHypercube(len(lattice.sizes), rng=rng).random(points)  # in [0, 1)
    places = np.floor(shares * np.asarray(lattice.sizes)).astype(int)
    return [tuple(int(place) for place in row) for row in places]
