"""The register-accurate array that holds one operand: weight-stationary, or input-stationary with operands swapped.

Rows hold K, columns hold N (``ws``) or M (``is``); the other operand streams. Each PE has a register for what it
holds, a second one that is loaded meanwhile when double-buffered, a register for the streamed operand (hops right) with
a tag (bubble or word, first of its fold), and the sum on its way down. Held words enter at the top of their column, the
one of the bottom row first, and move down a row per cycle behind a load token, a cycle later in each column. A PE takes
over the second register when the first word of the new fold arrives.

A sum enters at the top of its column with what earlier folds of the same outputs have left in the accumulators, is
worked on once in each row, and leaves through the edge register at the bottom, from which it may enter again in the
cycle in which it leaves. Nothing here knows a closed form; only when a fold enters is given from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from simulator.engine.pe_array import ArrayRun, first_register
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
) -> ArrayRun:
    """Run a GEMM fold by fold: column blocks outermost, all of K of one before the next.

    Args:
        act, weight: operand words (M, steps) and (N, steps).
        held: ``weight`` or ``act``: which operand stays in the PEs.
        mac, finish, constants, registers, state_type: as for ``pe_array.run_os_array``; the accumulators travel.
        period_cycles: cycles between the first words of consecutive folds.
        double_buffered: whether held words are loaded beside those in use, or over them, a wavefront behind.
            If folds follow too closely, words are overwritten before their use, as they would be in hardware.
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
    memory = np.zeros((len(stream), len(kept), registers), state_type)
    sums = np.zeros((rows, cols, registers), state_type)
    step = mac if held == "weight" else _swapped(mac)
    how = (period_cycles, double_buffered)
    cycles = int(_array(stream, kept, rows, cols, step, finish, known, how, sums, memory, values))
    return ArrayRun(values if held == "weight" else np.ascontiguousarray(values.T), cycles, cycles * rows * cols)


@cache
def _swapped(mac: Callable[..., Any]) -> Callable[..., Any]:
    """``mac`` for a PE whose streamed word is the weight."""

    @njit
    def step(state, weight, act):
        mac(state, act, weight)

    return step


@njit
def _array(stream, kept, rows, cols, mac, finish, constants, how, sums, memory, values):
    """Simulate cycle by cycle until every fold's every sum has left; returns the cycle count.

    Within a cycle: sums leave, words hop and meet held words, held words move. Rows are updated from the bottom up, so
    that every register sees its neighbour's value of the cycle before.
    """
    period, double_buffered = how
    T, K = stream.shape
    k_folds, col_folds = -(-K // rows), -(-kept.shape[0] // cols)
    folds = k_folds * col_folds
    word = np.zeros((rows, cols), stream.dtype)
    tag = np.zeros((rows, cols), np.int8)
    use = np.zeros((rows, cols), kept.dtype)
    use_live = np.zeros((rows, cols), np.bool_)
    load = np.zeros((rows, cols), kept.dtype) if double_buffered else use
    load_live = np.zeros((rows, cols), np.bool_) if double_buffered else use_live
    left_sums = np.zeros(cols, np.int64)
    done = 0
    cycle = 0
    while done < folds * T * cols:
        done += _leave(tag, sums, k_folds, memory, finish, constants, left_sums, values)
        for r in range(rows - 1, -1, -1):
            for c in range(cols - 1, 0, -1):
                word[r, c] = word[r, c - 1]
                tag[r, c] = tag[r, c - 1]
            _feed(r, cycle - rows - r, period, folds, k_folds, stream, word, tag)
            for c in range(cols):
                if tag[r, c] == _BUBBLE:
                    continue
                if r > 0:
                    sums[r, c] = sums[r - 1, c]
                else:
                    _enter(c, cycle - rows - c, period, k_folds, memory, sums)
                if double_buffered and tag[r, c] & _FIRST:
                    use[r, c] = load[r, c]
                    use_live[r, c] = load_live[r, c]
                if use_live[r, c]:
                    mac(sums[r, c], word[r, c], use[r, c])
        for c in range(cols):
            _load_column(c, cycle - c, period, folds, k_folds, kept, load, load_live)
        cycle += 1
    return cycle


@njit
def _feed(r, t, period, folds, k_folds, stream, word, tag):
    """Put the word of row ``r`` that enters at its local time ``t`` into the leftmost register."""
    tag[r, 0] = _BUBBLE
    if t < 0:
        return
    fold, m = divmod(t, period)
    if fold >= folds or m >= stream.shape[0]:
        return
    tag[r, 0] = _WORD | (_FIRST if m == 0 else 0)
    k = fold % k_folds * word.shape[0] + r
    if k < stream.shape[1]:
        word[r, 0] = stream[m, k]


@njit
def _enter(c, t, period, k_folds, memory, sums):
    """Put the sum that enters the top of column ``c`` at its local time ``t``: zero, or what earlier folds left."""
    fold, m = divmod(t, period)
    n = fold // k_folds * sums.shape[1] + c
    if fold % k_folds == 0 or n >= memory.shape[1]:
        sums[0, c] = 0
    else:
        sums[0, c] = memory[m, n]


@njit
def _leave(tag, sums, k_folds, memory, finish, constants, left_sums, values):
    """Take the sums that the bottom row finished in the cycle before into the accumulators; returns how many."""
    rows, cols = tag.shape
    T, columns = values.shape
    left = 0
    for c in range(cols):
        if tag[rows - 1, c] == _BUBBLE:
            continue
        fold, m = divmod(left_sums[c], T)
        n = fold // k_folds * cols + c
        if n < columns:
            memory[m, n] = sums[rows - 1, c]
            if fold % k_folds == k_folds - 1:
                values[m, n] = finish(sums[rows - 1, c], constants)
        left_sums[c] += 1
        left += 1
    return left


@njit
def _load_column(c, t, period, folds, k_folds, kept, load, live):
    """Move the held words of column ``c`` at its local time ``t``; a fold is loaded in the ``rows`` cycles before."""
    rows, cols = load.shape
    if t < 0:
        return
    fold, entered = divmod(t, period)
    if fold >= folds or entered >= rows:
        return
    for r in range(entered, 0, -1):
        load[r, c] = load[r - 1, c]
        live[r, c] = live[r - 1, c]
    k = fold % k_folds * rows + rows - 1 - entered
    n = fold // k_folds * cols + c
    live[0, c] = k < kept.shape[1] and n < kept.shape[0]
    if live[0, c]:
        load[0, c] = kept[n, k]
