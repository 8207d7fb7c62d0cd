"""``normalise`` of a study: arrays as large as the baseline's, by area, operands streamed or peak throughput."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from simulator.config.design import SystolicDesign
from simulator.config.study import Sizing
from simulator.cost import area_um2, total
from simulator.cost.iso_area import Shapes, largest_array, smallest_array
from simulator.errors import CostError
from simulator.study.building import build
from simulator.study.systolic import SystolicHardware

__all__ = ["area_by_shape", "describe", "sized"]

Sides = tuple[int, int]


def area_by_shape(design: SystolicDesign, *, memories: bool = False) -> Callable[[int, int], float]:
    """Area of a design [um2] by rows and columns of its array: of its core, or of all its parts and scratchpads."""
    return _area(build(design), memories)


def _area(hardware: SystolicHardware, memories: bool) -> Callable[[int, int], float]:
    library = hardware.bill.library
    if memories and library.conventions.area != "all":
        raise CostError(f"cost library '{library.name}' has no areas of scratchpads; say sizing.of: core")
    bill = hardware.bill if memories else replace(hardware.bill, buffers={})
    parts = hardware.parts if memories else hardware.core_parts
    return lambda rows, cols: total(area_um2(replace(bill, parts=parts(rows, cols))))


def sized(hardware: SystolicHardware, reference: SystolicHardware, normalise: str, sizing: Sizing) -> Sides:
    """Rows and columns of a design's array that match the reference.

    Raises: CostError if no array does.
    """
    array = hardware.design.array
    shapes = Shapes(array.rows, array.cols, sizing.keep, sizing.step)
    if normalise == "iso_peak":
        return smallest_array(hardware.peak_of, reference.peak_tops * (1 - 1e-12), shapes)
    if normalise == "iso_bandwidth":
        return largest_array(hardware.stream_of, budget_gb_s(reference, sizing) * (1 + 1e-12), shapes, _gb_s)
    memories = sizing.of == "all"
    return largest_array(_area(hardware, memories), budget_um2(reference, sizing), shapes)


def _gb_s(rate: float) -> str:
    return f"{rate:.4g} GB/s of operands"


def budget_gb_s(reference: SystolicHardware, sizing: Sizing) -> float:
    """The stream of operands to fit: the one given, or the reference's own."""
    array = reference.design.array
    return reference.stream_of(array.rows, array.cols) if sizing.budget_gb_s is None else sizing.budget_gb_s


def budget_um2(reference: SystolicHardware, sizing: Sizing) -> float:
    """The area to fit: the one given, or the reference's own."""
    if sizing.budget_mm2 is not None:
        return sizing.budget_mm2 * 1e6
    array = reference.design.array
    return _area(reference, sizing.of == "all")(array.rows, array.cols)


def describe(hardware: SystolicHardware, reference: SystolicHardware, normalise: str, sizing: Sizing) -> str:
    """One sentence: which size was chosen, by what."""
    array, name = hardware.design.array, hardware.design.name
    size = f"{normalise}: {name} has {array.rows} x {array.cols} PEs"
    if normalise == "iso_peak":
        return f"{size}, {hardware.peak_tops:.4g} of {reference.peak_tops:.4g} TOPS"
    if normalise == "iso_bandwidth":
        taken = hardware.stream_of(array.rows, array.cols)
        return f"{size}, {taken:.4g} of {_gb_s(budget_gb_s(reference, sizing))}"
    what = "core, vector unit and scratchpads" if sizing.of == "all" else "core"
    taken = _area(hardware, sizing.of == "all")(array.rows, array.cols)
    return f"{size}, {taken * 1e-6:.4g} of {budget_um2(reference, sizing) * 1e-6:.4g} mm2 of {what}"
