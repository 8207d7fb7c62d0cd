"""Of all kernels that an SM can hold, the one of least cycles for a GEMM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from simulator.mapping.blocking import OperandBits
from simulator.mapping.tensor_core.kernels import Kernels, Tilings, kernels
from simulator.mapping.tensor_core.machine import Machine
from simulator.mapping.tensor_core.steps import epilogue_cycles, grid, reduction_cycles, step_cycles
from simulator.mapping.tensor_core.table import GpuPlan
from simulator.mapping.tensor_core.traffic import dram_bytes
from simulator.tiles import LoopNest
from simulator.workload import Op

__all__ = ["best_plan", "estimate"]

_TRIED = 8
"""Kernels of least estimated cycles that the pipeline decides between."""


def best_plan(
    op: Op,
    machine: Machine,
    bits: OperandBits,
    how: Tilings,
    cycles: Callable[[LoopNest], int],
    bytes_per_cycle: float,
    latency: int,
) -> GpuPlan:
    """The kernel of least cycles for one of the op's GEMMs; of equal ones the one of fewest blocks.

    Args:
        cycles: makespan of the steps on the memory at hand.
        bytes_per_cycle, latency: of DRAM, for the estimate that says which kernels are tried.
    Raises: MappingError if an SM can hold none.
    """
    found = kernels(op, machine, bits, how)
    about = estimate(op, machine, bits, found, bytes_per_cycle, latency, how.persistent)
    order = np.argsort(about, kind="stable")[:_TRIED]
    plans = [GpuPlan(op, machine, bits, found.at(int(i)), how.persistent) for i in order]
    return min(plans, key=lambda plan: (cycles(plan.nest), plan.grid.blocks))


def estimate(
    op: Op,
    machine: Machine,
    bits: OperandBits,
    x: Kernels,
    bytes_per_cycle: float,
    latency: int,
    persistent: bool,
) -> Any:
    """About the cycles that each kernel takes: its sets one after another, or DRAM if that is slower."""
    g = grid(op, machine, x)
    d = dram_bytes(op, machine, bits, x, g)
    on_chip = np.zeros(len(x.m))
    for last, times in ((False, g.sets - 1), (True, 1)):
        step = step_cycles(machine, bits, x, g, last)
        begin = machine.l2_latency + step.l2 + machine.shared_latency
        around = 0 if persistent and not last else begin + epilogue_cycles(machine, bits, x, g, last)
        on_chip = on_chip + times * (g.steps * step.whole + around)
    off_chip = (d.act + d.weight) / bytes_per_cycle + latency
    return np.maximum(on_chip, off_chip + around) + reduction_cycles(op, machine, bits, x)
