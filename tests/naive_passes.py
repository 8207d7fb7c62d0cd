"""Passes of a vector unit, one value at a time, every operation counted. Imports nothing from the simulator."""

from __future__ import annotations

import math
from collections import Counter


class Lane:
    """FP arithmetic that counts: ``add`` (also subtract, compare, round), ``mul``, ``special``."""

    def __init__(self):
        self.done = Counter()

    def add(self, result):
        self.done["add"] += 1
        return result

    def mul(self, result):
        self.done["mul"] += 1
        return result

    def special(self, result):
        self.done["special"] += 1
        return result

    def reduce(self, values, join):
        total = values[0]
        for x in values[1:]:
            total = self.add(join(total, x))
        return total


def plus(a, b):
    return a + b


def softmax(lane, row):
    top = lane.reduce(row, max)
    powers = []
    for x in row:
        shifted = lane.add(x - top)
        powers.append(lane.special(2.0 ** lane.mul(shifted * math.log2(math.e))))
    inverse = lane.special(1 / lane.reduce(powers, plus))
    return [lane.mul(p * inverse) for p in powers]


def layer_norm(lane, row, gain, offset, eps):
    n = len(row)
    mean = lane.mul(lane.reduce(row, plus) * (1 / n))
    squares = []
    for x in row:
        centred = lane.add(x - mean)
        squares.append(lane.mul(centred * centred))
    variance = lane.mul(lane.reduce(squares, plus) * (1 / n))
    inverse = lane.special(1 / math.sqrt(lane.add(variance + eps)))
    out = []
    for x, g, b in zip(row, gain, offset, strict=True):
        scaled = lane.mul(lane.mul(lane.add(x - mean) * inverse) * g)
        out.append(lane.add(scaled + b))
    return out


def rms_norm(lane, row, gain, eps):
    total = lane.reduce([lane.mul(x * x) for x in row], plus)
    inverse = lane.special(1 / math.sqrt(lane.add(lane.mul(total * (1 / len(row))) + eps)))
    return [lane.mul(lane.mul(x * inverse) * g) for x, g in zip(row, gain, strict=True)]


def gelu(lane, row):
    c0 = math.sqrt(2 / math.pi)
    c1 = c0 * 0.044715
    out = []
    for x in row:
        inner = lane.mul(x * lane.add(c0 + lane.mul(c1 * lane.mul(x * x))))
        raised = lane.add(1 + lane.special(math.tanh(inner)))
        out.append(lane.mul(lane.mul(0.5 * x) * raised))
    return out


def silu(lane, row):
    out = []
    for x in row:
        power = lane.special(2.0 ** lane.mul(x * -math.log2(math.e)))
        out.append(lane.mul(x * lane.special(1 / lane.add(1 + power))))
    return out


def relu(lane, row):
    return [lane.add(max(x, 0.0)) for x in row]


def relu6(lane, row):
    return [lane.add(min(lane.add(max(x, 0.0)), 6.0)) for x in row]


def multiply(lane, row, other):
    return [lane.mul(x * y) for x, y in zip(row, other, strict=True)]


def softplus(lane, row):
    out = []
    for x in row:
        power = lane.special(2.0 ** lane.mul(x * math.log2(math.e)))
        out.append(lane.mul(lane.special(math.log2(lane.add(1 + power))) * math.log(2)))
    return out


def rotary(lane, row, angles):
    """Value i and value i + n/2 are a pair, turned by angle i."""
    half = len(row) // 2
    out = []
    for i in range(len(row)):
        partner = -row[i + half] if i < half else row[i - half]
        c, s = math.cos(angles[i % half]), math.sin(angles[i % half])
        out.append(lane.add(lane.mul(row[i] * c) + lane.mul(partner * s)))
    return out


def lookup(lane, table, index):
    return list(table[index])


