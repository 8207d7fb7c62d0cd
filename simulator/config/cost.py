"""A cost library: prices of actions, parts, SRAM macros and DRAM, each with its source."""

from __future__ import annotations

import math
from typing import Literal, get_args

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from simulator.config.gpu_prices import GpuPrices
from simulator.config.load import FieldError
from simulator.config.record import Record

__all__ = [
    "Action",
    "Conventions",
    "CostLibrary",
    "DramPrices",
    "Part",
    "ScaledNode",
    "ScalingTable",
    "SramMacro",
    "SramTable",
]


class Conventions(Record):
    """What the prices of a library are charged for. The first choice of each is what hardware does.

    ``operand_reads``: scratchpads are read for what enters the array's edge, or anew for every MAC, with nothing passed
    on inside the array (and where sums wander, ``ws`` and ``is``, every MAC reads and writes one).
    ``sum_bits``: a sum in the out scratchpad has the width of the accumulator, or of a stored result.
    ``core_energy``: every action has its price, and what does nothing is clock-gated; or every part of the array draws
    its ``dynamic_pj_per_cycle`` while the array is not stalled, and its leakage always, whatever it does.
    ``static``: everything leaks over the makespan and DRAM draws its background power; or only the latter is charged;
    or what was measured of a whole card (``gpu.power``), which has all of it in it.
    ``area``: scratchpads are in it, or only the core is.
    ``nodes``: every price is of the library's node; or prices are of several nodes, and each source says of which.
    """

    operand_reads: Literal["per_edge", "per_mac"]
    sum_bits: Literal["accumulator", "output"]
    core_energy: Literal["per_mac", "full_array_per_cycle"]
    static: Literal["all", "dram_background_only", "board"]
    area: Literal["all", "core_only"]
    nodes: Literal["one", "mixed"]

    def unusual(self) -> dict[str, str]:
        """The choices that are not what hardware does."""
        fields = type(self).model_fields
        return {name: str(v) for name, v in self if v != get_args(fields[name].annotation)[0]}


class Action(Record):
    """What one action of a datapath costs. ``component`` is the line of the energy breakdown it belongs to."""

    component: str
    energy_pj: NonNegativeFloat
    source: str = Field(min_length=8)


class Part(Record):
    """What one part of an array takes and leaks. An area of 0: another part's area has it in it, as the source says.

    ``dynamic_pj_per_cycle``: what it draws while the array runs, under ``core_energy: full_array_per_cycle``.
    ``node_nm``: of this price, where it is another than the library's.
    """

    component: str
    area_um2: NonNegativeFloat
    leakage_nw: NonNegativeFloat
    dynamic_pj_per_cycle: NonNegativeFloat | None = None
    node_nm: PositiveFloat | None = None
    source: str = Field(min_length=8)


class SramMacro(Record):
    """One SRAM macro: dynamic energy per access of a word, leakage (subthreshold and gate) and area of the whole."""

    size_bytes: PositiveInt
    word_bits: PositiveInt
    read_pj: PositiveFloat
    write_pj: PositiveFloat
    leakage_mw: NonNegativeFloat
    area_mm2: NonNegativeFloat


class SramTable(Record):
    """Macros between which sizes and word widths are interpolated; never beyond.

    In YAML they are written out, or named: ``table``, a CSV file, and which ``variant`` of it at ``node_nm``.
    """

    source: str = Field(min_length=8)
    node_nm: PositiveFloat
    variant: str = ""
    macros: list[SramMacro] = Field(min_length=1)


class DramPrices(Record):
    """Energy per bit moved and per row of ``row_bytes`` opened, and power that is drawn all the time.

    ``channel_gb_s``: the bandwidth that comes with one ``background_mw``; without it, that power is for all there is.
    """

    read_pj_per_bit: NonNegativeFloat
    write_pj_per_bit: NonNegativeFloat
    activate_pj: NonNegativeFloat = 0.0
    row_bytes: PositiveInt | None = None
    background_mw: NonNegativeFloat
    channel_gb_s: PositiveFloat | None = None
    source: str = Field(min_length=8)

    @model_validator(mode="after")
    def _rows_have_a_size(self) -> DramPrices:
        if self.activate_pj and self.row_bytes is None:
            raise FieldError(("row_bytes",), "missing; activate_pj is the price of a row of that size")
        return self

    def channels(self, gb_s: float) -> int:
        """How many of them a bandwidth needs."""
        return 1 if self.channel_gb_s is None else max(1, math.ceil(gb_s / self.channel_gb_s - 1e-9))


class ScaledNode(Record):
    """What figures of logic are at a node, each relative to the same node of its own."""

    node_nm: PositiveFloat
    area: PositiveFloat
    delay: PositiveFloat
    energy: PositiveFloat
    power: PositiveFloat


class ScalingTable(Record):
    """Published factors between technology nodes."""

    source: str = Field(min_length=8)
    nodes: list[ScaledNode] = Field(min_length=1)


class CostLibrary(Record):
    """A named price list, of one technology node unless its conventions say otherwise.

    ``dram``: what off-chip memory costs unless a design picks one of ``drams`` by name (``memory.dram.standard``).
    ``gpu``: what designs of tensor cores need besides; null: this library has no prices of them.
    """

    name: str
    description: str = ""
    node_nm: PositiveFloat
    voltage_v: PositiveFloat
    conventions: Conventions
    actions: dict[str, Action]
    parts: dict[str, Part]
    sram: SramTable
    dram: DramPrices
    drams: dict[str, DramPrices] = Field(default_factory=dict)
    gpu: GpuPrices | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> CostLibrary:
        if self.conventions.nodes == "one" and self.sram.node_nm != self.node_nm:
            message = f"{self.sram.node_nm:g} nm in a library of {self.node_nm:g} nm; say conventions.nodes: mixed"
            raise FieldError(("sram", "node_nm"), message)
        if self.conventions.area == "all" and not all(macro.area_mm2 for macro in self.sram.macros):
            raise FieldError(("sram", "macros"), "a macro has no area, but conventions.area charges scratchpads")
        if (self.conventions.static == "board") != (self.gpu is not None):
            raise FieldError(("conventions", "static"), "'board' goes with the key 'gpu', and that with 'board'")
        if self.conventions.core_energy == "full_array_per_cycle":
            for name, part in self.parts.items():
                if part.dynamic_pj_per_cycle is None:
                    message = "missing; conventions.core_energy: full_array_per_cycle charges it"
                    raise FieldError(("parts", name, "dynamic_pj_per_cycle"), message)
        return self
