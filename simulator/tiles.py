"""The one intermediate form: a table of tiles. Every mapping makes it, every engine reads it.

A tile is the block of one GEMM that the scratchpads hold at a time: its operands are loaded from DRAM (unless they are
still there from the tile before), its folds run through the array, its results are written back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AT_A_TIME", "OWN_CYCLES", "TILE_DTYPE", "LoopNest", "TileTable", "Tiles", "same_as_before"]

TILE_DTYPE = np.dtype(
    [
        ("m0", np.int64),  # first row of A
        ("n0", np.int64),  # first column of W
        ("k0", np.int64),  # first reduction step
        ("m", np.int64),  # rows of A
        ("n", np.int64),  # columns of W
        ("k", np.int64),  # reduction steps
        ("folds", np.int64),  # passes through the array
        ("act_load_bytes", np.int64),  # DRAM -> act buffer; 0 if still there
        ("weight_load_bytes", np.int64),  # DRAM -> weight buffer; 0 if still there
        ("act_global_bytes", np.int64),  # global buffer -> act buffer, instead of from DRAM
        ("weight_global_bytes", np.int64),  # global buffer -> weight buffer, instead of from DRAM
        ("act_global_tile", np.int64),  # among the tiles of all cores, one core after another: the one that brings it
        ("weight_global_tile", np.int64),  # likewise; both without meaning where nothing comes from the global buffer
        ("sum_load_bytes", np.int64),  # DRAM -> out buffer: unfinished sums that come back
        ("store_bytes", np.int64),  # out buffer -> DRAM: finished outputs, or sums that make room; 0 if they stay
        ("evicted_bytes", np.int64),  # cache -> DRAM: results that what this tile loads pushes out
        ("frees_output", np.bool_),  # its results leave the out buffer without DRAM: once they have left the array
        ("opens_output", np.bool_),  # takes a place in the out buffer that the tile before did not have
        ("fill_cycles", np.int64),  # from its operands being there until it may enter an idle array (held operand)
        ("issue_cycles", np.int64),  # the array is taken: the next tile may enter after them
        ("stream_cycles", np.int64),  # of them: a streamed operand enters the array's edge
        ("drain_cycles", np.int64),  # from then until the last result has left the array
        ("first_result_cycles", np.int64),  # issued cycles after which the first result needs a place to go
        ("outlier_cycles", np.int64),  # on top of issue_cycles: the array waits for outliers (data dependent)
        ("vector_cycles", np.int64),  # on top of issue_cycles: it waits for passes over operands or results
        ("conflict_cycles", np.int64),  # on top of issue_cycles: words of a scratchpad wait for their bank
        ("shared_cycles", np.int64),  # on top of issue_cycles: the shared memory of a multiprocessor is slower
        ("l2_cycles", np.int64),  # on top of both: the cache that all multiprocessors share is slower
        ("sync_cycles", np.int64),  # on top of all three: warps wait for each other and for what they have begun
        ("macs", np.int64),  # useful multiply-accumulates
    ]
)


OWN_CYCLES = ("conflict_cycles", "outlier_cycles", "vector_cycles", "shared_cycles", "l2_cycles", "sync_cycles")
"""Columns of cycles that a tile holds the array beyond issuing."""


_FROM_DRAM = ("act_load_bytes", "weight_load_bytes", "sum_load_bytes", "evicted_bytes")
_FROM_BUFFER = ("act_global_bytes", "weight_global_bytes")

AT_A_TIME = 2048
"""Rows of a table that are worked on at a time: half a megabyte, so that column after column is read from the cache."""


def same_as_before(rows: NDArray[Any], *columns: str) -> NDArray[np.bool_]:
    """Whether each tile has the same in these columns as the tile before it; the first one has none before it."""
    same = np.zeros(len(rows), np.bool_)
    same[1:] = np.logical_and.reduce([rows[c][1:] == rows[c][:-1] for c in columns])
    return same


@dataclass(frozen=True)
class Tiles(ABC):
    """Tiles of one GEMM in the order in which they run, and what they share: a row for each, or for all that are equal.

    Attributes:
        rows: structured array of ``TILE_DTYPE``, in time order.
        compute_cycles: closed-form cycles of the whole GEMM with ideal memory and no data-dependent stall.
        act_buffer_depth, weight_buffer_depth, out_buffer_depth: tiles a scratchpad holds at a time: 2 if double
            buffered, else 1; 0 where there is no memory limit.
    """

    rows: NDArray[Any]
    compute_cycles: int
    act_buffer_depth: int
    weight_buffer_depth: int
    out_buffer_depth: int

    @abstractmethod
    def __len__(self) -> int:
        """Tiles."""

    @property
    @abstractmethod
    def times(self) -> NDArray[np.int64]:
        """How many tiles each row stands for; one for the first and for the last."""

    @property
    def load_bytes(self) -> NDArray[np.int64]:
        """Bytes from DRAM that a tile of each row waits for, and those that they push out to it."""
        return np.asarray(sum(self.rows[c] for c in _FROM_DRAM))

    @property
    def global_bytes(self) -> NDArray[np.int64]:
        """Bytes from the global buffer that each tile waits for."""
        return np.asarray(sum(self.rows[c] for c in _FROM_BUFFER))

    @property
    def first_loads(self) -> bool:
        """Whether the first tile loads anything from DRAM or a global buffer."""
        return any(self.rows[c][0] > 0 for c in (*_FROM_DRAM, *_FROM_BUFFER))

    @property
    def array_cycles(self) -> NDArray[np.int64]:
        """Cycles that a tile of each row holds the array: issue, and all that comes on top of it."""
        return np.asarray(sum(self.rows[c] for c in ("issue_cycles", *OWN_CYCLES)))

    @property
    def fill_drain_cycles(self) -> int:
        """Compute cycles in which no streamed operand enters the array's edge: filling, draining, bubbles between
        folds. 0 where ``scalesim`` reports a cycle less than the operands take (one fold on a 1 x 1 array).
        """
        return max(self.compute_cycles - self.total("stream_cycles"), 0)

    def total(self, column: str) -> int:
        """Sum of a column over all tiles."""
        return self.summed(self.rows[column])

    def totals(self, columns: Sequence[str]) -> list[int]:
        """Sums of several columns over all tiles."""
        return [self.total(column) for column in columns]

    def summed(self, values: NDArray[Any]) -> int:
        """Sum over all tiles of an integer per row."""
        return int(self.times @ values)


@dataclass(frozen=True)
class TileTable(Tiles):
    """A row for each tile."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def times(self) -> NDArray[np.int64]:
        """One each, in no memory."""
        return np.broadcast_to(np.int64(1), len(self.rows))

    def parts(self) -> Iterator[TileTable]:
        """The same tiles, ``AT_A_TIME``: in a long table what is done with a part is done from the cache."""
        if len(self) <= AT_A_TIME:
            yield self
            return
        for first in range(0, len(self), AT_A_TIME):
            yield replace(self, rows=self.rows[first : first + AT_A_TIME])

    def total(self, column: str) -> int:
        """Sum of a column over all tiles, without a copy of all of it."""
        return self.totals([column])[0]

    def totals(self, columns: Sequence[str]) -> list[int]:
        """Sums of several columns over all tiles."""
        sums = ([part.summed(part.rows[column]) for column in columns] for part in self.parts())
        return [sum(some) for some in zip(*sums, strict=True)]

    def summed(self, values: NDArray[Any]) -> int:
        """Sum over all tiles of an integer per row."""
        return int(values.sum())


@dataclass(frozen=True)
class LoopNest(Tiles):
    """The tiles of three nested loops, a row for all that are of one kind: at most 27 rows.

    A tile depends on where its loops stand only through whether each is at its first block, its last one or between.
    Rows are those of the same loops over ``min(count, 3)`` blocks: the first, the second for all between, the last.

    Attributes:
        counts: blocks of each loop, outermost first.
    """

    counts: tuple[int, int, int]

    def __len__(self) -> int:
        return prod(self.counts)

    @cached_property
    def times(self) -> NDArray[np.int64]:
        """How many tiles are of each kind."""
        along = [np.array([1, count - 2, 1] if count > 2 else [1] * count) for count in self.counts]
        return np.multiply.outer(np.multiply.outer(along[0], along[1]), along[2]).ravel()
