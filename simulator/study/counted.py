"""What a point counts, simulated once and kept: prices change no cycle and no count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import reduce
from operator import add
from typing import Any

from simulator import datapath as datapaths
from simulator.config.study import Fidelity
from simulator.counts import Counts, Traffic
from simulator.errors import ConservationError
from simulator.study.keys import code_of, content_key, content_of
from simulator.study.passes import simulate_pass
from simulator.study.point import Point
from simulator.study.simulate import count_op
from simulator.workload import Op

__all__ = ["count_point", "count_points", "counts_key", "from_record", "to_record"]

_PRICES_ONLY: Any = {"name": True, "description": True, "cost": True, "node_nm": True, "memory": {"dram": {"standard"}}}
"""Fields of a design that decide what its counts cost and nothing else."""


def counts_key(point: Point, fidelity: Fidelity, seed: int) -> str:
    """Content address of a point's counts: all that ``Points.key`` covers but prices, names and axes."""
    design = point.hardware.design.model_dump(mode="json", exclude=_PRICES_ONLY)
    content = content_of(point.hardware.design, point.workload, fidelity, seed) | code_of(point.hardware.design)
    return content_key(content | {"kind": "counts", "design": design})


def count_points(points: Sequence[tuple[str, Point]], fidelity: Fidelity, seed: int) -> list[dict[str, Any]]:
    """``count_point`` of each of a few points, which come with a key."""
    return [count_point(point, fidelity, seed) for _, point in points]


@datapaths.blamed()
def count_point(point: Point, fidelity: Fidelity, seed: int) -> dict[str, Any]:
    """Counts of all ops and passes of a point, as a record; tensors are read a block at a time, if at all.

    Raises: ConservationError if MACs are missing.
    """
    steps, workload, counted = point.workload.steps, point.workload.with_values("counted"), []
    for index, step in enumerate(steps):
        if isinstance(step, Op):
            counted.append(count_op(point.hardware, step, workload.source(index), fidelity=fidelity, seed=seed))
        else:
            counted.append(simulate_pass(point.hardware, steps, index, fidelity=fidelity).counts)
    counts = reduce(add, counted)
    if counts.macs != sum(step.macs for step in steps):
        raise ConservationError(f"{point.label}: {counts.macs} MACs were counted, not those of the workload")
    return to_record(counts)


def to_record(counts: Counts) -> dict[str, Any]:
    """Counts as JSON holds them."""
    record = asdict(counts)
    for name in ("traffic", "otherwise"):
        record[name] = [[*key, moved] for key, moved in record[name].items()]
    return record


def from_record(record: dict[str, Any]) -> Counts:
    """The counts of ``to_record``."""
    keyed = {
        name: {(level, which): Traffic(**moved) for level, which, moved in record[name]}
        for name in ("traffic", "otherwise")
    }
    return Counts(**record | keyed)
