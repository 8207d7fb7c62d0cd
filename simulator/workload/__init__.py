"""Workloads: ordered ops with shapes."""

from simulator.workload.ops import OP_KINDS, Op

__all__ = ["OP_KINDS", "Op"]
