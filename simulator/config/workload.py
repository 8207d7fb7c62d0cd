"""A workload as YAML: named GEMM shapes."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from simulator.config.record import Record

__all__ = ["Gemm", "WorkloadSpec"]


class Gemm(Record):
    """``count`` products ``A[M,K] x W[K,N]``."""

    name: str = Field(min_length=1)
    M: PositiveInt
    N: PositiveInt
    K: PositiveInt
    count: PositiveInt = 1


class WorkloadSpec(Record):
    """An ordered list of GEMMs."""

    name: str = Field(min_length=1)
    description: str = ""
    source: str = ""
    gemms: list[Gemm] = Field(min_length=1)
