"""SCALE-Sim 3.0.0 side by side in one run: cycles, scratchpad accesses and utilisation of both must be equal.

    python benchmarks/scalesim.py [--python .venv-scalesim/bin/python] [--json FILE] [--record FILE]

50 GEMMs on arrays of several sizes, and the convolutions of AlexNet and ResNet-18 on a 128 x 128 array, for the three
dataflows. Layers of one shape run once. What is compared is what SCALE-Sim writes to its report files:

- *Total Cycles* with ours for ``fold_overlap: scalesim`` without memory limits. SCALE-Sim runs with the bandwidth that
  it estimates itself, at which it never stalls.
- *SRAM IFMAP Reads*, *SRAM Filter Reads* with bytes read from our activation and weight scratchpads at 8 bits.
- *SRAM OFMAP Writes* with sums written to our out scratchpad. Its ``os`` reports ``folds * (rows + cols)`` more, writes
  of no value; they are taken off. It never reads sums back in ``ws`` and ``is``, we do; that is not compared.
- *Overall Util* with ``compute_util``, *Mapping Efficiency* with ``mapping_util``. Its *Compute Util* is a mean over
  the cycles of each fold that has no counterpart here.

CPU seconds are those of one process each without imports and without reading configurations; traces are not saved.
Exit code 1 if one number differs.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

import simulator as sim

HERE = Path(__file__).parent
DATA = HERE / "data"
DATAFLOWS = ("os", "ws", "is")
ARRAYS = ((4, 4), (8, 8), (16, 16), (32, 32), (8, 24), (32, 16), (12, 7))
CONV_ARRAY = (128, 128)
NETWORKS = ("partial_windows", "alexnet", "resnet18")
COMPARED = ("total_cycles", "ifmap_reads", "filter_reads", "ofmap_writes", "overall_util", "mapping_eff")
KNOWN = ("set", "layer", "count", "M", "N", "K", "rows", "cols", "dataflow")


@dataclass(frozen=True)
class Layer:
    """A GEMM or convolution: the line of SCALE-Sim's topology file, and ``A[M,K] x W[K,N]``; ``count`` such layers."""

    set: str
    name: str
    row: str
    M: int
    N: int
    K: int
    count: int = 1


@dataclass(frozen=True)
class Case:
    """A layer on an array."""

    layer: Layer
    rows: int
    cols: int
    dataflow: str


@dataclass(frozen=True)
class Figures:
    """What both report; counts are words, utilisations percent."""

    total_cycles: int
    ifmap_reads: int
    filter_reads: int
    ofmap_writes: int
    overall_util: float
    mapping_eff: float
    cpu_s: float

    def differs(self, other: Figures) -> list[str]:
        """Names of the figures that are not equal; utilisations, which are quotients, up to rounding."""
        return [name for name in COMPARED if not _equal(getattr(self, name), getattr(other, name))]


def _equal(a: float, b: float) -> bool:
    return a == b if isinstance(a, int) else abs(a - b) <= 1e-9 * abs(b)


def gemms(seed: int = 4) -> list[tuple[Layer, tuple[int, int]]]:
    """50 GEMMs, each with an array: any shape, one row or column, smaller than the array, whole folds."""
    rng = np.random.default_rng(seed)
    shapes: list[tuple[int, int, int]] = [(1, 1, 1)]
    shapes += [tuple(np.exp2(rng.uniform(0, 8, 3)).astype(int)) for _ in range(29)]
    shapes += [tuple(np.where(np.arange(3) == i % 2, 1, rng.integers(2, 300, 3))) for i in range(8)]
    shapes += [tuple(rng.integers(1, 5, 3)) for _ in range(4)]
    shapes += [tuple(rng.integers(1, 5, 3) * 32) for _ in range(8)]
    chosen = [ARRAYS[i % len(ARRAYS)] for i in range(len(shapes))]
    return [(_gemm(i, *map(int, shape)), array) for i, (shape, array) in enumerate(zip(shapes, chosen, strict=True))]


