"""DRAM as a bandwidth and a latency: one in-order channel shared by reads and writes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_MEMORY_LIMIT", "IdealDram"]


@dataclass(frozen=True)
class IdealDram:
    """A channel that moves whole bursts at a fixed rate; ``bytes_per_cycle`` infinite means no memory limit.

    Reads arrive ``latency_cycles`` after their last burst was sent; writes are posted.
    """

    bytes_per_cycle: float
    latency_cycles: int
    burst_bytes: int = 1

    def channel_cycles(self, transfer_bytes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cycles for which each transfer holds the channel: whole bursts, rounded up to a cycle; 0 for nothing."""
        bursts = -(-transfer_bytes // self.burst_bytes)
        exact = bursts * self.burst_bytes / self.bytes_per_cycle
        return np.ceil(exact - 1e-9).astype(np.int64)


NO_MEMORY_LIMIT = IdealDram(float("inf"), 0)
"""Everything is always there: the total is the compute time."""
