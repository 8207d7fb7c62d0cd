"""The register-accurate output-stationary array: every register, every cycle, values included.

Each PE has an activation register (hops right), a weight register (hops down), a tag that travels with the activation
(bubble or product, first or last of its fold), accumulators, and, when double-buffered, a drain register for each. The
drain control of a column follows its last PE: once that PE is done, the column shifts down ``rows`` times, one result
every ``result_words`` cycles leaving through the edge register, where ``finish`` makes one number of its accumulators.
Nothing here knows a closed form; only when a fold enters is given from outside.

Operands hop without being copied. All of them hop in the same cycle, so it is the registers that move past the words:
the activation registers of a row are the ``cols`` words of its tape that begin at ``at``, which a hop moves one word to
the left, and the weight registers of array row r are the r-th row of a ring that begins at ``top``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from simulator.engine.pe_edges import advance, narrow, rewind, start
from simulator.engine.pe_state import compiled, make_state, state_of
from simulator.errors import MappingError

__all__ = ["ArrayRun", "first_register", "open_gate", "run_os_array"]

_BUBBLE, _PRODUCT, _FIRST, _LAST = 0, 1, 2, 4
"""Tags are sums of these flags: a fold of one step is first and last."""


@njit
def first_register(state: Any, constants: Any) -> Any:
    """The result of a PE that has one accumulator."""
    return state[0]


@njit
def open_gate(memory: Any, act: Any, weight: Any, last: Any) -> bool:
    """The gate of an array that never waits."""
    return True


@dataclass(frozen=True)
class ArrayRun:
    """What came out of the array.

    Attributes:
        values: (M, N) accumulators, int64 or float32.
        cycles: from the first operand entering to the last result leaving, both included.
        pe_cycles: register updates simulated, ``cycles * rows * cols``.
        frozen_cycles: those of the cycles in which the gate let nothing move.
    """

    values: NDArray[Any]
    cycles: int
    pe_cycles: int
    frozen_cycles: int = 0


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
    gate: Callable[..., bool] | None = None,
    gate_memory: NDArray[np.int64] | None = None,
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
        gate: numba function ``(memory, act_words, weight_words, last) -> bool`` with registers ``gate_memory`` of its
            own. In each cycle in which a step of a fold is about to enter, it is given the words of that step of all
            rows and columns, and whether the fold has no further step. While it says no, nothing in the array moves.
    Returns: results as int64, or as float32 where accumulators are floats.
    Raises: MappingError if operand shapes do not fit each other or the period is shorter than a fold's steps.
    """
    if act.ndim != 2 or weight.ndim != 2 or act.shape[1] != weight.shape[1]:
        raise MappingError(f"operands of shapes {act.shape} and {weight.shape} do not multiply along K")
    if period_cycles < act.shape[1]:
        raise MappingError(f"a fold of {act.shape[1]} steps cannot be issued every {period_cycles} cycles")
    values = np.zeros((len(act), len(weight)), np.int64 if np.issubdtype(state_type, np.integer) else np.float32)
    known = np.zeros(0) if constants is None else constants
    acc = make_state(rows, cols, registers, state_type)
    out = np.zeros_like(acc) if double_buffered else acc
    how = (period_cycles, double_buffered, result_words)
    edges = narrow(act), narrow(weight)
    unit = compiled(mac), compiled(finish), known
    gated = compiled(gate or open_gate), np.zeros(0, np.int64) if gate_memory is None else gate_memory.copy()
    cycles, frozen = (int(n) for n in _os_array(*edges, rows, cols, *unit, *gated, how, acc, out, values))
    return ArrayRun(values, cycles, cycles * rows * cols, frozen)