def _gemm(index: int, M: int, N: int, K: int) -> Layer:
    name = f"gemm{index:02}"
    return Layer("gemms", name, f"{name}, {M}, {N}, {K},", M, N, K)


def convolutions(network: str) -> list[Layer]:
    """Layers of a topology file as GEMMs; those of one shape once, with their number."""
    found: dict[tuple[int, ...], Layer] = {}
    for row in (DATA / f"{network}.csv").read_text().splitlines()[1:]:
        name, *fields = row.rstrip(",").split(",")
        height, width, filter_height, filter_width, channels, filters, stride = shape = tuple(map(int, fields))
        out_height, out_width = (
            -(-(height - filter_height + stride) // stride),
            -(-(width - filter_width + stride) // stride),
        )
        K = filter_height * filter_width * channels
        count = found[shape].count + 1 if shape in found else 1
        first = found.get(shape, Layer(network, name.strip(), row, out_height * out_width, filters, K))
        found[shape] = Layer(**asdict(first) | {"count": count})
    return list(found.values())


def cases() -> list[Case]:
    """Everything that is compared."""
    pairs = gemms() + [(layer, CONV_ARRAY) for network in NETWORKS for layer in convolutions(network)]
    return [Case(layer, *array, dataflow) for layer, array in pairs for dataflow in DATAFLOWS]


@cache
def int8_array(rows: int, cols: int, dataflow: str) -> sim.Design:
    """An array of 8-bit PEs that counts as SCALE-Sim does, without memory limits."""
    array = {"array.rows": rows, "array.cols": cols, "array.dataflow": dataflow, "array.fold_overlap": "scalesim"}
    return sim.load_design("int8_systolic", set=array | {"memory.dram.model": "none"})


def ours(case: Case) -> Figures:
    """One case here."""
    layer, design = case.layer, int8_array(case.rows, case.cols, case.dataflow)
    start = time.process_time()
    found = sim.simulate_gemm(design, layer.M, layer.N, layer.K)
    seconds = time.process_time() - start
    return Figures(
        found.cycles["total"],
        found.bytes["act_buffer"]["read"],
        found.bytes["weight_buffer"]["read"],
        found.bytes["out_buffer"]["write"] // 4,  # sums of 32 bits
        100 * found.compute_util,
        100 * found.mapping_util,
        seconds,
    )


def theirs(python: Path, cases: list[Case]) -> Iterator[Figures]:
    """Every case in SCALE-Sim, in order, as it gets done."""
    jobs = [
        {"gemm": c.layer.set == "gemms", "row": c.layer.row, "rows": c.rows, "cols": c.cols, "dataflow": c.dataflow}
        for c in cases
    ]
    command = [str(python), "-P", str(HERE / "scalesim_worker.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        worker.stdin.write(json.dumps(jobs))
        worker.stdin.close()
        for case in cases:
            line = worker.stdout.readline()
            if not line:
                raise SystemExit(f"SCALE-Sim ended with code {worker.wait()} at {case}; see above")
            yield _their_figures(case, json.loads(line))


def _their_figures(case: Case, reported: dict[str, float]) -> Figures:
    if reported.pop("stall_cycles"):
        raise SystemExit(f"SCALE-Sim stalled at {case}: its total is then not the array's")
    figures = {name: float(x) if name.endswith(("util", "eff", "_s")) else int(x) for name, x in reported.items()}
    if case.dataflow == "os":
        folds = -(-case.layer.M // case.rows) * -(-case.layer.N // case.cols)
        figures["ofmap_writes"] -= folds * (case.rows + case.cols)
    return Figures(**figures)


def print_line(case: Case, mine: Figures, other: Figures) -> None:
    layer, array = case.layer, f"{case.rows} x {case.cols}"
    shape = f"{layer.M} x {layer.N} x {layer.K}"
    verdict = ", ".join(mine.differs(other)) or "equal"
    print(
        f"{layer.set + ' ' + layer.name:<28}{shape:<20}{array:<11}{case.dataflow:<4}{mine.total_cycles:>10}"
        f"{other.total_cycles:>10}{mine.cpu_s:>10.4f}{other.cpu_s:>10.3f}  {verdict}",
        flush=True,
    )


def summaries(rows: list[tuple[Case, Figures, Figures]]) -> list[dict[str, object]]:
    """Numbers equal and CPU seconds, per set and dataflow."""
    out = []
    for name in ("gemms", *NETWORKS):
        for dataflow in DATAFLOWS:
            mine = [row for row in rows if (row[0].layer.set, row[0].dataflow) == (name, dataflow)]
            seconds = [sum(row[i].cpu_s for row in mine) for i in (1, 2)]
            equal = sum(not row[1].differs(row[2]) for row in mine)
            out.append(
                {"set": name, "dataflow": dataflow, "layers": len(mine), "equal": equal}
                | {"our_cpu_s": seconds[0], "scalesim_cpu_s": seconds[1], "ratio": seconds[1] / seconds[0]}
            )
    return out


def record(path: Path, rows: list[tuple[Case, Figures, Figures]]) -> None:
    """SCALE-Sim's figures as CSV, for the test that runs without it."""
    lines = [
        "# What SCALE-Sim 3.0.0 reports, phantom writes of os taken off. Made by: make bench-peers RECORD=1",
        ",".join((*KNOWN, *COMPARED)),
    ]
    for case, _, other in rows:
        layer = case.layer
        known = (layer.set, layer.name, layer.count, layer.M, layer.N, layer.K, case.rows, case.cols, case.dataflow)
        lines.append(",".join(map(str, (*known, *(getattr(other, name) for name in COMPARED)))))
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--python", type=Path, default=Path(".venv-scalesim/bin/python"), help="interpreter with SCALE-Sim"
    )
    parser.add_argument("--json", type=Path, help="also write every line to this file")
    parser.add_argument("--record", type=Path, help="write SCALE-Sim's figures to this file, for the test")
    arguments = parser.parse_args()
    if not arguments.python.exists():
        parser.error(f"{arguments.python} does not exist; `make bench-peers` makes it")
    todo = cases()
    ours(todo[0])  # warm: kernels compiled, price lists read
    columns = f"{'cycles':>10}{'SCALE-Sim':>10}{'CPU s':>10}{'SCALE-Sim':>10}"
    print(f"{'layer':<28}{'M x N x K':<20}{'array':<11}{'':<4}{columns}")
    rows = []
    for case, other in zip(todo, theirs(arguments.python, todo), strict=True):
        rows.append((case, ours(case), other))
        print_line(*rows[-1])
    finish(rows, arguments)


def finish(rows: list[tuple[Case, Figures, Figures]], arguments: argparse.Namespace) -> None:
    """The summary, the files asked for, and the exit code."""
    print(f"\n{'set':<18}{'':<4}{'layers':>8}{'equal':>8}{'CPU s':>10}{'SCALE-Sim':>11}{'ratio':>10}")
    parts = summaries(rows)
    for part in parts:
        print(
            f"{part['set']:<18}{part['dataflow']:<4}{part['layers']:>8}{part['equal']:>8}{part['our_cpu_s']:>10.3f}"
            f"{part['scalesim_cpu_s']:>11.2f}{part['ratio']:>10.0f}"
        )
    equal = sum(not mine.differs(other) for _, mine, other in rows)
    print(f"{equal} of {len(rows)} equal in {', '.join(COMPARED)}")
    if arguments.record:
        record(arguments.record, rows)
    if arguments.json:
        lines = [asdict(case) | {"ours": asdict(mine), "scalesim": asdict(other)} for case, mine, other in rows]
        machine = {"machine": platform.machine(), "python": platform.python_version()}
        arguments.json.write_text(json.dumps({"machine": machine, "summary": parts, "lines": lines}, indent=2) + "\n")
    sys.exit(0 if equal == len(rows) else 1)


if __name__ == "__main__":
    main()
