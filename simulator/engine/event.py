"""The readable reference: the same tile pipeline as SimPy processes that wait for each other's events."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from simulator.engine.dram import IdealDram
from simulator.engine.pipeline import operand_depth
from simulator.engine.timing import Timing, attribute, empty_events
from simulator.tiles import TileTable

__all__ = ["run_events"]


def run_events(table: TileTable, dram: IdealDram) -> Timing:
    """Cycles of one GEMM's tiles on this memory; the rules are those of ``pipeline``.

    Raises: ConservationError if cycles are lost.
    """
    machine = _Machine(table, dram)
    machine.env.process(machine.channel())
    machine.env.process(machine.array())
    for tile in range(len(table)):
        machine.env.process(machine.fill(tile))
    for tile in np.flatnonzero(machine.load_cycles == 0).tolist():
        machine.env.process(machine.nothing_to_load(tile))
    machine.env.run()
    return attribute(table, machine.events)


class _Machine:
    """One DRAM channel and one array; a SimPy event per tile says that its operands are there, that it has left the
    array, that its results are out, and that its place in the out scratchpad is free again.
    """

    def __init__(self, table: TileTable, dram: IdealDram) -> None:
        self.env = simpy.Environment()
        self.table, self.dram = table, dram
        self.events = empty_events(table)
        self.loaded, self.filled, self.left, self.drained, self.stored = (
            [self.env.event() for _ in range(len(table))] for _ in range(5)
        )
        tiles = table.rows
        self.load_cycles = dram.channel_cycles(table.load_bytes)
        self.store_cycles = dram.channel_cycles(tiles["store_bytes"])
        self.array_cycles = table.array_cycles

    def channel(self) -> Generator[simpy.Event, Any, None]:
        """Serve all transfers in their fixed order: the next tile's load, then this tile's store."""
        for tile in range(len(self.table)):
            if tile == 0:
                yield from self._load(0)
            if tile + 1 < len(self.table):
                yield from self._load(tile + 1)
            yield from self._store(tile)

    def _place_free(self, tile: int) -> simpy.Event:
        """When the tile that had this one's place in the operand scratchpads has left the array."""
        before = tile - operand_depth(self.table)
        return self.left[before] if before >= 0 else self.env.timeout(0)

    def _load(self, tile: int) -> Generator[simpy.Event, Any, None]:
        if self.load_cycles[tile] == 0:
            return
        yield self._place_free(tile)
        self.events[tile, 0] = self.env.now
        yield self.env.timeout(int(self.load_cycles[tile]))
        self.env.process(self._arrive(tile))

    def nothing_to_load(self, tile: int) -> Generator[simpy.Event, Any, None]:
        """The operands of a tile that loads nothing are there as soon as its place is free; no channel is needed."""
        yield self._place_free(tile)
        self.events[tile, 0:2] = self.env.now
        self.loaded[tile].succeed()

    def _arrive(self, tile: int) -> Generator[simpy.Event, Any, None]:
        yield self.env.timeout(self.dram.latency_cycles)
        self.events[tile, 1] = self.env.now
        self.loaded[tile].succeed()

    def _store(self, tile: int) -> Generator[simpy.Event, Any, None]:
        if self.table.rows["store_bytes"][tile] == 0:
            return
        yield self.drained[tile]
        self.events[tile, 4] = self.env.now
        yield self.env.timeout(int(self.store_cycles[tile]))
        self.events[tile, 5] = self.env.now
        self.stored[tile].succeed()

    def fill(self, tile: int) -> Generator[simpy.Event, Any, None]:
        """Held operands enter the array once they are there."""
        yield self.loaded[tile]
        yield self.env.timeout(int(self.table.rows["fill_cycles"][tile]))
        self.filled[tile].succeed()

    def array(self) -> Generator[simpy.Event, Any, None]:
        """Run the tiles one after another; one that finishes outputs may have to wait for a place to put them."""
        out_depth = self.table.out_buffer_depth or len(self.table)
        opened = 0
        closers: list[int] = []  # the tile that frees each place, in the order in which places were taken
        for tile, cycles in enumerate(self.array_cycles.tolist()):
            yield self.filled[tile]
            self.events[tile, 2] = self.env.now
            if self.table.rows["opens_output"][tile]:
                first_result = int(self.table.rows["first_result_cycles"][tile])
                yield self.env.timeout(first_result)
                if opened >= out_depth:
                    yield self.stored[closers[opened - out_depth]]
                yield self.env.timeout(cycles - first_result)
                opened += 1
            else:
                yield self.env.timeout(cycles)
            if self.table.rows["store_bytes"][tile] > 0:
                closers.append(tile)
            self.events[tile, 3] = self.env.now
            self.left[tile].succeed()
            self.env.process(self._drain(tile))

    def _drain(self, tile: int) -> Generator[simpy.Event, Any, None]:
        yield self.env.timeout(int(self.table.rows["drain_cycles"][tile]))
        self.drained[tile].succeed()
        if self.table.rows["store_bytes"][tile] == 0:
            self.events[tile, 4:6] = self.env.now
            self.stored[tile].succeed()
