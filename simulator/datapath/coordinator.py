"""GOBO-style outlier coordinator: one lock-step lane, one outlier unit behind a FIFO (contract, section 3).

``P`` PEs advance together; coordinate ``g`` belongs to step ``g // P``. Each cycle, in this order:

1. serve: if the unit is free, it pops the oldest entry pushed in an earlier cycle and is busy for ``S`` cycles;
2. push: ``min(outliers of this step not yet pushed, W, D - occupancy after this cycle's pop)`` enter the FIFO, lowest
   coordinate first;
3. the step retires if none of its outliers is left, else the lane stalls this cycle.

Pure functions: this module registers no datapath. The published accelerator's coordinator is not public; the rule is
this project's own.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.errors import DatapathError
from simulator.kernels import njit

__all__ = ["Schedule", "coordinator_batch", "coordinator_cycles", "coordinator_schedule"]

_LIMIT = 1 << 62
"""Cycle counts stay below this, so that int64 sums cannot wrap."""


class Schedule(NamedTuple):
    """What ``coordinator_schedule`` found.

    Attributes:
        counts: as ``coordinator_cycles`` returns them.
        pushed, served: cycles in which each outlier entered the FIFO and left it for the unit, by ascending coordinate.
    """

    counts: dict[str, int]
    pushed: list[int]
    served: list[int]


def coordinator_cycles(positions: ArrayLike, length: int, P: int, D: int, S: int, W: int) -> dict[str, int]:
    """Cycles of one lane over ``length`` coordinates; cost grows with the outliers, not with ``length``.

    Args:
        positions: ascending outlier coordinates, each in [0, length).
        length: coordinates [count].
        P: PEs in the lane [count].
        D: depth of the FIFO [entries].
        S: cycles that the unit takes for one outlier.
        W: outliers that can enter the FIFO in one cycle.
    Returns: ``steps``; ``stall_cycles`` = lane_cycles - steps; ``lane_cycles`` = 1 + the cycle in which the last step
        retires; ``total_cycles`` = max(lane_cycles, 1 + last busy cycle of the unit).
    Raises: DatapathError for arguments that make no sense.
    Source: contract, section 3; equal to ``coordinator_schedule`` (tests/test_coordinator.py).
    """
    checked = _checked(positions, length, P, D, S, W)
    lane, total = _jump(checked, *(int(n) for n in (length, P, D, S, W)))
    return _report(int(length), int(P), int(lane), int(total))


def coordinator_batch(
    positions: ArrayLike, first: ArrayLike, length: int, P: int, D: int, S: int, W: int
) -> dict[str, NDArray[np.int64]]:
    """``coordinator_cycles`` of many lanes of one length, one after another, each from an empty FIFO.

    Args:
        positions: ascending outlier coordinates of lane 0, of lane 1 ...
        first: where in ``positions`` each lane begins, and ``len(positions)`` at the end, shape (lanes + 1,).
    Returns: the same names, int64 of shape (lanes,).
    Raises: DatapathError for arguments that make no sense.
    Source: equal to ``coordinator_cycles`` lane by lane (tests/test_coordinator.py).
    """
    bounds = _checked_bounds(first, np.size(positions))
    checked = _checked(positions, length, P, D, S, W, bounds)
    lane, total = _jump_each(checked, bounds, *(int(n) for n in (length, P, D, S, W)))
    steps = np.full(len(lane), -(-int(length) // int(P)))
    return {"steps": steps, "stall_cycles": lane - steps, "lane_cycles": lane, "total_cycles": total}


def coordinator_schedule(positions: ArrayLike, length: int, P: int, D: int, S: int, W: int) -> Schedule:
    """``coordinator_cycles``, one cycle after the other, and when each outlier moved: the readable reference."""
    ordered = [int(g) for g in _checked(positions, length, P, D, S, W)]
    length, P, D, S, W = int(length), int(P), int(D), int(S), int(W)
    steps = -(-length // P)
    fifo: deque[int] = deque()  # positions in ``ordered``, oldest first
    pushed: list[int] = []
    served: list[int] = []
    cycle = step = lane_cycles = free_at = 0
    while step < steps or fifo:
        if fifo and free_at <= cycle and pushed[fifo[0]] < cycle:
            fifo.popleft()
            served.append(cycle)
            free_at = cycle + S
        if step < steps:
            waiting = [i for i in range(len(pushed), len(ordered)) if ordered[i] // P == step]
            for i in waiting[: min(W, D - len(fifo))]:
                fifo.append(i)
                pushed.append(cycle)
            if not waiting or waiting[-1] < len(pushed):
                step += 1
                lane_cycles = cycle + 1
        cycle += 1
    return Schedule(_report(length, P, lane_cycles, max(lane_cycles, free_at)), pushed, served)


@njit(cache=True)
def _jump(positions, length, P, D, S, W):
    """(lane_cycles, total_cycles), jumping over cycles in which nothing enters the FIFO.

    Whatever waits in the FIFO at the start of a cycle was pushed earlier, so only occupancy counts. ``free_at`` is the
    first cycle in which the unit can pop; ``cycle`` is the one in which the current step starts.
    """
    cycle, step, occupancy, free_at = 0, 0, 0, 0
    first = 0
    while first < positions.size:
        target = positions[first] // P
        last = first
        while last < positions.size and positions[last] // P == target:
            last += 1
        idle_until = cycle + target - step  # steps without outliers take one cycle each
        start = max(free_at, cycle)
        if occupancy > 0 and start < idle_until:
            pops = min(occupancy, (idle_until - start + S - 1) // S)
            occupancy -= pops
            free_at = start + pops * S
        cycle, step = idle_until, target
        left = last - first
        while True:
            if occupancy > 0 and free_at <= cycle:
                occupancy -= 1
                free_at = cycle + S
            entered = min(left, W, D - occupancy)
            occupancy += entered
            left -= entered
            cycle += 1
            if left == 0:
                break
            if occupancy == D:  # nothing can enter before the next pop
                cycle = max(cycle, free_at)
        step += 1
        first = last
    lane = cycle + (length + P - 1) // P - step
    if occupancy > 0:
        free_at = max(free_at, cycle) + occupancy * S
    return lane, max(lane, free_at)


@njit(cache=True)
def _jump_each(positions, first, length, P, D, S, W):
    """``_jump`` of each lane."""
    lane, total = np.empty((2, first.size - 1), np.int64)
    for i in range(lane.size):
        lane[i], total[i] = _jump(positions[first[i] : first[i + 1]], length, P, D, S, W)
    return lane, total


def _report(length: int, P: int, lane_cycles: int, total_cycles: int) -> dict[str, int]:
    steps = -(-length // P)
    return {
        "steps": steps,
        "stall_cycles": lane_cycles - steps,
        "lane_cycles": lane_cycles,
        "total_cycles": total_cycles,
    }


def _checked_bounds(first: ArrayLike, outliers: int) -> NDArray[np.int64]:
    """Where lanes begin and end, as int64 if they cover all outliers."""
    bounds = np.asarray(first)
    fits = bounds.ndim == 1 and bounds.size > 0 and bounds.dtype.kind in "iu"
    if not fits or bounds[0] != 0 or bounds[-1] != outliers or (bounds[1:] < bounds[:-1]).any():
        raise DatapathError(f"coordinator: first must be integers that ascend from 0 to {outliers}")
    return bounds.astype(np.int64)


def _checked(
    positions: ArrayLike, length: int, P: int, D: int, S: int, W: int, bounds: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Positions as int64 if all arguments make sense; they may start again where a lane begins."""
    for name, value in {"length": length, "P": P, "D": D, "S": S, "W": W}.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value < _LIMIT:
            raise DatapathError(f"coordinator: {name} must be a positive integer below 2^62, got {value!r}")
    given = np.asarray(positions)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise DatapathError(
            f"coordinator: positions must be integers in one dimension, got {given.dtype} of shape {given.shape}"
        )
    outside = (given < 0) | (given >= length)
    if outside.any():
        bad = given[np.argmax(outside)]
        raise DatapathError(f"coordinator: position {bad} is outside [0, {length})")
    ordered = given.astype(np.int64)
    wrong = np.diff(ordered, prepend=-1) <= 0
    if bounds is not None:
        wrong[bounds[bounds < len(ordered)]] = False
    if wrong.any():
        at = int(np.argmax(wrong))
        raise DatapathError(
            f"coordinator: positions must ascend without duplicates; "
            f"position {ordered[at]} follows {ordered[at - 1]} at index {at}"
        )
    if int(length) + len(ordered) * int(S) >= _LIMIT:
        raise DatapathError(f"coordinator: {len(ordered)} outliers of {S} cycles each do not fit 64-bit cycle counts")
    return ordered
