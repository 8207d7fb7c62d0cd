"""The dumbest correct GOBO array: sums per index, and a cycle loop per fold. Nothing here imports the simulator."""

from __future__ import annotations

import numpy as np

from tests.naive_blocks import coordinator


def stream(packed, bits, length):
    """Indices of one row: bit j of the row is bit j % 8 of byte j // 8."""
    text = [byte >> j & 1 for byte in packed for j in range(8)]
    return [sum(text[i * bits + b] << b for b in range(bits)) for i in range(length)]


def matmul(acts, packed, bits, dictionary, listed):
    """(M, K) floats x N packed rows -> (M, N) float32; ``listed`` is {(n, k): value}."""
    K = len(acts[0])
    out = np.zeros((len(acts), len(packed)), np.float32)
    for m, row in enumerate(acts):
        for n, bytes_of_row in enumerate(packed):
            sums = [np.float32(0) for _ in range(2**bits)]
            outliers = np.float32(0)
            for k, index in enumerate(stream(bytes_of_row, bits, K)):
                if (n, k) in listed:
                    outliers += np.float32(row[k]) * np.float32(listed[n, k])
                else:
                    sums[index] += np.float32(row[k])
            total = np.float32(0)
            for entry, summed in zip(dictionary, sums, strict=True):
                total += summed * np.float32(entry)
            out[m, n] = total + outliers
    return out


def fold_positions(outliers, columns, steps, cols):
    """Coordinates of the fold of these columns over these steps, in the order in which the coordinator sees them."""
    return [
        i * cols + c for i, k in enumerate(steps) for c, n in enumerate(columns) if (n, k) in outliers
    ]  # ascending as it is


def waiting(tile, rows, cols, outliers, D, S, W):
    """Cycles that a tile (dict of its corner and size) waits: each fold until its last outlier is served."""
    steps = range(tile["k0"], tile["k0"] + tile["k"])
    total = 0
    for _ in range(0, tile["m"], rows):
        for c in range(0, tile["n"], cols):
            columns = range(tile["n0"] + c, tile["n0"] + min(c + cols, tile["n"]))
            found = coordinator(fold_positions(outliers, columns, steps, cols), len(steps) * cols, cols, D, S, W)
            total += found["total_cycles"] - found["steps"]
    return total


def in_tile(tile, outliers):
    """Outliers among the weights of a tile."""
    return sum(
        tile["n0"] <= n < tile["n0"] + tile["n"] and tile["k0"] <= k < tile["k0"] + tile["k"] for n, k in outliers
    )
