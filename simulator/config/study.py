"""A study: designs x workloads x sweep axes (contract, section 6)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, model_validator

from simulator.config.load import FieldError
from simulator.config.published import Measured, Published
from simulator.config.record import Record

__all__ = ["Fidelity", "Sizing", "Steps", "Study"]

Fidelity = Literal["bound", "pipeline", "event", "pe_array"]
Steps = Literal["all", "products", "layers"]


class Sizing(Record):
    """How ``normalise`` sizes the array of each design.

    ``budget_mm2``: area to fit; null: the baseline's. ``of``: the core (array and units beside it) alone, or with the
    scratchpads. ``keep``, ``step``: which arrays are tried, see ``cost.iso_area.Shapes``.
    """

    budget_mm2: PositiveFloat | None = None
    of: Literal["core", "all"] = "core"
    keep: Literal["aspect", "rows", "powers_of_two", "any"] = "aspect"
    step: Annotated[int, Field(gt=0, le=1024)] = 1


class Study(Record):
    """One experiment. Rows come out in the order designs, workloads, sweep axes as written.

    ``normalise``: each design's array is the largest that has no more area than the baseline's (``iso_area``), or the
    smallest that has its peak throughput (``iso_peak``), as ``sizing`` says.

    ``steps``: what runs of each workload: ``all``; its matrix ``products`` without the passes of the vector unit; or
    its ``layers`` alone, products with weights, as in published simulators that know neither passes nor attention.
    """

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    designs: list[str | dict[str, Any]] = Field(min_length=1)
    workloads: list[str | dict[str, Any]] = Field(min_length=1)
    set: dict[str, Any] = Field(default_factory=dict)
    sweep: dict[str, list[Any]] = Field(default_factory=dict)
    normalise: Literal["none", "iso_area", "iso_peak"] = "none"
    sizing: Sizing = Sizing()
    baseline: str | None = None
    steps: Steps = "all"
    fidelity: Fidelity = "pipeline"
    seed: NonNegativeInt = 0
    published: Published | None = None
    measured: Measured | None = None

    @model_validator(mode="after")
    def _sizing_has_a_purpose(self) -> Study:
        if self.normalise == "none" and self.sizing != Sizing():
            raise FieldError(("sizing",), "sizes nothing; say normalise: iso_area or iso_peak")
        if self.normalise == "iso_peak" and (self.sizing.budget_mm2 is not None or self.sizing.of != "core"):
            raise FieldError(("sizing",), "budget_mm2 and of are for normalise: iso_area")
        if self.normalise != "none" and self.baseline is None and self.sizing.budget_mm2 is None:
            what = "a baseline" if self.normalise == "iso_peak" else "a baseline, or sizing.budget_mm2"
            raise FieldError(("normalise",), f"{self.normalise} needs {what}")
        for path in ("array", "array.rows", "array.cols"):
            if self.normalise != "none" and path in self.sweep:
                raise FieldError(("sweep", path), f"normalise: {self.normalise} sizes the array; remove this axis")
        return self
