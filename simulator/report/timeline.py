"""A run over time, tile by tile, in Chrome's trace format: opens in Perfetto (ui.perfetto.dev) and chrome://tracing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

__all__ = ["TRACKS", "OpTimeline", "write_timeline"]

TRACKS = ("DMA in", "array", "vector unit", "waiting", "DMA out", "repeated")
"""Threads of one design's process, in the order in which they are drawn."""
_THREADS = 1000
"""Thread ids begin at this many times the process id: viewers take 0, and a process's own id, for special threads."""
_SHIFT_US = 1e-4
"""Start times lie a tenth of a nanosecond late: viewers that cut them to whole nanoseconds then do not cut one off."""


@dataclass(frozen=True)
class OpTimeline:
    """One GEMM of one op, or one pass; and how long as many more like it then take, which are not drawn tile by tile.

    Attributes:
        process: what it runs on, for example ``olive_systolic on minilm-l6-sample``.
        start_us: when the op starts, in the process's own time [us]; us_per_cycle: of the array's clock.
        loads, computes, vector, stores: (tiles, 2) half-open intervals [cycles]; empty ones are not drawn.
        waits: cause -> (tiles, 2) intervals in which the array waits for it.
        labels: what each tile is, for its tooltip.
        repeated: how many more there are, and (1, 2) from when to when [cycles].
    """

    process: str
    op: str
    start_us: float
    us_per_cycle: float
    loads: NDArray[np.int64]
    computes: NDArray[np.int64]
    vector: NDArray[np.int64]
    stores: NDArray[np.int64]
    waits: dict[str, NDArray[np.int64]]
    labels: list[dict[str, Any]]
    repeated: tuple[int, NDArray[np.int64]] = (0, np.zeros((0, 2), np.int64))


def write_timeline(file: TextIO, timelines: Iterable[OpTimeline]) -> int:
    """Write all events as they come, one per line; returns how many intervals were written."""
    written = 0
    processes: dict[str, int] = {}
    file.write('{"displayTimeUnit": "ns", "traceEvents": [')
    first = True
    for timeline in timelines:
        if timeline.process not in processes:
            processes[timeline.process] = len(processes) + 1
            for event in _names(timeline.process, processes[timeline.process]):
                file.write(("\n" if first else ",\n") + json.dumps(event))
                first = False
        for event in _events(timeline, processes[timeline.process]):
            file.write(",\n" + json.dumps(event))
            written += 1
    file.write("\n]}\n")
    return written


def _names(process: str, pid: int) -> Iterator[dict[str, Any]]:
    yield {"ph": "M", "pid": pid, "name": "process_name", "args": {"name": process}}
    for index, track in enumerate(TRACKS):
        thread = {"ph": "M", "pid": pid, "tid": _THREADS * pid + index}
        yield {**thread, "name": "thread_name", "args": {"name": track}}
        yield {**thread, "name": "thread_sort_index", "args": {"sort_index": index}}


def _events(timeline: OpTimeline, pid: int) -> Iterator[dict[str, Any]]:
    tiles = timeline.labels
    tracks: list[tuple[str, str, NDArray[np.int64], list[dict[str, Any]]]] = [
        ("DMA in", timeline.op, timeline.loads, tiles),
        ("array", timeline.op, timeline.computes, tiles),
        ("vector unit", timeline.op, timeline.vector, tiles),
        *(("waiting", cause, intervals, tiles) for cause, intervals in timeline.waits.items()),
        ("DMA out", timeline.op, timeline.stores, tiles),
        ("repeated", f"{timeline.op}, {timeline.repeated[0]} more", timeline.repeated[1], []),
    ]
    for track, name, intervals, labels in tracks:
        for tile, (start, end) in enumerate(intervals.tolist()):
            if end > start:
                yield {
                    "ph": "X",
                    "pid": pid,
                    "tid": _THREADS * pid + TRACKS.index(track),
                    "name": name,
                    "cat": track,
                    **_when(timeline, start, end),
                    "args": {"cycles": end - start, **({"tile": tile} | labels[tile] if labels else {})},
                }


def _when(timeline: OpTimeline, start: int, end: int) -> dict[str, float]:
    """Start and duration [us], whole nanoseconds both: intervals that touch must not overlap by a rounding."""
    at, to = (round(1e3 * (timeline.start_us + cycle * timeline.us_per_cycle)) for cycle in (start, end))
    return {"ts": round(at / 1e3 + _SHIFT_US, 4), "dur": round((to - at) / 1e3, 3)}
