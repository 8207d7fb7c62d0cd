"""One row of the results: what it simulates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.study.hardware import Hardware
from simulator.study.passes import plan_step
from simulator.study.workloads import Workload

__all__ = ["WORKLOAD_PREFIX", "Point", "label_of", "require_runnable", "split_axes"]

WORKLOAD_PREFIX = "workload."
"""Beginning of the path of a workload's field in ``set``, ``--set`` and ``sweep``; all others are a design's."""

Values = dict[str, Any]
"""Value by dotted path."""


@dataclass(frozen=True)
class Point:
    """A design, as the sweep axes set it, on a workload.

    ``size``: how its array was sized, as one sentence; empty if it was not.
    """

    hardware: Hardware
    workload: Workload
    axes: Values
    size: str = ""

    @property
    def label(self) -> str:
        """What progress and messages call this point."""
        return label_of(self.hardware.design.name, self.workload.name, self.axes)


def label_of(design: str, workload: str, axes: Values) -> str:
    """``olive_systolic on bert_base (array.rows=8)``."""
    shown = ", ".join(f"{path}={value}" for path, value in axes.items())
    return f"{design} on {workload}" + (f" ({shown})" if shown else "")


def split_axes(changes: Mapping[str, Any]) -> tuple[Values, Values]:
    """Of values by dotted path those of a design, and those of a workload (``workload.batch``) without that prefix."""
    of_workload = {p.removeprefix(WORKLOAD_PREFIX): v for p, v in changes.items() if p.startswith(WORKLOAD_PREFIX)}
    return {p: v for p, v in changes.items() if not p.startswith(WORKLOAD_PREFIX)}, of_workload


def require_runnable(point: Point) -> None:
    """Map every op and pass of a point. Raises: as ``plan_step``."""
    for index in range(len(point.workload.steps)):
        plan_step(point.hardware, point.workload.steps, index)
