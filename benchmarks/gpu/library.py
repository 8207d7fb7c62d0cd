"""Builds the CUDA sources with nvcc, several at once, and loads them."""

from __future__ import annotations

import ctypes
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from .instructions import write_header

__all__ = ["Build", "load", "start_builds", "wait_for"]

SOURCES = Path(__file__).parent / "kernels"
NVCC = ["nvcc", "-O3", "-std=c++17", "-gencode=arch=compute_90a,code=sm_90a"]


class Build(NamedTuple):
    """A compiler at work, and the file that has what it says."""

    process: subprocess.Popen[bytes]
    output: Path


def start_builds(folder: Path) -> dict[str, Build]:
    """Compilers at work, by source; libraries ``X.so``, and the program ``micro``. Raises: OSError without nvcc."""
    folder.mkdir(parents=True, exist_ok=True)
    write_header(folder / "instructions.cuh")
    return {name: _compile(folder, name) for name in ("clock", "numerics", "micro")}


def _compile(folder: Path, name: str) -> Build:
    shared = [] if name == "micro" else ["-shared", "-Xcompiler", "-fPIC"]
    target = folder / (name if name == "micro" else f"{name}.so")
    output = folder / f"{name}.txt"
    with output.open("wb") as file:
        command = [*NVCC, "-I", str(folder), *shared, "-o", str(target), str(SOURCES / f"{name}.cu")]
        return Build(subprocess.Popen(command, stdout=file, stderr=file), output)


def wait_for(build: Build, timeout_s: float = 90) -> dict[str, object]:
    """Exit status and the last of what the compiler said; one that takes too long is stopped."""
    start = time.monotonic()
    try:
        build.process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        build.process.kill()
        build.process.wait()
    said = build.output.read_text(encoding="utf-8", errors="replace")
    return {"status": build.process.returncode, "waited_s": round(time.monotonic() - start, 2), "output": said[-2000:]}


def load(folder: Path, name: str) -> ctypes.CDLL:
    """A library that was built."""
    library = ctypes.CDLL(str(folder / f"{name}.so"))
    if name == "clock":
        library.sm_clock_mhz.restype = ctypes.c_double
    if name == "numerics":
        library.error_text.restype = ctypes.c_char_p
    return library
