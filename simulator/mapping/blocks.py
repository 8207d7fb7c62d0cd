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

    Functions that are called here take and return numbers: for each array that one is given, references are counted.

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
    before = block = (0, 0, 0)
    for i in range(number):
        place = first + i
        at = (place // (b * c), place // c % b, place % c)
        corner = (
            _begins(sizes[0], _loop_along(order, 0), at, (a, b, c), along),
            _begins(sizes[1], _loop_along(order, 1), at, (a, b, c), along),
            _begins(sizes[2], _loop_along(order, 2), at, (a, b, c), along),
        )
        if i:
            stays = corner[0] == before[0] and corner[1] == before[1]
            rows[i - 1, STORE] = 0 if stays else _stored(case, before, block)
        block = (
            min(sizes[0], case.M - corner[0]),
            min(sizes[1], case.N - corner[1]),
            min(sizes[2], case.K - corner[2]),
        )
        act, weight, sums, opens = _loads(case, i == 0, before, corner, block)
        if case.dataflow == OS:
            opens = corner[2] + block[2] == case.K
            folds, issue, stream, drain, fill, first_result = _os_folds(case, block, opens)
        else:
            held = weight if case.dataflow == WS else act
            folds, issue, stream, drain, fill, first_result = _held_folds(case, block, held)
        rows[i, M0], rows[i, N0], rows[i, K0] = corner
        rows[i, M], rows[i, N], rows[i, K] = block
        rows[i, ACT_LOAD], rows[i, WEIGHT_LOAD], rows[i, SUM_LOAD], rows[i, OPENS] = act, weight, sums, opens
        rows[i, FOLDS], rows[i, ISSUE], rows[i, STREAM] = folds, issue, stream
        rows[i, DRAIN], rows[i, FILL], rows[i, FIRST_RESULT] = drain, fill, first_result
        rows[i, MACS] = block[0] * block[1] * block[2]
        before = corner
    if first + number == a * b * c:
        _end(case, before, block, rows[number - 1])


@kernel
def _loop_along(order, dim):
    """Which loop is along a dimension."""
    return 0 if order[0] == dim else (1 if order[1] == dim else 2)


@kernel
def _begins(size, loop, at, shown, along):
    """Where the block at these places of the loops begins along the dimension of one of them."""
    return size * (along[loop] - 1 if at[loop] == shown[loop] - 1 else at[loop])


@kernel
def _loads(case, is_first, before, corner, block):
    """Bytes that must come from DRAM, of act, of weight and of unfinished sums, and whether new sums begin."""
    same_m, same_n, same_k = corner[0] == before[0], corner[1] == before[1], corner[2] == before[2]
    act = weight = sums = 0
    if is_first or not (same_m and same_k):
        act = load_bytes(block[0], block[2], case.act_values, case.act_dram_bits)
    if is_first or not (same_n and same_k):
        weight = load_bytes(block[1], block[2], case.weight_values, case.weight_dram_bits)
    opens = is_first or not (same_m and same_n)
    if opens and corner[2] > 0:
        sums = -(-block[0] * block[1] * case.sums // 8)
    return act, weight, sums, opens


@kernel
def _stored(case, corner, block):
    """Bytes that are written back of a tile's results, where the next one does not go on with them."""
    width = case.output if corner[2] + block[2] == case.K else case.sums
    return -(-block[0] * block[1] * width // 8)


@kernel
def _os_folds(case, block, is_last):
    """Folds, cycles that are issued, streamed, of drain and of fill, and until the first result."""
    m, n, k = block
    steps = k * case.steps
    _, drain, _ = os_phases(case.K * case.steps, case.rows, case.cols, case.overlap, case.words)
    folds = -(-m // case.rows) * -(-n // case.cols)
    issue = issue_cycles(case, m, n, k, is_last)
    first_result = min(steps + case.rows - 1, issue)
    return folds if is_last else 0, issue, folds * steps, max(drain, 0) if is_last else 0, 0, first_result


@kernel
def _held_folds(case, block, held_bytes):
    """As ``_os_folds``; ``held_bytes``: of what is held that are loaded."""
    m, n, k = block
    stream, across = (m, n) if case.dataflow == WS else (n, m)
    period, drain, fill = held_phases(stream, case.rows, case.cols, case.overlap)
    folds = -(-k * case.steps // case.rows) * -(-across // case.cols)
    issue = folds * period
    drained, filled = drain if fill else 0, fill if held_bytes > 0 else 0
    return folds, issue, folds * stream, drained, filled, min(case.rows, issue)


@kernel
def _end(case, corner, block, row):
    """The last tile stores what it has; where the last fold's drain is negative (``scalesim``), it issues less."""
    row[STORE] = _stored(case, corner, block)
    if case.dataflow == OS:
        _, drain, _ = os_phases(case.K * case.steps, case.rows, case.cols, case.overlap, case.words)
    else:
        stream = block[0] if case.dataflow == WS else block[1]
        _, drain, _ = held_phases(stream, case.rows, case.cols, case.overlap)
    row[ISSUE] += min(drain, 0)
    row[FIRST_RESULT] = min(row[FIRST_RESULT], row[ISSUE])
