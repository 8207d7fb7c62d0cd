"""Counts times prices: energy by component, area by component, and the prices that were used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from simulator import units
from simulator.config.cost import CostLibrary
from simulator.config.design import Memory
from simulator.cost.sram import SramPrice, price_sram
from simulator.counts import Counts
from simulator.errors import CostError, did_you_mean

__all__ = ["BUFFERS", "ENERGY_GROUPS", "Bill", "area_um2", "by_group", "energy_pj", "make_bill", "total"]

BUFFERS = ("act_buffer", "weight_buffer", "out_buffer")
ENERGY_GROUPS = {
    "static": ("leakage_logic", "leakage_sram", "dram_background"),
    "dram": ("dram_read", "dram_write"),
    "buffer": BUFFERS,
}
"""Components of the summary columns; every other component is ``core``."""


@dataclass(frozen=True)
class Bill:
    """A design's hardware with its prices looked up: nothing in it depends on a workload.

    Raises on construction by ``make_bill`` only.
    """

    library: CostLibrary
    parts: dict[str, int]
    buffers: dict[str, SramPrice]
    clock_mhz: float

    @property
    def logic_leakage_mw(self) -> float:
        """Leakage of all array parts."""
        return sum(self.library.parts[p].leakage_nw * n for p, n in self.parts.items()) * 1e-6

    @property
    def sram_leakage_mw(self) -> float:
        """Leakage of all scratchpads."""
        return sum(b.leakage_mw for b in self.buffers.values())


def make_bill(
    library: CostLibrary,
    parts: Mapping[str, int],
    actions: Iterable[str],
    memory: Memory,
    clock_mhz: float,
    cores: int = 1,
) -> Bill:
    """Look up every part, action and scratchpad; ``parts`` are of all cores, the scratchpads of one.

    Raises: CostError naming what has no price, with the scratchpad's field.
    """
    for part in parts:
        _require("part", part, library.parts, library.name)
    for action in actions:
        _require("action", action, library.actions, library.name)
    buffers = {}
    for name in BUFFERS:
        pad = getattr(memory, name)
        try:
            one = price_sram(library.sram, pad.capacity_kib * 1024, pad.word_bits, pad.banks)
            buffers[name] = replace(one, leakage_mw=one.leakage_mw * cores, area_um2=one.area_um2 * cores)
        except CostError as error:
            field = ("memory", name, *error.field)
            raise CostError(f"{error} (cost library '{library.name}')", field) from None
    return Bill(library, dict(parts), buffers, clock_mhz)


def _require(kind: str, name: str, priced: Mapping[str, Any], library: str) -> None:
    if name not in priced:
        raise CostError(f"{kind} '{name}' has no price in cost library '{library}'{did_you_mean(name, priced)}")


def energy_pj(bill: Bill, counts: Counts) -> dict[str, float]:
    """Energy by component [pJ]; static power is drawn for the makespan.

    Raises: CostError naming an action without a price.
    """
    library = bill.library
    energy: dict[str, float] = {}
    for action, n in counts.actions.items():
        _require("action", action, library.actions, library.name)
        price = library.actions[action]
        energy[price.component] = energy.get(price.component, 0.0) + price.energy_pj * n
    for name, sram in bill.buffers.items():
        moved = counts.level(name)
        energy[name] = moved.read_bits * sram.read_pj_per_bit + moved.write_bits * sram.write_pj_per_bit
    moved = counts.level("dram")
    energy["dram_read"] = moved.read_bits * library.dram.read_pj_per_bit
    energy["dram_write"] = moved.write_bits * library.dram.write_pj_per_bit
    for name, mw in (
        ("leakage_logic", bill.logic_leakage_mw),
        ("leakage_sram", bill.sram_leakage_mw),
        ("dram_background", library.dram.background_mw),
    ):
        energy[name] = units.mw_to_pj_per_cycle(mw, bill.clock_mhz) * counts.cycles
    return energy


def area_um2(bill: Bill) -> dict[str, float]:
    """Area by component [um2]."""
    area: dict[str, float] = {}
    for part, n in bill.parts.items():
        price = bill.library.parts[part]
        area[price.component] = area.get(price.component, 0.0) + price.area_um2 * n
    return area | {name: sram.area_um2 for name, sram in bill.buffers.items()}


def by_group(energy: Mapping[str, float]) -> dict[str, float]:
    """The four summary groups: static, dram, buffer, core."""
    groups = {g: sum(energy.get(c, 0.0) for c in components) for g, components in ENERGY_GROUPS.items()}
    grouped = {c for components in ENERGY_GROUPS.values() for c in components}
    return groups | {"core": sum(e for c, e in energy.items() if c not in grouped)}


def total(lines: Mapping[str, float]) -> float:
    """Sum of a breakdown."""
    return float(sum(lines.values()))
