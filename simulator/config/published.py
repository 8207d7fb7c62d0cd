"""What a paper says of the designs of a study: shown beside the results, never used to get them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, model_validator

from simulator.config.load import FieldError
from simulator.config.record import Record

__all__ = ["Beside", "Claim", "OtherStudy", "Published"]

Metric = Literal["time", "energy", "static_share", "dram_share", "buffer_share", "core_share"]


class Claim(Record):
    """One published number.

    ``time``, ``energy``: how many times as much the baseline takes, geometric mean over the workloads. ``..._share``:
    the part of the design's own energy. ``source`` where it is not that of all claims.
    """

    text: str = Field(min_length=1)
    metric: Metric
    design: str
    baseline: str | None = None
    value: PositiveFloat
    source: str = ""

    @model_validator(mode="after")
    def _compares_or_not(self) -> Claim:
        if self.metric in ("time", "energy") and self.baseline is None:
            raise FieldError(("baseline",), f"missing key 'baseline'; {self.metric} is over another design's")
        if self.metric.endswith("_share") and self.baseline is not None:
            raise FieldError(("baseline",), f"{self.metric} is of the design's own energy; take it out")
        return self


class Published(Record):
    """Claims of a paper, and a paragraph on each difference."""

    source: str = Field(min_length=1)
    claims: list[Claim] = Field(min_length=1)
    notes: list[str] = Field(default=[])


class OtherStudy(Record):
    """A study that has some of the same designs, and in a few words how it counts."""

    study: str = Field(min_length=1)
    text: str = Field(min_length=1)


class Beside(Record):
    """Other studies in a table with this one: arrays, area per MAC, time and energy over the design ``over``.

    ``text``: how this study counts.
    """

    over: str = Field(min_length=1)
    text: str = Field(min_length=1)
    studies: list[OtherStudy] = Field(min_length=1)

    @model_validator(mode="after")
    def _tells_them_apart(self) -> Beside:
        texts = [self.text]
        for i, other in enumerate(self.studies):
            if other.text in texts:
                raise FieldError(("studies", i, "text"), "another study has the same text; say what differs")
            texts.append(other.text)
        return self
