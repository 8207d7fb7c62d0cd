"""The dumbest correct BiScaled operands: integers, wide bits and shifts to packed codes and an index. No simulator."""

from __future__ import annotations

import numpy as np

from tests.naive_outlier import block_index, pack

BLOCK = 8


def value(integer, wide, shift):
    """In fine steps."""
    return integer * 2**shift if wide else integer


def matmul(act, weight):
    """Rows of (integer, wide), and a shift, on both sides."""
    (a_rows, a_shift), (w_rows, w_shift) = act, weight
    return [
        [sum(value(*a, a_shift) * value(*w, w_shift) for a, w in zip(x, y, strict=True)) for y in w_rows]
        for x in a_rows
    ]


def bytes_of(string):
    """A bit string, filled up to whole bytes, as uint8."""
    string += "0" * (-len(string) % 8)
    return np.array([int(string[i : i + 8], 2) for i in range(0, len(string), 8)], np.uint8)


def packed(rows):
    """(codes (R, bytes), bits of blocks, masks (blocks with wide values, 1)) of rows of (integer, wide)."""
    codes = np.array([pack([integer % 64 for integer, _ in row], 6) for row in rows], np.uint8)
    full, masks = block_index([[wide for _, wide in row] for row in rows], BLOCK)
    return codes, bytes_of(full), bytes_of(masks).reshape(-1, 1)


def masks_in(rows, lines, steps):
    """Blocks that hold a wide value within those lines and steps (a range that begins with a block)."""
    found = 0
    for row in rows[lines.start : lines.stop]:
        for first in range(steps.start, steps.stop, BLOCK):
            found += any(wide for _, wide in row[first : min(first + BLOCK, steps.stop)])
    return found
