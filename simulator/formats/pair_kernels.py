"""Kernels of outlier-victim pairs (``formats.ovp``): encoded, decoded, and the error of both at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.kernels import njit

__all__ = ["PairTables"]

_PART = 64  # even
"""Values between two looks at whether a sum of squared errors is beyond its limit; numba keeps it with this file."""


class PairTables(NamedTuple):
    """One kind of pair, as the kernels read it.

    Attributes:
        bits: of one code.
        boundary: half way between the largest normal and the smallest outlier; a multiple of 1/2.
        normal_codes: code of the nearest normal of ``[n/2, (n+1)/2)``, from ``-boundary`` to ``boundary``. All points
            half way between normals are multiples of 1/2, so every such step has one nearest normal.
        nearest_normals: value of each of ``normal_codes``.
        outlier_middles: points half way between the magnitudes of codes 1, 2 ...
        values: of every packed pair, (4^bits, 2).
        legal: whether that packed pair can occur.
    """

    bits: int
    boundary: float
    normal_codes: NDArray[np.int64]
    nearest_normals: NDArray[np.float64]
    outlier_middles: NDArray[np.float64]
    values: NDArray[np.int32]
    legal: NDArray[np.bool_]


@njit(cache=True, error_model="numpy")
def _outlier_code(v, bits, middles):
    """Abfloat code nearest to ``v``; ties toward plus infinity, saturating at both ends."""
    magnitude = abs(v)
    low, high = 0, len(middles)
    while low < high:
        half = (low + high) // 2
        if magnitude > middles[half] or (magnitude == middles[half] and v > 0):
            low = half + 1
        else:
            high = half
    return (low + 1) | (1 << (bits - 1)) if v < 0 else low + 1


@njit(cache=True, error_model="numpy")
def _pair(left, right, keep_left, tables):
    """Packed pair of two scaled values (float64 of the float32 quotients)."""
    bits, boundary = tables.bits, tables.boundary
    left_out, right_out = abs(left) >= boundary, abs(right) >= boundary
    identifier = 1 << (bits - 1)
    if left_out and (not right_out or keep_left or abs(left) >= abs(right)):
        return (_outlier_code(left, bits, tables.outlier_middles) << bits) | identifier
    if right_out:
        return (identifier << bits) | _outlier_code(right, bits, tables.outlier_middles)
    offset = len(tables.normal_codes) // 2
    high = tables.normal_codes[int(np.floor(2 * left)) + offset]
    low = tables.normal_codes[int(np.floor(2 * right)) + offset]
    return (high << bits) | low


@njit(cache=True, error_model="numpy")
def encode_pairs(rows, scale, keep_left, tables, pairs):
    """Fill ``pairs`` (R, ceil(K/2)) with the packed pairs of rows / scale."""
    R, K = rows.shape
    for r in range(R):
        s = scale[r]
        for k in range(0, K, 2):
            right = np.float64(rows[r, k + 1] / s) if k + 1 < K else 0.0
            pairs[r, k // 2] = _pair(np.float64(rows[r, k] / s), right, keep_left, tables)


@njit(cache=True, error_model="numpy")
def _decoded(row, s, keep_left, tables, quotient, out):
    """Fill ``out`` (K,) with what a row over ``s`` is encoded and decoded. Where K is odd, ``quotient`` and it have a
    place more.
    """
    boundary, offset = np.float32(tables.boundary), len(tables.nearest_normals) // 2
    for k in range(len(row)):
        quotient[k] = row[k] / s
    if len(row) % 2:
        quotient[len(row)] = 0
    for k in range(0, len(row), 2):
        left, right = quotient[k], quotient[k + 1]
        if abs(left) < boundary and abs(right) < boundary:
            out[k] = tables.nearest_normals[int(np.floor(2 * left)) + offset]
            out[k + 1] = tables.nearest_normals[int(np.floor(2 * right)) + offset]
        else:
            pair = _pair(np.float64(left), np.float64(right), keep_left, tables)
            out[k], out[k + 1] = tables.values[pair, 0], tables.values[pair, 1]


@njit(cache=True, error_model="numpy")
def squared_error_of_pairs(rows, scale, keep_left, tables, most):
    """Sum of squared errors (R,) of rows encoded and decoded, in float64; of a part where that is beyond ``most`` (R,).

    One pass for quotients, one for squares: those a compiler turns into vector instructions.
    """
    R, K = rows.shape
    quotient, squares, out = np.empty(_PART, np.float32), np.empty(_PART), np.zeros(R)
    for r in range(R):
        total = 0.0
        for first in range(0, K, _PART):
            part = rows[r, first : first + _PART]
            _decoded(part, scale[r], keep_left, tables, quotient, squares)
            for k in range(len(part)):
                error = np.float64(part[k]) - squares[k] * np.float64(scale[r])
                squares[k] = error * error
            for k in range(len(part)):
                total += squares[k]
            if total > most[r]:
                break
        out[r] = total
    return out


@njit(cache=True)
def decode_pairs(pairs, values, legal, out):
    """Fill ``out`` (R, K) and return the flat position of the first illegal pair, or -1."""
    R, P = pairs.shape
    K = out.shape[1]
    for r in range(R):
        for p in range(P):
            pair = pairs[r, p]
            if not legal[pair]:
                return r * P + p
            out[r, 2 * p] = values[pair, 0]
            if 2 * p + 1 < K:
                out[r, 2 * p + 1] = values[pair, 1]
    return -1
