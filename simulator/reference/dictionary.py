"""GOBO's sum, with NumPy: activations added per dictionary entry, outliers apart, entries multiplied at the end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.formats import Encoded

__all__ = ["matmul_by_index"]


def matmul_by_index(a: NDArray[np.float32], weight: Encoded, bits: int) -> NDArray[np.float32]:
    """(M, K) activations x (N, K) indices of ``bits`` -> (M, N) float32, in the order of ``fp32_by_index``."""
    index = _indices(weight, bits)
    dictionary = np.asarray(weight.extras["dictionary"], np.float32)
    rows, at = np.divmod(np.asarray(weight.extras["outlier_position"], np.int64), weight.length)
    values = np.asarray(weight.extras["outlier_value"], np.float32)
    index[rows, at] = -1
    out = np.zeros((len(a), len(index)), np.float32)
    for n in range(len(index)):
        total = np.zeros(len(a), np.float32)
        for entry, value in enumerate(dictionary):
            total += _in_order(a[:, index[n] == entry]) * value
        mine = rows == n
        out[:, n] = total + _in_order(a[:, at[mine]] * values[mine])
    return out


def _in_order(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row sums (M,) of (M, k): one rounded addition per column. ``cumsum``, unlike ``sum``, adds one after another."""
    if columns.shape[1] == 0:
        return np.zeros(len(columns), np.float32)
    return np.cumsum(columns, axis=1, dtype=np.float32)[:, -1] + np.float32(0)  # as from +0: never -0


def _indices(weight: Encoded, bits: int) -> NDArray[np.int64]:
    """Indices (N, K), least significant bit first."""
    stream = np.unpackbits(weight.codes, axis=1, bitorder="little")[:, : weight.length * bits]
    return stream.reshape(len(weight.codes), weight.length, bits) @ (1 << np.arange(bits))
