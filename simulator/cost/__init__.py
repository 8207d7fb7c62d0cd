"""Counts times priced, sourced tables: energy and area."""

from simulator.cost.pricing import Bill, area_um2, by_group, energy_pj, make_bill, total

__all__ = ["Bill", "area_um2", "by_group", "energy_pj", "make_bill", "total"]
