"""Counts times prices: energy by component, area by component, and the prices that were used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from simulator import units
from simulator.config.cost import Conventions, CostLibrary, DramPrices
from simulator.config.design import Memory
from simulator.config.gpu_prices import GpuPrices
from simulator.cost.gpu import LEVELS, level_energy, standing_energy
from simulator.cost.sram import SramPrice, price_sram
from simulator.counts import Counts, Traffic
from simulator.errors import CostError, did_you_mean

__all__ = [
    "BUFFERS",
    "ENERGY_GROUPS",
    "Bill",
    "BillLine",
    "area_um2",
    "by_group",
    "energy_pj",
    "itemise",
    "make_bill",
    "make_gpu_bill",
    "price_dram",
    "total",
]

BUFFERS = ("act_buffer", "weight_buffer", "out_buffer")
ENERGY_GROUPS = {
    "static": ("leakage_logic", "leakage_sram", "dram_background", "board", "sm_active", "sm_idle"),
    "dram": ("dram_read", "dram_write", "dram_activate"),
    "buffer": ("global_buffer", *BUFFERS, *LEVELS),
}
"""Components of the summary columns; every other component is ``core``."""
_DRAM = ENERGY_GROUPS["dram"]


@dataclass(frozen=True)
class Bill:
    """A design's hardware with its prices looked up: nothing in it depends on a workload.

    ``dram_standard``: which of the library's ``drams`` is charged; empty for its own ``dram``.
    ``scaling``: how the library was taken to another node, in words; empty if it was not.
    ``sms``: multiprocessors of a GPU; 0 for a systolic array. ``actions``: those that are priced one by one.
    Raises on construction by ``make_bill`` only.
    """

    library: CostLibrary
    parts: dict[str, int]
    buffers: dict[str, SramPrice]
    clock_mhz: float
    dram: DramPrices
    dram_channels: int = 1
    dram_standard: str = ""
    scaling: str = ""
    sms: int = 0
    actions: tuple[str, ...] = ()

    @property
    def gpu(self) -> GpuPrices:
        """Prices of a GPU; a bill with ``sms`` has them."""
        assert self.library.gpu is not None, "a bill of multiprocessors from a library without prices of them"
        return self.library.gpu

    @property
    def components(self) -> set[str]:
        """Of all energy that it can charge."""
        charged = {self.library.actions[action].component for action in self.actions}
        if self.sms:
            return charged | {"cuda_core", *LEVELS, *_DRAM, *ENERGY_GROUPS["static"]}
        parts = {self.library.parts[part].component for part in self.parts}
        per_part = parts if self.library.conventions.core_energy != "per_mac" else set()
        return charged | per_part | {*self.buffers, *_DRAM, *self.static_mw}

    @property
    def logic_leakage_mw(self) -> float:
        """Leakage of all array parts."""
        return sum(self.library.parts[p].leakage_nw * n for p, n in self.parts.items()) * 1e-6

    @property
    def sram_leakage_mw(self) -> float:
        """Leakage of all scratchpads."""
        return sum(b.leakage_mw for b in self.buffers.values())

    @cached_property
    def static_mw(self) -> dict[str, float]:
        """Powers that are drawn all the time; parts that are charged as a full array have their leakage there."""
        conventions, static = (
            self.library.conventions,
            {"dram_background": self.dram.background_mw * self.dram_channels},
        )
        if conventions.static == "dram_background_only":
            return static
        logic = {"leakage_logic": self.logic_leakage_mw} if conventions.core_energy == "per_mac" else {}
        return logic | {"leakage_sram": self.sram_leakage_mw} | static


def make_bill(
    library: CostLibrary,
    parts: Mapping[str, int],
    actions: Iterable[str],
    memory: Memory,
    clock_mhz: float,
    dram: DramPrices,
    dram_gb_s: float,
    cores: int = 1,
    dram_standard: str = "",
    scaling: str = "",
) -> Bill:
    """Look up every part, action and scratchpad; ``parts`` are of all cores, the scratchpads of one. There is one
    global buffer, or none.

    Args:
        dram, dram_gb_s: what off-chip memory costs, and its bandwidth.
        dram_standard, scaling: of the bill.

    Raises: CostError naming what has no price, with the scratchpad's field.
    """
    _require_all("part", parts, library.parts, library.name)
    charged = tuple(actions) if library.conventions.core_energy == "per_mac" else ()
    _require_all("action", charged, library.actions, library.name)
    buffers = {} if memory.global_buffer is None else {"global_buffer": _sram(library, memory, "global_buffer")}
    buffers |= {name: _sram(library, memory, name).times(cores) for name in BUFFERS}
    channels = dram.channels(dram_gb_s)
    return Bill(library, dict(parts), buffers, clock_mhz, dram, channels, dram_standard, scaling, actions=charged)


def make_gpu_bill(
    library: CostLibrary, parts: Mapping[str, int], actions: Iterable[str], sms: int, clock_mhz: float, dram: DramPrices
) -> Bill:
    """Look up what a GPU's datapath does, and ``parts`` that it adds to the die. Raises: CostError."""
    _require_all("part", parts, library.parts, library.name)
    charged = tuple(actions)
    _require_all("action", charged, library.actions, library.name)
    return Bill(library, dict(parts), {}, clock_mhz, dram, sms=sms, actions=charged)


