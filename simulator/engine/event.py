"""The readable reference: the same tile pipelines as SimPy processes that wait for each other's events."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from itertools import accumulate
from math import floor, isinf
from typing import Any, NamedTuple

import numpy as np
import simpy

from simulator.engine.global_buffer import GlobalBuffer
from simulator.engine.memory import Dram, Served, SharedMemory, memory_of
from simulator.engine.pipeline import bringers, operand_depth
from simulator.engine.timing import Timing, attribute, empty_events, together
from simulator.tiles import TileTable

__all__ = ["run_event_cores", "run_events"]

_MOST_CORES = 1 << 10
"""A power of two, so that parts of a cycle are exact."""
_Process = Generator[simpy.Event, Any, None]


def run_events(table: TileTable, dram: Dram) -> Timing:
    """Cycles of one GEMM's tiles on this memory; the rules are those of ``pipeline``.

    Raises: ConservationError if cycles are lost.
    """
    return run_event_cores([table], dram)


def run_event_cores(tables: Sequence[TileTable], dram: Dram, buffer: GlobalBuffer | None = None) -> Timing:
    """Cycles of the tiles of one or several cores that share this memory. Raises: ConservationError."""
    env = simpy.Environment()
    channel, memory = simpy.Resource(env), memory_of(dram, tables)
    ports = _ports(env, tables, buffer) if buffer else [None] * len(tables)
    apart = 0.0 if isinf(dram.bytes_per_cycle) else 1 / _MOST_CORES  # nobody waits for what takes no time
    cores = [
        _Core(env, _Dma(env, channel, memory, i, i * apart, port), table)
        for i, (table, port) in enumerate(zip(tables, ports, strict=True))
    ]
    env.run()
    return together([attribute(core.table, core.events) for core in cores], memory.counts())


class _Port(NamedTuple):
    """One core's way to the global buffer. ``cycles``: of each tile; ``brought``: happens when what a tile loads from
    DRAM is there; ``wanted``: what of it each tile waits for.
    """

    turn: simpy.Resource
    cycles: list[int]
    brought: list[simpy.Event]
    wanted: list[list[simpy.Event]]

    def serve(self, core: int, tile: int, turn: int) -> Served:
        """Read what a tile finds in the buffer, as ``SharedMemory.load``."""
        done = turn + self.cycles[tile]
        return Served(turn, done, done, done)


def _ports(env: simpy.Environment, tables: Sequence[TileTable], buffer: GlobalBuffer) -> list[_Port | None]:
    brought = [env.event() for table in tables for _ in range(len(table))]
    wanted = [[brought[i] for i in pair if i >= 0] for pair in bringers(tables).T.tolist()]
    firsts = accumulate((len(table) for table in tables), initial=0)
    own = [slice(a, a + len(table)) for a, table in zip(firsts, tables, strict=False)]
    cycles = [buffer.channel_cycles(table.global_bytes).tolist() for table in tables]
    turn = simpy.Resource(env)
    return [_Port(turn, c, brought[tiles], wanted[tiles]) for c, tiles in zip(cycles, own, strict=True)]


class _Dma:
    """One core's way to the channel, which serves requests first come, first served.

    A request reaches the channel a fraction of a cycle after it arrives, the later the higher its core's number: of
    several in a cycle the lowest core's is first. Transfers start and end in whole cycles. Where they take no time
    nobody waits: ``later`` is 0 for all.
    """

    def __init__(
        self,
        env: simpy.Environment,
        channel: simpy.Resource,
        memory: SharedMemory,
        core: int,
        later: float,
        port: _Port | None,
    ) -> None:
        self.env, self.channel, self.memory, self.core, self.later, self.port = env, channel, memory, core, later, port

    def load(self, tile: int, place_free: simpy.Event) -> Generator[simpy.Event, Any, Served]:
        """Bring a tile's operands once there is a place for them; the DMA is free again when this returns."""
        yield place_free
        return (yield from self._transfer(self.channel, self.memory.load, tile))

    def store(self, tile: int, drained: simpy.Event) -> Generator[simpy.Event, Any, Served]:
        """Write a tile's results back once they are out of the array; as ``load``."""
        yield drained
        return (yield from self._transfer(self.channel, self.memory.store, tile))

    def find(self, port: _Port, tile: int, place_free: simpy.Event) -> Generator[simpy.Event, Any, Served]:
        """Read what a tile finds in the global buffer once there is a place for it and it is there; as ``load``."""
        yield self.env.all_of([place_free, *port.wanted[tile]])
        return (yield from self._transfer(port.turn, port.serve, tile))

    def _transfer(
        self, channel: simpy.Resource, serve: Callable[[int, int, int], Served], tile: int
    ) -> Generator[simpy.Event, Any, Served]:
        yield self.env.timeout(self.later)
        with channel.request() as turn:
            yield turn
            served = serve(self.core, tile, floor(self.env.now))
            yield self.until(served.channel_free)
        yield self.until(served.dma_free)
        return served

    def until(self, cycle: int) -> simpy.Event:
        """A cycle that is not over yet."""
        return self.env.timeout(cycle - self.env.now)


