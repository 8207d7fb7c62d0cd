"""Tiles of nested loops through the pipeline: the rules of ``pipeline``, in time that does not grow with the tiles.

All that a tile's times depend on is the state before it: when the channel and the array are free, when the latest tiles
left the array, when the places in the out scratchpad are free again. Each of these times is a maximum of earlier ones
plus a duration, so if all of them are later by d, all that follows is later by d. Once a loop has come back to a state
that it was in some iterations ago, but for such a shift, it goes on like that to its last block: those iterations are
added and not run. Two loops around it do the same. A time that is too early to be waited for is as good as any other
such time: places that were free before the array is, and a channel that is free before the next load may begin.

``spans`` (kinds, 9): cycles of load, array, first result, drain, fill and store of a tile; whether it takes a place in
the out scratchpad, whether it gives it back, and whether it loads anything. No time is negative.

The time of a tile is some nanoseconds as long as its state is in registers, so one function holds all of it.
"""

from __future__ import annotations

import numpy as np

from simulator.kernels import kernel

__all__ = ["ANY_WAITING", "END", "RAN"]

LOAD, ARRAY, FIRST_RESULT, DRAIN, FILL, STORE, OPENS, CLOSES, LOADS = range(9)
GAPS, UNLOADED, FROZEN, RESULTS_OUT, END, RAN = range(6)
"""What a run returns: see ``timing.Waits``; and how many tiles were run one by one."""
ANY_WAITING = 1 << 62
_FEW = 5  # blocks of a loop: fewer are all run
_DEEP = 16  # places: of more, states are not compared
_FIRST_MARK = 2  # iteration after which a state is kept


@kernel
def run_loops(counts, spans, latency, depth, out_depth, most_waiting):
    """Run all tiles: ``GAPS`` to ``RAN``. ``END`` is -1 where the array has to wait, or tiles hold it longer than their
    own time, for more than ``most_waiting`` in all.

    Args:
        counts: blocks of the loops, outermost first; ``spans`` has a kind for the first block of each, the last one,
            and those between.
        depth, out_depth: tiles whose operands and results there is room for.
    """
    left, oldest = np.zeros(depth, np.int64), 0  # when the latest tiles left the array, in a ring
    places, place = np.zeros(out_depth, np.int64), out_depth - 1  # when each is free again, in a ring; the one in use
    marks = np.zeros((3, 7 + depth + out_depth), np.int64)
    comparable = depth + out_depth <= _DEEP
    channel = end = gaps = unloaded = frozen = finish = ran = 0
    before = -1  # the kind of the tile whose results are next on the channel
    x_due = y_due = z_due = _FIRST_MARK
    x = y = z = first_kind = 0
    while x < counts[0]:
        if z == 0:
            first_kind = (_third(x, counts[0]) * min(counts[1], 3) + _third(y, counts[1])) * min(counts[2], 3)
        kind = first_kind + _third(z, counts[2])
        arrived = left[oldest]
        if spans[kind, LOAD] > 0:
            channel = max(arrived, channel) + spans[kind, LOAD]
            arrived = channel + latency
        if before >= 0 and spans[before, CLOSES]:
            out = end + spans[before, DRAIN]
            if spans[before, STORE] > 0:
                channel = out = max(out, channel) + spans[before, STORE]
            places[place] = out
            finish = max(finish, out)
        start = max(end, arrived + spans[kind, FILL])
        gaps += start - end
        if not spans[kind, LOADS]:
            unloaded += start - end
        end = start + spans[kind, ARRAY]
        if spans[kind, OPENS]:
            place = place + 1 if place + 1 < out_depth else 0
            late = places[place] - spans[kind, FIRST_RESULT]
            frozen += max(late - start, 0)
            end = max(end, late + spans[kind, ARRAY])
        finish = max(finish, end + spans[kind, DRAIN])
        left[oldest] = end
        oldest = oldest + 1 if oldest + 1 < depth else 0
        before = kind
        ran += 1
        if gaps + frozen > most_waiting:
            return gaps, unloaded, frozen, -1, -1, ran
        z += 1
        level = -1
        if z == z_due:
            level, at, count, z_due = 0, z, counts[2], _next_mark(z)
        if z == counts[2]:
            y, z, z_due = y + 1, 0, _FIRST_MARK
            if y == y_due:
                level, at, count, y_due = 1, y, counts[1], _next_mark(y)
            if y == counts[1]:
                x, y, y_due = x + 1, 0, _FIRST_MARK
                if x == x_due:
                    level, at, count, x_due = 2, x, counts[0], _next_mark(x)
        if level < 0 or not comparable or count < _FEW or at >= count - 1:
            continue
        channel = max(channel, left[oldest])
        for i in range(out_depth):
            places[i] = max(places[i], end)
        sums = (channel, end, gaps, unloaded, frozen, before, at)
        times, later, period = _repeated(marks, level, count, sums, left, oldest, places, place)
        if times > 0:
            gaps += times * (gaps - marks[level, 2])
            unloaded += times * (unloaded - marks[level, 3])
            frozen += times * (frozen - marks[level, 4])
            channel, end = channel + times * later, end + times * later
            if level == 0:
                z, z_due = z + times * period, 0
            elif level == 1:
                y, y_due = y + times * period, 0
            else:
                x, x_due = x + times * period, 0
        else:
            _mark(marks, level, sums, left, oldest, places, place)
    out = end + spans[before, DRAIN]
    if spans[before, STORE] > 0:
        finish = max(finish, max(out, channel) + spans[before, STORE])
    return gaps, unloaded, frozen, out, finish, ran


@kernel
def _third(block, count):
    """0 for the first block of a loop, the index of its last kind for the last one, 1 between."""
    if block == count - 1:
        return min(count, 3) - 1
    return min(block, 1)


@kernel
def _next_mark(at):
    """After which iteration the state is compared with that after ``at``: 1 later, then 2, 6, 12, 24 ..."""
    since, period = _FIRST_MARK, 1
    while since <= at:
        since += period
        period = 2 * period if period != 2 else 6
    return since


@kernel
def _mark(marks, level, sums, left, oldest, places, place):
    """Keep the state of a loop, the oldest times first."""
    for i in range(7):
        marks[level, i] = sums[i]
    for i in range(len(left)):
        marks[level, 7 + i] = left[(oldest + i) % len(left)]
    for i in range(len(places)):
        marks[level, 7 + len(left) + i] = places[(place + 1 + i) % len(places)]


@kernel
def _repeated(marks, level, count, sums, left, oldest, places, place):
    """How often the iterations since the mark repeat themselves beyond this one, by how many cycles each, and how many
    they are; the rings are then as after them. The last before the loop's last block are left to be run, so that the
    latest times of all are met.
    """
    at, later = sums[6], sums[0] - marks[level, 0]
    if at == _FIRST_MARK or sums[1] - marks[level, 1] != later or sums[5] != marks[level, 5]:
        return 0, 0, 0
    for i in range(len(left)):
        if left[(oldest + i) % len(left)] - marks[level, 7 + i] != later:
            return 0, 0, 0
    for i in range(len(places)):
        if places[(place + 1 + i) % len(places)] - marks[level, 7 + len(left) + i] != later:
            return 0, 0, 0
    period = at - marks[level, 6]
    times = (count - 1 - at) // period - 1
    for i in range(len(left)):
        left[i] += times * later if times > 0 else 0
    for i in range(len(places)):
        places[i] += times * later if times > 0 else 0
    return times, later, period
