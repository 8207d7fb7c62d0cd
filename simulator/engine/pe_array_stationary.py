"""The register-accurate array that holds one operand: weight-stationary, or input-stationary with operands swapped.

Rows hold K, columns hold N (``ws``) or M (``is``); the other operand streams. Each PE has a register for what it
holds, a second one that is loaded meanwhile when double-buffered, a register for the streamed operand (hops right) with
a tag (bubble or word, first of its fold), and the sum on its way down. Held words enter at the top of their column, the
one of the bottom row first, and move down a row per cycle behind a load token, a cycle later in each column. A PE takes
over the second register when the first word of the new fold arrives.

A sum enters at the top of its column with what earlier folds of the same outputs have left in the accumulators, is
worked on once in each row, and leaves through the edge register at the bottom, from which it may enter again in the
cycle in which it leaves. Nothing here knows a closed form; only when a fold enters is given from outside.

Words and sums hop without being copied, as in ``pe_array``: the words of a row are those of its tape from ``at`` on,
the sums of array row r the r-th row of a ring that begins at ``top``. A sum always hops with a word: what lies beside a
bubble is nobody's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from simulator.engine.pe_array import ArrayRun, first_register, open_gate
from simulator.engine.pe_edges import advance, narrow, rewind, start
from simulator.engine.pe_state import compiled, make_state, state_of
from simulator.errors import MappingError

__all__ = ["run_stationary_array"]

_BUBBLE, _WORD, _FIRST = 0, 1, 2


def run_stationary_array(
    act: NDArray[Any],
    weight: NDArray[Any],
    rows: int,
    cols: int,
    *,
    held: str,
    mac: Callable[..., Any],
    period_cycles: int,
    double_buffered: bool,
    finish: Callable[..., Any] = first_register,
    constants: NDArray[Any] | None = None,
    registers: int = 1,
    state_type: type[Any] = np.int64,
    gate: Callable[..., bool] | None = None,
    gate_memory: NDArray[np.int64] | None = None,
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
    Raises: MappingError if operand shapes do not fit each other or the period is shorter than the stream.
    """
    if act.ndim != 2 or weight.ndim != 2 or act.shape[1] != weight.shape[1]:
        raise MappingError(f"operands of shapes {act.shape} and {weight.shape} do not multiply along K")
    stream, kept = (act, weight) if held == "weight" else (weight, act)
    if period_cycles < len(stream):
        raise MappingError(f"a fold of {len(stream)} words cannot be issued every {period_cycles} cycles")
    result_type = np.int64 if np.issubdtype(state_type, np.integer) else np.float32
    values = np.zeros((len(stream), len(kept)), result_type)
    known = np.zeros(0) if constants is None else constants
    memory = make_state(len(stream), len(kept), registers, state_type)
    sums = make_state(rows, cols, registers, state_type)
    step = compiled(mac) if held == "weight" else _swapped(compiled(mac))
    how = (period_cycles, double_buffered)
    unit = step, compiled(finish), known
    gated = compiled(gate or open_gate), np.zeros(0, np.int64) if gate_memory is None else gate_memory.copy()
    sides = narrow(stream), narrow(kept), rows, cols
    cycles, frozen = (int(n) for n in _array(*sides, *unit, *gated, how, sums, memory, values))
    results = values if held == "weight" else np.ascontiguousarray(values.T)
    return ArrayRun(results, cycles, cycles * rows * cols, frozen)


@cache
def _swapped(mac: Callable[..., Any]) -> Callable[..., Any]:
    """``mac`` for a PE whose streamed word is the weight."""

    @njit
    def step(state, weight, act):
        mac(state, act, weight)

    return step


