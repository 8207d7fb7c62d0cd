"""From a design and a kernel to how its tensor cores add: what ``datapath.edp`` asks for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from simulator.config.edp import EdpSums
from simulator.config.tensor_core import BITS, TensorCoreArray
from simulator.datapath.edp import EdpOrder, EdpRun, Region
from simulator.mapping.tensor_core import GpuPlan, slices

__all__ = ["described", "edp_orders", "edp_run"]


def edp_orders(array: TensorCoreArray) -> dict[int, EdpOrder]:
    """How the units for each operand width add."""
    found = ((bits, getattr(array.edp_sums, f"bits_{bits}")) for bits in BITS)
    return {bits: EdpOrder(**sums.model_dump()) for bits, sums in found if isinstance(sums, EdpSums)}


def edp_run(orders: dict[int, EdpOrder], plan: GpuPlan) -> EdpRun:
    """The sums of the GEMM that a kernel runs: its slices of K are the plan's."""
    return EdpRun(orders, tuple(Region(*part) for part in slices(plan)))


def described(order: EdpOrder) -> dict[str, Any]:
    """An order as plain data; of units that multiply integers only what there is to say of those."""
    return {"group": order.group} if order.extra_bits is None else asdict(order)
