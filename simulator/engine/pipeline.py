"""The default engine: the tile pipeline as a recurrence, one numba pass over the tiles of all cores.

Resources: one DRAM channel, one port of the global buffer if there is one; per core an array, a DMA and ``depth``
places for tiles in each scratchpad. Rules:

1. A core's DMA asks for load 0, then for load i+1 and store i in turn, one after another. The order does not depend on
   the buffers, so a deeper one can only let a transfer start earlier.
2. The channel serves requests first come, first served; of those that arrive in the same cycle the lowest core first.
3. Load i may be asked for once tile i - depth has left the array, which frees its place. Its data is there a latency
   after its last burst. Nothing to load takes no time.
4. Tile i enters the array when the array is free and its operands are there (and, where PEs hold one, have had time to
   fill it), and holds it for its issue and stall cycles. If it needs another place in the out scratchpad than the tile
   before, it freezes when its first result would leave before there is one: before the store that frees the place taken
   ``out_depth`` places earlier has ended.
5. Store i may be asked for when the tile's last result has left the array, a drain after its issue has ended. A tile
   whose results leave without DRAM (``frees_output``) frees its place in the out scratchpad then.

6. What a tile finds in the global buffer is asked for once all of it is there and what the tile loads from DRAM, if
   anything, has left the DMA free. The port serves requests as the channel does (rule 2) and holds the DMA meanwhile;
   the tile waits for both parts. What waits for a block waits for a tile that comes before it in the order of turns
   (``mapping.residency``), so that cores never wait for each other in a ring.

On banked DRAM what a transfer takes is asked of the memory (``memory.BankedMemory``); all other rules are the same.

On one core and an ideal channel every start is a maximum of earlier times and every end adds a duration, so neither a
shorter transfer nor a deeper buffer ever costs a cycle. On several cores it may: what one gains can let it in before
another.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.engine import recurrence
from simulator.engine.dram import IdealDram
from simulator.engine.global_buffer import GlobalBuffer
from simulator.engine.memory import Dram, Served, SharedMemory, memory_of
from simulator.engine.timing import EVENT_FIELDS, Timing, attribute, together
from simulator.tiles import Tiles, TileTable

__all__ = ["bringers", "operand_depth", "run_pipeline", "run_pipeline_cores"]

_SIDES = ("act", "weight")


def run_pipeline(table: TileTable, dram: Dram) -> Timing:
    """Cycles of one GEMM's tiles on this memory. Raises: ConservationError if cycles are lost."""
    return run_pipeline_cores([table], dram)


def run_pipeline_cores(tables: Sequence[TileTable], dram: Dram, buffer: GlobalBuffer | None = None) -> Timing:
    """Cycles of the tiles of one or several cores that share this memory. Raises: ConservationError."""
    layout = _layout(tables)
    tiles = int(layout[:, 1].sum())
    durations, flags = np.empty((6 + (buffer is not None), tiles), np.int64), np.empty((3, tiles), np.bool_)
    limited = isinstance(dram, IdealDram) and dram.outstanding_bursts is not None
    dma = np.empty(tiles, np.int64) if limited else durations[0]
    first = 0
    for part in (part for table in tables for part in table.parts()):
        at = slice(first, first := first + len(part))
        np.stack(_durations(part, dram, buffer), out=durations[:, at])
        np.stack(_flags(part), out=flags[:, at])
        if isinstance(dram, IdealDram) and limited:
            dma[at] = dram.dma_cycles(part.load_bytes)
    found = brought = None
    if buffer is not None:
        found, brought = bringers(tables), np.full(tiles, -1)
    run = _Run(layout, durations, flags, found, *_empty(len(tables), tiles), brought)
    counts: dict[str, int] = {}
    if isinstance(dram, IdealDram):
        recurrence._run_ideal(*run[:4], dma, dram.latency_cycles, *run[4:])
    else:
        counts = _run_shared(run, memory_of(dram, tables))
    bounds = pairwise([*layout[:, 0].tolist(), tiles])
    return together([attribute(t, run.events[a:b]) for t, (a, b) in zip(tables, bounds, strict=True)], counts)


