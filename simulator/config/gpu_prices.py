"""What a GPU costs besides its logic and its DRAM: power that is drawn all the time, and bits moved at each level."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveFloat

from simulator.config.record import Record

__all__ = ["BoardPower", "GpuPrices", "LevelPrices", "LogicCalibration", "Overhead"]


class BoardPower(Record):
    """Power of a card at work, whatever it does: leakage of all its logic and memories is in it."""

    constant_mw: NonNegativeFloat
    """Of the board (fan, regulators, DRAM's background) [mW]; it does not depend on the GPU's node."""
    active_sm_mw: NonNegativeFloat
    """Static power of a multiprocessor that has a thread block [mW]."""
    idle_sm_mw: NonNegativeFloat
    """Static power of a multiprocessor without one [mW]."""
    node_nm: PositiveFloat
    """Technology node of the GPU that they are of [nm]."""
    source: str = Field(min_length=8)
    """Where the numbers are from (author, venue, year, table), or `assumed` and why."""


class LevelPrices(Record):
    """Energy of a bit that a level of memory gives or takes, the way to the level above it included."""

    read_pj_per_bit: NonNegativeFloat
    """Energy of a bit that it gives [pJ]."""
    write_pj_per_bit: NonNegativeFloat
    """Energy of a bit that it takes [pJ]."""
    node_nm: PositiveFloat
    """Technology node of these prices [nm]."""
    source: str = Field(min_length=8)
    """Where the numbers are from (author, venue, year, table), or `assumed` and why."""


class Overhead(Record):
    """What every operation of a CUDA core takes besides the operation: instruction, operands, result."""

    energy_pj: NonNegativeFloat
    """Energy of one operation's overhead [pJ]."""
    node_nm: PositiveFloat
    """Technology node of this price [nm]."""
    source: str = Field(min_length=8)
    """Where the numbers are from (author, venue, year, table), or `assumed` and why."""


class LogicCalibration(Record):
    """What a finished product's logic takes of what the library's actions say; one factor for all of them."""

    factor: PositiveFloat
    """Energy over what the library's actions say."""
    source: str = Field(min_length=8)
    """Where the numbers are from (author, venue, year, table), or `assumed` and why."""


class GpuPrices(Record):
    """Prices of the designs whose array is of tensor cores."""

    power: BoardPower
    """Power that is drawn all the time."""
    l2: LevelPrices
    """Bits that L2 gives and takes."""
    shared_memory: LevelPrices
    """Bits that shared memory gives and takes."""
    registers: LevelPrices
    """Bits that registers give and take."""
    cuda_core: Overhead
    """Overhead of an operation in the CUDA cores."""
    logic: LogicCalibration
    """Factor on the library's actions."""
