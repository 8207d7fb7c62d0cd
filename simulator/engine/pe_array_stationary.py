"""The register-accurate array that holds one operand: weight-stationary, or input-stationary with operands swapped.

Rows hold K, columns hold N (``ws``) or M (``is``); the other operand streams. Each PE has a register for what it
holds, a second one that is loaded meanwhile when double-buffered, a register for the streamed operand (hops right) with
a tag (bubble or word, first of its fold), and the sum on its way down. Held words enter at the top of their column, the
one of the bottom row first, and move down a row per cycle behind a load token, a cycle later in each column. A PE takes
over the second register when the first word of the new fold arrives.

A sum enters at the top of its column with what earlier folds of the same outputs have left in the accumulators, is
worked on once in each row, and leaves through the edge register at the bottom, from which it may enter again in the
cycle in which it leaves. Nothing here knows a closed form; only when a fold enters is given from outside.

Words and sums hop without being copied, as ``pe_edges`` says, and PEs are worked on side by side as in ``pe_array``. A
sum always hops with a word: what lies beside a bubble is nobody's. Which output a sum is for travels with the step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.engine.pe_array import ArrayRun, first_register, no_work, open_gate
from simulator.engine.pe_edges import (
    DOWN,
    FROM,
    LOAD,
    PLAIN,
    RIGHT,
    TAG,
    advance,
    feed_down,
    feed_right,
    lined_up,
    make_steps,
    narrow,
    rewind,
    slack,
)
from simulator.engine.pe_held import FIRST, count_idle, held_words, load_columns, take_load, take_over
from simulator.engine.pe_state import compiled, make_state, state_of
from simulator.errors import MappingError
from simulator.kernels import njit

__all__ = ["run_stationary_array"]

_BUBBLE, _WORD = 0, 1


def run_stationary_array(
    act: NDArray[Any],
    weight: NDArray[Any],
    rows: int,
    cols: int,
    *,
    held: str,
    mac: Callable[..., Any] | None,
    period_cycles: int,
    double_buffered: bool,
    finish: Callable[..., Any] = first_register,
    constants: NDArray[Any] | None = None,
    registers: int = 1,
    state_type: type[Any] = np.int64,
    gate: Callable[..., bool] | None = None,
    gate_memory: NDArray[np.int64] | None = None,
    folds: int | None = None,
) -> ArrayRun:
    """Run a GEMM fold by fold: column blocks outermost, all of K of one before the next.

    Args:
        act, weight: operand words (M, steps) and (N, steps).
        held: ``weight`` or ``act``: which operand stays in the PEs.
        mac, finish, constants, registers, state_type: as for ``pe_array.run_os_array``; the accumulators travel.
        period_cycles: cycles between the first words of consecutive folds.
        double_buffered: whether held words are loaded beside those in use, or over them, a wavefront behind.
            If folds follow too closely, words are overwritten before their use, as they would be in hardware.
        gate, gate_memory: as for ``run_os_array``; given the words of a step of the stream (rows,) and those that its
            fold holds (columns, rows).
        folds: run only that many, from the first on; all by default. Sums are then those of the K that has run.
    Raises: MappingError if operand shapes do not fit each other or the period is shorter than the stream.
    """
    if act.ndim != 2 or weight.ndim != 2 or act.shape[1] != weight.shape[1]:
        raise MappingError(f"operands of shapes {act.shape} and {weight.shape} do not multiply along K")
    stream, kept = (act, weight) if held == "weight" else (weight, act)
    if period_cycles < len(stream):
        raise MappingError(f"a fold of {len(stream)} words cannot be issued every {period_cycles} cycles")
    words = narrow(stream), narrow(kept)
    fed = lined_up(words[0].T, rows), *held_words(words[1], rows, cols)
    blocks = -(-len(kept) // cols), -(-stream.shape[1] // rows)
    size = blocks[0] * len(stream) * cols
    bubble = {RIGHT: len(fed[0]) - rows, FROM: size, DOWN: size + cols, LOAD: -1}
    steps = make_steps(rows + cols, slack(rows, cols), bubble)
    moving, sitting = _registers(rows, cols, words, double_buffered)
    sums = make_state((slack(rows, cols) + rows) * cols, registers, state_type)
    memory = make_state(size + 2 * cols, registers, state_type)  # the last columns: zeros, and what nobody wants
    step = compiled(mac or no_work) if held == "weight" else _swapped(compiled(mac or no_work))
    gated = compiled(gate or open_gate), np.zeros(0, np.int64) if gate_memory is None else gate_memory.copy()
    run = blocks[0] * blocks[1] if folds is None else min(folds, blocks[0] * blocks[1])
    how = rows, cols, period_cycles, double_buffered, run
    cycles, frozen = (int(n) for n in _array(words, fed, how, step, *gated, steps, moving, sitting, sums, memory))
    values = np.zeros((blocks[0], len(stream), cols), np.int64 if np.issubdtype(state_type, np.integer) else np.float32)
    known = np.zeros(0) if constants is None else constants
    _finish(compiled(finish), known, memory, values[: -(-run // blocks[1])].reshape(-1))
    results = values.transpose(1, 0, 2).reshape(len(stream), -1)[:, : len(kept)]
    results = np.ascontiguousarray(results if held == "weight" else results.T)
    return ArrayRun(results, cycles, cycles * rows * cols, frozen)


def _registers(rows: int, cols: int, words: Any, double_buffered: bool) -> tuple[Any, Any]:
    """Tapes of streamed words and their tags; and the words that are held and loaded, with which of them there are."""
    hops, count = slack(rows, cols), rows * cols
    use = np.zeros(count, words[1].dtype), np.zeros(count, np.bool_)
    load = (use[0].copy(), use[1].copy()) if double_buffered else use
    return (np.zeros(hops + count, words[0].dtype), np.zeros(hops + count, np.int8)), (*use, *load)


@cache
def _swapped(mac: Callable[..., Any]) -> Callable[..., Any]:
    """``mac`` for a PE whose streamed word is the weight."""

    @njit
    def step(state, weight, act):
        mac(state, act, weight)

    return step


@njit
def _array(words, fed, how, mac, gate, registers, steps, moving, sitting, sums, memory):
    """Simulate cycle by cycle until every fold's every sum has left; returns all cycles and the frozen ones.

    Within a cycle: sums leave, words and sums hop and enter, PEs work on what they then hold, held words move.
    """
    stream, kept = words
    fed_stream, fed_kept, fed_live = fed
    word, tag = moving
    use, use_live, load, load_live = sitting
    rows, cols, period, double_buffered, folds = how
    T = stream.shape[0]
    inner = -(-stream.shape[1] // rows)
    hops = word.shape[0] - rows * cols
    total = folds * T * cols
    idle = np.full(rows, cols)  # PEs of a row that hold nothing
    place = 0, 0, -rows
    loading = 0, 0, 0
    loaded = cols  # cycles since a held word entered the first column
    at = done = cycle = frozen = 0
    while done < total:
        cycle += 1
        entering = 0 <= place[2] < T and place[0] * inner + place[1] < folds
        if entering and _held_back(gate, registers, stream, kept, place, rows, cols):
            frozen += 1
            continue
        done += _leave(steps, at, tag, sums, memory, rows, cols)
        if at == 0:
            _rewind(steps, word, tag, sums, hops, cols)
            at = hops
        at -= 1
        _take_step(steps, at, entering, place, T, rows, cols, fed_stream.shape[0] - rows, memory.shape[0] - 2 * cols)
        place = advance(place, period, inner)
        feed_right(steps, at, fed_stream, word, tag, rows, cols)
        feed_down(steps[FROM], at, memory, sums, cols)
        if steps[PLAIN, at] >= rows + cols - 1 and not idle.any():
            _multiply(mac, sums, word, use, at, at * cols, 0, rows * cols)
        else:
            _work_by_tag(mac, steps, at, word, tag, sums, use, use_live, load, load_live, double_buffered, idle)
        loaded = 0 if take_load(steps, at, loading, inner, folds, rows, cols) else loaded + 1
        loading = advance(loading, period, inner)
        if loaded < cols:
            load_columns(steps, at, fed_kept, fed_live, load, load_live, cols)
            if not double_buffered:
                count_idle(load_live, idle, 0, rows)
    return cycle, frozen


@njit
def _held_back(gate, registers, stream, kept, place, rows, cols):
    """Whether the gate does not let the word of the stream that is about to enter."""
    i, j, m = place
    down = slice(j * rows, (j + 1) * rows)
    return not gate(registers, stream[m, down], kept[i * cols : (i + 1) * cols, down], m == stream.shape[0] - 1)


@njit
def _rewind(steps, word, tag, sums, hops, cols):
    """Move all windows to the right ends of their tapes."""
    for kind in range(steps.shape[0]):
        rewind(steps[kind], hops)
    rewind(word, hops)
    rewind(tag, hops)
    rewind(sums, hops * cols)


@njit
def _take_step(steps, at, entering, place, T, rows, cols, no_word, zero):
    """Note which step enters in this cycle, where its sums come from and where they go, or that it is a bubble."""
    i, j, m = place
    tag = _BUBBLE
    steps[RIGHT, at], steps[FROM, at], steps[DOWN, at] = no_word, zero, zero + cols
    if entering:
        tag = _WORD | (FIRST if m == 0 else 0)
        steps[RIGHT, at], steps[DOWN, at] = (j * T + m) * rows, (i * T + m) * cols
        if j > 0:
            steps[FROM, at] = steps[DOWN, at]
    steps[TAG, at] = tag
    steps[PLAIN, at] = steps[PLAIN, at + 1] + 1 if tag == _WORD else 0


@njit
def _multiply(mac, sums, word, use, first_word, first_sum, begin, end):
    """One cycle of PEs that all have a product to add."""
    first_word, first_sum = np.uint64(first_word), np.uint64(first_sum)
    for i in range(np.uint64(begin), np.uint64(end)):
        mac(state_of(sums, first_sum + i), word[first_word + i], use[i])


@njit
def _work_by_tag(mac, steps, at, word, tag, sums, use, use_live, load, load_live, double_buffered, idle):
    """One cycle of all PEs, some of which have nothing to do or take over what was loaded; neighbouring rows of one
    kind at once.
    """
    rows = idle.shape[0]
    cols = use.shape[0] // rows
    r = 0
    while r < rows:
        plain = steps[PLAIN, at + r] >= cols
        easy = plain and idle[r] == 0
        end = r + 1
        while end < rows and (steps[PLAIN, at + end] >= cols) == plain and (plain and idle[end] == 0) == easy:
            end += 1
        if easy:
            _multiply(mac, sums, word, use, at, at * cols, r * cols, end * cols)
        else:
            if double_buffered and not plain:
                take_over(tag, at, use, use_live, load, load_live, r * cols, end * cols)
                count_idle(use_live, idle, r, end)
            _multiply_by_tag(mac, sums, word, tag, use, use_live, at, at * cols, r * cols, end * cols)
        r = end


@njit
def _multiply_by_tag(mac, sums, word, tag, use, use_live, first_word, first_sum, begin, end):
    """One cycle of PEs that look at their tags, and whether they hold anything."""
    first_word, first_sum = np.uint64(first_word), np.uint64(first_sum)
    for i in range(np.uint64(begin), np.uint64(end)):
        if tag[first_word + i] != _BUBBLE and use_live[i]:
            mac(state_of(sums, first_sum + i), word[first_word + i], use[i])


@njit
def _leave(steps, at, tag, sums, memory, rows, cols):
    """Take the sums that the bottom row finished in the cycle before into the accumulators; returns how many."""
    left = 0
    bottom = at + (rows - 1) * cols
    bottom_sums = (at + rows - 1) * cols
    for c in range(cols):
        memory[steps[DOWN, at + rows - 1 + c] + c] = sums[bottom_sums + c]
        left += tag[bottom + c] != _BUBBLE
    return left


@njit
def _finish(finish, constants, memory, values):
    """One number of the accumulators of each output."""
    for i in range(values.shape[0]):
        values[i] = finish(state_of(memory, i), constants)
