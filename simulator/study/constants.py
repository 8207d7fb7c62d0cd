"""The constants that a study rests on: prices that its designs use, and quantities of the designs themselves.

A leaf of a price list is one constant, whichever designs use it: ``open:parts.pe_ei4_acc32.area_um2``. So is a field of
designs with the same value, ``clock_mhz``; where designs differ there is one for each value, ``clock_mhz=500``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from simulator.config.cost import CostLibrary, DramPrices, SramMacro
from simulator.cost.gpu import LEVELS
from simulator.cost.pricing import BUFFERS
from simulator.cost.sram import macros_used
from simulator.study.gpu import GpuHardware
from simulator.study.hardware import Hardware
from simulator.study.layout import Layout
from simulator.study.systolic import SystolicHardware

__all__ = ["Constant", "LeftOut", "changed_library", "find_constants", "price_list"]

QUANTITIES = (
    "clock_mhz",
    "memory.dram.bandwidth_gb_s",
    "memory.dram.latency_ns",
    "memory.global_buffer.bandwidth_gb_s",
    "memory.global_buffer.capacity_kib",
    *(f"memory.{name}.capacity_kib" for name in BUFFERS),
    "vector_unit.lanes",
    "vector_unit.special_cycles",
    "memory.dram.sustained",
    "memory.l2.capacity_kib",
    "memory.l2.usable_kib",
    "memory.l2.bytes_per_cycle",
    "memory.l2.sm_bytes_per_cycle",
    "memory.l2.latency_cycles",
    "memory.shared_memory.capacity_kib",
    "memory.shared_memory.bytes_per_cycle",
    "memory.shared_memory.latency_cycles",
    "array.mma_latency_cycles",
    "array.barrier_cycles",
    "cuda_cores.fp32_lanes",
    "cuda_cores.special_cycles",
    "launch_us",
    "tiling.reduce_launch_us",
    *(f"host.{name}_us" for name in ("operation", "launch", "gap", "wait")),
)
"""Fields of a design that are physical and have a scale; all other numbers in it are choices."""


_Leaf = tuple[tuple[Any, ...], float, str]


@dataclass(frozen=True)
class Constant:
    """One number.

    Attributes:
        kind: ``price`` or ``design``.
        path: into the price list (macros of SRAM by size and width), or the dotted field of a design in one piece.
        value: as used, at the node that the designs use.
        designs: that use it, as written in the study.
    """

    name: str
    kind: str
    path: tuple[Any, ...]
    value: float
    source: str
    designs: tuple[str, ...]

    @property
    def library(self) -> str:
        """The price list of a price."""
        return self.name.partition(":")[0]

    @property
    def sizes_arrays(self) -> bool:
        """Whether ``normalise`` may choose other arrays with another value of it."""
        return self.kind == "design" or self.path[-1] in ("area_um2", "area_mm2")

    def at(self, factor: float) -> float:
        """The value times a factor, whole where it must be."""
        return round(self.value * factor) if isinstance(self.value, int) else self.value * factor


@dataclass(frozen=True)
class LeftOut:
    """A constant that is not varied, or not in one direction, and why."""

    name: str
    reason: str


def price_list(hardware: Hardware) -> str:
    """The list that prices a design, whatever node it was taken to."""
    return hardware.bill.library.name.partition("@")[0]


def find_constants(layout: Layout, by: float) -> tuple[list[Constant], list[LeftOut]]:
    """All constants of a study's designs, and the numbers that are none.

    Args:
        by: the fraction by which they will be varied; whole numbers must be able to take about that step.
    """
    found: dict[str, Constant] = {}
    for family in layout.families:
        for hardware in (precision for member in family.values() for precision in member.hardware.precisions):
            for path, value, source in _prices(hardware):
                _add(found, f"{price_list(hardware)}:{_dotted(path)}", "price", path, value, source, hardware)
    used = {name: constant for name, constant in found.items() if constant.value}
    zero = [LeftOut(name, "is 0") for name, constant in found.items() if not constant.value]
    quantities, others = _quantities(layout, by)
    return [*quantities, *used.values()], [*others, *zero]


def _add(
    found: dict[str, Constant], name: str, kind: str, path: tuple[Any, ...], value: float, source: str, by: Hardware
) -> None:
    design = by.design.name
    known = found.get(name)
    designs = known.designs if known else ()
    if design not in designs:
        found[name] = Constant(name, kind, path, value, source, (*designs, design))


def _dotted(path: tuple[Any, ...]) -> str:
    return ".".join("x".join(map(str, part)) if isinstance(part, tuple) else str(part) for part in path)


def _prices(hardware: Hardware) -> Iterator[_Leaf]:
    """Path, value and source of every leaf of the price list that a bill of this hardware can charge."""
    if isinstance(hardware, SystolicHardware):
        yield from _of_array(hardware)
    elif isinstance(hardware, GpuHardware):
        yield from _of_gpu(hardware)
    bill = hardware.bill
    for field, value in _of_dram(bill.dram, has_background=not bill.sms):
        where = ("drams", bill.dram_standard) if bill.dram_standard else ("dram",)
        yield (*where, field), value, bill.dram.source


def _of_gpu(hardware: GpuHardware) -> Iterator[_Leaf]:
    """Actions, parts that a datapath adds to the die, power of the board, bits at each level."""
    library, gpu = hardware.bill.library, hardware.bill.gpu
    yield from _of_actions(library, hardware.bill.actions)
    for name in hardware.bill.parts:
        yield ("parts", name, "area_um2"), library.parts[name].area_um2, library.parts[name].source
    fields = {"power": ("constant_mw", "active_sm_mw", "idle_sm_mw"), "cuda_core": ("energy_pj",)}
    fields |= dict.fromkeys(LEVELS, ("read_pj_per_bit", "write_pj_per_bit"))
    for name, numbers in fields.items():
        record = getattr(gpu, name)
        for field in numbers:
            yield ("gpu", name, field), getattr(record, field), record.source


def _of_actions(library: CostLibrary, names: Sequence[str]) -> Iterator[_Leaf]:
    for name in names:
        yield ("actions", name, "energy_pj"), library.actions[name].energy_pj, library.actions[name].source


def _of_array(hardware: SystolicHardware) -> Iterator[_Leaf]:
    """Actions, parts and macros of SRAM."""
    bill = hardware.bill
    library, how = bill.library, bill.library.conventions
    yield from _of_actions(library, bill.actions)
    for name in bill.parts:
        part = library.parts[name]
        yield ("parts", name, "area_um2"), part.area_um2, part.source
        if how.core_energy == "full_array_per_cycle":
            yield ("parts", name, "dynamic_pj_per_cycle"), part.dynamic_pj_per_cycle or 0.0, part.source
        if how.static == "all" or how.core_energy == "full_array_per_cycle":
            yield ("parts", name, "leakage_nw"), part.leakage_nw, part.source
    charged = ["read_pj", "write_pj"]
    charged += ["leakage_mw"] if how.static == "all" else []
    charged += ["area_mm2"] if how.area == "all" else []
    for macro in _macros(hardware):
        for field in charged:
            yield ("sram", (macro.size_bytes, macro.word_bits), field), getattr(macro, field), library.sram.source


def _macros(hardware: SystolicHardware) -> Iterator[SramMacro]:
    memory = hardware.design.memory
    for name in hardware.bill.buffers:
        pad = getattr(memory, name)
        yield from macros_used(hardware.bill.library.sram, pad.capacity_kib * 1024, pad.word_bits, pad.banks)


def _of_dram(dram: DramPrices, has_background: bool) -> Iterator[tuple[str, float]]:
    """Of a GPU the background is in the power of its board."""
    names = ["read_pj_per_bit", "write_pj_per_bit"] + ["background_mw"] * has_background
    names += ["activate_pj"] * (dram.row_bytes is not None)
    yield from ((name, getattr(dram, name)) for name in names)


def changed_library(library: CostLibrary, path: tuple[Any, ...], factor: float) -> CostLibrary:
    """The price list with one leaf times ``factor``; the list itself if it has no such leaf."""
    kind, *which, field = path
    if kind == "dram":
        return library.model_copy(update={"dram": _times(library.dram, field, factor)})
    if kind == "gpu":
        assert library.gpu is not None, "a library of systolic arrays has no such leaf"
        changed = _times(getattr(library.gpu, which[0]), field, factor)
        return library.model_copy(update={"gpu": library.gpu.model_copy(update={which[0]: changed})})
    if kind == "sram":
        macros = [
            _times(m, field, factor) if (m.size_bytes, m.word_bits) == which[0] else m for m in library.sram.macros
        ]
        return library.model_copy(update={"sram": library.sram.model_copy(update={"macros": macros})})
    items = getattr(library, kind)
    if which[0] not in items:
        return library
    return library.model_copy(update={kind: items | {which[0]: _times(items[which[0]], field, factor)}})


def _times(record: Any, field: str, factor: float) -> Any:
    return record.model_copy(update={field: getattr(record, field) * factor})


def _quantities(layout: Layout, by: float) -> tuple[list[Constant], list[LeftOut]]:
    """Fields of the designs that are varied, and numbers in them that are not."""
    values: dict[str, dict[float, list[str]]] = {}
    for family in layout.families:
        hardware = next(iter(family.values())).hardware
        for path, value in {**_numbers(hardware.design.model_dump()), **_of_datapath(hardware)}.items():
            values.setdefault(path, {}).setdefault(value, []).append(hardware.design.name)
    found, others = [], []
    for path, groups in values.items():
        for value, designs in groups.items():
            reason = _no_quantity(path, value, layout.points_of.space.paths)
            name = path if len(groups) == 1 else f"{path}={value:g}"
            why = reason or _no_step(value, by)
            if why:
                others.append(LeftOut(name, why))
            else:
                found.append(Constant(name, "design", (path,), value, "the design", tuple(designs)))
    return found, _merged(others)


def _merged(others: Sequence[LeftOut]) -> list[LeftOut]:
    """One line for a field that is left out for the same reason whatever its value."""
    return list(
        {(o.name.partition("=")[0], o.reason): LeftOut(o.name.partition("=")[0], o.reason) for o in others}.values()
    )


def _numbers(data: Mapping[str, Any], path: str = "") -> dict[str, float]:
    """Dotted path -> number, of nested mappings; numbers in lists (layers) are not looked at."""
    found: dict[str, float] = {}
    for key, value in data.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            found |= _numbers(value, here)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[here] = value
    return found


def _of_datapath(hardware: Hardware) -> dict[str, float]:
    """Numbers of the datapath, whether the design states them or not."""
    options = {f.name: getattr(hardware.datapath, f.name) for f in fields(hardware.datapath)}  # type: ignore[arg-type]
    return _numbers({"datapath": options})


def _no_quantity(path: str, value: float, sweep: Sequence[str]) -> str:
    """Why a number of a design is no constant to vary; empty if it is one."""
    if any(path == axis or path.startswith(f"{axis}.") or axis.startswith(f"{path}.") for axis in sweep):
        return "an axis of the study"
    if path.startswith("memory.dram.part."):
        return "a timing of a DRAM part, in whole cycles"
    if path.startswith("datapath.") and isinstance(value, float):
        return ""
    if path in ("array.rows", "array.cols", "array.sms"):
        return "the size that is compared; sweep it, or let normalise choose it"
    return "" if path in QUANTITIES else "a choice of the design, no physical quantity"


def _no_step(value: float, by: float) -> str:
    """Why a number cannot be varied by about that fraction; empty if it can."""
    if not value:
        return "is 0"
    if not isinstance(value, int):
        return ""
    for factor in (1 - by, 1 + by):
        if abs(round(value * factor) - value * factor) > 0.1 * by * value:
            return f"a whole number: {value} would become {round(value * factor)}, not {value * factor:g}"
    return ""