@njit
def _array(stream, kept, rows, cols, mac, finish, constants, gate, registers, how, sums, memory, values):
    """Simulate cycle by cycle until every fold's every sum has left; returns all cycles and the frozen ones.

    Within a cycle: sums leave, words and sums hop and enter, PEs work on what they then hold, held words move.
    """
    period, double_buffered = how
    T = stream.shape[0]
    blocks = -(-kept.shape[0] // cols), -(-stream.shape[1] // rows)
    total = blocks[0] * blocks[1] * T * cols
    width = np.uint64(cols)  # unsigned indices are not negative, which LLVM could not know
    at = width
    top = 0
    word = np.zeros((rows, 2 * cols), stream.dtype)
    tag = np.zeros((rows, 2 * cols), np.int8)
    special = np.full(rows, cols)  # tags of a row that are not just words
    use = np.zeros((rows, cols), kept.dtype)
    use_live = np.zeros((rows, cols), np.bool_)
    idle = np.full(rows, cols)  # PEs of a row that hold nothing
    load = np.zeros((rows, cols), kept.dtype) if double_buffered else use
    load_live = np.zeros((rows, cols), np.bool_) if double_buffered else use_live
    row_edge = start(rows, rows)
    sum_edge = start(cols, rows)
    load_edge = start(cols, 0)
    left_sums = np.zeros((cols, 3), np.int64)
    done = 0
    cycle = frozen = 0
    while done < total:
        cycle += 1
        if _held_back(gate, registers, stream, kept, row_edge[0], blocks, rows, cols):
            frozen += 1
            continue
        done += _leave(tag, at, top, sums, blocks, memory, finish, constants, left_sums, values)
        if at == 0:
            at = rewind(word, tag, width)
        at -= np.uint64(1)
        _feed(stream, row_edge, period, blocks, at, word, tag, special)
        top = top - 1 if top > 0 else rows - 1
        _enter(sum_edge, period, blocks, tag, at, top, memory, sums)
        for r in range(rows):
            row = top + r if top + r < rows else top + r - rows
            if special[r] == 0 and idle[r] == 0:
                for c in range(width):
                    mac(state_of(sums, row, c), word[r, at + c], use[r, c])
            else:
                _work_by_tag(mac, sums, row, word, tag, at, r, use, use_live, load, load_live, idle)
        _load_columns(kept, load_edge, period, blocks, load, load_live, idle, double_buffered)
    return cycle, frozen


@njit
def _held_back(gate, registers, stream, kept, place, blocks, rows, cols):
    """Whether a word of the stream is about to enter and its gate does not let it."""
    i, j, m = place
    if not 0 <= m < stream.shape[0] or i >= blocks[0]:
        return False
    down = slice(j * rows, (j + 1) * rows)
    return not gate(registers, stream[m, down], kept[i * cols : (i + 1) * cols, down], m == stream.shape[0] - 1)


@njit
def _work_by_tag(mac, sums, row, word, tag, at, r, use, use_live, load, load_live, idle):
    """One cycle of the PEs of array row ``r``, some of which have nothing to do or take over what was loaded."""
    width = np.uint64(use.shape[1])
    for c in range(width):
        t = tag[r, at + c]
        if t == _BUBBLE:
            continue
        if t & _FIRST:  # without a second register, this is the one itself
            use[r, c] = load[r, c]
            idle[r] += np.int64(use_live[r, c]) - np.int64(load_live[r, c])
            use_live[r, c] = load_live[r, c]
        if use_live[r, c]:
            mac(state_of(sums, row, c), word[r, at + c], use[r, c])


@njit
def _feed(stream, edge, period, blocks, at, word, tag, special):
    """Put the word that enters each row, or a bubble, into its leftmost register."""
    T, K = stream.shape
    rows = edge.shape[0]
    last = at + np.uint64(word.shape[1] // 2)
    for r in range(rows):
        m = edge[r, 2]
        entering = _BUBBLE
        word[r, at] = 0
        if 0 <= m < T and edge[r, 0] < blocks[0]:
            entering = _WORD | (_FIRST if m == 0 else 0)
            k = edge[r, 1] * rows + r
            if k < K:
                word[r, at] = stream[m, k]
        special[r] += int(entering != _WORD) - int(tag[r, last] != _WORD)
        tag[r, at] = entering
        advance(edge, r, period, blocks[1])


@njit
def _enter(edge, period, blocks, tag, at, top, memory, sums):
    """Put the sum that enters the top of each column beside a word: zero, or what earlier folds have left."""
    cols = edge.shape[0]
    for c in range(cols):
        if tag[0, at + np.uint64(c)] != _BUBBLE:
            n = edge[c, 0] * cols + c
            if edge[c, 1] == 0 or n >= memory.shape[1]:
                sums[top, c] = 0
            else:
                sums[top, c] = memory[edge[c, 2], n]
        advance(edge, c, period, blocks[1])


@njit
def _leave(tag, at, top, sums, blocks, memory, finish, constants, edge, values):
    """Take the sums that the bottom row finished in the cycle before into the accumulators; returns how many."""
    rows, cols = sums.shape[:2]
    T, columns = values.shape
    bottom = top - 1 if top > 0 else rows - 1
    left = 0
    for c in range(cols):
        if tag[rows - 1, at + np.uint64(c)] == _BUBBLE:
            continue
        m = edge[c, 2]
        n = edge[c, 0] * cols + c
        if n < columns:
            memory[m, n] = sums[bottom, c]
            if edge[c, 1] == blocks[1] - 1:
                values[m, n] = finish(state_of(sums, bottom, c), constants)
        advance(edge, c, T, blocks[1])
        left += 1
    return left


@njit
def _load_columns(kept, edge, period, blocks, load, live, idle, double_buffered):
    """Move the held words of each column down; a fold is loaded in the ``rows`` cycles before its stream."""
    rows, cols = load.shape
    for c in range(cols):
        entered = edge[c, 2]
        if 0 <= entered < rows and edge[c, 0] < blocks[0]:
            k = edge[c, 1] * rows + rows - 1 - entered
            n = edge[c, 0] * cols + c
            entering = k < kept.shape[1] and n < kept.shape[0]
            for r in range(entered, -1, -1):
                above = live[r - 1, c] if r > 0 else entering
                if not double_buffered:
                    idle[r] += np.int64(live[r, c]) - np.int64(above)
                live[r, c] = above
                if r > 0:
                    load[r, c] = load[r - 1, c]
                elif entering:
                    load[0, c] = kept[n, k]
        advance(edge, c, period, blocks[1])
