"""What a paper says of the designs of a study: shown beside the results, never used to get them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from simulator.config.load import FieldError
from simulator.config.record import Record

__all__ = ["Claim", "Measured", "Measurement", "Published", "Series"]

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
    """One published number.

    ``time``, ``energy``: how many times as much the baseline takes, geometric mean over the workloads. ``..._share``:
    the part of the design's own energy, ``gpu_...`` those of a GPU. ``workload`` where it is of one alone, ``source``
    where it is not that of all claims.
    """

    text: str = Field(min_length=1)
    metric: Metric
    design: str
    baseline: str | None = None
    value: PositiveFloat
    workload: str | None = None
    source: str = ""

    @model_validator(mode="after")
    def _compares_or_not(self) -> Claim:
        if self.metric in ("time", "energy") and self.baseline is None:
            raise FieldError(("baseline",), f"missing key 'baseline'; {self.metric} is over another design's")
        if self.metric.endswith("_share") and self.baseline is not None:
            raise FieldError(("baseline",), f"{self.metric} is of the design's own energy; take it out")
        return self


class Series(Record):
    """A published line: how many times as much time the baseline takes, for one workload after another.

    ``workloads``, ``at``, ``values``: names, places along ``x`` and published numbers, as many of each. ``panel``:
    series that are drawn together.
    """

    text: str = Field(min_length=1)
    panel: str = ""
    design: str
    baseline: str
    x: str = Field(min_length=1)
    workloads: list[str] = Field(min_length=2, max_length=100)
    at: list[PositiveFloat | PositiveInt]
    values: list[PositiveFloat]
    source: str = ""

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
    claims: list[Claim] = Field(default=[])
    series: list[Series] = Field(default=[])
    notes: list[str] = Field(default=[])

    @model_validator(mode="after")
    def _says_something(self) -> Published:
        if not self.claims and not self.series:
            raise FieldError(("claims",), "says nothing; give claims or series")
        return self


class Measurement(Record):
    """What one op of a workload took on real hardware."""

    workload: str
    op: str
    time_us: PositiveFloat


class Measured(Record):
    """Times of real hardware, shown beside those of every design of the study, and a paragraph on each difference."""

    source: str = Field(min_length=1)
    times: list[Measurement] = Field(min_length=1)
    notes: list[str] = Field(default=[])
