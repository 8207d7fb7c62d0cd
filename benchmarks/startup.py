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


def commands(rounds: int) -> list[Line]:
    """Against a Python that does nothing; each has a limit. The first run compiles every kernel into an empty cache."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        demo = [OLIVINE, "run", "demo", "--out", folder / "demo", "--json"]

        def first() -> float:
            shutil.rmtree(folder / "cache", ignore_errors=True)
            return command(GEMM, env={"NUMBA_CACHE_DIR": str(folder / "cache")})[0].cpu_s

        nothing = _cpu([sys.executable, "-c", "pass"], rounds)
        command(GEMM)
        command(demo)
        found = {
            ("olivine --help", 0.3): _cpu([OLIVINE, "--help"], rounds),
            ("olivine gemm", 1.5): _cpu(GEMM, rounds),
            ("olivine gemm, first run ever", 20.0): median(first() for _ in range(rounds)),
            ("olivine run demo, second run", 10.0): _cpu(demo, rounds),
        }
    return [
        Line(what, "CPU s", took, "python -c pass", nothing, lower=True, limit=limit)
        for (what, limit), took in found.items()
    ]


def _cpu(argv: list[str | Path], rounds: int) -> float:
    return median(command(argv)[0].cpu_s for _ in range(rounds))


PARTS = {"startup": commands}
