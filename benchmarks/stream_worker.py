"""Reads a trace in a process of its own, from disk and not from the page cache; ``opt.py`` starts it.

    python benchmarks/stream_worker.py read|load|DESIGN TRACE

``read``: its files, and nothing else. ``load``: both operands of each op as float32, checked for NaN. A design: cycles,
bytes and energy of all of it, with what these depend on looked for in the tensors. Prints the seconds as JSON; imports,
and on a small trace the loading of compiled code, are not counted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from simulator.study.evaluate import evaluate
from simulator.study.setup import StudySetup, read_study
from simulator.tracing import open_trace

SMALL = "minilm-l6-sample"
"""A trace that is shipped: the same code runs on it first."""


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
    """The whole point as ``olivine run`` evaluates it with ``values: counted``."""
    asked = {"name": "streamed", "designs": [design], "workloads": [str(folder)], "values": "counted"}
    (result,) = evaluate(StudySetup(*read_study(asked, {})), [0])
    assert not result.failure, result.failure


def main() -> None:
    how, folder = sys.argv[1], Path(sys.argv[2])
    if how not in ("read", "load"):
        count(Path(SMALL), how)
    forget(folder)
    start = time.perf_counter()
    if how in ("read", "load"):
        {"read": read, "load": load}[how](folder)
    else:
        count(folder, how)
    print(json.dumps({"wall_s": time.perf_counter() - start}))


if __name__ == "__main__":
    main()
