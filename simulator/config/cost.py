"""A cost library: prices of actions, parts, SRAM macros and DRAM, each with its source."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from simulator.config.record import Record

__all__ = ["Action", "CostLibrary", "DramPrices", "Part", "SramMacro", "SramTable"]


class Action(Record):
    """What one action of a datapath costs. ``component`` is the line of the energy breakdown it belongs to."""

    component: str
    energy_pj: NonNegativeFloat
    source: str = Field(min_length=8)


class Part(Record):
    """What one part of an array takes and leaks."""

    component: str
    area_um2: PositiveFloat
    leakage_nw: NonNegativeFloat
    source: str = Field(min_length=8)


class SramMacro(Record):
    """One SRAM macro: dynamic energy per access of a word, leakage (subthreshold and gate) and area of the whole."""

    size_bytes: PositiveInt
    word_bits: PositiveInt
    read_pj: PositiveFloat
    write_pj: PositiveFloat
    leakage_mw: NonNegativeFloat
    area_mm2: PositiveFloat


class SramTable(Record):
    """Macros between which sizes and word widths are interpolated; never beyond.

    In YAML they are written out, or named: ``table``, a CSV file, and which ``variant`` of it at ``node_nm``.
    """

    source: str = Field(min_length=8)
    node_nm: PositiveFloat
    variant: str = ""
    macros: list[SramMacro] = Field(min_length=1)


class DramPrices(Record):
    """Energy per bit moved, and power that is drawn all the time."""

    read_pj_per_bit: NonNegativeFloat
    write_pj_per_bit: NonNegativeFloat
    background_mw: NonNegativeFloat
    source: str = Field(min_length=8)


class CostLibrary(Record):
    """A named price list for one technology node."""

    name: str
    description: str = ""
    node_nm: PositiveFloat
    voltage_v: PositiveFloat
    actions: dict[str, Action]
    parts: dict[str, Part]
    sram: SramTable
    dram: DramPrices