def conv1d(lane, rows, taps):
    """Causal filter of each column along the rows: taps[column][0] meets the oldest row."""
    out = []
    for t in range(len(rows)):
        out.append([])
        for column, own in enumerate(taps):
            past = [rows[t - back][column] if t >= back else 0.0 for back in range(len(own) - 1, -1, -1)]
            out[-1].append(lane.reduce([lane.mul(w * x) for w, x in zip(own, past, strict=True)], plus))
    return out


def selective_scan(lane, rows, steps, B, C, A, D):
    """Rows of x and dt; B and C per row; A per column and state; D per column."""
    states = [[0.0] * len(B[0]) for _ in D]
    out = []
    for x, dt, b, c in zip(rows, steps, B, C, strict=True):
        out.append([])
        for column, h in enumerate(states):
            pushed = lane.mul(dt[column] * x[column])
            read = []
            for s in range(len(h)):
                decay = lane.special(2.0 ** lane.mul(dt[column] * (A[column][s] * math.log2(math.e))))
                h[s] = lane.add(lane.mul(decay * h[s]) + lane.mul(pushed * b[s]))
                read.append(lane.mul(h[s] * c[s]))
            out[-1].append(lane.add(lane.reduce(read, plus) + lane.mul(D[column] * x[column])))
    return out


def bias(lane, row, offset):
    return [lane.add(x + b) for x, b in zip(row, offset, strict=True)]


def residual(lane, row, other):
    return [lane.add(x + y) for x, y in zip(row, other, strict=True)]


def scale(lane, row, factor):
    return [lane.mul(x * factor) for x in row]


def dequantise(lane, row, row_scale, scales):
    return [lane.mul(lane.mul(x * row_scale) * s) for x, s in zip(row, scales, strict=True)]


def quantise(lane, row, inverse_scale, largest):
    out = []
    for x in row:
        rounded = lane.add(round(lane.mul(x * inverse_scale)))
        out.append(lane.add(max(-largest, min(largest, rounded))))
    return out


def quantise_dynamic(lane, row, largest, group):
    out = []
    for start in range(0, len(row), group):
        part = row[start : start + group]
        top = lane.reduce([abs(x) for x in part], max)
        inverse = lane.mul(largest * lane.special(1 / top))
        out += quantise(lane, part, inverse, largest)
    return out


def hadamard(lane, row, block):
    out = []
    for start in range(0, len(row), block):
        part = list(row[start : start + block])
        half = 1
        while half < block:
            for i in range(block):
                if not i & half:
                    a, b = part[i], part[i + half]
                    part[i], part[i + half] = lane.add(a + b), lane.add(a - b)
            half *= 2
        out += part
    return out


def max_pool(lane, windows):
    return [lane.reduce(window, max) for window in windows]


def mean_pool(lane, windows):
    return [lane.mul(lane.reduce(window, plus) * (1 / len(window))) for window in windows]


def cycles(rows, cols, lanes, special_cycles, per_value, per_scale, reductions, group):
    """Walk over the groups of lanes. ``per_value`` and ``per_scale``: (simple, special) operations.

    Rows that are reduced start in the first lane, or lie whole beside others; all else follows without a gap.
    """
    total = 0
    lines = [cols] * rows if reductions else [rows * cols]
    if reductions and cols < lanes:
        lines, left = [], rows
        while left > 0:
            taken = 0
            while left > 0 and (taken + 1) * cols <= lanes:
                taken, left = taken + 1, left - 1
            lines.append(taken * cols)
    for line in lines:
        for _ in range(0, line, lanes):
            total += per_value[0] + per_value[1] * special_cycles + reductions
    scales = 0
    for _ in range(rows):
        scales += len(range(0, cols, group or cols))
    for _ in range(0, scales, lanes):
        total += per_scale[0] + per_scale[1] * special_cycles
    for _ in range(reductions):
        joined = min(group or cols, cols, lanes)
        while joined > 1:
            joined -= joined // 2
            total += 1
    return total
