"""Energy of a GPU: power of the board over the run time, and what each level of its memories and its cores did.

Energies are also summed in the five categories of AccelWattch (Kandiah et al., MICRO 2021) that papers of GPUs show.
"""

from __future__ import annotations

from collections.abc import Mapping

from simulator import units
from simulator.config.cost import CostLibrary, ScalingTable
from simulator.config.gpu_prices import BoardPower, GpuPrices, LevelPrices
from simulator.cost.scaling import Factors, factors
from simulator.counts import Counts
from simulator.errors import ConservationError

__all__ = ["CATEGORIES", "LEVELS", "by_category", "calibrated", "gpu_at", "level_energy", "standing_energy"]

LEVELS = ("l2", "shared_memory", "registers")
"""Levels between DRAM and the arithmetic, from the outside in."""

CATEGORIES = {
    "const": ("board",),
    "static": ("sm_active", "sm_idle"),
    "dram_l2": ("dram_read", "dram_write", "dram_activate", "decompressor", "l2"),
    "l1_reg": ("shared_memory", "registers"),
}
"""Components of a category; every other component is ``core``: CUDA and tensor cores, with decoders."""


def gpu_at(gpu: GpuPrices, table: ScalingTable, node_nm: float) -> GpuPrices:
    """The prices at a node, each taken there from its own; the board's constant power stays.

    Raises: CostError if a node is not among the published ones.
    """
    levels = {
        name: _level_at(getattr(gpu, name), factors(table, getattr(gpu, name).node_nm, node_nm)) for name in LEVELS
    }
    by = factors(table, gpu.cuda_core.node_nm, node_nm)
    overhead = {"energy_pj": gpu.cuda_core.energy_pj * by.energy, "node_nm": node_nm}
    power = _power_at(gpu.power, factors(table, gpu.power.node_nm, node_nm))
    return gpu.model_copy(update=levels | {"cuda_core": gpu.cuda_core.model_copy(update=overhead), "power": power})


def calibrated(library: CostLibrary) -> CostLibrary:
    """The library with its actions at the level of finished products (``gpu.logic``); each says so in its source."""
    assert library.gpu is not None, "a library without prices of GPUs has no such level"
    factor = library.gpu.logic.factor
    said = f"; times {factor:g}, the level of published logic"
    actions = {
        name: a.model_copy(update={"energy_pj": a.energy_pj * factor, "source": a.source + said})
        for name, a in library.actions.items()
    }
    return library.model_copy(update={"actions": actions})


def _level_at(level: LevelPrices, by: Factors) -> LevelPrices:
    read, write = level.read_pj_per_bit * by.energy, level.write_pj_per_bit * by.energy
    return level.model_copy(update={"read_pj_per_bit": read, "write_pj_per_bit": write, "node_nm": by.to_nm})


def _power_at(power: BoardPower, by: Factors) -> BoardPower:
    active, idle = power.active_sm_mw * by.leakage, power.idle_sm_mw * by.leakage
    return power.model_copy(update={"active_sm_mw": active, "idle_sm_mw": idle, "node_nm": by.to_nm})


def standing_energy(power: BoardPower, clock_mhz: float, sms: int, counts: Counts) -> dict[str, float]:
    """Energy of what is drawn whatever the GPU does [pJ], for the makespan; an SM without a thread block is idle.

    Raises: ConservationError if more SMs were active than there are.
    """
    there, active = sms * counts.cycles, counts.active_sm_cycles
    if not 0 <= active <= there * (1 + 1e-12):
        raise ConservationError(f"{active} cycles of active SMs in {counts.cycles} cycles of {sms} SMs")
    board, busy, idle = (
        units.mw_to_pj_per_cycle(mw, clock_mhz) for mw in (power.constant_mw, power.active_sm_mw, power.idle_sm_mw)
    )
    return {"board": board * counts.cycles, "sm_active": busy * active, "sm_idle": idle * (there - active)}


def level_energy(gpu: GpuPrices, counts: Counts) -> dict[str, float]:
    """Energy of the bits that L2, shared memory and the register files gave and took [pJ]."""
    energy = {}
    for name in LEVELS:
        moved, price = counts.level(name), getattr(gpu, name)
        energy[name] = moved.read_bits * price.read_pj_per_bit + moved.write_bits * price.write_pj_per_bit
    return energy


def by_category(energy: Mapping[str, float]) -> dict[str, float]:
    """The five categories of AccelWattch: const, static, dram_l2, l1_reg, core. Nothing where no board's power is."""
    if "board" not in energy:
        return {}
    sums = {name: sum(energy.get(part, 0.0) for part in parts) for name, parts in CATEGORIES.items()}
    grouped = {part for parts in CATEGORIES.values() for part in parts}
    return sums | {"core": sum(pj for part, pj in energy.items() if part not in grouped)}
