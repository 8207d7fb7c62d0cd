"""The default engine: the tile pipeline as a recurrence, one numba pass over the tiles of all cores.

Resources: one DRAM channel; per core an array, a DMA and ``depth`` places for tiles in each scratchpad. Rules:

1. A core's DMA asks for load 0, then for load i+1 and store i in turn, one after another. The order does not depend on
   the buffers, so a deeper one can only let a transfer start earlier.
2. The channel serves requests first come, first served; of those that arrive in the same cycle the lowest core first.
3. Load i may be asked for once tile i - depth has left the array, which frees its place. Its data is there a latency
   after its last burst. Nothing to load takes no time.
4. Tile i enters the array when the array is free and its operands are there (and, where PEs hold one, have had time to
   fill it), and holds it for its issue and stall cycles. If it needs another place in the out scratchpad than the tile
   before, it freezes when its first result would leave before there is one: before the store that frees the place taken
   ``out_depth`` places earlier has ended.
5. Store i may be asked for when the tile's last result has left the array, a drain after its issue has ended.

On one core every start is a maximum of earlier times and every end adds a duration, so neither a shorter transfer nor a
deeper buffer ever costs a cycle. On several it may: what one core gains can let it in before another.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.engine import recurrence
from simulator.engine.dram import IdealDram
from simulator.engine.timing import EVENT_FIELDS, Timing, attribute, together
from simulator.tiles import TileTable

__all__ = ["operand_depth", "run_pipeline", "run_pipeline_cores"]


def run_pipeline(table: TileTable, dram: IdealDram) -> Timing:
    """Cycles of one GEMM's tiles on this memory. Raises: ConservationError if cycles are lost."""
    return run_pipeline_cores([table], dram)


def run_pipeline_cores(tables: Sequence[TileTable], dram: IdealDram) -> Timing:
    """Cycles of the tiles of one or several cores that share this memory. Raises: ConservationError."""
    layout = _layout(tables)
    total = int(layout[:, 1].sum())
    load_bytes, store_bytes = _joined([t.load_bytes for t in tables]), _joined([t.rows["store_bytes"] for t in tables])
    durations = np.stack(
        [
            dram.channel_cycles(load_bytes),
            _joined([t.array_cycles for t in tables]),
            *(_joined([t.rows[f"{name}_cycles"] for t in tables]) for name in ("first_result", "drain", "fill")),
            dram.channel_cycles(store_bytes),
        ]
    )
    flags = np.stack([_joined([t.rows["opens_output"] for t in tables]), store_bytes > 0])
    state = np.zeros((len(tables), recurrence.STATE), np.int64)
    stored, events = np.zeros(total, np.int64), np.zeros((total, len(EVENT_FIELDS)), np.int64)
    dma = durations[0] if dram.outstanding_bursts is None else dram.dma_cycles(load_bytes)
    recurrence._run_ideal(layout, durations, flags, dma, dram.latency_cycles, state, stored, events)
    bounds = [*layout[:, 0].tolist(), total]
    return together([attribute(t, events[a:b]) for t, (a, b) in zip(tables, pairwise(bounds), strict=True)])


def operand_depth(table: TileTable) -> int:
    """Tiles whose operands the scratchpads hold at a time: the smaller of the two; all of them without limits."""
    depths = [d for d in (table.act_buffer_depth, table.weight_buffer_depth) if d]
    return min(depths, default=len(table))


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