def _sram(library: CostLibrary, memory: Memory, name: str) -> SramPrice:
    """Price of one on-chip memory. Raises: CostError with its field."""
    pad = getattr(memory, name)
    try:
        return price_sram(library.sram, pad.capacity_kib * 1024, pad.word_bits, pad.banks)
    except CostError as error:
        raise CostError(f"{error} (cost library '{library.name}')", ("memory", name, *error.field)) from None


def price_dram(library: CostLibrary, standard: str | None) -> DramPrices:
    """What a DRAM of a standard costs; without one, the library's own. Raises: CostError."""
    if standard is None:
        return library.dram
    if standard not in library.drams:
        known = did_you_mean(standard, library.drams) or f"; it has {', '.join(sorted(library.drams)) or 'none'}"
        message = f"cost library '{library.name}' has no DRAM '{standard}'{known}"
        raise CostError(message, ("memory", "dram", "standard"))
    return library.drams[standard]


def _require_all(kind: str, names: Iterable[str], priced: Mapping[str, Any], library: str) -> None:
    if not priced.keys() >= set(names):
        for name in names:
            _require(kind, name, priced, library)


def _require(kind: str, name: str, priced: Mapping[str, Any], library: str) -> None:
    if name not in priced:
        raise CostError(f"{kind} '{name}' has no price in cost library '{library}'{did_you_mean(name, priced)}")


def energy_pj(bill: Bill, counts: Counts) -> dict[str, float]:
    """Energy by component [pJ], as the library's conventions charge it; static power is drawn for the makespan.

    Raises: CostError naming an action without a price.
    """
    library = bill.library
    if bill.sms:
        return _of_gpu(bill, bill.gpu, counts)
    energy = _of_actions(bill, counts) if library.conventions.core_energy == "per_mac" else _of_parts(bill, counts)
    for name, sram in bill.buffers.items():
        moved = _charged(library.conventions, counts, name)
        energy[name] = moved.read_bits * sram.read_pj_per_bit + moved.write_bits * sram.write_pj_per_bit
    energy |= _of_dram(bill.dram, counts)
    for name, mw in bill.static_mw.items():
        energy[name] = units.mw_to_pj_per_cycle(mw, bill.clock_mhz) * counts.cycles
    return energy


def _of_gpu(bill: Bill, gpu: GpuPrices, counts: Counts) -> dict[str, float]:
    """Actions, CUDA cores with their overhead, memories, and power that is always drawn."""
    energy = _of_actions(bill, counts)
    lanes = sum(n for action, n in counts.actions.items() if bill.library.actions[action].component == "vector")
    if lanes:
        energy["cuda_core"] = gpu.cuda_core.energy_pj * lanes
    energy |= level_energy(gpu, counts) | _of_dram(bill.dram, counts)
    return energy | standing_energy(gpu.power, bill.clock_mhz, bill.sms, counts)


