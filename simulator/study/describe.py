"""What a design is made of, and what can be named, as plain data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from simulator import datapath as datapaths
from simulator import formats, units
from simulator.config import load_cost, load_design, load_dram, load_kernels, load_study, price_lists
from simulator.config.catalogue import Reference
from simulator.config.cost import CostLibrary
from simulator.config.design import BankedDramSpec, SystolicDesign
from simulator.cost import itemise, total
from simulator.errors import UnknownNameError
from simulator.resources import shipped_dir, shipped_names
from simulator.study.building import build
from simulator.study.describe_gpu import describe_datapath, describe_gpu
from simulator.study.drams import dram_charged, dram_part, make_dram
from simulator.study.gpu import GpuHardware
from simulator.study.systolic import SystolicHardware
from simulator.study.totals import totals_of
from simulator.tracing import open_trace
from simulator.workload import load_workload

__all__ = ["LISTS", "describe_design", "list_names"]


def describe_design(ref: Reference, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Geometry, operands, memories, parts, area and peak figures of a design. Raises: ConfigError."""
    hardware = build(load_design(ref, overlays=[("--set", overrides)]))
    design = hardware.design
    about = {"name": design.name, "description": design.description}
    if isinstance(hardware, GpuHardware):
        return about | describe_gpu(hardware)
    assert isinstance(hardware, SystolicHardware), "hardware has one of the kinds of array"
    return about | _systolic(hardware)


def _systolic(hardware: SystolicHardware) -> dict[str, Any]:
    design, array, memory = hardware.design, hardware.array, hardware.design.memory
    area = hardware.area
    library = hardware.bill.library
    _, dram_gb_s = dram_charged(design)
    leakage_mw = hardware.bill.logic_leakage_mw + hardware.bill.sram_leakage_mw
    return {
        "array": {
            "kind": design.array.kind,
            "rows x cols": f"{array.rows} x {array.cols}",
            "dataflow": design.array.dataflow,
            "fold_overlap": design.array.fold_overlap,
            "clock_mhz": design.clock_mhz,
        },
        **({"cores": design.cores.model_dump()} if design.cores.count > 1 else {}),
        "datapath": describe_datapath(hardware),
        "memory": {
            **_dram(design),
            **{f"{name}_kib": getattr(memory, name).capacity_kib for name in hardware.bill.buffers},
            **({"global_buffer_gb_s": memory.global_buffer.bandwidth_gb_s} if memory.global_buffer else {}),
        },
        "vector_unit": design.vector_unit.model_dump() | {"fused": ", ".join(design.vector_unit.fused) or "none"},
        "parts": dict(hardware.bill.parts),
        "bill": [asdict(line) | {"share": line.total_um2 / total(area)} for line in itemise(hardware.bill)],
        "area_um2": area | {"total": total(area)},
        "area_share": {name: um2 / total(area) for name, um2 in area.items()},
        "peak": {
            "tops": hardware.peak_tops,
            "tops_per_mm2": hardware.peak_tops / (total(area) * 1e-6),
            "macs_per_cycle": array.rows * array.cols * design.cores.count // array.cycles_per_step,
            "dram_bytes_per_cycle": float(make_dram(design).bytes_per_cycle),
            "dram_gb_s": dram_gb_s,
            "ops_per_dram_byte": hardware.peak_tops * 1e3 / dram_gb_s,
            "leakage_mw": leakage_mw,
        },
        "prices": _prices(library)
        | {"dram": hardware.bill.dram_standard or "the library's own", "scaling": hardware.bill.scaling or "none"},
    }


def _prices(library: CostLibrary) -> dict[str, Any]:
    """Which prices were used, of which nodes, and what they are charged for."""
    return {
        "library": library.name,
        "node_nm": library.node_nm,
        "voltage_v": library.voltage_v,
        "sram_node_nm": library.sram.node_nm,
        **library.conventions.model_dump(),
    }


def _dram(design: SystolicDesign) -> dict[str, Any]:
    """What is off chip."""
    dram = design.memory.dram
    if not isinstance(dram, BankedDramSpec):
        return {"dram": dram.model, "dram_bandwidth_gb_s": dram.bandwidth_gb_s}
    part = dram_part(design, dram)
    return {
        "dram": f"banked, {part.name}",
        "dram_bandwidth_gb_s": part.bandwidth_gb_s,
        "dram_scheduler": part.controller.scheduler,
        "dram_address_map": part.controller.address_map,
        "dram_outstanding_bursts": part.controller.outstanding_bursts,
    }


def list_names(kind: str) -> list[dict[str, str]]:
    """Name and one-line description of all that is known of a kind. Raises: UnknownNameError."""
    if kind not in LISTS:
        raise UnknownNameError("kind of list", kind, LISTS)
    return LISTS[kind]()


def _shipped(folder: str, describe: Callable[[str], str]) -> list[dict[str, str]]:
    return [_entry(name, describe(name)) for name in shipped_names(folder)]


def _entry(name: str, description: str) -> dict[str, str]:
    return {"name": name, "description": " ".join(description.split())}


def _workload_entry(name: str) -> dict[str, str]:
    """With its totals, as short figures."""
    spec = load_workload(name)
    totals = totals_of(spec)
    figures = {"parameters": units.short(totals.parameters), "macs": units.short(totals.macs)}
    return {"name": name, **figures, "description": " ".join(spec.description.split())}


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or "").split("\n")[0]


def _trace_line(name: str) -> str:
    opened = open_trace(shipped_dir("traces") / name)
    kind = "synthetic, " if opened.manifest.synthetic else ""
    return f"{kind}{len(opened.ops)} ops of {opened.manifest.model.name}"


LISTS: dict[str, Callable[[], list[dict[str, str]]]] = {
    "designs": lambda: _shipped("configs/designs", lambda n: load_design(n).description),
    "datapaths": lambda: [_entry(n, _first_line(datapaths.get(n))) for n in datapaths.names()],
    "formats": lambda: [_entry(n, _first_line(type(formats.get(n)))) for n in formats.names()],
    "workloads": lambda: [_workload_entry(n) for n in shipped_names("workloads")],
    "traces": lambda: _shipped("traces", _trace_line),
    "studies": lambda: _shipped("configs/studies", lambda n: load_study(n)[0].description),
    "drams": lambda: _shipped("configs/dram", lambda n: load_dram(n).description),
    "costs": lambda: [_entry(n, load_cost(n).description) for n in price_lists()],
    "kernels": lambda: _shipped("configs/kernels", lambda n: load_kernels(n).description),
}
"""Kind of list -> what makes it."""
