"""When each tile of a run was loaded, computed and written back, and what the array waited for."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.config.study import Fidelity
from simulator.engine import OWN_CAUSES, Dram, IdealDram, Timing
from simulator.errors import OlivineError
from simulator.report.atomic import whole_file
from simulator.report.timeline import OpTimeline, write_timeline
from simulator.study.hardware import Hardware
from simulator.study.passes import repeated_at_once, time_pass
from simulator.study.point import Point
from simulator.study.simulate import timing_of
from simulator.tiles import TileTable
from simulator.workload import Op, Pass

__all__ = ["TIMELINE_NAME", "gemm_timeline", "require_timeline", "save_timeline", "timelines"]

TIMELINE_NAME = "timeline.json"
_Phase = tuple[Sequence[TileTable], Timing]


def require_timeline(fidelity: str) -> None:
    """Refuse an engine that has no notion of when. Raises: OlivineError."""
    if fidelity == "bound":
        raise OlivineError("a timeline needs fidelity pipeline or event; bound does not know when things happen")


def timelines(points: Iterable[Point], fidelity: Fidelity, seed: int) -> Iterator[OpTimeline]:
    """The first GEMM of every op, and every pass once, of every point; ops follow each other as they run.

    Values are not computed again, but operands are encoded where time depends on them.
    """
    for point in points:
        elapsed = 0
        for index, step in enumerate(point.workload.steps):
            phases, times, cycles = _phases(point, index, fidelity, seed)
            begin, after = elapsed, elapsed + cycles
            for number, (tables, timing) in enumerate(phases, 1):
                end = begin + timing.total_cycles
                more = (times - 1, after - end) if number == len(phases) else (0, 0)
                for core, (table, one) in enumerate(zip(tables, timing.per_core, strict=True)):
                    after_launch = begin + point.hardware.launch_cycles
                    drawn = gemm_timeline(point.hardware, _group(point, core), step, table, one.events, after_launch)
                    yield replace(
                        drawn, repeated=(more[0], np.array([[timing.total_cycles, timing.total_cycles + more[1]]]))
                    )
                begin = end
            elapsed = after


def _phases(point: Point, index: int, fidelity: Fidelity, seed: int) -> tuple[list[_Phase], int, int]:
    """What the first repetition of a step runs, one phase after another, how often, and the cycles of all of them."""
    steps = point.workload.steps
    step = steps[index]
    if isinstance(step, Op):
        tensors = point.workload.with_values("counted").source(index)
        plan, timings, cycles = timing_of(point.hardware, step, tensors, fidelity=fidelity, seed=seed)
        return list(zip(plan.phases, timings, strict=True)), step.count // plan.batch, cycles
    tables, timing, _ = time_pass(point.hardware, steps, index, fidelity)
    times = step.count // repeated_at_once(point.hardware, steps, index)
    return [(tables, timing)] if tables else [], times, timing.total_cycles * times


def _group(point: Point, core: int) -> str:
    """The group of tracks of one core."""
    return f"{point.label}, core {core}" if point.hardware.cores > 1 else point.label


def gemm_timeline(
    hardware: Hardware,
    process: str,
    op: Op | Pass,
    table: TileTable,
    events: NDArray[np.int64] | None,
    elapsed: int = 0,
) -> OpTimeline:
    """One GEMM's or pass's tiles, ``elapsed`` cycles after the start."""
    assert events is not None, "only an engine with a notion of when has a timeline"
    load_start, load_end, start, end, store_start, store_end = events.T
    free = np.concatenate([[0], end[:-1]])
    free[0] += table.rows["fill_cycles"][0]
    waits = {"stall_dram_read": np.stack([np.minimum(free, start), start], axis=1)}
    at = end.copy()
    for column, cause in OWN_CAUSES.items():
        cycles = table.rows[column]
        waits[cause] = np.stack([at - cycles, at], axis=1)
        at = at - cycles
    frozen = end - start - table.array_cycles
    out = max(int(end[-1] + table.rows["drain_cycles"][-1]), 0)
    last = np.array([[out, max(out, int(store_end.max()))]])
    waits["stall_dram_write"] = np.concatenate([np.stack([at - frozen, at], axis=1), last])
    us_per_cycle = 1 / hardware.design.clock_mhz
    return OpTimeline(
        process,
        op.name,
        elapsed * us_per_cycle,
        us_per_cycle,
        _loading(hardware.dram, table, load_start, load_end),
        np.stack([start, at - frozen], axis=1),  # the fill of the first tile goes before
        waits.pop("stall_vector"),
        _one_at_a_time(store_start, store_end, table.rows["store_bytes"] > 0),
        waits,
        [*(_label(tile) for tile in table.rows), {}],
    )


def _loading(dram: Dram, table: TileTable, start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """From when to when the DMA is busy with each load: the latency of one overlaps with the next. One that ends with a
    part from the global buffer waits for it without a latency.
    """
    loads, finds = table.load_bytes > 0, table.global_bytes > 0
    if isinstance(dram, IdealDram):
        end = np.where(loads & ~finds, end - dram.latency_cycles, np.where(finds, end, start))
    return _one_at_a_time(start, end, loads | finds)


def _one_at_a_time(start: NDArray[np.int64], end: NDArray[np.int64], moves: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Intervals of transfers in their order, each until the next one at most: banked DRAM works on several at once."""
    ends = end.copy()
    ends[moves] = np.minimum(end[moves], np.append(start[moves][1:], end.max()))
    return np.stack([start, ends], axis=1)


def _label(tile: Any) -> dict[str, Any]:
    return {
        "m": [int(tile["m0"]), int(tile["m0"] + tile["m"])],
        "n": [int(tile["n0"]), int(tile["n0"] + tile["n"])],
        "k": [int(tile["k0"]), int(tile["k0"] + tile["k"])],
        "load_bytes": int(tile["act_load_bytes"] + tile["weight_load_bytes"] + tile["sum_load_bytes"]),
        **({"global_bytes": int(found)} if (found := tile["act_global_bytes"] + tile["weight_global_bytes"]) else {}),
        "store_bytes": int(tile["store_bytes"]),
        "macs": int(tile["macs"]),
    }


def save_timeline(path: Path, entries: Iterator[OpTimeline]) -> int:
    """Write a Chrome trace to ``path``, whole or not at all; returns how many intervals it has."""
    with whole_file(path) as raw, io.TextIOWrapper(raw, encoding="utf-8") as text:
        return write_timeline(text, entries)
