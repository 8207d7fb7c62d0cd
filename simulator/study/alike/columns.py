"""Cycles and counts of many runs as one record of columns, an entry for each; and all their numbers in one order."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.counts import Counts, Traffic
from simulator.engine import STALL_CAUSES, Timing

__all__ = ["counts_form", "counts_numbers", "counts_of", "gathered", "timing_numbers", "timing_of"]


def timing_numbers(timing: Timing) -> Iterator[float]:
    """All numbers of cycles."""
    yield from (timing.total_cycles, timing.compute_cycles, timing.fill_drain_cycles)
    yield from (timing.stalls[cause] for cause in STALL_CAUSES)


def timing_of(columns: Iterator[Any]) -> Timing:
    """Cycles with a column for each of ``timing_numbers``, which are taken from the front."""
    total, compute, filling = (next(columns) for _ in range(3))
    stalls = {cause: next(columns) for cause in STALL_CAUSES}
    return Timing(total, compute, stalls, None, filling)


def counts_numbers(counts: Counts) -> Iterator[float]:
    """All numbers of counts."""
    yield from (counts.macs, counts.cycles, counts.compute_cycles)
    yield from counts.actions.values()
    for moved in (*counts.traffic.values(), *counts.otherwise.values()):
        yield from (moved.read_bits, moved.write_bits, moved.reads, moved.writes)


def counts_form(counts: Counts) -> Hashable:
    """Equal for counts of the same things in the same order, of which each is of the same type."""
    types = tuple(map(type, counts_numbers(counts)))
    return tuple(counts.actions), tuple(counts.traffic), tuple(counts.otherwise), types, counts.dram_activates is None


def counts_of(like: Counts, columns: Iterator[Any]) -> Counts:
    """Counts of the form of ``like`` with a column for each of ``counts_numbers``, which are taken from the front."""
    macs, spent, computing = (next(columns) for _ in range(3))
    actions = {action: next(columns) for action in like.actions}
    traffic, otherwise = (
        {key: Traffic(*(next(columns) for _ in range(4))) for key in moved} for moved in (like.traffic, like.otherwise)
    )
    return Counts(macs, spent, actions, traffic, computing, otherwise, like.dram_activates)


def gathered(rows: Sequence[Sequence[float]], which: NDArray[np.int64]) -> Iterator[Any]:
    """Columns of a table: of its ``which``-th rows an array, or one number where all are equal. Numbers of a column are
    all of one type.
    """
    for numbers in zip(*rows, strict=True):
        if all(number == numbers[0] for number in numbers):
            yield numbers[0]
        else:
            yield np.array(numbers)[which]
