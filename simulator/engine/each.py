"""Many GEMMs of one table of tiles, of which each loads and waits a little differently: one core, an ideal channel.

The rules are those of ``pipeline``. What a run returns is what ``timing`` needs of it, so no event is kept; times are
added up over all GEMMs, which run one after another. Equal to ``run_pipeline`` one by one (tests/test_each.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.engine.dram import IdealDram
from simulator.engine.pipeline import operand_depth
from simulator.engine.rates import transfer_cycles
from simulator.engine.timing import OWN_CAUSES, STALL_CAUSES, Timing, check_conserved
from simulator.kernels import kernel
from simulator.tiles import TileTable

__all__ = ["Beyond", "run_each"]

_COLUMNS = ("fill_cycles", "first_result_cycles", "drain_cycles", "store_bytes", "opens_output", "frees_output")
FILL, FIRST_RESULT, DRAIN, STORE_BYTES, OPENS, FREES, LOAD_BYTES, ARRAY, STORE = range(9)


class Beyond(NamedTuple):
    """What the tiles of each GEMM have beyond the table's, int64 (GEMMs, tiles) each.

    Attributes:
        load_bytes: to load from DRAM.
        outlier_cycles, vector_cycles: for which the array waits.
    """

    load_bytes: NDArray[np.int64]
    outlier_cycles: NDArray[np.int64]
    vector_cycles: NDArray[np.int64]


def run_each(table: TileTable, dram: IdealDram, beyond: Beyond) -> Timing:
    """Cycles of all these GEMMs. The table finds nothing in a global buffer. Raises: ConservationError."""
    tiles = len(table)
    rows = np.empty((tiles, 9), np.int64)
    for column, name in enumerate(_COLUMNS):
        rows[:, column] = table.rows[name]
    rows[:, LOAD_BYTES], rows[:, ARRAY] = table.load_bytes, table.array_cycles
    rows[:, STORE] = dram.channel_cycles(table.rows["store_bytes"])
    depths = min(operand_depth(table), tiles), min(table.out_buffer_depth or tiles, tiles)
    channel = dram.burst_bytes, dram.bytes_per_cycle, dram.read_bytes_per_cycle, dram.latency_cycles
    waited = np.empty((len(beyond.load_bytes), 5), np.int64)
    _run_each(rows, depths, channel, beyond, waited)
    return _timing(table, beyond, waited)


def _timing(table: TileTable, beyond: Beyond, waited: NDArray[np.int64]) -> Timing:
    """The sum of what ``timing.attribute`` would say of each; every cause of each is held to what is possible."""
    rows = table.rows
    fill, drain = int(rows["fill_cycles"][0]), int(rows["drain_cycles"][-1])
    compute = fill + table.total("issue_cycles") + drain
    first_loads = table.load_bytes[0] + beyond.load_bytes[:, 0] > 0
    before, unloaded, frozen, results_out, end = waited.T
    cached = unloaded - np.where(first_loads, 0, fill)
    own: dict[str, Any] = {cause: table.total(column) for column, cause in OWN_CAUSES.items()}
    own["stall_outlier"] = own["stall_outlier"] + beyond.outlier_cycles.sum(axis=1)
    own["stall_vector"] = own["stall_vector"] + beyond.vector_cycles.sum(axis=1)
    each: dict[str, Any] = dict.fromkeys(STALL_CAUSES, 0) | own
    each["stall_dram_read"] = before - fill - cached
    each["stall_l2"] = each["stall_l2"] + cached
    each["stall_epilogue" if rows["frees_output"].any() else "stall_dram_write"] = frozen
    each["stall_dram_write"] = each["stall_dram_write"] + end - results_out
    check_conserved(table, compute, each, end)
    gemms = len(waited)
    stalls = {
        cause: int(cycles.sum()) if isinstance(cycles, np.ndarray) else cycles * gemms for cause, cycles in each.items()
    }
    return Timing(int(end.sum()), compute * gemms, stalls, fill_drain_cycles=table.fill_drain_cycles * gemms)


@kernel
def _run_each(rows, depths, channel, beyond, waited):
    """``waited`` (GEMMs, 5): ``timing.Waits`` of each."""
    depth, out_depth = depths
    burst_bytes, rate, read_rate, latency = channel
    left, places = np.empty(depth, np.int64), np.empty(out_depth, np.int64)
    tiles = len(rows)
    for g in range(len(waited)):
        left[:], places[:] = 0, 0
        place = out_depth - 1  # the one in use, in a ring
        free = dma_free = end = gaps = unloaded = frozen = finish = 0
        for i in range(tiles + 1):
            arrived = left[i % depth]  # when the tile ``depth`` before it left the array
            if i < tiles:
                moved = rows[i, LOAD_BYTES] + beyond.load_bytes[g, i]
                load = transfer_cycles(moved, burst_bytes, rate)
                if load > 0:
                    start = max(arrived, dma_free, free)
                    free = start + load
                    dma_free = start + transfer_cycles(moved, burst_bytes, read_rate)
                    arrived = dma_free + latency
            if i > 0:  # the results of the tile before it
                out = end + rows[i - 1, DRAIN]
                if rows[i - 1, STORE_BYTES] > 0:
                    free = dma_free = out = max(out, dma_free, free) + rows[i - 1, STORE]
                    places[place] = out
                elif rows[i - 1, FREES] > 0:
                    places[place] = out
                finish = max(finish, out)
            if i == tiles:
                break
            held = rows[i, ARRAY] + beyond.outlier_cycles[g, i] + beyond.vector_cycles[g, i]
            start = max(end, arrived + rows[i, FILL])
            gaps += start - end
            if moved == 0:
                unloaded += start - end
            end = start + held
            if rows[i, OPENS] > 0:
                place = place + 1 if place + 1 < out_depth else 0
                late = places[place] - rows[i, FIRST_RESULT]
                frozen += max(late - start, 0)
                end = max(end, late + held)
            left[i % depth] = end
        out = end + rows[tiles - 1, DRAIN]
        waited[g, 0], waited[g, 1], waited[g, 2], waited[g, 3] = gaps, unloaded, frozen, out
        waited[g, 4] = max(out, finish)