def _of_dram(dram: DramPrices, counts: Counts) -> dict[str, float]:
    """Bits moved and, where they have a price, rows opened: as many as were counted, else each moved row once."""
    moved = counts.level("dram")
    bits = {
        "dram_read": moved.read_bits * dram.read_pj_per_bit,
        "dram_write": moved.write_bits * dram.write_pj_per_bit,
    }
    if not dram.activate_pj or dram.row_bytes is None:
        return bits
    rows = counts.dram_activates
    whole_rows = (moved.read_bits + moved.write_bits) / (8 * dram.row_bytes)
    return bits | {"dram_activate": dram.activate_pj * (whole_rows if rows is None else rows)}


def _of_actions(bill: Bill, counts: Counts) -> dict[str, float]:
    energy: dict[str, float] = {}
    for action, n in counts.actions.items():
        _require("action", action, bill.library.actions, bill.library.name)
        price = bill.library.actions[action]
        energy[price.component] = energy.get(price.component, 0.0) + price.energy_pj * n
    return energy


def _of_parts(bill: Bill, counts: Counts) -> dict[str, float]:
    """Every part runs while the array does and leaks all the time, whatever work it has."""
    energy: dict[str, float] = {}
    for part, n in bill.parts.items():
        price = bill.library.parts[part]
        leaked = units.mw_to_pj_per_cycle(price.leakage_nw * 1e-6, bill.clock_mhz) * counts.cycles
        run = (price.dynamic_pj_per_cycle or 0.0) * counts.compute_cycles
        energy[price.component] = energy.get(price.component, 0.0) + n * (leaked + run)
    return energy


def _charged(conventions: Conventions, counts: Counts, buffer: str) -> Traffic:
    """Traffic of a scratchpad as the conventions count it."""
    reads, sums = conventions.operand_reads, conventions.sum_bits
    way = f"{reads}/{sums}" if buffer == "out_buffer" else reads
    moved, more = counts.level(buffer), counts.otherwise.get((buffer, way))
    return moved if more is None else moved + more


def area_um2(bill: Bill) -> dict[str, float]:
    """Area by component [um2], with scratchpads unless the library's conventions leave them out."""
    area: dict[str, float] = {}
    for part, n in bill.parts.items():
        price = bill.library.parts[part]
        area[price.component] = area.get(price.component, 0.0) + price.area_um2 * n
    charged = bill.buffers if bill.library.conventions.area == "all" else {}
    return area | {name: sram.area_um2 for name, sram in charged.items()}


@dataclass(frozen=True)
class BillLine:
    """How many of one thing there are, and what area one and all of them take."""

    name: str
    component: str
    count: int
    unit_um2: float
    total_um2: float


def itemise(bill: Bill) -> list[BillLine]:
    """The area by part and scratchpad, a bank being a unit; the lines sum to ``area_um2``."""
    lines = []
    for part, n in bill.parts.items():
        price = bill.library.parts[part]
        lines.append(BillLine(part, price.component, n, price.area_um2, price.area_um2 * n))
    if bill.library.conventions.area == "all":
        for name, sram in bill.buffers.items():
            lines.append(BillLine(name, name, sram.banks, sram.area_um2 / sram.banks, sram.area_um2))
    assert math.isclose(sum(line.total_um2 for line in lines), total(area_um2(bill))), "a bill that does not add up"
    return lines


def by_group(energy: Mapping[str, float]) -> dict[str, float]:
    """The four summary groups: static, dram, buffer, core."""
    groups = {g: sum(energy.get(c, 0.0) for c in components) for g, components in ENERGY_GROUPS.items()}
    grouped = {c for components in ENERGY_GROUPS.values() for c in components}
    return groups | {"core": sum(e for c, e in energy.items() if c not in grouped)}


def total(lines: Mapping[str, float]) -> float:
    """Sum of a breakdown."""
    return sum(lines.values(), 0.0)
