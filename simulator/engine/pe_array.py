"""The register-accurate output-stationary array: every register, every cycle, values included.

Each PE has an activation register (hops right), a weight register (hops down), a tag that travels with the activation
(bubble or product, first or last of its fold), accumulators, and, when double-buffered, a drain register for each. The
drain control of a column follows its last PE: once that PE is done, the column shifts down ``rows`` times, one result
every ``result_words`` cycles leaving through the edge register, where ``finish`` makes one number of its accumulators.
Nothing here knows a closed form; only when a fold enters is given from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from simulator.errors import MappingError

__all__ = ["ArrayRun", "first_register", "run_os_array"]

_BUBBLE, _PRODUCT, _FIRST, _LAST = 0, 1, 2, 4
"""Tags are sums of these flags: a fold of one step is first and last."""


@njit
def first_register(state: Any, constants: Any) -> Any:
    """The result of a PE that has one accumulator."""
    return state[0]


@dataclass(frozen=True)
class ArrayRun:
    """What came out of the array.

    Attributes:
        values: (M, N) accumulators, int64 or float32.
        cycles: from the first operand entering to the last result leaving, both included.
        pe_cycles: register updates simulated, ``cycles * rows * cols``.
    """

    values: NDArray[Any]
    cycles: int
    pe_cycles: int


def run_os_array(
    act: NDArray[Any],
    weight: NDArray[Any],
    rows: int,
    cols: int,
    *,
    mac: Callable[..., Any],
    period_cycles: int,
    double_buffered: bool,
    finish: Callable[..., Any] = first_register,
    constants: NDArray[Any] | None = None,
    registers: int = 1,
    state_type: type[Any] = np.int64,
    result_words: int = 1,
) -> ArrayRun:
    """Run a GEMM fold by fold, row blocks outermost.

    Args:
        act: operand words (M, steps); weight: operand words (N, steps).
        mac: numba function ``(state, act_word, weight_word)`` of one PE; changes its accumulators ``state`` in place.
        finish: numba function ``(state, constants)`` to the result that leaves the array.
        registers: accumulators of a PE, of ``state_type``; zero when a fold begins.
        result_words: cycles that a result takes per hop on its way out.
        period_cycles: cycles between the first operands of consecutive folds.
        double_buffered: whether a finished result moves to a drain register, or the accumulators themselves shift out.
            If folds follow too closely, results are overwritten, as they would be in hardware.
    Returns: results as int64, or as float32 where accumulators are floats.
    Raises: MappingError if operand shapes do not fit each other or the period is shorter than a fold's steps.
    """
    if act.ndim != 2 or weight.ndim != 2 or act.shape[1] != weight.shape[1]:
        raise MappingError(f"operands of shapes {act.shape} and {weight.shape} do not multiply along K")
    if period_cycles < act.shape[1]:
        raise MappingError(f"a fold of {act.shape[1]} steps cannot be issued every {period_cycles} cycles")
    values = np.zeros((len(act), len(weight)), np.int64 if np.issubdtype(state_type, np.integer) else np.float32)
    known = np.zeros(0) if constants is None else constants
    state = np.zeros((2, rows, cols, registers), state_type)
    how = (period_cycles, double_buffered, result_words)
    cycles = _os_array(act, weight, rows, cols, mac, finish, known, how, state, values)
    return ArrayRun(values, int(cycles), int(cycles) * rows * cols)


@njit
def _os_array(act, weight, rows, cols, mac, finish, constants, how, state, values):
    """Simulate cycle by cycle until every fold's every result has left; returns the cycle count.

    State is kept one row of PEs at a time: index [r, c]. The order of updates within a cycle is from the drain back to
    the feed, so that every register sees its neighbour's value of the cycle before.
    """
    period, double_buffered, result_words = how
    acc = state[0]
    out = state[1] if double_buffered else acc
    M, K = act.shape
    N = weight.shape[0]
    row_folds, col_folds = -(-M // rows), -(-N // cols)
    folds = row_folds * col_folds
    zero = weight.dtype.type(0)
    a_reg = np.zeros((rows, cols), act.dtype)
    w_reg = np.zeros((rows, cols), weight.dtype)
    tag = np.zeros((rows, cols), np.int8)
    cycles_left = np.zeros(cols, np.int64)  # cycles that a column still has to drain
    left_results = np.zeros(cols, np.int64)  # results that have left each column's edge register
    waiting_drains = np.zeros(cols, np.int64)  # folds whose last PE is done and whose drain has not begun
    done = 0
    cycle = 0
    while done < folds * rows * cols:
        done += _drain(
            out, result_words, finish, constants, col_folds, cycles_left, waiting_drains, left_results, values
        )
        for r in range(rows - 1, -1, -1):
            for c in range(cols - 1, 0, -1):
                a_reg[r, c] = a_reg[r, c - 1]
                tag[r, c] = tag[r, c - 1]
            _feed_row(r, cycle - r, period, folds, col_folds, K, rows, M, act, a_reg, tag)
            if r > 0:
                for c in range(cols):
                    w_reg[r, c] = w_reg[r - 1, c]
        for c in range(cols):
            w_reg[0, c] = _weight_at(c, cycle - c, period, folds, col_folds, K, cols, N, weight, zero)
        for r in range(rows):
            for c in range(cols):
                t = tag[r, c]
                if t == _BUBBLE:
                    continue
                if t & _FIRST:
                    acc[r, c] = 0
                mac(acc[r, c], a_reg[r, c], w_reg[r, c])
                if t & _LAST:
                    if double_buffered:
                        out[r, c] = acc[r, c]
                    if r == rows - 1:
                        waiting_drains[c] += 1
        cycle += 1
    return cycle


@njit
def _drain(out, result_words, finish, constants, col_folds, cycles_left, waiting_drains, left_results, values):
    """One drain cycle of every column that has one to make; returns how many results left the array."""
    rows, cols = out.shape[:2]
    M, N = values.shape
    left = 0
    for c in range(cols):
        if cycles_left[c] == 0 and waiting_drains[c] > 0:
            waiting_drains[c] -= 1
            cycles_left[c] = rows * result_words
        if cycles_left[c] == 0:
            continue
        cycles_left[c] -= 1
        if cycles_left[c] % result_words:
            continue  # the words of a result are on their way
        fold, position = divmod(left_results[c], rows)
        m = fold // col_folds * rows + rows - 1 - position
        n = fold % col_folds * cols + c
        if m < M and n < N:
            values[m, n] = finish(out[rows - 1, c], constants)
        for r in range(rows - 1, position, -1):  # a row whose older results have all passed receives no more
            out[r, c] = out[r - 1, c]
        left_results[c] += 1
        left += 1
    return left


@njit
def _feed_row(r, t, period, folds, col_folds, K, rows, M, act, a_reg, tag):
    """Put the operand of row ``r`` that enters at its local time ``t`` into the leftmost register."""
    tag[r, 0] = _BUBBLE
    a_reg[r, 0] = 0
    if t < 0:
        return
    fold, k = divmod(t, period)
    if fold >= folds or k >= K:
        return
    m = fold // col_folds * rows + r
    if m < M:
        a_reg[r, 0] = act[m, k]
    tag[r, 0] = _PRODUCT | (_FIRST if k == 0 else 0) | (_LAST if k == K - 1 else 0)


@njit
def _weight_at(c, t, period, folds, col_folds, K, cols, N, weight, zero):
    """The weight that enters column ``c`` at its local time ``t``; zero for a bubble or a column without work."""
    if t < 0:
        return zero
    fold, k = divmod(t, period)
    if fold >= folds or k >= K:
        return zero
    n = fold % col_folds * cols + c
    return weight[n, k] if n < N else zero
