"""How the error against measured A100 times moves with each physical parameter of the design.

Each is made a tenth smaller and a tenth larger, all else left alone. A fit would sit in a hollow: most moves would make
it worse, and by about as much in both directions.
"""

from __future__ import annotations

from typing import Any

from simulator.config import load_design, load_study
from simulator.study.building import build
from simulator.study.simulate import simulate_op
from simulator.study.workloads import resolve_workload

PARAMETERS = (
    "clock_mhz",
    "array.mma_latency_cycles",
    "array.barrier_cycles",
    "memory.dram.sustained",
    "memory.dram.latency_ns",
    "memory.l2.usable_kib",
    "memory.l2.bytes_per_cycle",
    "memory.l2.sm_bytes_per_cycle",
    "memory.l2.latency_cycles",
    "memory.shared_memory.bytes_per_cycle",
    "memory.shared_memory.latency_cycles",
    "cuda_cores.fp32_lanes",
    "tiling.setup_registers",
    "tiling.reduce_launch_us",
    "launch_us",
)


def errors(changes: dict[str, Any]) -> list[float]:
    """Ours over the measured time, less one, of each op of the study."""
    study, _ = load_study("a100_validation")
    assert study.measured is not None
    hardware = build(load_design("a100", set=changes))
    ops = {op.name: op for op in resolve_workload(study.workloads[0]).ops}
    return [
        simulate_op(hardware, ops[time.op]).timing.total_cycles / hardware.design.clock_mhz / time.time_us - 1
        for time in study.measured.times
    ]


def mean(values: list[float]) -> float:
    """Mean absolute value [%]."""
    return 100 * sum(map(abs, values)) / len(values)


def main() -> None:
    """Print the table of docs/tensor_cores.md."""
    base = errors({})
    design = load_design("a100")
    print("| parameter | value | error at -10 % | error at +10 % |\n| :--- | ---: | ---: | ---: |")
    print(f"| none | | {mean(base):.1f} % | {mean(base):.1f} % |")
    for path in PARAMETERS:
        value: Any = design
        for step in path.split("."):
            value = getattr(value, step)
        moved = [round(value * f) if isinstance(value, int) else value * f for f in (0.9, 1.1)]
        print(f"| `{path}` | {value:g} | " + " | ".join(f"{mean(errors({path: v})):.1f} %" for v in moved) + " |")
    for i, left in enumerate(base):
        rest = base[:i] + base[i + 1 :]
        print(f"without op {i + 1} ({100 * left:+.1f} %): {mean(rest):.1f} %")


if __name__ == "__main__":
    main()
