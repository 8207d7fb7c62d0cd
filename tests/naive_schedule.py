"""When folds enter an array and when their operands do, by trying one cycle after another: nothing here imports the
simulator or knows a closed form. Everything is a set of cycles in which a register or a port is taken.
"""

from __future__ import annotations


def os_schedule(folds, steps, rows, cols, overlap, drain=None):
    """(starts, cycles) of output-stationary folds; each enters at the first cycle at which nothing it needs is taken.

    PE (r, c) takes operand k of a fold ``r + c`` cycles after it entered. A column drains from the cycle after its last
    PE is done, for ``drain`` cycles (one per result unless given), the first row's result last; it has passed row r
    when the results of the rows below r have left.
    """
    drain = rows if drain is None else drain
    starts, end = [], 0
    for fold in range(folds):
        at = starts[-1] + 1 if fold else 0
        while fold and not _os_may_follow(starts[-1], at, steps, rows, cols, overlap, drain, end):
            at += 1
        starts.append(at)
        end = at + steps - 1 + rows - 1 + cols - 1 + 1 + drain
    return starts, end


def _os_may_follow(before, at, steps, rows, cols, overlap, drain, end):
    if overlap == "none":
        return at >= end
    if set(range(before, before + steps)) & set(range(at, at + steps)):
        return False
    for c in range(cols):
        old = before + steps - 1 + rows - 1 + c + 1
        own = at + steps - 1 + rows - 1 + c + 1
        if set(range(old, old + drain)) & set(range(own, own + drain)):
            return False
        if overlap == "wave":  # one accumulator per PE: the last older result must be through before the first product
            for r in range(rows):
                if at + r + c < old + drain - (rows - 1 - r) - 1:
                    return False
    return True


def held_schedule(folds, stream, rows, cols, overlap, loading=None):
    """(starts, cycles) of folds that hold an operand: words of fold f enter at ``starts[f]`` and on.

    Held words enter column c in the ``loading`` cycles (a row per cycle unless given) before the column's first
    streamed word, and each passes row r before the last of them stays there. A sum enters with the streamed word and
    leaves ``rows + c`` cycles later; what one fold has left, the next one may take up in the cycle in which it leaves.
    """
    loading = rows if loading is None else loading
    starts, end = [], 0
    for fold in range(folds):
        at = starts[-1] + 1 if fold else loading
        while fold and not _held_may_follow(starts[-1], at, stream, rows, cols, overlap, loading, end):
            at += 1
        starts.append(at)
        end = at + stream + rows + cols - 1
    return starts, end


def _held_may_follow(before, at, stream, rows, cols, overlap, loading, end):
    if overlap == "none":
        return at - loading >= end
    if set(range(before, before + stream)) & set(range(at, at + stream)):
        return False
    if at < before + loading:  # a column is loaded a row per cycle; a sum leaves rows cycles after it entered
        return False
    if overlap == "wave":  # one register per PE: held words pass row r from at - loading + r on, later per column
        return all(at - loading + r + c > before + stream - 1 + r + c - 1 for r in range(rows) for c in range(cols))
    return True


def without_operand(starts, streamed, cycles):
    """Cycles in which no streamed operand enters the first row, counted one by one."""
    entering = {start + step for start in starts for step in range(streamed)}
    return sum(1 for cycle in range(cycles) if cycle not in entering)
