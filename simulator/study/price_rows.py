"""Each price that a study used, once, with its source: what a page shows of its price lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from simulator.cost import Bill
from simulator.cost.gpu import LEVELS
from simulator.study.expand import Point
from simulator.study.hardware import Hardware
from simulator.study.rows import Row

__all__ = ["price_rows"]


def price_rows(points: Sequence[Point]) -> list[Row]:
    """A row for each price that some point used: what, how much, from where."""
    used = (row for p in points for hardware in p.hardware.precisions for row in _rows(hardware))
    return list({(row["library"], row["action"]): row for row in used}.values())


def _rows(hardware: Hardware) -> Iterator[Row]:
    bill = hardware.bill
    library = bill.library
    for action in hardware.actions if library.conventions.core_energy == "per_mac" else ():
        price = library.actions[action]
        yield _row(bill, action, price.source, energy_pj=price.energy_pj)
    for part in bill.parts:
        item = library.parts[part]
        yield _row(bill, part, item.source, area_um2=item.area_um2, leakage_nw=item.leakage_nw)
    for name, sram in bill.buffers.items():
        for way, pj in (("read", sram.read_pj_per_bit), ("write", sram.write_pj_per_bit)):
            yield _row(bill, f"{name} {way} per bit", library.sram.source, energy_pj=pj)
    if bill.sms:
        yield from _gpu_rows(bill)
    dram, which = bill.dram, bill.dram_standard or "dram"
    for way, pj in (("read", dram.read_pj_per_bit), ("write", dram.write_pj_per_bit)):
        yield _row(bill, f"{which} {way} per bit", dram.source, energy_pj=pj)
    if dram.activate_pj:
        yield _row(bill, f"{which} activate per {dram.row_bytes} bytes", dram.source, energy_pj=dram.activate_pj)


def _gpu_rows(bill: Bill) -> Iterator[Row]:
    """Power as it is drawn, in a row's leakage; bits of each level."""
    power = bill.gpu.power
    for name, mw in (("board", power.constant_mw), ("active SM", power.active_sm_mw), ("idle SM", power.idle_sm_mw)):
        yield _row(bill, name, power.source, leakage_nw=mw * 1e6)
    for name in LEVELS:
        level = getattr(bill.gpu, name)
        for way, pj in (("read", level.read_pj_per_bit), ("write", level.write_pj_per_bit)):
            yield _row(bill, f"{name} {way} per bit", level.source, energy_pj=pj)
    yield _row(bill, "CUDA core operation", bill.gpu.cuda_core.source, energy_pj=bill.gpu.cuda_core.energy_pj)


def _row(bill: Bill, action: str, source: str, **values: float) -> Row:
    empty = {"energy_pj": None, "area_um2": None, "leakage_nw": None}
    return {"action": action, **empty, **values, "source": source, "library": bill.library.name}
