"""From a DRAM part as configured to the model that runs it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from simulator import units
from simulator.config import Design, DramPart, load_dram, named_at
from simulator.config.design import BankedDramSpec, Dram, SystolicDesign
from simulator.config.tensor_core import TensorCoreDesign
from simulator.engine import IdealDram
from simulator.engine.dram_banked import BankedDram, DramTimings
from simulator.errors import ConfigError

__all__ = ["banked_dram", "dram_charged", "dram_part", "make_dram", "search_dram"]


def make_dram(design: Design) -> IdealDram | BankedDram:
    """The DRAM of a design. Raises: ConfigError naming file, line and field."""
    dram = _dram_of(design)
    if isinstance(dram, Dram):
        return IdealDram(
            units.gb_s_to_bytes_per_cycle(dram.bandwidth_gb_s * dram.sustained, design.clock_mhz),
            units.ns_to_cycles(dram.latency_ns, design.clock_mhz),
            dram.burst_bytes,
            dram.outstanding_bursts,
        )
    banked = banked_dram(dram_part(design, dram), design.clock_mhz)
    try:
        banked.params()
    except ConfigError as error:
        raise ConfigError(f"{design.where('memory', 'dram', 'part')}: {error}") from None
    return banked


def _dram_of(design: Design) -> Dram | BankedDramSpec:
    """What is off chip."""
    assert isinstance(design, SystolicDesign | TensorCoreDesign), "a design has one of the kinds of array"
    return design.memory.dram


def dram_part(design: Design, dram: BankedDramSpec) -> DramPart:
    """The part that a design names, with the design's controller. Raises: ConfigError naming file, line and field."""
    label, _ = design._source.origin(("memory", "dram", "part")) if design._source else ("", None)
    ref = dram.part if isinstance(dram.part, str) else dram.part.model_dump(mode="json")
    with named_at(design.where("memory", "dram", "part")):
        part = load_dram(ref, near=Path(label).parent)
    if not dram.overrides:
        return part
    try:
        return load_dram(part.model_dump(mode="json"), set=dram.overrides)
    except ConfigError as error:
        field, _, complaint = str(error).removeprefix("set: controller.").partition(": ")
        raise ConfigError(f"{design.where('memory', 'dram', field)}: {complaint}") from None


def dram_charged(design: Design) -> tuple[str | None, float]:
    """The standard whose prices a design's DRAM has, if it says one, and its bandwidth [10^9 bytes/s]."""
    dram = _dram_of(design)
    if isinstance(dram, Dram):
        return dram.standard, dram.bandwidth_gb_s
    part = dram_part(design, dram)
    return part.standard, part.bandwidth_gb_s


def search_dram(dram: IdealDram | BankedDram) -> IdealDram:
    """An ideal DRAM on which tilings are compared: of the same peak, and with the latency of a lone read."""
    if isinstance(dram, IdealDram):
        return dram
    lone_read = dram.timings.trcd + dram.timings.cl + dram.burst_cycles
    return IdealDram(float(dram.bytes_per_cycle), -int(-lone_read // dram.clock_ratio), dram.burst_bytes)


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