class _Core:
    """One array and its DMA; a SimPy event per tile says that its operands are there, that it has left the array, that
    its results are out, and that its place in the out scratchpad is free again.
    """

    def __init__(self, env: simpy.Environment, dma: _Dma, table: TileTable) -> None:
        self.env, self.dma, self.table = env, dma, table
        self.events = empty_events(table)
        self.loaded, self.filled, self.left, self.drained, self.stored = (
            [env.event() for _ in range(len(table))] for _ in range(5)
        )
        self.loads, self.stores = table.load_bytes > 0, table.rows["store_bytes"] > 0
        self.finds = table.global_bytes > 0
        self.array_cycles = table.array_cycles
        env.process(self.transfers())
        env.process(self.array())
        for tile in range(len(table)):
            env.process(self.fill(tile))
        for tile in np.flatnonzero(~self.loads & ~self.finds).tolist():
            env.process(self.nothing_to_load(tile))

    def transfers(self) -> _Process:
        """Ask for all transfers in their fixed order: the next tile's load, then this tile's store."""
        for tile in range(len(self.table)):
            if tile == 0:
                yield from self._load(0)
            if tile + 1 < len(self.table):
                yield from self._load(tile + 1)
            if self.stores[tile]:
                self.env.process(self._write_back(tile, (yield from self.dma.store(tile, self.drained[tile]))))

    def _load(self, tile: int) -> _Process:
        served = []
        if self.loads[tile]:
            served.append((yield from self.dma.load(tile, self._place_free(tile))))
            self.env.process(self._bring(tile, served[0]))
        if self.finds[tile] and self.dma.port:
            served.append((yield from self.dma.find(self.dma.port, tile, self._place_free(tile))))
        if served:
            self.env.process(self._arrive(tile, served))

    def _place_free(self, tile: int) -> simpy.Event:
        """When the tile that had this one's place in the operand scratchpads has left the array."""
        before = tile - operand_depth(self.table)
        return self.left[before] if before >= 0 else self.env.timeout(0)

    def nothing_to_load(self, tile: int) -> _Process:
        """The operands of a tile that loads nothing are there as soon as its place is free; no channel is needed."""
        yield self._place_free(tile)
        self.events[tile, 0:2] = self.env.now
        self.loaded[tile].succeed()

    def _bring(self, tile: int, served: Served) -> _Process:
        """What comes from DRAM is in the global buffer once it is all there."""
        yield self.dma.until(served.end)
        if self.dma.port:
            self.dma.port.brought[tile].succeed()

    def _arrive(self, tile: int, served: list[Served]) -> _Process:
        end = max(part.end for part in served)
        yield self.dma.until(end)
        self.events[tile, 0:2] = served[0].start, end
        self.loaded[tile].succeed()

    def _write_back(self, tile: int, served: Served) -> _Process:
        yield self.dma.until(served.end)
        self.events[tile, 4:6] = served.start, served.end
        self.stored[tile].succeed()

    def fill(self, tile: int) -> _Process:
        """Held operands enter the array once they are there."""
        yield self.loaded[tile]
        yield self.env.timeout(int(self.table.rows["fill_cycles"][tile]))
        self.filled[tile].succeed()

    def array(self) -> _Process:
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
            if self.stores[tile] or self.table.rows["frees_output"][tile]:
                closers.append(tile)
            self.events[tile, 3] = self.env.now
            self.left[tile].succeed()
            self.env.process(self._drain(tile))

    def _drain(self, tile: int) -> _Process:
        yield self.env.timeout(int(self.table.rows["drain_cycles"][tile]))
        self.drained[tile].succeed()
        if not self.stores[tile]:
            self.events[tile, 4:6] = self.env.now
            self.stored[tile].succeed()
