"""Counts times priced, sourced tables: energy and area."""

from simulator.cost.gpu import by_category
from simulator.cost.pricing import (
    Bill,
    BillLine,
    area_um2,
    by_group,
    energy_pj,
    itemise,
    make_bill,
    make_gpu_bill,
    price_dram,
    total,
)

__all__ = [
    "Bill",
    "BillLine",
    "area_um2",
    "by_category",
    "by_group",
    "energy_pj",
    "itemise",
    "make_bill",
    "make_gpu_bill",
    "price_dram",
    "total",
]
