"""The prices that a study used, each with its source, for its report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from simulator.cost import Bill
from simulator.cost.gpu import LEVELS

__all__ = ["prices_used"]

Row = dict[str, Any]


def prices_used(bills: Iterable[Bill]) -> list[Row]:
    """Each price of these bills once."""
    rows = {(row["library"], row["action"]): row for bill in bills for row in _of(bill)}
    return list(rows.values())


def _of(bill: Bill) -> Iterator[Row]:
    library = bill.library
    for action in bill.actions:
        price = library.actions[action]
        yield _row(bill, action, price.source, energy_pj=price.energy_pj)
    for part in bill.parts:
        item = library.parts[part]
        yield _row(bill, part, item.source, area_um2=item.area_um2, leakage_nw=item.leakage_nw)
    for name, sram in bill.buffers.items():
        yield from _both_ways(bill, name, sram.read_pj_per_bit, sram.write_pj_per_bit, library.sram.source)
    if bill.sms:
        yield from _of_gpu(bill)
    dram, which = bill.dram, bill.dram_standard or "dram"
    yield from _both_ways(bill, which, dram.read_pj_per_bit, dram.write_pj_per_bit, dram.source)
    if dram.activate_pj:
        yield _row(bill, f"{which} activate per {dram.row_bytes} bytes", dram.source, energy_pj=dram.activate_pj)


def _of_gpu(bill: Bill) -> Iterator[Row]:
    """Levels of memory, overhead of CUDA cores, and powers that are always drawn, in nW as leakage is."""
    gpu = bill.gpu
    for name in LEVELS:
        level = getattr(gpu, name)
        yield from _both_ways(bill, name, level.read_pj_per_bit, level.write_pj_per_bit, level.source)
    yield _row(bill, "operation of a CUDA core", gpu.cuda_core.source, energy_pj=gpu.cuda_core.energy_pj)
    powers = {"board": gpu.power.constant_mw, "active SM": gpu.power.active_sm_mw, "idle SM": gpu.power.idle_sm_mw}
    for name, mw in powers.items():
        yield _row(bill, name, gpu.power.source, leakage_nw=mw * 1e6)


def _both_ways(bill: Bill, name: str, read_pj: float, write_pj: float, source: str) -> Iterator[Row]:
    for way, pj in (("read", read_pj), ("write", write_pj)):
        yield _row(bill, f"{name} {way} per bit", source, energy_pj=pj)


def _row(bill: Bill, action: str, source: str, **values: float) -> Row:
    empty = {"energy_pj": None, "area_um2": None, "leakage_nw": None}
    return {"action": action, **empty, **values, "source": source, "library": bill.library.name}
