"""The folds of a tile one by one, for what depends on where they begin; tiles of one kind have the same folds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.mapping.array_shape import ArrayShape
from simulator.workload import Op

__all__ = ["FoldRanges", "Kind", "fold_ranges", "kinds", "reduction_ranges"]

Ints = NDArray[np.int64]


class Kind(NamedTuple):
    """What decides the folds of a tile.

    Attributes:
        m, n, k: its size.
        before: ``os``: reduction steps of earlier tiles, where it finishes outputs; else whether there are any.
        last: whether it finishes outputs.
    """

    m: int
    n: int
    k: int
    before: int
    last: bool


class FoldRanges(NamedTuple):
    """Where the folds of a tile begin and end along the array's rows and along its columns."""

    down0: Ints
    down1: Ints
    across0: Ints
    across1: Ints


def kinds(tiles: NDArray[Any], op: Op, array: ArrayShape) -> tuple[list[Kind], NDArray[np.intp]]:
    """The distinct tiles of a table, and which of them each tile is."""
    last = tiles["k0"] + tiles["k"] == op.K
    before = np.where(last, tiles["k0"], 0) if array.dataflow == "os" else np.minimum(tiles["k0"], 1)
    columns = np.stack([tiles["m"], tiles["n"], tiles["k"], before, last], axis=1)
    found, which = np.unique(columns, axis=0, return_inverse=True)
    return [Kind(m, n, k, earlier, bool(done)) for m, n, k, earlier, done in found.tolist()], which.reshape(-1)


def fold_ranges(kind: Kind, array: ArrayShape) -> FoldRanges:
    """Folds of a tile: along M and N (``os``), or along reduction steps and N or M."""
    down, across = array.places(kind.m, kind.n, kind.k)
    down0, across0 = np.arange(0, down, array.rows), np.arange(0, across, array.cols)
    return FoldRanges(down0, np.minimum(down0 + array.rows, down), across0, np.minimum(across0 + array.cols, across))


def reduction_ranges(folds: FoldRanges, array: ArrayShape) -> tuple[Ints, Ints]:
    """First and last value along K of each fold along the rows, where these hold ``cycles_per_step`` times K."""
    return folds.down0 // array.cycles_per_step, -(-folds.down1 // array.cycles_per_step)
