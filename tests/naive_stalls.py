"""The dumbest correct OLAccel array: values and sums of one output, cycles step by step. Nothing of the simulator."""

from __future__ import annotations


def fullest(marks, group):
    """Outliers in the fullest group of a list of marks, one per line of a fold."""
    return max(sum(marks[first : first + group]) for first in range(0, len(marks), group))


def fold_cycles(act, weight, steps, group):
    """Cycles of one fold's steps: marks of its rows and of its columns, (line, K)."""
    cycles = 0
    for k in steps:
        waits = [fullest([line[k] for line in lines], group) - 1 for lines in (act, weight)]
        cycles += 1 + max(0, *waits)
    return cycles


def tile_stalls(act, weight, tile, rows, cols, group):
    """Cycles beyond one per step of all folds of a tile (m0, m, n0, n, k0, k)."""
    m0, m, n0, n, k0, k = tile
    steps = range(k0, k0 + k)
    stalls = 0
    for row in range(m0, m0 + m, rows):
        for column in range(n0, n0 + n, cols):
            used = act[row : min(row + rows, m0 + m)], weight[column : min(column + cols, n0 + n)]
            stalls += fold_cycles(*used, steps, group) - k
    return stalls


def marked(marks, first, lines, k0, k):
    """Outliers within some lines and steps."""
    return sum(sum(line[k0 : k0 + k]) for line in marks[first : first + lines])


def sums(act, weight):
    """(dense, lane, high-precision MAC) of one output from values and marks [(value, is outlier)] along K."""
    dense = lane = precise = 0
    for (a, a_out), (w, w_out) in zip(act, weight, strict=True):
        if a_out:
            precise += a * w
        elif w_out:
            lane += a * w
        else:
            dense += a * w
    return dense, lane, precise
