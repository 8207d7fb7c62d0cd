"""The values of largest magnitude of a tensor: which they are, in memory or read a block at a time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from simulator.formats.streamed import Streamed, beyond

__all__ = ["largest", "largest_read"]

_SPARE, _FEW = 1.25, 64
"""What of the first block is taken to be above the floor: the wanted share that many times, and a few."""


def largest(magnitude: NDArray[np.float32], n: int) -> NDArray[np.bool_]:
    """Which of some values (values,) are the ``n`` largest: the earlier ones of equals, never a zero."""
    if not 0 < n < magnitude.size:
        return magnitude > 0 if n else np.zeros(magnitude.shape, np.bool_)
    threshold = np.partition(magnitude, magnitude.size - n)[magnitude.size - n]
    found = magnitude > threshold
    if threshold > 0:
        found[np.flatnonzero(magnitude == threshold)[: n - int(found.sum())]] = True
    return found


def largest_read(x: Streamed, n: int) -> list[NDArray[np.int64]]:
    """Where those lie whose magnitudes are the ``n`` largest of all GEMMs' operands: ``row * K + k`` in each one's,
    ascending; of equals and zeros as ``largest``.

    One reading keeps what is above a floor, which is set by the first block. Where fewer than ``n`` are above it,
    a second reading has none. Never more than ``2 n`` and those of a block are kept, 12 bytes each, and once more while
    they are cut down to ``n``.
    """
    count, rows, K = x.shape
    if n == 0:
        return [np.empty(0, np.int64)] * count
    places, magnitudes, floor = _above(x, n, None)
    if len(places) < n and floor > 0:
        places, magnitudes, _ = _above(x, n, 0.0)
    places = places[largest(magnitudes, n)]
    ends = np.searchsorted(places, np.arange(1, count) * (rows * K))
    return [part - gemm * rows * K for gemm, part in enumerate(np.split(places, ends))]


def _above(x: Streamed, n: int, floor: float | None) -> tuple[NDArray[np.int64], NDArray[np.float32], float]:
    """Places in the whole tensor, ascending, and magnitudes of what is above a floor, and it; the first block sets one
    if none is given. Beyond ``2 n`` it rises to the ``n``-th largest: later equals are not wanted.
    """
    count, rows, K = x.shape
    places, magnitudes, number = [], [], 0
    for gemm, first, values in x.blocks():
        if floor is None:
            floor = _floor(np.abs(values).reshape(-1), n / (count * rows * K))
        at = beyond(values, -floor, floor)
        magnitudes.append(np.abs(values.reshape(-1)[at]))
        places.append(at + (gemm * rows + first) * K)
        number += at.size
        if number > 2 * n:
            some = np.concatenate(magnitudes)
            kept = largest(some, n)
            places, magnitudes, number = [np.concatenate(places)[kept]], [some[kept]], n
            floor = float(magnitudes[0].min())
    found = np.concatenate(places)
    places.clear()  # so that not both are held twice
    return found, np.concatenate(magnitudes), floor or 0.0


def _floor(magnitude: NDArray[np.float32], share: float) -> float:
    """Just below a magnitude that has about this share of a block's at or above it, and some to spare."""
    above = math.ceil(magnitude.size * share * _SPARE) + _FEW
    if above >= magnitude.size:
        return 0.0
    at = magnitude.size - above
    return float(np.nextafter(np.partition(magnitude, at)[at], np.float32(0)))
