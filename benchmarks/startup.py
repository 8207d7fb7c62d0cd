"""How long commands take, everything included: CPU seconds of the whole command."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.measure import ROOT, Line, command

OLIVINE = ROOT / ".venv" / "bin" / "olivine"
GEMM = [OLIVINE, "gemm", "int8_systolic", "-m", 512, "-n", 768, "-k", 768, "--json"]
COMPILED = {"OLIVINE_INTERPRET_S": "0"}
"""Kernels are compiled at once, however little there is to do."""


def commands(rounds: int) -> list[Line]:
    """Against a Python that does nothing; each has a limit. First runs find an empty cache of compiled kernels."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        demo = [OLIVINE, "run", "demo", "--out", folder / "demo", "--json"]
        new_demo = [OLIVINE, "run", "demo", "--out", folder / "new", "--fresh", "--json"]
        command([OLIVINE, "--help"])
        nothing = _cpu([sys.executable, "-c", "pass"], rounds)
        command(GEMM)
        command(GEMM, env=COMPILED)
        command(GEMM, env=COMPILED)
        command(demo)
        found = {
            ("olivine --help", 0.3): _cpu([OLIVINE, "--help"], rounds),
            ("olivine gemm", 1.5): _cpu(GEMM, rounds),
            ("olivine gemm, kernels compiled before", 1.5): _cpu(GEMM, rounds, COMPILED),
            ("olivine gemm, first run ever", 20.0): _first(GEMM, folder, rounds, {}),
            ("olivine gemm, first run ever, all kernels compiled", 20.0): _first(GEMM, folder, 1, COMPILED),
            ("olivine run demo, first run ever", None): _first(new_demo, folder, 1, {}),
            ("olivine run demo, second run", 10.0): _cpu(demo, rounds),
        }
    return [
        Line(what, "CPU s", took, "python -c pass", nothing, lower=True, limit=limit)
        for (what, limit), took in found.items()
    ]


def _first(argv: list[str | Path], folder: Path, rounds: int, env: dict[str, str]) -> float:
    """With nothing compiled before; raises SystemExit if a cache was found where there is none."""
    took = []
    for _ in range(rounds):
        cache = folder / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir()
        took.append(command(argv, env={"NUMBA_CACHE_DIR": str(cache)} | env)[0].cpu_s)
        if env == COMPILED and not any(cache.rglob("*.nbc")):
            raise SystemExit(f"{cache}: nothing was compiled into it")
    return median(took)


def _cpu(argv: list[str | Path], rounds: int, env: dict[str, str] | None = None) -> float:
    return median(command(argv, env=env)[0].cpu_s for _ in range(rounds))


PARTS = {"startup": commands}
