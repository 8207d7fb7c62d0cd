"""How long work takes on a GPU, with PyTorch: CUDA events and graphs, medians of many runs.

``warm``: a graph of equal kernels one after another, on the same tensors. ``cold``: likewise, each on tensors of its
own, of which there are more than the L2 holds several times over. ``flushed``: one kernel between two events, after
256 MiB were written: with a launch and what events take (see ``nothing`` among the results).
"""

from __future__ import annotations

import ctypes
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch

__all__ = ["DEVICE", "ClockSampler", "Timer", "cuda_graph", "spread"]

DEVICE = "cuda"
Work = Callable[[], Any]
REPEATS = 20
"""Timed runs, at least; each of a graph that takes about ``GRAPH_MS``."""
GRAPH_MS = 1.0
MOST_IN_GRAPH = 200
FLUSH_BYTES = 256 << 20


def spread(times_us: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {
        "us": round(statistics.median(times_us), 4),
        "least_us": round(min(times_us), 4),
        "most_us": round(max(times_us), 4),
    }


def cuda_graph(works: Sequence[Work]) -> torch.cuda.CUDAGraph:
    """A graph that runs them in order."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        works[0]()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for work in works:
            work()
    return graph


class ClockSampler:
    """SM clock and power while a region runs, from NVML, every few milliseconds; without NVML, nothing."""

    def __init__(self) -> None:
        self.mhz: list[int] = []
        self.watts: list[float] = []
        self._stop, self._thread = threading.Event(), threading.Thread()
        try:
            import pynvml

            pynvml.nvmlInit()
            self._nvml, self._device = pynvml, pynvml.nvmlDeviceGetHandleByIndex(0)
        except Exception as error:
            print("no NVML:", error, flush=True)
            self._device = None

    def __enter__(self) -> ClockSampler:
        self.mhz, self.watts = [], []
        self._stop.clear()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def _sample(self) -> None:
        while self._device is not None and not self._stop.is_set():
            self.mhz.append(self._nvml.nvmlDeviceGetClockInfo(self._device, self._nvml.NVML_CLOCK_SM))
            self.watts.append(self._nvml.nvmlDeviceGetPowerUsage(self._device) / 1e3)
            time.sleep(0.004)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def summary(self) -> dict[str, float]:
        """Medians and the lowest clock of the second half of the samples, when the load is on."""
        mhz, watts = self.mhz[len(self.mhz) // 2 :], self.watts[len(self.watts) // 2 :]
        if not mhz:
            return {}
        return {
            "nvml_mhz": statistics.median(mhz),
            "nvml_least_mhz": min(mhz),
            "watts": round(statistics.median(watts), 1),
        }


class Timer:
    """Times work; ``clock``: the library that reads the SM clock, None if it could not be built."""

    def __init__(self, clock: ctypes.CDLL | None) -> None:
        self._clock = clock
        self._flush = torch.empty(FLUSH_BYTES // 4, dtype=torch.int32, device=DEVICE)
        self.sampler = ClockSampler()

    def graph_us(self, works: Sequence[Work], estimate_us: float) -> dict[str, float]:
        """Time of one of the works in a graph that runs them in turn, and the clock meanwhile."""
        count = max(1, min(MOST_IN_GRAPH, round(1e3 * GRAPH_MS / max(estimate_us, 1.0))))
        count = -(-count // len(works)) * len(works)
        graph = cuda_graph([works[i % len(works)] for i in range(count)])
        graph.replay()
        torch.cuda.synchronize()
        with self.sampler as sampler:
            times = self._replays(graph, count)
        return {**spread(times), "in_graph": count, **sampler.summary(), **self.clock()}

    def _replays(self, graph: torch.cuda.CUDAGraph, count: int) -> list[float]:
        events = [torch.cuda.Event(enable_timing=True) for _ in range(REPEATS + 1)]
        events[0].record()
        for event in events[1:]:
            graph.replay()
            event.record()
        torch.cuda.synchronize()
        return [1e3 * a.elapsed_time(b) / count for a, b in pairwise(events)]

    def clock(self) -> dict[str, float]:
        """The clock just after the last kernel."""
        torch.cuda.synchronize()
        return {} if self._clock is None else {"mhz_after": round(self._clock.sm_clock_mhz(), 1)}

    def flushed_us(self, work: Work) -> dict[str, float]:
        """Time of one run after the L2 was filled with other data, between two events."""
        pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(REPEATS)]
        for begin, end in pairs:
            self._flush.zero_()
            begin.record()
            work()
            end.record()
        torch.cuda.synchronize()
        return spread([1e3 * begin.elapsed_time(end) for begin, end in pairs])

    def estimate_us(self, work: Work) -> float:
        """A first idea, after a warm-up."""
        for _ in range(2):
            work()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(3):
            work()
        end.record()
        torch.cuda.synchronize()
        return 1e3 * begin.elapsed_time(end) / 3
