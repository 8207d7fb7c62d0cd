"""What every engine answers: when things happened, and why the total is what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.elementwise import anywhere, everywhere
from simulator.errors import ConservationError
from simulator.tiles import Tiles, TileTable

__all__ = ["EVENT_FIELDS", "OWN_CAUSES", "STALL_CAUSES", "Timing", "shown"]

_GPU_CAUSES = ("stall_shared_memory", "stall_l2", "stall_sync", "stall_epilogue", "stall_launch")
STALL_CAUSES = ("stall_dram_read", "stall_dram_write", "stall_bank", "stall_outlier", "stall_vector", *_GPU_CAUSES)
"""Waiting for operands; for results to be written back; for words of a scratchpad whose bank is busy; for outliers; for
passes over operands or results. On a GPU: for shared memory; for L2; for other warps and the results of instructions;
for blocks to end whose registers are needed; for kernels to be launched."""

OWN_CAUSES = {
    "outlier_cycles": "stall_outlier",
    "vector_cycles": "stall_vector",
    "conflict_cycles": "stall_bank",
    "shared_cycles": "stall_shared_memory",
    "l2_cycles": "stall_l2",
    "sync_cycles": "stall_sync",
}
"""Columns of cycles that a tile holds the array beyond issuing -> their cause."""

EVENT_FIELDS = ("load_start", "load_end", "compute_start", "compute_end", "store_start", "store_end")
"""Columns of ``Timing.events``, all in cycles, intervals half-open. ``compute_end`` is when the array is free."""


@dataclass(frozen=True)
class Timing:
    """Cycles of one GEMM by cause, which sum to the total.

    Attributes:
        total_cycles: makespan, from the first load to the last store.
        compute_cycles: cycles of the array with ideal memory and no data-dependent stall.
        stalls: cause -> cycles.
        events: (tiles, 6) of ``EVENT_FIELDS``, or None for an engine that has no notion of when.
        fill_drain_cycles: part of ``compute_cycles`` in which no streamed operand enters the array's edge.
        cores: the timing of each core where there are several. All of the above is then that of the core that finishes
            last, of several the first.
        dram: what banked DRAM did for all cores, as the fields of ``DramCounts``; else empty.
    """

    total_cycles: int
    compute_cycles: int
    stalls: dict[str, int]
    events: NDArray[np.int64] | None = None
    fill_drain_cycles: int = 0
    cores: tuple[Timing, ...] = ()
    dram: dict[str, int] = field(default_factory=dict)

    @property
    def per_core(self) -> tuple[Timing, ...]:
        """The timing of each core that had work."""
        return self.cores or (self,)

    def launched(self, cycles: int) -> Timing:
        """The same after so many cycles in which a kernel is launched; the events keep the kernel's own time."""
        if not cycles:
            return self
        stalls = self.stalls | {"stall_launch": self.stalls["stall_launch"] + cycles}
        return replace(self, total_cycles=self.total_cycles + cycles, stalls=stalls)

    def by_cause(self) -> dict[str, int]:
        """``total``, ``compute`` and one entry per stall cause."""
        return {"total": self.total_cycles, "compute": self.compute_cycles, **shown(self.stalls)}


def shown(stalls: dict[str, int]) -> dict[str, int]:
    """The causes that an array of its kind has: those of GPUs are left out where none of them took a cycle."""
    is_gpu = any(anywhere(stalls.get(cause, 0)) for cause in _GPU_CAUSES)
    return {cause: cycles for cause, cycles in stalls.items() if is_gpu or cause not in _GPU_CAUSES}


def together(timings: Sequence[Timing], dram: dict[str, int] | None = None) -> Timing:
    """The timing of cores that run side by side: the makespan of all, split by cause as the last one's."""
    last = max(timings, key=lambda timing: timing.total_cycles)
    return replace(last, cores=tuple(timings) if len(timings) > 1 else (), dram=dram or {})


class Waits(NamedTuple):
    """What a run of tiles says of its cycles.

    Attributes:
        before_tiles: cycles in which the array waited for a tile to enter, the first fill included.
        before_unloaded: of them, before tiles that load nothing from DRAM nor a global buffer.
        frozen: cycles that tiles held the array beyond their own.
        results_out: when the last tile's last result has left the array.
        end: when all is done.
    """

    before_tiles: int
    before_unloaded: int
    frozen: int
    results_out: int
    end: int


def attribute(table: TileTable, events: NDArray[np.int64]) -> Timing:
    """Split the makespan of a run with these events by cause. Raises: as ``by_waits``."""
    before_tiles = before_unloaded = frozen = first = left = end = 0
    for part in table.parts():
        some = events[first : first + len(part)]
        gaps = some[:, 2] - np.concatenate([[left], some[:-1, 3]])
        unloaded = (part.load_bytes == 0) & (part.global_bytes == 0)
        before_tiles += int(gaps.sum())
        before_unloaded += int(gaps[unloaded].sum())
        frozen += int((some[:, 3] - some[:, 2] - part.array_cycles).sum())
        first, left, end = first + len(part), int(some[-1, 3]), max(end, int(some[:, 5].max()))
    results_out = left + int(table.rows["drain_cycles"][-1])
    waits = Waits(before_tiles, before_unloaded, frozen, results_out, max(results_out, end))
    return by_waits(table, waits, events)


