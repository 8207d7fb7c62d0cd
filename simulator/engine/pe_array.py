"""The register-accurate output-stationary array: every register, every cycle, values included.

Each PE has an activation register (hops right), a weight register (hops down), a tag that travels with the activation
(bubble or product, first or last of its fold), accumulators, and, when double-buffered, a drain register for each. The
drain control of a column follows its last PE: once that PE is done, the column shifts down ``rows`` times, one result
every ``result_words`` cycles leaving through the edge register, where ``finish`` makes one number of its accumulators.
Nothing here knows a closed form; only when a fold enters is given from outside.

Registers of all PEs are one vector, row after row, so that PEs are worked on side by side, across rows too; operands
hop as ``pe_edges`` says. Rows in which each PE has just a product to add are told from those where a fold begins or
ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.engine.pe_drain import WAITING, drain, make_drains, outputs
from simulator.engine.pe_edges import (
    DOWN,
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
from simulator.engine.pe_state import compiled, make_state, state_of
from simulator.errors import MappingError
from simulator.kernels import njit

__all__ = ["ArrayRun", "first_register", "no_work", "open_gate", "run_os_array"]

_BUBBLE, _PRODUCT, _FIRST, _LAST = 0, 1, 2, 4
"""Tags are sums of these flags: a fold of one step is first and last."""


@njit
def first_register(state: Any, constants: Any) -> Any:
    """The result of a PE that has one accumulator."""
    return state[0]


@njit
def no_work(state: Any, act: Any, weight: Any) -> None:
    """What a PE does with its operands where only cycles are asked for."""


@njit
def open_gate(memory: Any, act: Any, weight: Any, last: Any) -> bool:
    """The gate of an array that never waits."""
    return True


@dataclass(frozen=True)
class ArrayRun:
    """What came out of the array.

    Attributes:
        values: (M, N) accumulators, int64 or float32; zeros where no fold has run.
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
    mac: Callable[..., Any] | None,
    period_cycles: int,
    double_buffered: bool,
    finish: Callable[..., Any] = first_register,
    constants: NDArray[Any] | None = None,
    registers: int = 1,
    state_type: type[Any] = np.int64,
    result_words: int = 1,
    gate: Callable[..., bool] | None = None,
    gate_memory: NDArray[np.int64] | None = None,
    folds: int | None = None,
) -> ArrayRun:
    """Run a GEMM fold by fold, row blocks outermost.

    Args:
        act: operand words (M, steps); weight: operand words (N, steps).
        mac: numba function ``(state, act_word, weight_word)`` of one PE; changes its accumulators ``state`` in place.
            None: words, tags and results move, and nothing is computed.
        finish: numba function ``(state, constants)`` to the result that leaves the array.
        registers: accumulators of a PE, of ``state_type``; zero when a fold begins.
        result_words: cycles that a result takes per hop on its way out.
        period_cycles: cycles between the first operands of consecutive folds.
        double_buffered: whether a finished result moves to a drain register, or the accumulators themselves shift out.
            If folds follow too closely, results are overwritten, as they would be in hardware.
        gate: numba function ``(memory, act_words, weight_words, last) -> bool`` with registers ``gate_memory`` of its
            own. In each cycle in which a step of a fold is about to enter, it is given the words of that step of all
            rows and columns, and whether the fold has no further step. While it says no, nothing in the array moves.
        folds: run only that many, from the first on; all by default.
    Returns: results as int64, or as float32 where accumulators are floats.
    Raises: MappingError if operand shapes do not fit each other or the period is shorter than a fold's steps.
    """
    if act.ndim != 2 or weight.ndim != 2 or act.shape[1] != weight.shape[1]:
        raise MappingError(f"operands of shapes {act.shape} and {weight.shape} do not multiply along K")
    if period_cycles < act.shape[1]:
        raise MappingError(f"a fold of {act.shape[1]} steps cannot be issued every {period_cycles} cycles")
    words = narrow(act), narrow(weight)
    fed = lined_up(words[0], rows), lined_up(words[1], cols)
    pes = _registers(rows, cols, words, make_state(rows * cols, registers, state_type), double_buffered)
    unit = compiled(mac or no_work), compiled(finish), np.zeros(0) if constants is None else constants
    gated = compiled(gate or open_gate), np.zeros(0, np.int64) if gate_memory is None else gate_memory.copy()
    bubble = {RIGHT: len(fed[0]) - rows, DOWN: len(fed[1]) - cols}
    control = make_steps(max(rows, cols), slack(rows, cols), bubble), make_drains(rows, cols)
    most = -(-len(act) // rows) * -(-len(weight) // cols)
    run = most if folds is None else min(folds, most)
    left = np.zeros((run * rows, cols), np.int64 if np.issubdtype(state_type, np.integer) else np.float32)
    how = rows, cols, period_cycles, double_buffered, result_words, run
    cycles, frozen = (int(n) for n in _os_array(words, fed, how, *unit, *gated, control, pes, left))
    return ArrayRun(outputs(left, len(act), len(weight), rows, cols), cycles, cycles * rows * cols, frozen)


def _registers(rows: int, cols: int, words: Any, acc: NDArray[Any], double_buffered: bool) -> tuple[NDArray[Any], ...]:
    """Tapes of activation words, of their tags and of weight words; accumulators; drain registers."""
    hops, count = slack(rows, cols), rows * cols
    word, held = np.zeros(hops + count, words[0].dtype), np.zeros(hops * cols + count, words[1].dtype)
    return word, np.zeros(hops + count, np.int8), held, acc, np.zeros_like(acc) if double_buffered else acc


@njit
def _os_array(words, fed, how, mac, finish, constants, gate, memory, control, pes, left):
    """Simulate cycle by cycle until every fold's every result has left; returns all cycles and the frozen ones.

    Within a cycle: results leave, operands hop and enter, PEs work on what they then hold.
    """
    act, weight = words
    fed_act, fed_weight = fed
    steps, drains = control
    word, tag, held, acc, out = pes
    rows, cols, period, double_buffered, result_words, folds = how
    K = act.shape[1]
    inner = -(-weight.shape[0] // cols)
    hops = word.shape[0] - rows * cols
    place = 0, 0, 0
    results = left.size
    at = done = draining = cycle = frozen = 0
    while done < results:
        cycle += 1
        entering = place[2] < K and place[0] * inner + place[1] < folds
        if entering and _held_back(gate, memory, act, weight, place, rows, cols):
            frozen += 1
            continue
        if draining > 0:
            gone, drained = drain(out, result_words, finish, constants, drains, left)
            done += gone
            draining -= drained
        if at == 0:
            _rewind(steps, word, tag, held, hops, cols)
            at = hops
        at -= 1
        _take_step(
            steps, at, entering, place, inner, K, rows, cols, fed_act.shape[0] - rows, fed_weight.shape[0] - cols
        )
        place = advance(place, period, inner)
        feed_right(steps, at, fed_act, word, tag, rows, cols)
        feed_down(steps[DOWN], at, fed_weight, held, cols)
        if steps[PLAIN, at] >= rows + cols - 1:
            _multiply(mac, acc, word, held, at, at * cols, 0, rows * cols)
        else:
            _work_by_tag(mac, steps, at, word, tag, held, acc, out, double_buffered, rows, cols)
            draining += _ends(tag, at + (rows - 1) * cols, drains)
    return cycle, frozen


@njit
def _held_back(gate, memory, act, weight, place, rows, cols):
    """Whether the gate does not let the step that is about to enter."""
    i, j, k = place
    lines = slice(i * rows, (i + 1) * rows), slice(j * cols, (j + 1) * cols)
    return not gate(memory, act[lines[0], k], weight[lines[1], k], k == act.shape[1] - 1)


@njit
def _rewind(steps, word, tag, held, hops, cols):
    """Move all windows to the right ends of their tapes."""
    for kind in range(steps.shape[0]):
        rewind(steps[kind], hops)
    rewind(word, hops)
    rewind(tag, hops)
    rewind(held, hops * cols)


@njit
def _take_step(steps, at, entering, place, inner, K, rows, cols, no_act, no_weight):
    """Note which step enters in this cycle, or that it is a bubble."""
    i, j, k = place
    tag = _BUBBLE
    steps[RIGHT, at], steps[DOWN, at] = no_act, no_weight
    if entering:
        tag = _PRODUCT | (_FIRST if k == 0 else 0) | (_LAST if k == K - 1 else 0)
        steps[RIGHT, at], steps[DOWN, at] = (i * K + k) * rows, (j * K + k) * cols
    steps[TAG, at] = tag
    steps[PLAIN, at] = steps[PLAIN, at + 1] + 1 if tag == _PRODUCT else 0


@njit
def _multiply(mac, acc, word, held, first_word, first_held, begin, end):
    """One cycle of PEs that all have a product to add."""
    first_word, first_held = np.uint64(first_word), np.uint64(first_held)
    for i in range(np.uint64(begin), np.uint64(end)):
        mac(state_of(acc, i), word[first_word + i], held[first_held + i])


@njit
def _work_by_tag(mac, steps, at, word, tag, held, acc, out, double_buffered, rows, cols):
    """One cycle of all PEs, some of which have nothing to do, begin or end; neighbouring rows of one kind at once."""
    r = 0
    while r < rows:
        plain = steps[PLAIN, at + r] >= cols
        end = r + 1
        while end < rows and (steps[PLAIN, at + end] >= cols) == plain:
            end += 1
        if plain:
            _multiply(mac, acc, word, held, at, at * cols, r * cols, end * cols)
        else:
            _multiply_by_tag(mac, acc, word, held, tag, at, at * cols, r * cols, end * cols)
            if double_buffered:
                _keep(acc, out, tag, at, r * cols, end * cols)
        r = end


@njit
def _multiply_by_tag(mac, acc, word, held, tag, first_word, first_held, begin, end):
    """One cycle of PEs that look at their tags; each loop for all PEs at once."""
    first_word, first_held = np.uint64(first_word), np.uint64(first_held)
    for i in range(np.uint64(begin), np.uint64(end)):
        if tag[first_word + i] & _FIRST:
            acc[i] = 0
    for i in range(np.uint64(begin), np.uint64(end)):
        if tag[first_word + i] != _BUBBLE:
            mac(state_of(acc, i), word[first_word + i], held[first_held + i])


@njit
def _keep(acc, out, tag, first_word, begin, end):
    """Finished sums move to the drain registers."""
    first_word = np.uint64(first_word)
    for i in range(np.uint64(begin), np.uint64(end)):
        if tag[first_word + i] & _LAST:
            out[i] = acc[i]


@njit
def _ends(tag, bottom, drains):
    """Columns whose last PE is done have a drain to make; returns how many."""
    found = 0
    for c in range(np.uint64(drains.shape[1])):
        ends = np.int32(tag[np.uint64(bottom) + c] & _LAST != 0)
        drains[WAITING, c] += ends
        found += ends
    return found
