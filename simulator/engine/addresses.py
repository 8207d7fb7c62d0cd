"""Where the blocks of a GEMM's operands lie in DRAM: tile by tile, so that a tile's operand is one run of addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import ConfigError
from simulator.tiles import TileTable

__all__ = ["REGIONS", "place_blocks"]

REGIONS = {
    "act_load_bytes": ("m0", "m", "k0", "k"),
    "weight_load_bytes": ("n0", "n", "k0", "k"),
    "sum_load_bytes": ("m0", "m", "n0", "n", "core"),
    "store_bytes": ("m0", "m", "n0", "n", "core"),
}
"""What a tile moves -> what tells its block from others in the operand's region. Cores that cut an operand alike share
its blocks; each has sums and results of its own."""


def place_blocks(
    tables: Sequence[TileTable], burst_bytes: int, align_bytes: int, capacity_bytes: int
) -> list[dict[str, NDArray[np.int64]]]:
    """First address of what each tile of each core moves, by column of ``REGIONS``.

    One region per operand, beginning at a multiple of ``align_bytes``; in it blocks in order of M or N, then of K, each
    from the next burst on. A block that is fetched again has the same address; sums that come back are read from a
    region as large as what was written of them.
    Raises: ConfigError if all regions together do not fit.
    """
    found: list[dict[str, NDArray[np.int64]]] = [{} for _ in tables]
    free = 0
    for column, key in REGIONS.items():
        base = -(-free // align_bytes) * align_bytes
        starts, size = _region(tables, column, key, burst_bytes)
        free = base + size
        for core, offsets in enumerate(starts):
            found[core][column] = base + offsets
    if free > capacity_bytes:
        raise ConfigError(f"operands and results of a GEMM take {free} bytes of this DRAM's {capacity_bytes}")
    return found


def _region(
    tables: Sequence[TileTable], column: str, key: tuple[str, ...], burst_bytes: int
) -> tuple[list[NDArray[np.int64]], int]:
    """Where the blocks of one operand begin in their region, for each tile of each core, and the region's size."""
    moved = np.concatenate([table.rows[column] for table in tables])
    blocks = np.concatenate([_keys(table, core, key) for core, table in enumerate(tables)])
    used = moved > 0
    names, which = np.unique(blocks[used], axis=0, return_inverse=True)
    sizes = np.zeros(len(names), np.int64)
    np.maximum.at(sizes, which.reshape(-1), -(-moved[used] // burst_bytes) * burst_bytes)
    offsets = np.zeros(len(moved), np.int64)
    offsets[used] = (np.cumsum(sizes) - sizes)[which.reshape(-1)]
    cuts = np.cumsum([len(table) for table in tables])[:-1]
    return np.split(offsets, cuts), int(sizes.sum())


def _keys(table: TileTable, core: int, key: tuple[str, ...]) -> NDArray[Any]:
    columns = {name: table.rows[name] for name in key if name != "core"} | {"core": np.full(len(table), core)}
    return np.stack([columns[name] for name in key], axis=-1)
