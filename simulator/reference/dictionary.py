"""GOBO's sum, with NumPy: activations added per dictionary entry, outliers apart, entries multiplied at the end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.formats import Encoded

__all__ = ["matmul_by_index"]

_LINES = 128
"""Lines of the weights at a time: their sums stay in a cache."""


def matmul_by_index(a: NDArray[np.float32], weight: Encoded, bits: int) -> NDArray[np.float32]:
    """(M, K) activations x (N, K) indices of ``bits`` -> (M, N) float32, in the order of ``fp32_by_index``."""
    index = _indices(weight, bits)
    dictionary = np.asarray(weight.extras["dictionary"], np.float32)
    lines, at = np.divmod(np.asarray(weight.extras["outlier_position"], np.int64), weight.length)
    values = np.asarray(weight.extras["outlier_value"], np.float32)
    index[lines, at] = len(dictionary)  # an entry that no one multiplies
    columns = np.ascontiguousarray(a.T)
    out = np.zeros((len(index), len(a)), np.float32)
    for first in range(0, len(index), _LINES):
        sums = _sums(columns, index[first : first + _LINES], len(dictionary) + 1)
        for entry, value in enumerate(dictionary):
            out[first : first + _LINES] += sums[:, entry] * value
    listed = np.zeros_like(out)
    for n, k, value in zip(lines, at, values, strict=True):  # ascending
        listed[n] += columns[k] * value
    return np.ascontiguousarray((out + listed).T)


def _sums(columns: NDArray[np.float32], index: NDArray[np.int64], entries: int) -> NDArray[np.float32]:
    """Of each line and entry the columns (K, M) that belong to it, one rounded addition after another from 0:
    (lines, entries, M).
    """
    sums = np.zeros((len(index), entries, columns.shape[1]), np.float32)
    lines = np.arange(len(index))
    for k, column in enumerate(columns):
        sums[lines, index[:, k]] += column
    return sums


def _indices(weight: Encoded, bits: int) -> NDArray[np.int64]:
    """Indices (N, K), least significant bit first."""
    stream = np.unpackbits(weight.codes, axis=1, bitorder="little")[:, : weight.length * bits]
    return stream.reshape(len(weight.codes), weight.length, bits) @ (1 << np.arange(bits))
