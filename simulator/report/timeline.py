"""A run over time, tile by tile, in Chrome's trace format: opens in Perfetto (ui.perfetto.dev) and chrome://tracing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

__all__ = ["TRACKS", "OpTimeline", "write_timeline"]

TRACKS = ("DMA in", "array", "waiting", "DMA out")
"""Threads of one design's process, in the order in which they are drawn."""


@dataclass(frozen=True)
class OpTimeline:
    """One GEMM of one op.

    Attributes:
        process: what it runs on, for example ``olive_systolic on minilm-l6-sample``.
        start_us: when the op starts, in the process's own time [us]; us_per_cycle: of the array's clock.
        loads, computes, stores: (tiles, 2) half-open intervals [cycles]; empty ones are not drawn.
        waits: cause -> (tiles, 2) intervals in which the array waits for it.
        labels: what each tile is, for its tooltip.
    """

    process: str
    op: str
    start_us: float
    us_per_cycle: float
    loads: NDArray[np.int64]
    computes: NDArray[np.int64]
    stores: NDArray[np.int64]
    waits: dict[str, NDArray[np.int64]]
    labels: list[dict[str, Any]]


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
    for tid, track in enumerate(TRACKS):
        yield {"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": track}}
        yield {"ph": "M", "pid": pid, "tid": tid, "name": "thread_sort_index", "args": {"sort_index": tid}}


def _events(timeline: OpTimeline, pid: int) -> Iterator[dict[str, Any]]:
    tracks: list[tuple[int, str, NDArray[np.int64]]] = [
        (0, timeline.op, timeline.loads),
        (1, timeline.op, timeline.computes),
        (3, timeline.op, timeline.stores),
        *((2, cause, intervals) for cause, intervals in timeline.waits.items()),
    ]
    for tid, name, intervals in tracks:
        for tile, (start, end) in enumerate(intervals.tolist()):
            if end > start:
                yield {
                    "ph": "X",
                    "pid": pid,
                    "tid": tid,
                    "name": name,
                    "cat": TRACKS[tid],
                    "ts": timeline.start_us + start * timeline.us_per_cycle,
                    "dur": (end - start) * timeline.us_per_cycle,
                    "args": {"tile": tile, "cycles": end - start, **timeline.labels[tile]},
                }
