"""A study: designs x workloads x sweep axes (contract, section 6)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, model_validator

from simulator.config.accuracy import Accuracy
from simulator.config.figures import Figures
from simulator.config.load import FieldError
from simulator.config.published import Beside, Measured, Published
from simulator.config.record import Record
from simulator.config.search import Search
from simulator.config.sweep import Range

__all__ = ["Fidelity", "Sizing", "Steps", "Study", "Values"]

Fidelity = Literal["bound", "pipeline", "event", "pe_array"]
Steps = Literal["all", "products", "layers"]
Values = Literal["checked", "counted"]


class Sizing(Record):
    """How ``normalise`` sizes the array of each design."""

    budget_mm2: PositiveFloat | None = None
    """Area to fit [mm2], with `iso_area`; null: the baseline's."""
    budget_gb_s: PositiveFloat | None = None
    """Stream of operands to fit [10^9 bytes/s], with `iso_bandwidth`; null: the baseline's."""
    of: Literal["core", "all"] = "core"
    """Whose area: the core (array and units beside it) alone, or with the scratchpads (`all`)."""
    keep: Literal["aspect", "rows", "powers_of_two", "any"] = "aspect"
    """Which arrays are tried: of the design's ratio of rows to columns, of its rows, of sides that are powers of two,
    or any.
    """
    step: Annotated[int, Field(gt=0, le=1024)] = 1
    """Sides are multiples of it."""


class Study(Record):
    """One experiment. Rows come out in the order designs, workloads, sweep axes as written."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The run folder's default name."""
    description: str = ""
    """One line for `olivine list studies` and the page."""
    designs: list[str | dict[str, Any]] = Field(min_length=1)
    """Shipped names, paths, or inline mappings, which may lay a few fields over another design with `extends`."""
    workloads: list[str | dict[str, Any]] = Field(min_length=1)
    """Shipped names, paths of files or traces, or inline mappings."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Dotted path of a field -> value, for every design; `workload.FIELD` for every workload."""
    sweep: dict[str, list[Any] | Range] = Field(default_factory=dict)
    """Dotted path of a field -> the values that it takes: a list or a range. Several paths with commas between change
    together, by a list of lists. All combinations of axes are run.
    """
    where: list[str] = Field(default=[], max_length=100)
    """Conditions on the axes, `design` and `workload`; a point that one of them denies does not exist."""
    constraints: list[str] = Field(default=[], max_length=100)
    """Conditions on columns of the results; a point that breaks one is shown, but never a best one."""
    search: Search | None = None
    """Run some of the points only, and which; rows come out in the order in which it asks."""
    layers: Literal["auto", "all", "front", "none"] = "auto"
    """Of which points the rows per layer are kept; `front`: of least time and energy; `auto`: `all` of up to 500
    points, else `front`.
    """
    normalise: Literal["none", "iso_area", "iso_bandwidth", "iso_peak"] = "none"
    """Each design's array is the largest that has no more area than the baseline's (`iso_area`), the largest that
    streams no more operands (`iso_bandwidth`), or the smallest that has its peak throughput (`iso_peak`), as `sizing`
    says.
    """
    sizing: Sizing = Sizing()
    """How `normalise` sizes arrays."""
    baseline: str | None = None
    """The design that ratios are over, at the same workload and axis values."""
    steps: Steps = "all"
    """What runs of each workload: all of it; its matrix `products` without the passes of the vector unit; or its
    `layers` alone, products with weights, as in published simulators that know neither passes nor attention.
    """
    fidelity: Fidelity = "pipeline"
    """How timing is found: roofline, tiles as a recurrence, the same as events, or every register in every cycle."""
    values: Values = "checked"
    """What the tensors of a workload are for. `checked`: every product is computed as the hardware would, held to the
    exact reference and compared with the real product. `counted`: no product is computed; where cycles, bytes or energy
    depend on values (outliers of GOBO, OLAccel, LLM.int8()), these are looked for as tensors are read, block by block.
    Cycles, bytes and energy are the same, and full-size models take minutes instead of days.
    """
    seed: NonNegativeInt = 0
    """For what is drawn at random: outlier positions where only shapes are known."""
    published: Published | None = None
    """Numbers of a paper, shown beside ours."""
    measured: Measured | None = None
    """Times of real hardware, shown beside ours."""
    beside: Beside | None = None
    """Other studies in a table with this one."""
    accuracy: Accuracy | None = None
    """A real model that every design is tried on."""
    figures: Figures | None = None
    """Figures of a sweep, instead of those that are drawn without it."""

    @model_validator(mode="after")
    def _beside_others_at_one_point(self) -> Study:
        if self.beside is not None and self.sweep:
            raise FieldError(("beside",), "compares whole studies; take out the sweep axes")
        return self

    @model_validator(mode="after")
    def _registers_have_values(self) -> Study:
        if self.values == "counted" and self.fidelity == "pe_array":
            raise FieldError(("values",), "fidelity: pe_array computes every value; say checked, or another fidelity")
        return self

    @model_validator(mode="after")
    def _judged_values_are_computed(self) -> Study:
        asked: list[tuple[tuple[str | int, ...], str]] = [
            (("constraints", place), text) for place, text in enumerate(self.constraints)
        ]
        if self.search is not None:
            asked += [(("search", "objectives", i), str(one)) for i, one in enumerate(self.search.objectives or ())]
        for where, text in asked:
            if self.values == "counted" and (found := re.search(r"\b(sqnr\w*|exact)\b", text)):
                raise FieldError(where, f"'{found[0]}' needs results, which values: counted does not compute")
        return self

    @model_validator(mode="after")
    def _search_has_a_space(self) -> Study:
        if self.search is not None and not self.sweep and len(self.designs) == 1:
            raise FieldError(("search",), "there is one point only; add a sweep or designs")
        return self

    @model_validator(mode="after")
    def _sizing_has_a_purpose(self) -> Study:
        if self.normalise == "none" and self.sizing != Sizing():
            raise FieldError(("sizing",), "sizes nothing; say normalise: iso_area, iso_bandwidth or iso_peak")
        if self.normalise != "iso_area" and (self.sizing.budget_mm2 is not None or self.sizing.of != "core"):
            raise FieldError(("sizing",), "budget_mm2 and of are for normalise: iso_area")
        if self.normalise != "iso_bandwidth" and self.sizing.budget_gb_s is not None:
            raise FieldError(("sizing", "budget_gb_s"), "is for normalise: iso_bandwidth")
        budget = {"iso_area": "budget_mm2", "iso_bandwidth": "budget_gb_s"}.get(self.normalise)
        given = budget is not None and getattr(self.sizing, budget) is not None
        if self.normalise != "none" and self.baseline is None and not given:
            what = f"a baseline, or sizing.{budget}" if budget else "a baseline"
            raise FieldError(("normalise",), f"{self.normalise} needs {what}")
        for path in ("array", "array.rows", "array.cols"):
            axis = next((key for key in self.sweep if path in [part.strip() for part in key.split(",")]), None)
            if self.normalise != "none" and axis is not None:
                raise FieldError(("sweep", axis), f"normalise: {self.normalise} sizes the array; remove this axis")
        return self
