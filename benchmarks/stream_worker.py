"""Reads a trace in a process of its own, from disk and not from the page cache; ``opt.py`` starts it.

    python benchmarks/stream_worker.py read|load|DESIGN TRACE

``read``: its files, and nothing else. ``load``: both operands of each op as float32, checked for NaN. A design: cycles
and bytes of each op, with tensors encoded where these depend on them. Prints the seconds as JSON, imports not counted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import simulator as sim
from simulator.study.building import build
from simulator.study.simulate import count_op, needs_values
from simulator.tracing import open_trace


def forget(folder: Path) -> None:
    """Empties the page cache of the trace's files."""
    for path in folder.glob("*.safetensors"):
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def read(folder: Path) -> None:
    """Every byte, 16 MiB at a time."""
    buffer = bytearray(1 << 24)
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def load(folder: Path) -> None:
    """Both operands of each op."""
    trace = open_trace(folder)
    for op in trace.ops:
        trace.load(op.name)


def count(folder: Path, design: str) -> None:
    """Cycles and bytes of each op; its tensors are loaded, whether they are needed or not."""
    trace, hardware = open_trace(folder), build(sim.load_design(design)).on("")
    for op in trace.ops:
        tensors = trace.load(op.name)
        assert count_op(hardware, op, tensors if needs_values(hardware, op) else None).macs == op.macs


def main() -> None:
    how, folder = sys.argv[1], Path(sys.argv[2])
    forget(folder)
    start = time.perf_counter()
    if how in ("read", "load"):
        {"read": read, "load": load}[how](folder)
    else:
        count(folder, how)
    print(json.dumps({"wall_s": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
