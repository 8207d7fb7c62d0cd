"""One GEMM as a datapath sees it when its costs depend on values, and what those costs are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.formats import Encoded

__all__ = ["Job", "TileCosts"]


@dataclass(frozen=True)
class Job:
    """One GEMM cut into tiles.

    Attributes:
        M, N, K: its shape.
        rows, cols: logical array (``Datapath.logical_array``). A tile's folds run row blocks outermost.
        tiles: table of ``tiles.TILE_DTYPE``, in time order.
        act, weight: operands, or None when only shapes are known.
        seed: of what is drawn then.
    """

    M: int
    N: int
    K: int
    rows: int
    cols: int
    tiles: NDArray[Any]
    act: Encoded | None
    weight: Encoded | None
    seed: int


@dataclass(frozen=True)
class TileCosts:
    """What values add to a tile table; arrays are int64 of one entry per tile.

    Attributes:
        outlier_cycles: the array waits for outliers, on top of issue cycles.
        vector_cycles: the array waits for passes over operands or results.
        act_load_bytes, weight_load_bytes: more to load from DRAM with a tile (outlier lists, masks).
        act_buffer_bits, weight_buffer_bits: (read, written) more in the operand scratchpads, over the whole GEMM.
        actions: priced actions over the whole GEMM.
    """

    outlier_cycles: NDArray[np.int64]
    vector_cycles: NDArray[np.int64]
    act_load_bytes: NDArray[np.int64]
    weight_load_bytes: NDArray[np.int64]
    act_buffer_bits: tuple[int, int] = (0, 0)
    weight_buffer_bits: tuple[int, int] = (0, 0)
    actions: dict[str, float] = field(default_factory=dict)

    @classmethod
    def none(cls, tiles: NDArray[Any]) -> TileCosts:
        """Costs of nothing, to ``dataclasses.replace`` fields of."""
        zero = np.zeros(len(tiles), np.int64)
        return cls(zero, zero, zero, zero)
