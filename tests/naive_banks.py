"""Scratchpad banks simulated request by request: nothing here imports the simulator or knows a closed form.

An operand block is laid out bit by bit in words, words in banks. The array's edge asks, step by step, for the words
that it does not hold yet; every bank serves one request per cycle; the next requests are made when the last ones have
been served. Phases and overlaps are spelled out fold by fold.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Operand:
    """A block of lines x k in a scratchpad: ``values`` neighbours along K take ``bits`` and stay together."""

    lines: int
    k: int
    values: int
    bits: int
    word_bits: int
    banks: int
    layout: str

    def words_of(self, line, unit):
        """Addresses of the words that hold a packed unit, bit by bit."""
        units = -(-self.k // self.values)
        length, row, place = (units, line, unit) if self.layout == "k_major" else (self.lines, unit, line)
        words_per_row = len({bit // self.word_bits for bit in range(length * self.bits)})
        bits = range(place * self.bits, (place + 1) * self.bits)
        return sorted({row * words_per_row + bit // self.word_bits for bit in bits})


def serve(requests, banks):
    """Cycles until every request has been served, each bank taking one from its queue per cycle."""
    queues = [deque() for _ in range(banks)]
    for address in requests:
        queues[address % banks].append(address)
    cycles = 0
    while any(queues):
        for queue in queues:
            if queue:
                queue.popleft()
        cycles += 1
    return cycles


def read(operand, steps, lanes_hold):
    """(words, cycles) of reading values step by step: ``steps`` is a list of lists of lanes ``(line, k)``, which hold
    either ``lines`` or ``k``.

    The edge keeps the words of the units that the lanes use: a lane that moves on along its word asks for nothing. A
    lane that needs several words asks for one after another, all lanes together, unless words lie along the lanes; then
    the step's words come from one row of words and are asked for at once.
    """
    shared = (operand.layout == "line_major") == (lanes_hold == "lines")
    words = cycles = 0
    held, using = set(), None
    for lanes in steps:
        units = [(line, k // operand.values) for line, k in lanes]
        if units == using:
            continue
        using = units
        needed = [operand.words_of(*unit) for unit in units]
        missing = [[w for w in lane if w not in held] for lane in needed]
        held = {w for lane in needed for w in lane}
        for requests in _requests(missing, shared):
            words += len(requests)
            cycles += serve(requests, operand.banks)
    return words, cycles


def _requests(missing, shared):
    """Rounds of requests: one row of words at once, or word after word of every lane."""
    if shared:
        return [sorted({w for lane in missing for w in lane})]
    rounds = []
    for i in range(max(len(lane) for lane in missing)):
        rounds.append(sorted({lane[i] for lane in missing if i < len(lane)}))
    return rounds


def step_of_sums(row, first, last, across, acc_bits, word_bits, banks, adds):
    """Cycles of one step's sums ``[first, last)`` of a row of ``across``: written, or read while the row before is
    written back.
    """
    words_per_row = -(-across * acc_bits // word_bits)
    place = sorted({bit // word_bits for bit in range(first * acc_bits, last * acc_bits)})
    requests = [row * words_per_row + w for w in place]
    if adds:
        requests += [(row - 1) * words_per_row + w for w in place]
    return serve(requests, banks)


def os_fold(act, weight, out, m, n, k, rows, hop, steps_before, cps):
    """(A, B, A', B') of one output-stationary fold of lines m and columns n, both ``range``; ``out`` None: no drain."""
    fed_act = [[(line, step) for line in m] for step in range(k)]
    fed_weight = [[(line, step) for line in n] for step in range(k)]
    busy = max(read(act, fed_act, "lines")[1], read(weight, fed_weight, "lines")[1])
    a, stretched = k * cps, max(k * cps, busy)
    if out is None:
        return a, 0, stretched, 0
    drain = 0
    for row in range(rows):
        drain += max(hop, step_of_sums(row, n[0], n[-1] + 1, *out, adds=False)) if row < len(m) else hop
    return steps_before + a, rows * hop, steps_before + stretched, drain


def held_fold(streamed, kept, out, stream, across, down, rows, cps, adds):
    """(A, B, A', B') of one fold: array rows ``down`` (a range of reduction steps), columns ``across`` (a range)."""
    ks = sorted({row // cps for row in down})
    fed = [[(line, k) for k in ks] for line in range(stream)]
    loaded = [[(line, k) for line in across] for k in ks]
    a = max(stream, read(streamed, fed, "k")[1])
    sums = sum(step_of_sums(row, across[0], across[-1] + 1, *out, adds=adds) for row in range(stream))
    return stream, rows, max(a, sums), max(rows, read(kept, loaded, "lines")[1])


def waits(folds, overlap):
    """Cycles on top of the folds' own: phases one after another, or the longer of two."""
    total = 0
    for a, b, long_a, long_b in folds:
        if overlap == "full":
            total += max(long_a, long_b) - max(a, b)
        else:
            total += (long_a + long_b) - (a + b)
    return total
