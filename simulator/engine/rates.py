"""Cycles of one transfer at a fixed rate."""

from __future__ import annotations

from math import ceil, inf

import numpy as np
from numpy.typing import NDArray

from simulator.kernels import kernel

__all__ = ["at_rate", "transfer_cycles"]


@kernel
def transfer_cycles(moved: int, burst_bytes: int, bytes_per_cycle: float) -> int:
    """Whole bursts, rounded up to a cycle; 0 for nothing, and where there are no limits."""
    if moved == 0 or bytes_per_cycle == inf:
        return 0
    return max(1, ceil(-(-moved // burst_bytes) * burst_bytes / bytes_per_cycle - 1e-9))


@kernel
def _each(moved, burst_bytes, bytes_per_cycle, cycles):
    for i in range(len(moved)):
        cycles[i] = transfer_cycles(moved[i], burst_bytes, bytes_per_cycle)


def at_rate(moved: NDArray[np.int64], burst_bytes: int, bytes_per_cycle: float) -> NDArray[np.int64]:
    """``transfer_cycles`` of each."""
    cycles = np.empty(len(moved), np.int64)
    _each(np.asarray(moved, np.int64), burst_bytes, bytes_per_cycle, cycles)
    return cycles
