"""The same work in SCALE-Sim 3.0.0 and in ZigZag 3.9.1, each in an environment of its own, in turn with ours.

SCALE-Sim: the same numbers come out (cycles, scratchpad accesses, utilisation: ``benchmarks/scalesim.py``), or nothing
is reported. Ours also has energy and area, SCALE-Sim's has neither; its traces are not saved.

ZigZag: another question. It searches loops over time for an array, scratchpads and DRAM by an analytic model, without
values and without fill and drain of the array, so its cycles are set beside ours but nothing follows from them. Ours
reads its design and searches its tilings, too: nothing is known from before.
"""

from __future__ import annotations

import csv
import json
import tempfile
from functools import partial
from pathlib import Path

import simulator as sim
from benchmarks import scalesim
from benchmarks.measure import ROOT, Line, Usage, alternately, command, compared, per_call
from simulator.study.planning import _best_plan

SCALESIM = ROOT / ".venv-scalesim" / "bin" / "python"
ZIGZAG = ROOT / ".venv-zigzag" / "bin" / "python"
OLIVINE = ROOT / ".venv" / "bin" / "olivine"
M, N, K, SIDE = 512, 768, 768, 32
NETWORK = "resnet18"
COUNTED = {"array.rows": SIDE, "array.cols": SIDE, "array.fold_overlap": "scalesim", "memory.dram.model": "none"}
"""Count as SCALE-Sim does, without memory limits."""

MOST_ROUNDS = 3
"""Of SCALE-Sim, which takes minutes."""

STUDY = """name: network
designs: [int8_systolic]
workloads: [{network}]
set: {{array.rows: {side}, array.cols: {side}, array.fold_overlap: scalesim, memory.dram.model: none}}
"""


def _there(python: Path, who: str) -> bool:
    if not python.exists():
        print(f"{who} is absent: {python}; `make bench-peers` installs it")
    return python.exists()


def scalesim_warm(rounds: int) -> list[Line]:
    """One GEMM in a process in which everything is imported and compiled; CPU seconds of the call."""
    if not _there(SCALESIM, "SCALE-Sim"):
        return []
    layer = scalesim.Layer("gemms", "gemm", f"gemm, {M}, {N}, {K},", M, N, K)
    case = scalesim.Case(layer, SIDE, SIDE, "os")
    design = scalesim.int8_array(SIDE, SIDE, "os")
    mine = scalesim.ours(case)
    assert sim.simulate_gemm(design, M, N, K).energy_pj["total"] > 0

    def theirs() -> float:
        (found,) = scalesim.theirs(SCALESIM, [case])
        if different := mine.differs(found):
            raise SystemExit(f"SCALE-Sim and we differ in {', '.join(different)}")
        return found.cpu_s

    ours, other = alternately(
        min(rounds, MOST_ROUNDS), lambda: per_call(partial(sim.simulate_gemm, design, M, N, K)), theirs
    )
    return [
        compared(f"{M} x {N} x {K} on {SIDE} x {SIDE}, warm", "CPU s", ours, "SCALE-Sim", other, lower=True, goal=1e5)
    ]


def scalesim_commands(rounds: int) -> list[Line]:
    """A GEMM, and all of ResNet-18, as whole commands."""
    if not _there(SCALESIM, "SCALE-Sim"):
        return []
    sets = [x for k, v in COUNTED.items() for x in ("--set", f"{k}={v}")]
    gemm = [OLIVINE, "gemm", "int8_systolic", "-m", M, "-n", N, "-k", K, *sets, "--json"]
    on = f"on {SIDE} x {SIDE}"
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        study = folder / "study.yaml"
        study.write_text(STUDY.format(side=SIDE, network=scalesim.DATA / f"{NETWORK}.csv"))
        run = [OLIVINE, "run", study, "--out", folder / "run", "--fresh", "--json"]
        runs = {"without a report": [*run, "--no-report"], "with tables, figures and page": run}
        topology = folder / "gemm.csv"
        topology.write_text(f"Layer,M,N,K,\ngemm, {M}, {N}, {K},\n")
        network = scalesim.DATA / f"{NETWORK}.csv"
        lines += _command_lines(f"{M} x {N} x {K} {on}", {"": gemm}, topology, folder, rounds, 50.0)
        lines += _command_lines(f"ResNet-18 {on}", runs, network, folder, min(rounds, MOST_ROUNDS), 200.0)
    return lines