@njit
def _os_array(act, weight, rows, cols, mac, finish, constants, gate, memory, how, acc, out, values):
    """Simulate cycle by cycle until every fold's every result has left; returns all cycles and the frozen ones.

    Within a cycle: results leave, operands hop and enter, PEs work on what they then hold.
    """
    period, double_buffered, result_words = how
    blocks = -(-act.shape[0] // rows), -(-weight.shape[0] // cols)
    results = blocks[0] * rows * blocks[1] * cols
    width = np.uint64(cols)  # unsigned indices are not negative, which LLVM could not know
    at = width
    top = 0
    word = np.zeros((rows, 2 * cols), act.dtype)
    tag = np.zeros((rows, 2 * cols), np.int8)
    held = np.zeros((rows, cols), weight.dtype)
    special = np.full(rows, cols)  # tags of a row that are not just products
    row_edge = start(rows, 0)
    col_edge = start(cols, 0)
    cycles_left = np.zeros(cols, np.int64)  # cycles that a column still has to drain
    left_results = np.zeros(cols, np.int64)  # results that have left each column's edge register
    waiting_drains = np.zeros(cols, np.int64)  # folds whose last PE is done and whose drain has not begun
    done = 0
    cycle = frozen = 0
    while done < results:
        cycle += 1
        if _held_back(gate, memory, act, weight, row_edge[0], blocks, rows, cols):
            frozen += 1
            continue
        done += _drain(
            out, result_words, finish, constants, blocks[1], cycles_left, waiting_drains, left_results, values
        )
        if at == 0:
            at = rewind(word, tag, width)
        at -= np.uint64(1)
        _feed_acts(act, row_edge, period, blocks, at, word, tag, special)
        top = top - 1 if top > 0 else rows - 1
        _feed_weights(weight, col_edge, period, blocks, top, held)
        for r in range(rows):
            row = top + r if top + r < rows else top + r - rows
            if special[r] == 0:
                for c in range(width):
                    mac(state_of(acc, r, c), word[r, at + c], held[row, c])
            else:
                _work_by_tag(mac, acc, out, double_buffered, r, word, tag, at, held, row, waiting_drains)
    return cycle, frozen


@njit
def _held_back(gate, memory, act, weight, place, blocks, rows, cols):
    """Whether a step is about to enter and its gate does not let it."""
    i, j, k = place
    if not 0 <= k < act.shape[1] or i >= blocks[0]:
        return False
    lines = slice(i * rows, (i + 1) * rows), slice(j * cols, (j + 1) * cols)
    return not gate(memory, act[lines[0], k], weight[lines[1], k], k == act.shape[1] - 1)


@njit
def _work_by_tag(mac, acc, out, double_buffered, r, word, tag, at, held, row, waiting_drains):
    """One cycle of the PEs of array row ``r``, some of which have nothing to do, begin or end."""
    for c in range(np.uint64(held.shape[1])):
        t = tag[r, at + c]
        if t == _BUBBLE:
            continue
        if t & _FIRST:
            acc[r, c] = 0
        mac(state_of(acc, r, c), word[r, at + c], held[row, c])
        if t & _LAST:
            if double_buffered:
                out[r, c] = acc[r, c]
            if r == held.shape[0] - 1:
                waiting_drains[c] += 1


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
            values[m, n] = finish(state_of(out, rows - 1, c), constants)
        for r in range(rows - 1, position, -1):  # a row whose older results have all passed receives no more
            out[r, c] = out[r - 1, c]
        left_results[c] += 1
        left += 1
    return left


@njit
def _feed_acts(act, edge, period, blocks, at, word, tag, special):
    """Put the word that enters each row, or a bubble, into its leftmost register."""
    M, K = act.shape
    rows = edge.shape[0]
    last = at + np.uint64(word.shape[1] // 2)
    for r in range(rows):
        block, k = edge[r, 0], edge[r, 2]
        entering = _BUBBLE
        word[r, at] = 0
        if 0 <= k < K and block < blocks[0]:
            entering = _PRODUCT | (_FIRST if k == 0 else 0) | (_LAST if k == K - 1 else 0)
            m = block * rows + r
            if m < M:
                word[r, at] = act[m, k]
        special[r] += int(entering != _PRODUCT) - int(tag[r, last] != _PRODUCT)
        tag[r, at] = entering
        advance(edge, r, period, blocks[1])


@njit
def _feed_weights(weight, edge, period, blocks, top, held):
    """Put the word that enters each column into its topmost register; zero for a bubble or a column without work."""
    N, K = weight.shape
    cols = edge.shape[0]
    for c in range(cols):
        k = edge[c, 2]
        held[top, c] = 0
        if 0 <= k < K and edge[c, 0] < blocks[0]:
            n = edge[c, 1] * cols + c
            if n < N:
                held[top, c] = weight[n, k]
        advance(edge, c, period, blocks[1])
