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
    """What the prices of a library are charged for. The first choice of each is what hardware does."""

    operand_reads: Literal["per_edge", "per_mac"]
    """Scratchpads are read for what enters the array's edge (`per_edge`), or anew for every MAC, with nothing passed on
    inside the array, and where sums wander (`ws`, `is`) every MAC reads and writes one (`per_mac`).
    """
    sum_bits: Literal["accumulator", "output"]
    """A sum in the out scratchpad has the width of the accumulator, or of a stored result (`output`)."""
    core_energy: Literal["per_mac", "full_array_per_cycle"]
    """Every action has its price, and what does nothing is clock-gated (`per_mac`); or every part of the array draws
    its `dynamic_pj_per_cycle` while the array is not stalled, and its leakage always, whatever it does.
    """
    static: Literal["all", "dram_background_only", "board"]
    """Everything leaks over the makespan and DRAM draws its background power (`all`); or only the latter is charged; or
    what was measured of a whole card, `gpu.power`, which has all of it in it (`board`).
    """
    area: Literal["all", "core_only"]
    """Scratchpads are in it (`all`), or only the core is."""
    nodes: Literal["one", "mixed"]
    """Every price is of the library's node (`one`), or prices are of several nodes, and each source says of which
    (`mixed`).
    """

    def unusual(self) -> dict[str, str]:
        """The choices that are not what hardware does."""
        fields = type(self).model_fields
        return {name: str(v) for name, v in self if v != get_args(fields[name].annotation)[0]}


class Action(Record):
    """What one action of a datapath costs."""

    component: str
    """Line of the energy breakdown that it belongs to."""
    energy_pj: NonNegativeFloat
    """Energy of one action [pJ]."""
    source: str = Field(min_length=8)
    """Where the number is from (author, venue, year, table), or `assumed` and why."""


class Part(Record):
    """What one part of an array takes and leaks."""

    component: str
    """Line of the area breakdown that it belongs to."""
    area_um2: NonNegativeFloat
    """Area of one [um2]; 0: another part's area has it in it, as the source says."""
    leakage_nw: NonNegativeFloat
    """Power of one that is drawn all the time [nW]."""
    dynamic_pj_per_cycle: NonNegativeFloat | None = None
    """What one draws while the array runs [pJ/cycle], under `conventions.core_energy: full_array_per_cycle`."""
    node_nm: PositiveFloat | None = None
    """Technology node of this price [nm], where it is another than the library's."""
    source: str = Field(min_length=8)
    """Where the numbers are from (author, venue, year, table), or `assumed` and why."""


class SramMacro(Record):
    """One SRAM macro."""

    size_bytes: PositiveInt
    """Capacity [bytes]."""
    word_bits: PositiveInt
    """Width of its port [bits]."""
    read_pj: PositiveFloat
    """Dynamic energy of reading one word [pJ]."""
    write_pj: PositiveFloat
    """Dynamic energy of writing one word [pJ]."""
    leakage_mw: NonNegativeFloat
    """Leakage of the whole macro, subthreshold and gate [mW]."""
    area_mm2: NonNegativeFloat
    """Area of the whole macro [mm2]."""


class SramTable(Record):
    """Macros between which sizes and word widths are interpolated; never beyond.

    In YAML they are written out, or named: ``table``, a CSV file, and which ``variant`` of it at ``node_nm``.
    """

    source: str = Field(min_length=8)
    """Tool or paper that the macros are from."""
    node_nm: PositiveFloat
    """Technology node of the macros [nm]."""
    variant: str = ""
    """Which kind of cell, of those in a table."""
    macros: list[SramMacro] = Field(min_length=1)
    """Macros written out; in place of them `table` may name a CSV file."""


class DramPrices(Record):
    """What off-chip memory costs: bits moved, rows opened, and power that is drawn all the time."""

    read_pj_per_bit: NonNegativeFloat
    """Energy of a bit read [pJ]."""
    write_pj_per_bit: NonNegativeFloat
    """Energy of a bit written [pJ]."""
    activate_pj: NonNegativeFloat = 0.0
    """Energy of opening a row of `row_bytes` and closing it [pJ]; 0: it is in the price of a bit."""
    row_bytes: PositiveInt | None = None
    """Size of the row that `activate_pj` is of [bytes]."""
    background_mw: NonNegativeFloat
    """Power that is drawn all the time [mW]."""
    channel_gb_s: PositiveFloat | None = None
    """Bandwidth that comes with one `background_mw` [10^9 bytes/s]; null: that power is for all there is."""
    source: str = Field(min_length=8)
    """Where the numbers are from (author, venue, year, table), or `assumed` and why."""

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
    """Technology node [nm]."""
    area: PositiveFloat
    """Area of a gate, relative."""
    delay: PositiveFloat
    """Delay of a gate, relative."""
    energy: PositiveFloat
    """Energy of an operation, relative."""
    power: PositiveFloat
    """Power of a gate, relative."""


class ScalingTable(Record):
    """Published factors between technology nodes."""

    source: str = Field(min_length=8)
    """Paper that the factors are from."""
    nodes: list[ScaledNode] = Field(min_length=1)
    """Figures of logic, node by node."""


class CostLibrary(Record):
    """A named price list, of one technology node unless its conventions say otherwise."""

    name: str
    """What reports call it."""
    description: str = ""
    """One line for `olivine list costs`."""
    node_nm: PositiveFloat
    """Technology node of the prices [nm]."""
    voltage_v: PositiveFloat
    """Supply voltage of the prices [V]."""
    conventions: Conventions
    """What the prices are charged for."""
    actions: dict[str, Action]
    """Energy of each action that a datapath or the mapping counts, by name."""
    parts: dict[str, Part]
    """Area and leakage of each part of a design, by name."""
    sram: SramTable
    """Macros of scratchpads."""
    dram: DramPrices
    """What off-chip memory costs unless a design picks one of `drams`."""
    drams: dict[str, DramPrices] = Field(default_factory=dict)
    """Other off-chip memories, by the name that `memory.dram.standard` of a design picks."""
    gpu: GpuPrices | None = None
    """What designs of tensor cores need besides; null: this library has no prices of them."""

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