def _durations(table: TileTable, dram: Dram, buffer: GlobalBuffer | None) -> list[NDArray[np.int64]]:
    """Rows of ``recurrence.DURATIONS``, without what comes from a global buffer if there is none."""
    array = [table.rows[f"{name}_cycles"] for name in ("first_result", "drain", "fill")]
    transfers = [_channel_cycles(dram, moved) for moved in (table.load_bytes, table.rows["store_bytes"])]
    durations = [transfers[0], table.array_cycles, *array, transfers[1]]
    return durations if buffer is None else [*durations, buffer.channel_cycles(table.global_bytes)]


def _flags(table: TileTable) -> list[NDArray[np.bool_]]:
    """See ``recurrence``."""
    stores, frees = table.rows["store_bytes"] > 0, table.rows["frees_output"]
    return [table.rows["opens_output"], stores, frees & ~stores]


def _channel_cycles(dram: Dram, moved: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cycles of transfers on an ideal channel; elsewhere only whether there are any counts: more than 0."""
    return dram.channel_cycles(moved) if isinstance(dram, IdealDram) else moved


class _Run(NamedTuple):
    """Arrays of one run, as ``recurrence`` describes them."""

    layout: NDArray[np.int64]
    durations: NDArray[np.int64]
    flags: NDArray[np.bool_]
    bringers: NDArray[np.int64] | None
    state: NDArray[np.int64]
    stored: NDArray[np.int64]
    events: NDArray[np.int64]
    brought: NDArray[np.int64] | None


def bringers(tables: Sequence[TileTable]) -> NDArray[np.int64]:
    """Which tiles, among those of all cores, bring the activations and weights that each finds in the global buffer;
    (2, tiles), -1 for none.
    """
    sides = [
        [np.where(t.rows[f"{s}_global_bytes"] > 0, t.rows[f"{s}_global_tile"], -1) for t in tables] for s in _SIDES
    ]
    return np.stack([_joined(columns) for columns in sides])


def _empty(cores: int, tiles: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """State, places and events at cycle 0."""
    state = np.zeros((cores, recurrence.STATE), np.int64)
    state[:, recurrence.PLACE] = -1
    return state, np.zeros(tiles, np.int64), np.zeros((tiles, len(EVENT_FIELDS)), np.int64)


def _run_shared(run: _Run, memory: SharedMemory) -> dict[str, int]:
    """As ``recurrence._run_ideal`` on any memory, a call per transfer; returns what the memory did."""
    for core in range(len(run.layout)):
        recurrence._advance(core, *run)
    channel_free = port_free = 0
    while True:
        core = recurrence._next_core(run.state)
        arrival = int(run.state[core, recurrence.ARRIVAL])
        if arrival >= recurrence.NEVER:
            return memory.counts()
        tile = int(recurrence._tile(core, run.layout, run.state))
        if run.state[core, recurrence.BUFFERED]:
            start = max(arrival, port_free)
            port_free = start + int(run.durations[6, tile])
            served = Served(start, port_free, port_free, port_free)
        else:
            serve = memory.store if recurrence._is_store(run.state[core, recurrence.STEP]) else memory.load
            served = serve(core, tile - int(run.layout[core, 0]), max(arrival, channel_free))
            channel_free = served.channel_free
        recurrence._served(core, served.start, served.dma_free, served.end, *run)
        recurrence._advance(core, *run)


def operand_depth(tiles: Tiles) -> int:
    """Tiles whose operands the scratchpads hold at a time: the smaller of the two; all of them without limits."""
    depths = [d for d in (tiles.act_buffer_depth, tiles.weight_buffer_depth) if d]
    return min(depths, default=len(tiles))


def _layout(tables: Sequence[TileTable]) -> NDArray[np.int64]:
    """See ``recurrence``. As many places as there are tiles are no limit."""
    firsts = accumulate((len(t) for t in tables), initial=0)
    return np.array(
        [
            (first, len(t), min(operand_depth(t), len(t)), min(t.out_buffer_depth or len(t), len(t)))
            for first, t in zip(firsts, tables, strict=False)
        ],
        np.int64,
    )


def _joined(columns: list[NDArray[Any]]) -> NDArray[Any]:
    return columns[0] if len(columns) == 1 else np.concatenate(columns)