def _command_lines(
    name: str, ways: dict[str, list[str | Path]], topology: Path, folder: Path, rounds: int, goal: float
) -> list[Line]:
    """CPU seconds and peak memory of both, in turn; ``ways``: of ours, by what to call them. Raises: SystemExit if they
    count other cycles.
    """
    sides = [partial(_our_command, argv) for argv in ways.values()]
    for side in sides:  # what an installation has done already: bytecode
        side()
    *ours, theirs = alternately(rounds, *sides, partial(_their_command, topology, SIDE, folder))
    lines = []
    for way, runs in zip(ways, ours, strict=True):
        if {x[1] for x in runs} != {x[1] for x in theirs}:
            raise SystemExit(f"{name}: cycles {runs[0][1]} here, {theirs[0][1]} in SCALE-Sim")
        usages = [[x[0] for x in some] for some in (runs, theirs)]
        cpu, peak = ([[getattr(u, field) for u in some] for some in usages] for field in ("cpu_s", "peak_mb"))
        what = f"{name}, whole command{f' {way}' if way else ''}"
        lines += [
            compared(what, "CPU s", cpu[0], "SCALE-Sim", cpu[1], lower=True, goal=goal),
            compared(what, "MB at most", peak[0], "SCALE-Sim", peak[1], lower=True, goal=5.0),
        ]
    return lines


def _our_command(argv: list[str | Path]) -> tuple[Usage, int]:
    usage, said = command(argv)
    found = json.loads(said)
    return usage, int(found["cycles"]["total"] if "cycles" in found else _only(found)["total_cycles"])


def _only(found: dict) -> dict:
    (row,) = found["results"]
    return row


def _their_command(topology: Path, side: int, folder: Path) -> tuple[Usage, int]:
    config, layout = folder / f"{side}.cfg", folder / "layout.csv"
    config.write_text((scalesim.DATA / "scalesim.cfg").read_text().format(rows=side, cols=side, dataflow="os"))
    layout.write_text("header,\n")
    kind = "gemm" if topology.parent == folder else "conv"
    argv = [SCALESIM, "-m", "scalesim.scale", "-c", config, "-t", topology, "-l", layout, "-i", kind, "-p", folder]
    usage, _ = command([*argv, "-s", "N"], cwd=folder)
    with (folder / "run" / "COMPUTE_REPORT.csv").open() as lines:
        rows = list(csv.DictReader(lines, skipinitialspace=True))
    return usage, sum(int(float(row["Total Cycles"])) for row in rows)


def zigzag(rounds: int) -> list[Line]:
    """One GEMM, memories included, searched anew; cycles of both as a line of their own."""
    if not _there(ZIGZAG, "ZigZag"):
        return []
    found = []

    def theirs() -> float:
        argv = [ZIGZAG, "-P", ROOT / "benchmarks" / "zigzag_worker.py", M, N, K, 2]
        found.append(json.loads(command(argv)[1].splitlines()[-1]))  # the second call: everything is imported
        return found[-1]["cpu_s"]

    def new() -> sim.GemmResult:
        _best_plan.cache_clear()
        return sim.simulate_gemm(
            sim.load_design("int8_systolic", set={"array.rows": SIDE, "array.cols": SIDE}), M, N, K
        )

    new()
    ours, other = alternately(rounds, lambda: per_call(new), theirs)
    what = f"{M} x {N} x {K} on {SIDE} x {SIDE}, searched"
    cycles = new().cycles["total"]
    return [
        compared(what, "CPU s", ours, "ZigZag", other, lower=True),
        Line(f"{what}: what both say", "cycles", cycles, "ZigZag", found[-1]["cycles"], lower=True),
    ]


PARTS: dict = {}
PEERS = {"scalesim_warm": scalesim_warm, "scalesim_commands": scalesim_commands, "zigzag": zigzag}
