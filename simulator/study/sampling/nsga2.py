"""NSGA-II (Deb et al., IEEE Trans. Evol. Comput. 6(2), 2002) by Optuna: generations bred from the best so far."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.config.search import Search
from simulator.study.sampling.lattice import Choice, Lattice, unseen
from simulator.study.sampling.objectives import Judged

if TYPE_CHECKING:
    import optuna

__all__ = ["nsga2"]

_MUTATED = 0.25
"""Axes of a child that are drawn anew, on average. Children without any are mostly known and thrown away, so that those
which are run have more; one axis of every child, as is usual, found less at almost every budget (docs/search.md).
"""
_ASKS = 50
"""Children in a row that are known already before points are drawn by chance instead."""


def nsga2(lattice: Lattice, asked: Search, seed: int) -> Generator[list[Choice], Sequence[Judged], None]:
    """Rounds of new points; is sent what each was worth, in order.

    A child that was met before is thrown away and counts for nothing, so that a generation has only new points. Where
    points fail, as many more are proposed as a generation needs by what share of them failed so far.
    """
    population = _Population(lattice, asked, seed)
    tried = alive = 0
    missing = asked.generation
    while tried < asked.points:
        share = (alive + 1) / (tried + 1)
        proposed = population.ask(min(math.ceil(missing / share), 2 * asked.generation, asked.points - tried))
        if not proposed:
            return
        with_values = population.tell((yield proposed))
        tried, alive = tried + len(proposed), alive + with_values
        missing = missing - with_values if missing > with_values else asked.generation


class _Population:
    """Optuna's study of a search: what was met, and which trials wait for their values."""

    def __init__(self, lattice: Lattice, asked: Search, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it reports every failed trial
        varied = sum(size > 1 for size in lattice.sizes)
        sampler = optuna.samplers.NSGAIISampler(
            population_size=asked.generation,
            crossover_prob=asked.crossover,
            mutation_prob=_MUTATED / max(1, varied) if asked.mutation is None else asked.mutation,
            seed=seed,
        )
        way = optuna.study.StudyDirection
        directions = [way.MAXIMIZE if target.maximise else way.MINIMIZE for target in asked.targets]
        self.study = optuna.create_study(directions=directions, sampler=sampler)
        self.worst = [-math.inf if target.maximise else math.inf for target in asked.targets]
        self.lattice = lattice
        self.axes: dict[str, optuna.distributions.BaseDistribution] = {
            str(i): optuna.distributions.CategoricalDistribution(range(size))
            for i, size in enumerate(lattice.sizes)
            if size > 1
        }
        self.seen: set[Choice] = set()
        self.waiting: list[optuna.Trial] = []
        self.others = unseen(lattice, np.random.default_rng(seed), self.seen)

    def ask(self, count: int) -> list[Choice]:
        """New points, ``count`` unless there are no more."""
        proposed: list[Choice] = []
        in_vain = 0
        while len(proposed) < count:
            if in_vain == _ASKS and not self._enqueue_any():
                break
            trial = self.study.ask(self.axes)
            choice = tuple(trial.params.get(str(i), 0) for i in range(len(self.lattice.sizes)))
            if choice in self.seen or not self.lattice.exists(choice):
                self._fail(trial)
                in_vain += 1
                continue
            in_vain = 0
            self.seen.add(choice)
            self.waiting.append(trial)
            proposed.append(choice)
        return proposed

    def tell(self, judged: Sequence[Judged]) -> int:
        """What the points of the last ``ask`` were worth; how many of them have values."""
        waiting, self.waiting = self.waiting, []
        for trial, one in zip(waiting, judged, strict=True):
            for name, excess in one.excess.items():
                trial.set_constraint(name, excess)
            values = self.worst if one.values is None and one.violates else one.values
            if values is None:
                self._fail(trial)
            else:
                self.study.tell(trial, values)
        return sum(one.values is not None or one.violates for one in judged)

    def _enqueue_any(self) -> bool:
        """Have the next trial be a point drawn by chance that is new; False if there is none."""
        for choice in islice(self.others, 1):
            self.study.enqueue_trial({name: choice[int(name)] for name in self.axes})
            return True
        return False

    def _fail(self, trial: Any) -> None:
        import optuna

        self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
