"""A study: designs x workloads x sweep axes (contract, section 6)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, model_validator

from simulator.config.accuracy import Accuracy
from simulator.config.load import FieldError
from simulator.config.published import Beside, Measured, Published
from simulator.config.record import Record
from simulator.config.search import Search
from simulator.config.sweep import Range

__all__ = ["Fidelity", "Sizing", "Steps", "Study"]

Fidelity = Literal["bound", "pipeline", "event", "pe_array"]
Steps = Literal["all", "products", "layers"]


class Sizing(Record):
    """How ``normalise`` sizes the array of each design.

    ``budget_mm2``, ``budget_gb_s``: area, or stream of operands, to fit; null: the baseline's. ``of``: the core (array
    and units beside it) alone, or with the scratchpads. ``keep``, ``step``: which arrays are tried, see
    ``cost.iso_area.Shapes``.
    """

    budget_mm2: PositiveFloat | None = None
    budget_gb_s: PositiveFloat | None = None
    of: Literal["core", "all"] = "core"
    keep: Literal["aspect", "rows", "powers_of_two", "any"] = "aspect"
    step: Annotated[int, Field(gt=0, le=1024)] = 1


class Study(Record):
    """One experiment. Rows come out in the order designs, workloads, sweep axes as written.

    ``normalise``: each design's array is the largest that has no more area than the baseline's (``iso_area``), the
    largest that streams no more operands (``iso_bandwidth``), or the smallest that has its peak throughput
    (``iso_peak``), as ``sizing`` says.

    ``steps``: what runs of each workload: ``all``; its matrix ``products`` without the passes of the vector unit; or
    its ``layers`` alone, products with weights, as in published simulators that know neither passes nor attention.

    ``sweep``: fields of the designs (or, as ``workload.FIELD``, of the workloads) and the values they take, as in
    ``sweep.py``. ``where``: conditions on the axes, ``design`` and ``workload``; a point that one of them denies does
    not exist. ``constraints``: conditions on columns of the results; a point that breaks one is shown, but never a best
    one.

    ``search``: run some of the points only, and which (``search.py``); rows come out in the order in which it asks.

    ``layers``: of which points the rows per layer are kept: ``all``, those on the ``front`` (of least time and energy),
    ``none``; ``auto`` is ``all`` of up to 500 points, else ``front``.
    """

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    designs: list[str | dict[str, Any]] = Field(min_length=1)
    workloads: list[str | dict[str, Any]] = Field(min_length=1)
    set: dict[str, Any] = Field(default_factory=dict)
    sweep: dict[str, list[Any] | Range] = Field(default_factory=dict)
    where: list[str] = Field(default=[], max_length=100)
    constraints: list[str] = Field(default=[], max_length=100)
    search: Search | None = None
    layers: Literal["auto", "all", "front", "none"] = "auto"
    normalise: Literal["none", "iso_area", "iso_bandwidth", "iso_peak"] = "none"
    sizing: Sizing = Sizing()
    baseline: str | None = None
    steps: Steps = "all"
    fidelity: Fidelity = "pipeline"
    seed: NonNegativeInt = 0
    published: Published | None = None
    measured: Measured | None = None
    beside: Beside | None = None
    accuracy: Accuracy | None = None

    @model_validator(mode="after")
    def _beside_others_at_one_point(self) -> Study:
        if self.beside is not None and self.sweep:
            raise FieldError(("beside",), "compares whole studies; take out the sweep axes")
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
