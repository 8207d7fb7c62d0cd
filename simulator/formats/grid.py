"""Formats that are a table: every code stands for one integer, and a value is stored as the code of the nearest one.

Rounding is that of the contract's section 4 within a grid: the nearest value, ties toward plus infinity; beyond either
end it saturates. Where two codes have one value (plus and minus zero) the lower is produced, and both decode. Rows are
packed as bit streams (``formats.bitstream``).
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.formats.base import Format, checked_codes, scaled_rows
from simulator.formats.bitstream import pack, unpack
from simulator.kernels import njit

__all__ = ["GridFormat"]

_PART = 64
"""Values between two looks at whether a sum of squared errors is beyond its limit; numba keeps it with this file."""


@njit(cache=True, error_model="numpy")
def _rank(row, s, middles, quotient, rank):
    """Fill ``rank`` (K,): how many of the ascending ``middles`` are at most ``row / s``.

    One pass along the row per middle: that is what a compiler turns into vector instructions. For 15 middles it takes
    a tenth of the time of a binary search per value.
    """
    for k in range(len(row)):
        quotient[k] = row[k] / s
        rank[k] = 0
    for middle in middles:
        for k in range(len(row)):
            rank[k] += np.uint8(quotient[k] >= middle)


@njit(cache=True, error_model="numpy")
def _encode(rows, scale, middles, codes, out):
    """Fill ``out`` (R, K) with the codes of rows / scale; ``codes`` by rank of the value."""
    R, K = rows.shape
    quotient, rank = np.empty(K, np.float32), np.empty(K, np.uint8)
    for r in range(R):
        _rank(rows[r], scale[r], middles, quotient, rank)
        for k in range(K):
            out[r, k] = codes[rank[k]]


@njit(cache=True, error_model="numpy")
def _squared_error(rows, scale, middles, grid, most):
    """Sum of squared errors (R,) of rows on the ascending ``grid``, in float64; of a part where that is beyond ``most``
    (R,).
    """
    R, K = rows.shape
    quotient, rank = np.empty(_PART, np.float32), np.empty(_PART, np.uint8)
    out = np.zeros(R)
    for r in range(R):
        total = 0.0
        for first in range(0, K, _PART):
            part = rows[r, first : first + _PART]
            _rank(part, scale[r], middles, quotient, rank)
            for k in range(len(part)):
                error = np.float64(part[k]) - grid[rank[k]] * np.float64(scale[r])
                total += error * error
            if total > most[r]:
                break
        out[r] = total
    return out


class GridFormat(Format):
    """What formats that are a table share; a subclass says ``values``."""

    @property
    @abstractmethod
    def values(self) -> NDArray[np.int32]:
        """Value of each of the ``2^bits`` codes."""

    def encode(self, x: ArrayLike, scale: ArrayLike) -> NDArray[np.uint8]:
        """See ``Format.encode``."""
        lead, rows, per_row = scaled_rows(x, scale)
        _, codes, middles = self._search_tables()
        out = np.empty(rows.shape, np.uint8)
        _encode(rows, per_row, middles, codes, out)
        return pack(out, self.bits).reshape(*lead, -1)

    def decode(self, codes: NDArray[np.uint8], length: int) -> NDArray[np.int32]:
        """See ``Format.decode``; every code is legal."""
        rows = checked_codes(codes, self.packed_bytes(length), self.name)
        return unpack(rows, self.bits, length, self.values).reshape(*codes.shape[:-1], length)

    def squared_error(self, rows: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float64]:
        """See ``Format.squared_error``; one pass, nothing packed."""
        return self.error_up_to(rows, scale, np.full(len(rows), np.inf))

    def error_up_to(
        self, rows: NDArray[np.float32], scale: NDArray[np.float32], most: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """See ``Format.error_up_to``."""
        grid, _, middles = self._search_tables()
        return np.asarray(_squared_error(rows, np.ascontiguousarray(scale), middles, grid, most))

    def _search_tables(self) -> tuple[NDArray[np.float64], NDArray[np.uint8], NDArray[np.float32]]:
        """The distinct values, ascending; the code of each; the points half way between neighbours."""
        grid, codes = np.unique(self.values.astype(np.float64), return_index=True)
        middles = (grid[:-1] + grid[1:]) / 2
        assert (middles == middles.astype(np.float32)).all()  # quotients are compared in float32
        return grid, codes.astype(np.uint8), middles.astype(np.float32)
