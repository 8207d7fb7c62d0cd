"""Cycles that a blocking takes at least, whatever the pipeline does: what the compiled search leaves out others by."""

from __future__ import annotations

from math import floor
from typing import NamedTuple

from simulator.engine.rates import transfer_cycles
from simulator.kernels import kernel
from simulator.mapping.blocks import OS, WS, compute_cycles, issue_cycles, load_bytes
from simulator.mapping.closed_forms import held_phases, os_phases
from simulator.mapping.loop_orders import traffic_bits

__all__ = ["Channel"]


class Channel(NamedTuple):
    """Ideal DRAM, and how many tiles the scratchpads hold at a time."""

    bytes_per_cycle: float
    read_bytes_per_cycle: float
    burst_bytes: int
    latency: int
    depth: int
    out_depth: int


@kernel
def after_load(case, channel, m, n):
    """Cycles at least from when the first tile is there, whatever the order: the array, the last tile's store."""
    outputs = ((case.M - 1) % m + 1) * ((case.N - 1) % n + 1)
    stored = transfer_cycles(-(-outputs * case.output // 8), channel.burst_bytes, channel.bytes_per_cycle)
    return compute_cycles(case, m, n) + stored


@kernel
def first_load(channel, act_bits, weight_bits):
    """Cycles until a first tile of so many bits is there."""
    loaded = -(-act_bits // 8) - (-weight_bits // 8)
    first = transfer_cycles(loaded, channel.burst_bytes, channel.read_bytes_per_cycle)
    return first + channel.latency * (first > 0)


class Step(NamedTuple):
    """A block, not the last one along any dimension, and what it takes.

    Attributes:
        sizes: along m, n, k.
        act_bytes, weight_bytes, sum_bytes: of its operands and its unfinished sums in DRAM.
        fill: cycles until the array may begin with a held operand that is there.
        issue: cycles that it holds the array.
        leaves: cycles from when it has left the array until its results are written, finished or not.
    """

    sizes: tuple[int, int, int]
    act_bytes: int
    weight_bytes: int
    sum_bytes: int
    fill: int
    issue: int
    leaves: int


@kernel
def step_of(case, channel, sizes):
    """See ``Step``."""
    m, n, k = sizes
    if case.dataflow == OS:
        fill, (_, drain, _) = 0, os_phases(case.K * case.steps, case.rows, case.cols, case.overlap, case.words)
        drain = drain if k == case.K else 0
    else:
        _, drain, fill = held_phases(m if case.dataflow == WS else n, case.rows, case.cols, case.overlap)
    stored = -(-m * n * min(case.output, case.sums) // 8)
    return Step(
        sizes,
        load_bytes(m, k, case.act_values, case.act_dram_bits),
        load_bytes(n, k, case.weight_values, case.weight_dram_bits),
        -(-m * n * case.sums // 8),
        fill,
        issue_cycles(case, m, n, k, k == case.K),
        max(drain, 0) + transfer_cycles(stored, channel.burst_bytes, channel.bytes_per_cycle),
    )


@kernel
def _arrives(case, channel, step, moved, with_sums):
    """Cycles in which such a block is loaded, and then until the array may begin with it: of its operands and
    unfinished sums what depends on the dimensions ``moved``.
    """
    loaded = step.act_bytes if moved[0] or moved[2] else 0
    loaded += step.weight_bytes if moved[1] or moved[2] else 0
    loaded += step.sum_bytes if with_sums and (moved[0] or moved[1]) else 0
    load = transfer_cycles(loaded, channel.burst_bytes, channel.read_bytes_per_cycle)
    held = moved[2] or moved[1 if case.dataflow == WS else 0]
    return load, channel.latency * (load > 0) + (step.fill if held else 0)


@kernel
def waiting(case, channel, step, counts, order):
    """Cycles, beyond ``around``, for which the array waits at least between tiles.

    With room for two tiles, tile i - 1 leaves the array, then its results are written, then tile i + 1 is loaded. What
    that takes, less the cycles of tile i, is waited for before one of the two. At every step of an outer loop, and at
    every other one of the innermost, these are different tiles; steps to blocks cut short are left out. Tile 1 also
    waits for the first two loads.
    """
    shown = 3
    while shown > 0 and counts[order[shown - 1]] == 1:
        shown -= 1
    if shown == 0:
        return 0
    innermost, deep = order[shown - 1], channel.depth > 1
    sizes, hidden = step.sizes, step.issue if deep else 0
    out = step.leaves if deep and innermost != 2 else 0
    waits, times, later_k = 0, 1, 0
    for loop in range(shown):
        dim = order[loop]
        moved = _moved(order, loop, shown)
        whole = _whole(case, sizes, counts, dim)
        steps = max(counts[dim] - 2, 0) // 2 if loop == shown - 1 and deep else whole - 1
        load, after = _arrives(case, channel, step, moved, dim == 2)
        waits += times * steps * max(out + load + after - hidden, 0)
        if later_k > 0:
            load, after = _arrives(case, channel, step, moved, True)
            waits += later_k * steps * max(out + load + after - hidden, 0)
        if dim == 2:
            later_k = times * max(whole - 1, 0)
            times *= min(whole, 1)
        else:
            later_k *= whole
            times *= whole
    if deep:
        waits = max(waits, _second(case, channel, step, innermost) - step.issue)
    if deep and innermost == 2 and shown > 1:
        waits = max(waits, _after_results(case, channel, step, counts, order, shown))
    return waits


@kernel
def _after_results(case, channel, step, counts, order, shown):
    """As ``waiting``, where K is the innermost loop: when its last tile has left the array, the results are written
    before the second tile of the next ones is loaded, while the first one runs.
    """
    if counts[2] < 3:
        return 0
    load, after = _arrives(case, channel, step, (False, False, True), False)
    sizes, times = step.sizes, 1
    for loop in range(shown - 1):
        whole = _whole(case, sizes, counts, order[loop])
        times *= whole - 1 if loop == shown - 2 else whole
    inner = max(counts[2] - 3, 0) // 2 * (times + 1) * max(load + after - step.issue, 0)
    return inner + times * max(step.leaves + load + after - step.issue, 0)


@kernel
def _second(case, channel, step, dim):
    """Cycles from when the first tile may begin until the second may, but for its cycles: it is loaded after it."""
    m, n, k = step.sizes
    _, first = _arrives(case, channel, step, (True, True, True), False)
    if _length(case, dim) < 2 * step.sizes[dim]:
        m, n, k = case.M - m if dim == 0 else m, case.N - n if dim == 1 else n, case.K - k if dim == 2 else k
        step = step_of(case, channel, (m, n, k))
    load, after = _arrives(case, channel, step, (dim == 0, dim == 1, dim == 2), False)
    return load + after - first


@kernel
def _moved(order, loop, shown):
    """Which of m, n, k a step of a loop changes: its own dimension, and those of the loops inside."""
    m = n = k = False
    for inner in range(loop, shown):
        m, n, k = m or order[inner] == 0, n or order[inner] == 1, k or order[inner] == 2
    return m, n, k


@kernel
def _whole(case, sizes, counts, dim):
    """Blocks along a dimension that are not cut short."""
    return counts[dim] - (counts[dim] * sizes[dim] != _length(case, dim))


@kernel
def _length(case, dim):
    """M, N or K."""
    return case.M if dim == 0 else (case.N if dim == 1 else case.K)


@kernel
def whole_bits(case):
    """Bits of the operands in DRAM."""
    act = case.M * (-(-case.K // case.act_values) * case.act_dram_bits)
    return act, case.N * (-(-case.K // case.weight_values) * case.weight_dram_bits)


@kernel
def moving(case, channel, whole, counts, last):
    """Traffic, and the cycles that moving it takes at least; ``last``: see ``traffic_bits``."""
    read, write = traffic_bits(whole[0], whole[1], case.M * case.N, case.output, case.sums, counts, last)
    cycles = read / (8 * channel.read_bytes_per_cycle) + write / (8 * channel.bytes_per_cycle)
    rounding = 1e-12 * cycles + 4e-9 * counts[0] * counts[1] * counts[2]
    return read + write, floor(cycles - rounding)
