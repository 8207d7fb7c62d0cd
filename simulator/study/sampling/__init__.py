"""Samplers: which points of a study are run, in rounds; each round may depend on what those before it found."""

from __future__ import annotations

import importlib.util
from collections.abc import Generator, Sequence

from simulator.config.search import Search
from simulator.errors import ConfigError
from simulator.study.sampling.drawn import latin_hypercube, random_points
from simulator.study.sampling.lattice import Choice, Lattice, unseen
from simulator.study.sampling.nsga2 import nsga2
from simulator.study.sampling.objectives import Judged, judge_point, mean_of

__all__ = ["Choice", "Judged", "Lattice", "judge_point", "mean_of", "require_installed", "rounds", "unseen"]

_NEEDS = {"random": (), "lhs": ("scipy",), "nsga2": ("optuna", "moocore")}


def rounds(asked: Search, lattice: Lattice, seed: int) -> Generator[list[Choice], Sequence[Judged], None]:
    """The points of a search, no more than ``asked.points`` and none twice.

    Each round is to be answered with what its points were worth, in order. The same answers give the same rounds,
    whoever runs the points. Where no more points exist than were asked for, all of them are the only round.
    """
    if lattice.has_at_most(asked.points):
        yield list(lattice.existing())
    elif asked.method == "random":
        yield random_points(lattice, asked.points, seed)
    elif asked.method == "lhs":
        yield latin_hypercube(lattice, asked.points, seed)
    else:
        yield from nsga2(lattice, asked, seed)


def require_installed(asked: Search) -> None:
    """Raises: ConfigError saying what to install."""
    if any(importlib.util.find_spec(package) is None for package in _NEEDS[asked.method]):
        raise ConfigError(f"method: {asked.method} needs the 'search' extra: pip install 'olivine[search]'")
