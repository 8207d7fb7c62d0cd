"""When folds enter an array and when their operands do, by trying one cycle after another: nothing here imports the
simulator or knows a closed form. Everything is a set of cycles in which a register or a port is taken.
"""

from __future__ import annotations


def os_schedule(folds, steps, rows, cols, overlap, words=1):
    """(starts, cycles) of output-stationary folds; each enters at the first cycle at which nothing it needs is taken.

    PE (r, c) takes operand k of a fold ``r + c`` cycles after it entered. A column drains from the cycle after its last
    PE is done, ``words`` cycles per result, and the result of row r has passed PE (q, c), q >= r, after q + 1 - r of
    them.
    """
    starts, end = [], 0
    for fold in range(folds):
        at = starts[-1] + 1 if fold else 0
        while fold and not _os_may_follow(starts[-1], at, steps, rows, cols, overlap, words, end):
            at += 1
        starts.append(at)
        end = at + steps - 1 + rows - 1 + cols - 1 + 1 + rows * words
    return starts, end


def _os_may_follow(before, at, steps, rows, cols, overlap, words, end):
    if overlap == "none":
        return at >= end
    if set(range(before, before + steps)) & set(range(at, at + steps)):
        return False
    for c in range(cols):
        drain = before + steps - 1 + rows - 1 + c + 1
        own = at + steps - 1 + rows - 1 + c + 1
        if set(range(drain, drain + rows * words)) & set(range(own, own + rows * words)):
            return False
        if overlap == "wave":  # one accumulator per PE: the last older result must be through before the first product
            for r in range(rows):
                if at + r + c < drain + (r + 1) * words - 1:
                    return False
    return True


def held_schedule(folds, stream, rows, cols, overlap):
    """(starts, cycles) of folds that hold an operand: words of fold f enter at ``starts[f]`` and on.

    Held words enter column c in the ``rows`` cycles before the column's first streamed word; the held word of row r
    enters row r's register last of all that pass it. A sum enters with the streamed word and leaves ``rows + c``
    cycles later; what one fold has left, the next one may take up in the cycle in which it leaves.
    """
    starts, end = [], 0
    for fold in range(folds):
        at = starts[-1] + 1 if fold else rows
        while fold and not _held_may_follow(starts[-1], at, stream, rows, cols, overlap, end):
            at += 1
        starts.append(at)
        end = at + stream + rows + cols - 1
    return starts, end


def _held_may_follow(before, at, stream, rows, cols, overlap, end):
    if overlap == "none":
        return at - rows >= end
    if set(range(before, before + stream)) & set(range(at, at + stream)):
        return False
    if at < before + rows:  # a column is loaded a row per cycle; a sum leaves rows cycles after it entered
        return False
    if overlap == "wave":  # one register per PE: held words pass row r from at - rows + r on, a cycle later per column
        return all(at - rows + r + c > before + stream - 1 + r + c - 1 for r in range(rows) for c in range(cols))
    return True


def without_operand(starts, streamed, cycles):
    """Cycles in which no streamed operand enters the first row, counted one by one."""
    entering = {start + step for start in starts for step in range(streamed)}
    return sum(1 for cycle in range(cycles) if cycle not in entering)
