"""What a design with tensor cores is made of, as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from simulator.config.tensor_core import TensorCoreArray, TensorCoreDesign
from simulator.cost import area_um2, itemise, total
from simulator.study.edp import described, edp_orders
from simulator.study.gpu import GpuHardware, multipliers
from simulator.study.hardware import Hardware

__all__ = ["describe_datapath", "describe_gpu"]


def describe_gpu(hardware: GpuHardware) -> dict[str, Any]:
    """Multiprocessors, tensor cores, memories, kernels that are tried, and peak figures."""
    design, machine = hardware.design, hardware.machine
    array, memory = design.array, design.memory
    dram_gb_s = memory.dram.bandwidth_gb_s * memory.dram.sustained
    return {
        "array": {
            "kind": array.kind,
            "sms": array.sms,
            "sub_cores": array.sms * array.sub_cores,
            "tensor_cores": _tensor_cores(array),
            "edp_units": _tensor_cores(array) * array.edp_units,
            **{f"multipliers_{bits}_bit": macs for bits, macs in multipliers(array).items()},
            "mma": " x ".join(map(str, machine.mma)),
            "clock_mhz": design.clock_mhz,
        },
        "datapath": _sums(hardware),
        "memory": {
            "dram": memory.dram.model,
            "dram_bandwidth_gb_s": memory.dram.bandwidth_gb_s,
            "dram_sustained_gb_s": dram_gb_s,
            "l2_kib": memory.l2.capacity_kib,
            "l2_gb_s": memory.l2.bytes_per_cycle * design.clock_mhz * 1e-3,
            "shared_memory_kib": memory.shared_memory.capacity_kib * array.sms,
            "shared_memory_gb_s": memory.shared_memory.bytes_per_cycle * array.sms * design.clock_mhz * 1e-3,
            "registers_kib": array.registers_kib * array.sms,
        },
        "of each SM": {
            "max_warps": array.max_warps,
            "max_blocks": array.max_blocks,
            "registers_kib": array.registers_kib,
            "shared_memory_kib": memory.shared_memory.capacity_kib,
            "macs_per_cycle": machine.macs_per_cycle,
        },
        "cuda_cores": design.cuda_cores.model_dump() | {"fused": ", ".join(design.cuda_cores.fused) or "none"},
        "kernels": {
            "tiles": ", ".join(f"{m}x{n}" for m, n in design.tiling.tiles),
            "k_bytes": ", ".join(map(str, design.tiling.k_bytes)),
            "stages": ", ".join(map(str, design.tiling.stages)),
            "split_k": design.tiling.split_k,
            "stream_k": design.tiling.stream_k,
            "launch_us": design.launch_us,
            **_program(design),
        },
        **_added(hardware),
        "peak": {
            "tops": hardware.peak_tops,
            **{f"tops_{bits}_bit": 2 * macs * design.clock_mhz * 1e-6 for bits, macs in multipliers(array).items()},
            "macs_per_cycle": machine.macs_per_cycle * machine.sms,
            "dram_bytes_per_cycle": float(hardware.dram.bytes_per_cycle),
            "dram_gb_s": dram_gb_s,
            "ops_per_dram_byte": hardware.peak_tops * 1e3 / dram_gb_s,
            "ops_per_l2_byte": hardware.peak_tops * 1e6 / (memory.l2.bytes_per_cycle * design.clock_mhz),
        },
    }


def _program(design: TensorCoreDesign) -> dict[str, Any]:
    """The list of kernels that runs in place of a product, and its host, where there are any."""
    host = design.host.model_dump() if design.host else {}
    return {"list": design.kernels, **{f"host_{name}": us for name, us in host.items()}} if design.kernels else {}


def describe_datapath(hardware: Hardware) -> dict[str, Any]:
    """Its operands and sums."""
    datapath = hardware.datapath
    return {
        "name": hardware.design.datapath.name,
        "act_format": datapath.act_format.name,
        "weight_format": datapath.weight_format.name,
        "accumulator": f"{datapath.accumulation.kind}, {datapath.accumulation.bits} bits",
    }


def _added(hardware: GpuHardware) -> dict[str, Any]:
    """Parts that the datapath adds to the die, with their shares of it where its area is known."""
    die_mm2 = hardware.design.die_mm2
    die = {"die": {"area_mm2": die_mm2}} if die_mm2 else {}
    if not hardware.bill.parts:
        return die
    lines = itemise(hardware.bill)
    shares = [{"share_of_die": line.total_um2 * 1e-6 / die_mm2} if die_mm2 else {} for line in lines]
    area = area_um2(hardware.bill)
    added = {"area_mm2": total(area) * 1e-6}
    if die_mm2:
        added["share_of_die"] = added["area_mm2"] / die_mm2
    bill = [asdict(line) | share for line, share in zip(lines, shares, strict=True)]
    return die | {"bill": bill, "added to the die": added}


def _sums(hardware: GpuHardware) -> dict[str, Any]:
    """Operands, the units that multiply them, and how these add."""
    unit = hardware.datapath.edp_unit(orders := edp_orders(hardware.design.array))
    assert unit is not None, "hardware that was built can run"
    said = {f"sums_{name}": value for name, value in described(orders[unit]).items()}
    own = describe_datapath(hardware)
    kind = "fp32" if hardware.datapath.edp_multiplies_floats else own.pop("accumulator")
    return own | {"edp_operand_bits": unit, "accumulator": kind} | said


def _tensor_cores(array: TensorCoreArray) -> int:
    return array.sms * array.sub_cores * array.tensor_cores
