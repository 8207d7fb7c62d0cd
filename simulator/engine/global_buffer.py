"""The buffer that all cores share between DRAM and their scratchpads, as a port of a fixed rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["GlobalBuffer"]


@dataclass(frozen=True)
class GlobalBuffer:
    """A read port that moves whole words at a fixed rate, one transfer after another, without latency.

    It is filled through a port of its own that is no narrower than DRAM (assumed), so that filling takes no time.
    """

    capacity_bytes: int
    word_bits: int
    bytes_per_cycle: float

    def channel_cycles(self, transfer_bytes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cycles for which each transfer holds the port: whole words, rounded up to a cycle; 0 for nothing."""
        words = -(-8 * transfer_bytes // self.word_bits)
        return np.ceil(words * self.word_bits / 8 / self.bytes_per_cycle - 1e-9).astype(np.int64)

    def least_cycles(self, total_bytes: int) -> int:
        """Cycles below which these bytes cannot be read, however they are cut into transfers."""
        return int(total_bytes / self.bytes_per_cycle)
