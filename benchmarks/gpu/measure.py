"""All measurements, each in a process of its own: ``python3 -m benchmarks.gpu.measure FOLDER``, in under four minutes.

FOLDER gets ``results.jsonl``, ``numerics.npz`` and ``log.txt``. A section that fails or takes too long ends no other.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .library import Build, start_builds, wait_for
from .results import append

QUERY = (
    "name,driver_version,pstate,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,clocks.applications.graphics,"
    "clocks.applications.memory,power.limit,power.default_limit,power.draw,temperature.gpu,ecc.mode.current,mig.mode.current"
)
MICRO = ("mma", "wgmma", "multiprocessor", "latency", "rates", "launch")


def output_of(command: list[str], timeout_s: float = 20) -> str:
    """What a command prints, or why it did not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{type(error).__name__}: {error}"
    return (done.stdout + done.stderr).strip()


def environment(results: Path) -> None:
    """The card and its software."""
    said = output_of(["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"])
    fields = said.split(", ")
    card = (
        dict(zip(QUERY.split(","), fields, strict=True))
        if len(fields) == len(QUERY.split(","))
        else {"nvidia-smi": said}
    )
    append(results, "card", card)
    append(results, "clocks", {"nvidia-smi -q": output_of(["nvidia-smi", "-q", "-d", "CLOCK,POWER,PERFORMANCE"])})
    append(results, "host", {"python": sys.version, "machine": platform.platform(), "cores": os.cpu_count()})
    append(results, "nvcc", {"version": output_of(["nvcc", "--version"])})
    program = (
        "import json, torch; p = torch.cuda.get_device_properties(0); print(json.dumps({'torch': torch.__version__,"
        " 'cuda': torch.version.cuda, 'properties': str(p), 'l2_bytes': p.L2_cache_size,"
        " 'sms': p.multi_processor_count,"
        " 'cudnn': torch.backends.cudnn.version(), 'cublas': [d.version for d in __import__('importlib.metadata')"
        ".metadata.distributions() if (d.metadata['Name'] or '').startswith('nvidia-cublas')]}))"
    )
    append(results, "torch", {"said": output_of([sys.executable, "-c", program], 60)})


def section(name: str, arguments: list[str], log: Path, limit_s: float) -> int | str:
    """Run one module of this folder, its output into the log."""
    start = time.monotonic()
    command = [sys.executable, "-u", "-m", f"benchmarks.gpu.{name}", *arguments]
    with log.open("a", encoding="utf-8") as file:
        file.write(f"== {name}\n")
        file.flush()
        try:
            status: int | str = subprocess.run(
                command, stdout=file, stderr=file, timeout=limit_s, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            status = f"stopped after {limit_s:.0f} s"
    print(f"{name}: {status} in {time.monotonic() - start:.1f} s", flush=True)
    return status


def micro(results: Path, build: Path, log: Path) -> None:
    """Each group of tests of the compiled program."""
    for test in MICRO:
        start = time.monotonic()
        said = output_of([str(build / "micro"), test], 30)
        with results.open("a", encoding="utf-8") as file, log.open("a", encoding="utf-8") as notes:
            for line in said.splitlines():
                if line.startswith("{"):
                    file.write(f'{{"section": "micro", {line[1:]}\n')
                else:
                    notes.write(f"micro {test}: {line}\n")
        print(f"micro {test}: {len(said.splitlines())} lines in {time.monotonic() - start:.1f} s", flush=True)


def builds_in(folder: Path, results: Path) -> dict[str, Build]:
    """The compilers, started; none where there is no nvcc: PyTorch's times need none."""
    try:
        return start_builds(folder)
    except OSError as error:
        append(results, "build", {"error": str(error)})
        return {}


def finish(builds: dict[str, Build], name: str, results: Path) -> None:
    """Wait for one of them."""
    if name in builds:
        append(results, "build", {"source": name, **wait_for(builds[name])})


def main(folder: Path) -> None:
    """Build while the first sections run."""
    folder.mkdir(parents=True, exist_ok=True)
    results, log, start = folder / "results.jsonl", folder / "log.txt", time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        build = Path(scratch)
        builds = builds_in(build, results)
        environment(results)
        for name in ("clock", "numerics"):
            finish(builds, name, results)
        places = [str(results), str(build)]
        section("numerics", [str(folder / "numerics.npz"), *places], log, 60)
        section("gemms", [*places, "85"], log, 130)
        finish(builds, "micro", results)
        micro(results, build, log)
        left = 225 - (time.monotonic() - start)
        section("passes", [*places, str(max(10, min(40, left - 15)))], log, max(20, left))
    append(results, "end", {"seconds": round(time.monotonic() - start, 1)})
    print(f"all in {time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
