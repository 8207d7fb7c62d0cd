"""What the designs say of the products and passes that ``measure`` times: ``python -m benchmarks.gpu.predict FOLDER``.

Written before anything is measured. ``cold_us``: the design as it is; ``warm_us``: with ``memory.l2.warm``, for times
of the same tensors again and again. Both have ``launch_us`` in them. FP8 results are 16 bits wide, those of int8 32.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simulator.config import load_design
from simulator.study.building import build
from simulator.study.passes import simulate_pass
from simulator.study.simulate import simulate_op
from simulator.workload import Op, Pass

from .shapes import BATCHED, GEMMS, NUMBERS, PASS_SIZES, PASSES, Shape

DESIGNS = ("h100", "h200")
DATAPATHS: dict[str, dict[str, Any]] = {
    "fp16": {},
    "int8": {"datapath": {"name": "int_mac"}, "memory.output_bits": 32},
    "fp8": {"datapath": {"name": "fp8_mac"}},
}
INT8_BY_ROW = {
    "datapath": {"name": "int_mac"},
    "quantisation.activations.granularity": "token",
}


def gemms(design: str, numbers: str) -> Iterator[dict[str, Any]]:
    """A row per product."""
    hardware = {
        warm: build(load_design(design, set=DATAPATHS[numbers] | {"memory.l2.warm": warm})) for warm in (False, True)
    }
    for shape in [*GEMMS, *(BATCHED if numbers == "fp16" else [])]:
        found = {warm: simulate_op(hw, op_of(shape)).timing for warm, hw in hardware.items()}
        mhz = hardware[False].design.clock_mhz
        cold, warm = found[False], found[True]
        causes = {k: v for k, v in cold.stalls.items() if v}
        yield {
            "design": design,
            "numbers": numbers,
            **shape._asdict(),
            "cold_us": round(cold.total_cycles / mhz, 3),
            "warm_us": round(warm.total_cycles / mhz, 3),
            "cold_cycles": cold.total_cycles,
            "warm_cycles": warm.total_cycles,
            "compute_cycles": cold.compute_cycles,
            "causes": " ".join(f"{k}={v}" for k, v in causes.items()),
        }


def op_of(shape: Shape) -> Op:
    """One op; more than one product are one kernel."""
    kind = "linear" if shape.count == 1 else "bmm"
    return Op(shape.group, shape.M, shape.N, shape.K, shape.count, kind)


def passes(design: str) -> Iterator[dict[str, Any]]:
    """A row per pass and size, each a kernel of its own."""
    for name in PASSES:
        changes = INT8_BY_ROW if name in ("quantise", "dequantise") else {}
        hardware = [
            build(load_design(design, set={**changes, "cuda_cores.fused": [], "memory.l2.warm": warm}))
            for warm in (False, True)
        ]
        for rows, cols in PASS_SIZES:
            step = Pass("p", name, rows, cols)
            times = [simulate_pass(hw, [step], 0).timing.total_cycles / hw.design.clock_mhz for hw in hardware]
            cold, warm = (round(time, 3) for time in times)
            yield {"design": design, "pass": name, "rows": rows, "cols": cols, "cold_us": cold, "warm_us": warm}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """A table, with a line on what made it."""
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write("# Made by: python -m benchmarks.gpu.predict, before anything was measured\n")
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def main(folder: Path) -> None:
    """Both tables."""
    kinds = [numbers for numbers in NUMBERS if numbers in DATAPATHS]
    write(folder / "h100_predicted.csv", [row for d in DESIGNS for kind in kinds for row in gemms(d, kind)])
    write(folder / "h100_predicted_passes.csv", [row for d in DESIGNS for row in passes(d)])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
