"""What becomes of one transfer between a core's DMA and the memory that all cores share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.engine.addresses import place_blocks
from simulator.engine.dram import IdealDram
from simulator.engine.dram_banked import BankedDram, DramCounts, serve
from simulator.tiles import TileTable

__all__ = ["BankedMemory", "Dram", "IdealMemory", "Served", "SharedMemory", "memory_of"]

Dram = IdealDram | BankedDram
_LOADS = ("act_load_bytes", "weight_load_bytes", "sum_load_bytes")


class Served(NamedTuple):
    """Cycles of one transfer: when it starts, when the next one of any core and of its own core may start, and when
    its data is where it should be.
    """

    start: int
    channel_free: int
    dma_free: int
    end: int


class SharedMemory(Protocol):
    """A memory that serves one request after another, in the order of the calls."""

    def load(self, core: int, tile: int, turn: int) -> Served:
        """Bring the operands of a core's tile, whose turn has come."""

    def store(self, core: int, tile: int, turn: int) -> Served:
        """Write back what a core's tile leaves."""

    def counts(self) -> dict[str, int]:
        """What the memory did, by name; nothing where it only moves bytes."""


def memory_of(dram: Dram, tables: Sequence[TileTable]) -> SharedMemory:
    """The memory that cores with these tiles share, at cycle 0."""
    return BankedMemory(dram, tables) if isinstance(dram, BankedDram) else IdealMemory(dram, tables)


class IdealMemory:
    """A channel at a fixed rate."""

    def __init__(self, dram: IdealDram, tables: Sequence[TileTable]) -> None:
        self.latency = dram.latency_cycles
        self.load_cycles = [dram.channel_cycles(t.load_bytes).tolist() for t in tables]
        self.dma_cycles = [dram.dma_cycles(t.load_bytes).tolist() for t in tables]
        self.store_cycles = [dram.channel_cycles(t.rows["store_bytes"]).tolist() for t in tables]

    def load(self, core: int, tile: int, turn: int) -> Served:
        """See ``SharedMemory``."""
        done = turn + self.dma_cycles[core][tile]
        return Served(turn, turn + self.load_cycles[core][tile], done, done + self.latency)

    def store(self, core: int, tile: int, turn: int) -> Served:
        """See ``SharedMemory``."""
        done = turn + self.store_cycles[core][tile]
        return Served(turn, done, done, done)

    def counts(self) -> dict[str, int]:
        """See ``SharedMemory``."""
        return {}


class BankedMemory:
    """Banked DRAM behind a link that hands over bursts at the joint peak rate of all channels, one transfer after
    another (assumed: no DMA is wider than what it reads from).

    A transfer starts when its first burst enters the controller, the next one of any core once its last burst has, and
    not before the link has handed it over. All banks are closed and refresh is just done at cycle 0.
    """

    def __init__(self, dram: BankedDram, tables: Sequence[TileTable]) -> None:
        self.dram = replace(dram, dmas=len(tables))
        self.state = self.dram.start()
        align = dram.row_bytes * dram.channels
        placed = place_blocks(tables, dram.burst_bytes, align, dram.capacity_bytes)
        self.loads = [
            [_pieces(table, at, column) for column in _LOADS] for table, at in zip(tables, placed, strict=True)
        ]
        self.stores = [[_pieces(table, at, "store_bytes")] for table, at in zip(tables, placed, strict=True)]

    def load(self, core: int, tile: int, turn: int) -> Served:
        """See ``SharedMemory``."""
        return self._serve(core, [pieces[tile] for pieces in self.loads[core]], turn, 0)

    def store(self, core: int, tile: int, turn: int) -> Served:
        """See ``SharedMemory``."""
        return self._serve(core, [pieces[tile] for pieces in self.stores[core]], turn, 1)

    def counts(self) -> dict[str, int]:
        """See ``SharedMemory``."""
        return asdict(DramCounts.of(self.state))

    def _serve(self, core: int, pieces: list[NDArray[np.int64]], turn: int, write: int) -> Served:
        moved = [(turn, int(address), int(size), write, core) for address, size in pieces if size]
        times = serve(self.dram, self.state, moved)
        start, end = int(times[0, 0]), int(times[-1, 1])
        bursts = sum(-(-size // self.dram.burst_bytes) for _, _, size, _, _ in moved)
        handed_over = start + self.dram.least_cycles(bursts * self.dram.burst_bytes)
        free = max(handed_over, self.dram.entered(self.state))
        return Served(start, free, free, end)


def _pieces(table: TileTable, addresses: dict[str, NDArray[np.int64]], column: str) -> NDArray[np.int64]:
    """Address and bytes (tiles, 2) of one operand of each tile."""
    return np.stack([addresses[column], table.rows[column]], axis=-1)
