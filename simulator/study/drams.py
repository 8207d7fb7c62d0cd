"""From a DRAM part as configured to the model that runs it."""

from __future__ import annotations

from fractions import Fraction

from simulator.config import DramPart
from simulator.engine.dram_banked import BankedDram, DramTimings

__all__ = ["banked_dram"]


def banked_dram(part: DramPart, clock_mhz: float) -> BankedDram:
    """The model of ``part`` for an array clock of ``clock_mhz``; both clocks are exactly the decimals they print as."""
    controller = part.controller
    return BankedDram(
        clock_ratio=Fraction(repr(part.clock_mhz)) / Fraction(repr(clock_mhz)),
        channels=part.channels,
        bank_groups=part.bank_groups,
        banks_per_group=part.banks_per_group,
        rows=part.rows,
        row_bytes=part.row_bytes,
        burst_bytes=part.burst_bytes,
        burst_cycles=part.burst_cycles,
        timings=DramTimings(**{name.lower(): cycles for name, cycles in part.timing_cycles.model_dump().items()}),
        shared_command_bus=part.command_bus == "shared",
        **controller.model_dump(),
    )
