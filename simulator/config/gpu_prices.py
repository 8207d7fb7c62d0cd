"""What a GPU costs besides its logic and its DRAM: power that is drawn all the time, and bits moved at each level."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveFloat

from simulator.config.record import Record

__all__ = ["BoardPower", "GpuPrices", "LevelPrices", "LogicCalibration", "Overhead"]


class BoardPower(Record):
    """Power of a card at work, whatever it does: leakage of all its logic and memories is in it.

    ``constant_mw``: of the board (fan, regulators, DRAM's background); it does not depend on the GPU's node.
    ``active_sm_mw``, ``idle_sm_mw``: static power of a multiprocessor that has a thread block, and of one without.
    ``node_nm``: of the GPU that they are of.
    """

    constant_mw: NonNegativeFloat
    active_sm_mw: NonNegativeFloat
    idle_sm_mw: NonNegativeFloat
    node_nm: PositiveFloat
    source: str = Field(min_length=8)


class LevelPrices(Record):
    """Energy of a bit that a level of memory gives or takes, the way to the level above it included."""

    read_pj_per_bit: NonNegativeFloat
    write_pj_per_bit: NonNegativeFloat
    node_nm: PositiveFloat
    source: str = Field(min_length=8)


class Overhead(Record):
    """What every operation of a CUDA core takes besides the operation: instruction, operands, result."""

    energy_pj: NonNegativeFloat
    node_nm: PositiveFloat
    source: str = Field(min_length=8)


class LogicCalibration(Record):
    """What a finished product's logic takes of what the library's actions say; one factor for all of them."""

    factor: PositiveFloat
    source: str = Field(min_length=8)


class GpuPrices(Record):
    """Prices of the designs whose array is of tensor cores."""

    power: BoardPower
    l2: LevelPrices
    shared_memory: LevelPrices
    registers: LevelPrices
    cuda_core: Overhead
    logic: LogicCalibration
