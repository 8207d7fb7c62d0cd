"""DRAM as a bandwidth and a latency: one in-order channel shared by reads and writes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.engine.rates import at_rate

__all__ = ["NO_MEMORY_LIMIT", "IdealDram"]


@dataclass(frozen=True)
class IdealDram:
    """A channel that moves whole bursts at a fixed rate; ``bytes_per_cycle`` infinite means no memory limit.

    Reads arrive ``latency_cycles`` after their last burst was sent; writes are posted. A DMA that may wait for no more
    than ``outstanding_bursts`` at a time reads at most so many per round trip, a latency and a burst (Little's law);
    None: no limit.
    """

    bytes_per_cycle: float
    latency_cycles: int
    burst_bytes: int = 1
    outstanding_bursts: int | None = None

    def channel_cycles(self, transfer_bytes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cycles for which each transfer holds the channel: whole bursts, rounded up to a cycle; 0 for nothing, and
        where there are no limits.
        """
        return at_rate(transfer_bytes, self.burst_bytes, self.bytes_per_cycle)

    def least_cycles(self, total_bytes: int) -> int:
        """Cycles below which these bytes cannot be moved, however they are cut into transfers."""
        return int(total_bytes / self.bytes_per_cycle)

    def dma_cycles(self, read_bytes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cycles for which each read holds its DMA: as long as the channel, or longer if the round trip limits it."""
        return at_rate(read_bytes, self.burst_bytes, self.read_bytes_per_cycle)

    @property
    def read_bytes_per_cycle(self) -> float:
        """What one DMA can read at most."""
        if self.outstanding_bursts is None:
            return self.bytes_per_cycle
        round_trip = self.latency_cycles + self.burst_bytes / self.bytes_per_cycle
        in_flight = self.outstanding_bursts * self.burst_bytes
        return min(self.bytes_per_cycle, in_flight / round_trip) if round_trip else self.bytes_per_cycle


NO_MEMORY_LIMIT = IdealDram(float("inf"), 0)
"""Everything is always there: the total is the compute time."""
