"""A study: designs x workloads x sweep axes (contract, section 6)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, NonNegativeInt

from simulator.config.record import Record

__all__ = ["Fidelity", "Study"]

Fidelity = Literal["bound", "pipeline", "event", "pe_array"]


class Study(Record):
    """One experiment. Rows come out in the order designs, workloads, sweep axes as written."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    designs: list[str | dict[str, Any]] = Field(min_length=1)
    workloads: list[str | dict[str, Any]] = Field(min_length=1)
    set: dict[str, Any] = Field(default_factory=dict)
    sweep: dict[str, list[Any]] = Field(default_factory=dict)
    normalise: Literal["none"] = "none"
    baseline: str | None = None
    fidelity: Fidelity = "pipeline"
    seed: NonNegativeInt = 0
