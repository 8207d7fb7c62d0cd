"""The rules by which blocks of a GEMM become tiles, compiled: one definition for tables, loops and the search.

``os``: rows hold M, columns hold N, K streams; sums stay in the PEs until all of K has passed, so a fold whose K comes
in chunks pays its bubble and its drain with the last one. ``ws`` and ``is``: rows hold K, one operand stays for a fold,
the other streams, sums leave every fold. A fold pays its own period, in which the next held operand enters the array;
one that has only just been loaded from DRAM enters when the array is idle.

An operand block is loaded unless the tile before left it there, sums of an output block that comes back are read again,
and an output block is written when it is left, finished or not.
"""

from __future__ import annotations

from typing import NamedTuple

from simulator.kernels import kernel
from simulator.mapping.array_shape import DATAFLOWS, ArrayShape
from simulator.mapping.blocking import OperandBits
from simulator.mapping.closed_forms import FOLD_OVERLAPS, held_phases, os_phases
from simulator.workload import Op

__all__ = ["COLUMNS", "Case", "case_of"]

OS, WS, IS = range(3)
"""Places in ``DATAFLOWS``."""
COLUMNS = (
    "m0", "n0", "k0", "m", "n", "k", "folds", "act_load_bytes", "weight_load_bytes", "sum_load_bytes", "store_bytes",
    "opens_output", "fill_cycles", "issue_cycles", "stream_cycles", "drain_cycles", "first_result_cycles", "macs",
)  # fmt: skip
"""What ``fill_rows`` fills, of the columns of ``TILE_DTYPE``."""
(
    M0, N0, K0, M, N, K, FOLDS, ACT_LOAD, WEIGHT_LOAD, SUM_LOAD, STORE,
    OPENS, FILL, ISSUE, STREAM, DRAIN, FIRST_RESULT, MACS,
) = range(18)  # fmt: skip


class Case(NamedTuple):
    """One GEMM on one array, in numbers alone: an ``Op``, an ``ArrayShape`` and ``OperandBits``."""

    M: int
    N: int
    K: int
    rows: int
    cols: int
    overlap: int
    steps: int
    words: int
    dataflow: int
    act_values: int
    act_dram_bits: int
    weight_values: int
    weight_dram_bits: int
    output: int
    sums: int


def case_of(op: Op, array: ArrayShape, bits: OperandBits) -> Case:
    """See ``Case``."""
    shape = array.rows, array.cols, FOLD_OVERLAPS.index(array.overlap), array.cycles_per_step, array.result_words
    act, weight = bits.act, bits.weight
    widths = act.values, act.dram_bits, weight.values, weight.dram_bits, bits.output, bits.sums
    return Case(op.M, op.N, op.K, *shape, DATAFLOWS.index(array.dataflow), *widths)


