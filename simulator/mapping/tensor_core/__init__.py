"""A GEMM on multiprocessors with tensor cores becomes a tile table (docs/tensor_cores.md)."""

from simulator.mapping.tensor_core.choose import best_plan
from simulator.mapping.tensor_core.counting import count_gpu
from simulator.mapping.tensor_core.kernels import Kernel, Kernels, Tilings, kernels
from simulator.mapping.tensor_core.machine import Machine
from simulator.mapping.tensor_core.slices import Slices, slices
from simulator.mapping.tensor_core.table import GpuPlan

__all__ = [
    "GpuPlan",
    "Kernel",
    "Kernels",
    "Machine",
    "Slices",
    "Tilings",
    "best_plan",
    "count_gpu",
    "kernels",
    "slices",
]
