"""Counts times priced, sourced tables: energy and area."""

from simulator.cost.pricing import Bill, BillLine, area_um2, by_group, energy_pj, itemise, make_bill, total

__all__ = ["Bill", "BillLine", "area_um2", "by_group", "energy_pj", "itemise", "make_bill", "total"]
