"""Passes of alike points: run once for each distinct memory, and for each distinct array what they wait for it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from simulator.counts import Counts
from simulator.engine import Timing
from simulator.errors import OlivineError
from simulator.study.alike.columns import counts_numbers, counts_of, timing_numbers, timing_of
from simulator.study.alike.groups import distinct
from simulator.study.passes import PassResult, Step, run_pass, waiting_of
from simulator.study.systolic import SystolicHardware
from simulator.study.timings import scaled
from simulator.workload import Pass

__all__ = ["PassRuns"]


@dataclass(frozen=True)
class _Of:
    """A workload on a memory (or an array) of designs of one kind; equal if these are."""

    key: Hashable
    hardware: SystolicHardware = field(compare=False)
    steps: Sequence[Step] = field(compare=False)


class PassRuns:
    """The passes of a workload on many designs of one kind.

    Attributes:
        fit: which designs can run all of them; others say why when run alone.
    """

    fit: NDArray[np.bool_]

    def __init__(self, kind: Hashable, many: Sequence[SystolicHardware], steps: Sequence[Step]) -> None:
        self._kind, self._many, self._steps = kind, many, steps
        memories, self._memory_of = distinct([(h.limits, h.search_dram) for h in many])
        self._numbers = [_numbers(self._of(i, (many[i].limits, many[i].search_dram))) for i in memories]
        self.fit = np.array([numbers is not None for numbers in self._numbers])[self._memory_of]

    def _of(self, i: int, what: Hashable) -> _Of:
        return _Of((self._kind, what), self._many[i], self._steps)

    def results(self, chosen: Sequence[int], stacked: SystolicHardware) -> dict[int, PassResult]:
        """Results of some of the designs, of which all fit, by the place of the pass among the steps."""
        like = _runs(self._of(chosen[0], None))
        columns, waits = self._columns(like, chosen), self._waits(chosen)
        found = {}
        for number, (place, _, timing, counts) in enumerate(like):
            tiles = next(columns)
            timing, counts = replace(timing_of(columns), dram=timing.dram), counts_of(counts, columns)
            if waits[number].any():
                timing, counts = _prolonged(timing, counts, waits[number])
            step = cast(Pass, self._steps[place])
            found[place] = PassResult(step, tiles, timing, counts, stacked.energy(counts))
        return found

    def _columns(self, like: Sequence[_Run], chosen: Sequence[int]) -> Iterator[Any]:
        """Every number of the passes in the order in which they are taken up again, one for each design, or one for
        all; integers stay exact, being below 2^53.
        """
        memories, which = np.unique(np.array(self._memory_of)[chosen], return_inverse=True)
        each = np.array([self._numbers[memory] for memory in memories])
        table = np.ascontiguousarray(each[which].T)
        as_integers, all_alike = table.astype(np.int64), (each == each[0]).all(axis=0)
        for place, first in enumerate(_flat(like)):
            numbers = table[place] if isinstance(first, float) else as_integers[place]
            yield numbers[0].item() if all_alike[place] else numbers

    def _waits(self, chosen: Sequence[int]) -> NDArray[np.int64]:
        """(passes, designs): cycles that each fused pass adds."""
        arrays, which = distinct([(self._many[i].array.rows, self._many[i].array.cols) for i in chosen])
        each = [_waits(self._of(chosen[i], self._many[chosen[i]].array)) for i in arrays]
        return np.array(each, np.int64)[which].T


_Run = tuple[int, int, Timing, Counts]


@lru_cache(maxsize=64)
def _runs(of: _Of) -> tuple[_Run, ...]:
    """Place, tiles, cycles and counts of each pass; fused ones as if they waited for nothing. Raises: OlivineError."""
    found = []
    for place, step in enumerate(of.steps):
        if isinstance(step, Pass):
            run = run_pass(of.hardware, of.steps, place, "pipeline", waiting=0)
            counts = run.counts.times(step.count)
            found.append((place, run.tiles, scaled(run.timing, step.count), counts))
    return tuple(found)


@lru_cache(maxsize=4096)
def _numbers(of: _Of) -> NDArray[np.float64] | None:
    """All numbers of the passes on one memory; None if one of them does not fit."""
    try:
        return np.array(list(_flat(_runs.__wrapped__(of))), np.float64)
    except OlivineError:
        return None


@lru_cache(maxsize=1024)
def _waits(of: _Of) -> tuple[int, ...]:
    """Cycles that each pass, all its repetitions, adds to what it is fused with; 0 for one that is not."""
    return tuple(
        (waiting_of(of.hardware, of.steps, place) or 0) * step.count
        for place, step in enumerate(of.steps)
        if isinstance(step, Pass)
    )


def _prolonged(timing: Timing, counts: Counts, waited: Any) -> tuple[Timing, Counts]:
    """A run of one tile that holds the array for so many cycles more."""
    stalls = timing.stalls | {"stall_vector": timing.stalls["stall_vector"] + waited}
    timing = replace(timing, total_cycles=timing.total_cycles + waited, stalls=stalls)
    return timing, replace(counts, cycles=counts.cycles + waited)


def _flat(runs: Sequence[_Run]) -> Iterator[float]:
    for _, tiles, timing, counts in runs:
        yield tiles
        yield from timing_numbers(timing)
        yield from counts_numbers(counts)
