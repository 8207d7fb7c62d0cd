"""What every benchmark measures with: CPU seconds of calls and of whole commands, peak memory, the machine.

A part of the benchmarks is a function ``(rounds) -> list[Line]``. Modules list theirs in a dict ``PARTS``, name to
function; ``benchmarks/__main__.py`` finds them there.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from simulator.kernels import compile_at_once

compile_at_once()  # what is measured in this process is measured warm

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "benchmarks" / "data"
CHILD = Path(__file__).with_name("child.py")


@dataclass(frozen=True)
class Line:
    """One comparison: ``rate`` of ours in ``unit``, of the yardstick, and how many times better ours is.

    Attributes:
        pairs: that ratio in each round, where both were measured in turn; the ratio is then their median.
        lower: a lower number is better (seconds, MB).
        goal: the ratio that was aimed at; None where nothing was. With ``limit``, the number itself must stay below it.
        size: of a series over sizes, this one, in tiles or layers; series are drawn.
    """

    what: str
    unit: str
    rate: float
    yardstick: str
    yardstick_rate: float
    pairs: tuple[float, ...] = ()
    lower: bool = False
    goal: float | None = None
    limit: float | None = None
    size: int | None = None

    @property
    def ratio(self) -> float:
        if self.pairs:
            return median(self.pairs)
        return self.yardstick_rate / self.rate if self.lower else self.rate / self.yardstick_rate

    @property
    def met(self) -> bool | None:
        """Whether what was aimed at was reached; None if nothing was."""
        if self.limit is not None:
            return self.rate < self.limit
        return None if self.goal is None else self.ratio >= self.goal


@dataclass(frozen=True)
class Usage:
    """What a command took, its children included; peak memory is that of its largest process."""

    cpu_s: float
    wall_s: float
    peak_mb: float


def seconds(work: Callable[[], object], rounds: int, clock: Callable[[], float] = time.process_time) -> float:
    """Median seconds of one call, after a warm-up call; of CPU, which other processes disturb least."""
    work()
    times = []
    for _ in range(rounds):
        start = clock()
        work()
        times.append(clock() - start)
    return median(times)


def per_call(work: Callable[[], object], at_least_s: float = 0.05) -> float:
    """CPU seconds of one call, from as many calls as fill the clock's resolution many times."""
    calls, spent = 0, 0.0
    start = time.process_time()
    while spent < at_least_s:
        work()
        calls += 1
        spent = time.process_time() - start
    return spent / calls


def command(argv: Sequence[str | Path], cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> tuple[Usage, str]:
    """Run a command to its end; what it took, and its standard output. Python may keep its bytecode, as it does where
    a program has been installed.

    Raises: SystemExit with the end of what it said, if it fails.
    """
    # A process inherits its parent's peak memory, so a small one stands between.
    outer = [sys.executable, "-S", "-E", str(CHILD), *map(str, argv)]
    keeping = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(outer, cwd=cwd, env={**keeping, **(env or {})}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, argv))} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    output, _, usage = done.stdout.rstrip("\n").rpartition("\n")
    return Usage(**json.loads(usage)), output


def alternately(rounds: int, *sides: Callable[[], Any]) -> list[list[Any]]:
    """Each side once per round, in turn: what disturbs one round disturbs both. A list per side."""
    found: list[list[Any]] = [[] for _ in sides]
    for _ in range(rounds):
        for results, side in zip(found, sides, strict=True):
            results.append(side())
    return found


def compared(what: str, unit: str, ours: Sequence[float], yardstick: str, theirs: Sequence[float], **more: Any) -> Line:
    """A line of two sides measured alternately."""
    lower = more.get("lower", False)
    pairs = tuple(b / a if lower else a / b for a, b in zip(ours, theirs, strict=True))
    return Line(what, unit, median(ours), yardstick, median(theirs), pairs=pairs, **more)


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    model = next((x.split(":")[1].strip() for x in _lines("/proc/cpuinfo") if x.startswith("model name")), "")
    memory = next((int(x.split()[1]) // 1024 for x in _lines("/proc/meminfo") if x.startswith("MemTotal")), 0)
    return {
        "processor": model or platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory} MiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "numba")},
        "load": " ".join(f"{x:.1f}" for x in os.getloadavg()),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []
