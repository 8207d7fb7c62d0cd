"""What a paper says of the designs of a study: shown beside the results, never used to get them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from simulator.config.load import FieldError
from simulator.config.record import Record

__all__ = ["Beside", "Claim", "Measured", "Measurement", "OtherStudy", "Published", "Series"]

Metric = Literal[
    "time",
    "energy",
    "static_share",
    "dram_share",
    "buffer_share",
    "core_share",
    "gpu_const_share",
    "gpu_static_share",
    "gpu_dram_l2_share",
    "gpu_l1_reg_share",
    "gpu_core_share",
]


class Claim(Record):
    """One published number."""

    text: str = Field(min_length=1)
    """What the paper says, in a few words."""
    metric: Metric
    """`time`, `energy`: how many times as much the baseline takes, geometric mean over the workloads. `..._share`: the
    part of the design's own energy, `gpu_...` those of a GPU.
    """
    design: str
    """The design of the study that it is of."""
    baseline: str | None = None
    """The design of the study that `time` and `energy` are over."""
    value: PositiveFloat
    """The published number."""
    workload: str | None = None
    """The workload that it is of; null: all of them."""
    source: str = ""
    """Where it is from, if not from where all claims are."""

    @model_validator(mode="after")
    def _compares_or_not(self) -> Claim:
        if self.metric in ("time", "energy") and self.baseline is None:
            raise FieldError(("baseline",), f"missing key 'baseline'; {self.metric} is over another design's")
        if self.metric.endswith("_share") and self.baseline is not None:
            raise FieldError(("baseline",), f"{self.metric} is of the design's own energy; take it out")
        return self


class Series(Record):
    """A published line: how many times as much time the baseline takes, for one workload after another."""

    text: str = Field(min_length=1)
    """What the line is, in a few words."""
    panel: str = ""
    """Series of the same panel are drawn together."""
    design: str
    """The design of the study that it is of."""
    baseline: str
    """The design of the study that it is over."""
    x: str = Field(min_length=1)
    """What the horizontal axis is."""
    workloads: list[str] = Field(min_length=2, max_length=100)
    """Workloads of the study, in order."""
    at: list[PositiveFloat | PositiveInt]
    """Their places along `x`, as many as workloads."""
    values: list[PositiveFloat]
    """Published numbers, as many as workloads."""
    source: str = ""
    """Where it is from, if not from where all claims are."""

    @model_validator(mode="after")
    def _has_as_many_of_each(self) -> Series:
        for field in ("at", "values"):
            if len(getattr(self, field)) != len(self.workloads):
                found = f"{len(getattr(self, field))} for {len(self.workloads)} workloads"
                raise FieldError((field,), f"as many as workloads, found {found}")
        return self


class Published(Record):
    """Claims and lines of a paper, and a paragraph on each difference."""

    source: str = Field(min_length=1)
    """Paper, figure or table."""
    claims: list[Claim] = Field(default=[])
    """Single numbers."""
    series: list[Series] = Field(default=[])
    """Lines."""
    notes: list[str] = Field(default=[])
    """Why ours differs, a paragraph each."""

    @model_validator(mode="after")
    def _says_something(self) -> Published:
        if not self.claims and not self.series:
            raise FieldError(("claims",), "says nothing; give claims or series")
        return self


class Measurement(Record):
    """What one op of a workload took on real hardware."""

    workload: str
    """Workload of the study."""
    op: str
    """Op of that workload."""
    time_us: PositiveFloat
    """What it took [us]."""


class Measured(Record):
    """Times of real hardware, shown beside those of every design of the study."""

    source: str = Field(min_length=1)
    """Who measured, where it is published."""
    times: list[Measurement] = Field(min_length=1)
    """What ops took."""
    notes: list[str] = Field(default=[])
    """Why ours differs, a paragraph each."""


class OtherStudy(Record):
    """A study that has some of the same designs."""

    study: str = Field(min_length=1)
    """Its shipped name or path."""
    text: str = Field(min_length=1)
    """In a few words how it counts."""


class Beside(Record):
    """Other studies in a table with this one: arrays, area per MAC, time and energy."""

    over: str = Field(min_length=1)
    """The design that ratios are over."""
    text: str = Field(min_length=1)
    """In a few words how this study counts."""
    studies: list[OtherStudy] = Field(min_length=1)
    """The other studies."""

    @model_validator(mode="after")
    def _tells_them_apart(self) -> Beside:
        texts = [self.text]
        for i, other in enumerate(self.studies):
            if other.text in texts:
                raise FieldError(("studies", i, "text"), "another study has the same text; say what differs")
            texts.append(other.text)
        return self