class Spent(NamedTuple):
    """What tiles take of the array, wherever they wait.

    Attributes:
        fill, drain: of the first tile and of the last; issue: of all.
        compute_cycles, fill_drain_cycles: see ``Tiles``; own: stalls of tiles' own, by cause.
        first_loads: whether the first tile loads anything; frees: whether results leave without DRAM.
    """

    fill: int
    drain: int
    issue: int
    compute_cycles: int
    fill_drain_cycles: int
    own: dict[str, int]
    first_loads: bool
    frees: bool


def by_waits(tiles: Tiles, waits: Waits, events: NDArray[np.int64] | None = None) -> Timing:
    """Split the makespan of a run by cause. Raises: as ``split``."""
    rows = tiles.rows
    spent = Spent(
        int(rows["fill_cycles"][0]),
        int(rows["drain_cycles"][-1]),
        tiles.total("issue_cycles"),
        tiles.compute_cycles,
        tiles.fill_drain_cycles,
        own_stalls(tiles),
        tiles.first_loads,
        bool(rows["frees_output"].any()),
    )
    return split(spent, waits, events)


def split(spent: Spent, waits: Waits, events: NDArray[np.int64] | None = None) -> Timing:
    """Split the makespan of a run by cause.

    A gap before a tile belongs to DRAM reads: its operands are on their way, or enter the idle array late; only the
    first fill is the array's own. A tile that loads nothing waits for the cache. A tile frozen in the array waits for
    write-back, and so does whoever waits after the last result has left the array; where results leave without DRAM,
    for them to be out.

    Raises: ConservationError if causes do not sum to the total or compute differs from the closed form.
    """
    stalls = dict.fromkeys(STALL_CAUSES, 0) | spent.own
    cached = waits.before_unloaded - (0 if spent.first_loads else spent.fill)
    stalls["stall_dram_read"] = waits.before_tiles - spent.fill - cached
    stalls["stall_l2"] = stalls["stall_l2"] + cached
    stalls["stall_epilogue" if spent.frees else "stall_dram_write"] = waits.frozen
    stalls["stall_dram_write"] = stalls["stall_dram_write"] + waits.end - waits.results_out
    compute = spent.fill + spent.issue + spent.drain
    timing = Timing(waits.end, compute, stalls, events, spent.fill_drain_cycles)
    _check(timing, spent.compute_cycles, spent.fill_drain_cycles)
    return timing


def own_stalls(tiles: Tiles) -> dict[str, int]:
    """Cycles that tiles hold the array beyond issuing."""
    return dict(zip(OWN_CAUSES.values(), tiles.totals(tuple(OWN_CAUSES)), strict=True))


def check(timing: Timing, tiles: Tiles) -> None:
    """Conservation of cycles, asserted in every run. Raises: ConservationError."""
    _check(timing, tiles.compute_cycles, tiles.fill_drain_cycles)


def _check(timing: Timing, compute_cycles: int, fill_drain_cycles: int) -> None:
    if not everywhere(timing.compute_cycles == compute_cycles):
        raise ConservationError(
            f"compute cycles of the tiles are {timing.compute_cycles}, their closed form says {compute_cycles}"
        )
    by_cause = timing.compute_cycles + sum(timing.stalls.values())
    if not everywhere(by_cause == timing.total_cycles) or any(anywhere(n < 0) for n in timing.stalls.values()):
        raise ConservationError(f"cycles by cause do not sum to the total: {timing.by_cause()}")
    filling = timing.fill_drain_cycles
    if not everywhere(filling == fill_drain_cycles) or anywhere(filling > timing.compute_cycles):
        raise ConservationError(
            f"{filling} cycles of fill and drain, where the tiles have {fill_drain_cycles} of {timing.compute_cycles}"
        )


def require_closed_form(tiles: Tiles) -> None:
    """Hold the cycles of tiles, waiting apart, to those of the whole GEMM. Raises: ConservationError."""
    rows = tiles.rows
    compute = int(rows["fill_cycles"][0]) + tiles.total("issue_cycles") + int(rows["drain_cycles"][-1])
    timing = Timing(compute, compute, dict.fromkeys(STALL_CAUSES, 0), fill_drain_cycles=tiles.fill_drain_cycles)
    check(timing, tiles)


def empty_events(table: TileTable) -> NDArray[Any]:
    """Array that an engine fills with the six event times of each tile."""
    return np.zeros((len(table), len(EVENT_FIELDS)), np.int64)
