"""What becomes of one transfer between a core's DMA and the memory that all cores share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from simulator.engine.dram import IdealDram
from simulator.tiles import TileTable

__all__ = ["IdealMemory", "Served", "SharedMemory"]


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
