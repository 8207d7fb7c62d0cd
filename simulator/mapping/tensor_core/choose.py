"""Of all kernels that an SM can hold, the one of least cycles for a GEMM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from simulator.errors import MappingError
from simulator.mapping.blocking import OperandBits
from simulator.mapping.tensor_core.kernels import Tilings, kernels
from simulator.mapping.tensor_core.machine import Machine
from simulator.mapping.tensor_core.table import Costs, GpuPlan, costs_of
from simulator.tiles import LoopNest
from simulator.workload import Op

__all__ = ["best_plan", "estimate"]

_TRIED = 8
"""Kernels of least estimated cycles that the pipeline decides between."""
_MOST_STEPS = 1 << 26
"""Of all sets of a kernel: beyond it, going through them takes seconds."""


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
    costs = costs_of(op, machine, bits, found)
    short = costs.grid.sets * costs.grid.steps <= _MOST_STEPS
    if not short.any():
        raise MappingError(f"more than {_MOST_STEPS} steps of every kernel; split the op", ("tiling", "tiles"))
    about = estimate(machine, costs, bytes_per_cycle, latency, how.persistent)
    order = [int(i) for i in np.argsort(np.where(short, about, np.inf), kind="stable")[:_TRIED] if short[i]]
    plans = [GpuPlan(op, machine, bits, found.at(i), costs.at(i), how.persistent) for i in order]
    return min(plans, key=lambda plan: (cycles(plan.nest), plan.grid.blocks))


def estimate(machine: Machine, costs: Costs, bytes_per_cycle: float, latency: int, persistent: bool) -> Any:
    """About the cycles that each kernel takes: its sets one after another, or DRAM if that is slower."""
    g, d = costs.grid, costs.dram
    total: Any = costs.reduction + np.where(d.act + d.weight, latency, 0)
    for step, end, times, share in (
        (costs.step, costs.ends[0], g.sets - 1, 1 - g.last / g.blocks),
        (costs.last, costs.ends[1], 1, g.last / g.blocks),
    ):
        begin = machine.l2_latency + step.l2 + machine.shared_latency
        off_chip = (d.act + d.weight) * share / bytes_per_cycle
        total = (
            total + np.maximum(times * g.steps * step.whole, off_chip) + (0 if persistent else times) * (begin + end)
        )
    return total