@kernel
def compute_cycles(case, m, n):
    """Closed form of the whole GEMM in blocks of ``m x n`` outputs. ``os``: blocks of whole folds change nothing.
    ``ws``, ``is``: every block of what streams passes through all folds.
    """
    if case.dataflow == OS:
        period, drain, fill = os_phases(case.K * case.steps, case.rows, case.cols, case.overlap, case.words)
        return fill - (-case.M // case.rows) * -(-case.N // case.cols) * period + drain
    streamed, block, across = (case.M, m, case.N) if case.dataflow == WS else (case.N, n, case.M)
    folds = -(-case.K * case.steps // case.rows) * -(-across // case.cols)
    whole, rest = streamed // block, streamed % block
    period, drain, fill = held_phases(block, case.rows, case.cols, case.overlap)
    periods = whole * period
    if rest:
        period, drain, fill = held_phases(rest, case.rows, case.cols, case.overlap)
        periods += period
    return fill + folds * periods + drain


@kernel
def load_bytes(lines, k, values, dram_bits):
    """Bytes of a block of one operand in DRAM."""
    units = k if values == 1 else -(-k // values)
    return -(-lines * (units * dram_bits) // 8)


@kernel
def issue_cycles(case, m, n, k, is_last_of_k):
    """For how long a block holds the array, where it does not have the GEMM's last fold."""
    if case.dataflow == OS:
        period, _, _ = os_phases(case.K * case.steps, case.rows, case.cols, case.overlap, case.words)
        bubble = period - case.K * case.steps if is_last_of_k else 0
        return -(-m // case.rows) * -(-n // case.cols) * (k * case.steps + bubble)
    stream, across = (m, n) if case.dataflow == WS else (n, m)
    period, _, _ = held_phases(stream, case.rows, case.cols, case.overlap)
    return -(-k * case.steps // case.rows) * -(-across // case.cols) * period


@kernel
def fill_rows(case, sizes, counts, order, kinds, rows):
    """A row of ``COLUMNS`` for each block, in the order of the loops; with ``kinds`` for the first, the second and the
    last block of each loop alone. Returns how many.

    ``sizes``, ``counts``: of blocks along m, n, k; ``order``: which of them each loop is along, outermost first.
    """
    along = (counts[order[0]], counts[order[1]], counts[order[2]])
    shown = (min(along[0], 3), min(along[1], 3), min(along[2], 3)) if kinds else along
    number = shown[0] * shown[1] * shown[2]
    _fill(case, sizes, order, (along, shown), rows, 0, number)
    return number


@kernel
def fill_part(case, sizes, counts, order, first, number, rows):
    """Those rows of ``fill_rows`` for each block from the ``first`` on. Of the first of them it is not known what was
    there before, nor of the last what comes after, unless there is nothing.
    """
    along = (counts[order[0]], counts[order[1]], counts[order[2]])
    _fill(case, sizes, order, (along, along), rows, first, number)


@kernel
def _fill(case, sizes, order, loops, rows, first, number):
    """``loops``: blocks of each, and of how many there are rows."""
    along, (a, b, c) = loops
    for i in range(number):
        at = first + i
        _place(case, sizes, order, rows, i, (at // (b * c), at // c % b, at % c), (a, b, c), along)
        _add_loads(case, rows, i)
        if i:
            _add_store(case, rows, i - 1, rows[i, M0] == rows[i - 1, M0] and rows[i, N0] == rows[i - 1, N0])
        if case.dataflow == OS:
            _add_os_folds(case, rows, i)
        else:
            _add_held_folds(case, rows, i)
    if first + number == a * b * c:
        _end(case, rows, number - 1)


@kernel
def _place(case, sizes, order, rows, i, at, shown, along):
    """Corner and size of the block at these places of the loops."""
    lengths = (case.M, case.N, case.K)
    for loop in range(3):
        dim = order[loop]
        first = sizes[dim] * (along[loop] - 1 if at[loop] == shown[loop] - 1 else at[loop])
        rows[i, M0 + dim] = first
        rows[i, M + dim] = min(sizes[dim], lengths[dim] - first)


@kernel
def _add_loads(case, rows, i):
    """What must come from DRAM, and useful work."""
    is_first, before = i == 0, max(i - 1, 0)
    same_m, same_n, same_k = (
        rows[i, M0] == rows[before, M0],
        rows[i, N0] == rows[before, N0],
        rows[i, K0] == rows[before, K0],
    )
    m, n, k = rows[i, M], rows[i, N], rows[i, K]
    rows[i, ACT_LOAD] = rows[i, WEIGHT_LOAD] = rows[i, SUM_LOAD] = 0
    if is_first or not (same_m and same_k):
        rows[i, ACT_LOAD] = load_bytes(m, k, case.act_values, case.act_dram_bits)
    if is_first or not (same_n and same_k):
        rows[i, WEIGHT_LOAD] = load_bytes(n, k, case.weight_values, case.weight_dram_bits)
    rows[i, OPENS] = is_first or not (same_m and same_n)
    if rows[i, OPENS] and rows[i, K0] > 0:
        rows[i, SUM_LOAD] = -(-m * n * case.sums // 8)
    rows[i, MACS] = m * n * k


@kernel
def _add_store(case, rows, i, stays):
    """What is written back of a tile's results, where the next one does or does not go on with them."""
    width = case.output if rows[i, K0] + rows[i, K] == case.K else case.sums
    rows[i, STORE] = 0 if stays else -(-rows[i, M] * rows[i, N] * width // 8)


@kernel
def _add_os_folds(case, rows, i):
    steps, is_last = rows[i, K] * case.steps, rows[i, K0] + rows[i, K] == case.K
    _, drain, _ = os_phases(case.K * case.steps, case.rows, case.cols, case.overlap, case.words)
    folds = -(-rows[i, M] // case.rows) * -(-rows[i, N] // case.cols)
    rows[i, OPENS] = is_last
    rows[i, FOLDS] = folds if is_last else 0
    rows[i, ISSUE] = issue_cycles(case, rows[i, M], rows[i, N], rows[i, K], is_last)
    rows[i, STREAM] = folds * steps
    rows[i, DRAIN] = max(drain, 0) if is_last else 0
    rows[i, FILL] = 0
    rows[i, FIRST_RESULT] = min(steps + case.rows - 1, rows[i, ISSUE])


@kernel
def _add_held_folds(case, rows, i):
    is_ws = case.dataflow == WS
    stream, across, held = (
        (rows[i, M], rows[i, N], rows[i, WEIGHT_LOAD]) if is_ws else (rows[i, N], rows[i, M], rows[i, ACT_LOAD])
    )
    period, drain, fill = held_phases(stream, case.rows, case.cols, case.overlap)
    folds = -(-rows[i, K] * case.steps // case.rows) * -(-across // case.cols)
    rows[i, FOLDS], rows[i, ISSUE], rows[i, STREAM] = folds, folds * period, folds * stream
    rows[i, DRAIN] = drain if fill else 0
    rows[i, FILL] = fill if held > 0 else 0
    rows[i, FIRST_RESULT] = min(case.rows, rows[i, ISSUE])


@kernel
def _end(case, rows, i):
    """The last tile stores what it has; where the last fold's drain is negative (``scalesim``), it issues less."""
    _add_store(case, rows, i, False)
    if case.dataflow == OS:
        _, drain, _ = os_phases(case.K * case.steps, case.rows, case.cols, case.overlap, case.words)
    else:
        stream = rows[i, M] if case.dataflow == WS else rows[i, N]
        _, drain, _ = held_phases(stream, case.rows, case.cols, case.overlap)
    rows[i, ISSUE] += min(drain, 0)
    rows[i, FIRST_RESULT] = min(rows[i, FIRST_RESULT], rows[i, ISSUE])
