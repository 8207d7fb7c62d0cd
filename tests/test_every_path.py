"""Each shipped design on each shipped workload: the compiled path that sweeps take, and tiles one by one, are equal."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest

from simulator.config import load_design
from simulator.errors import OlivineError
from simulator.resources import shipped_names
from simulator.study import simulate
from simulator.study.building import build
from simulator.study.plans import plan_op
from simulator.study.workloads import resolve_workload
from simulator.workload import Op

DESIGNS, WORKLOADS = shipped_names("configs/designs"), shipped_names("workloads")
FIDELITIES = ("bound", "pipeline")
FEW, MANY = 3_000, 200_000
"""Folds of an op whose tiles are gone through one by one, in the suite and in the slow run."""


@cache
def hardware_of(design):
    return build(load_design(design))


@cache
def ops_of(workload) -> list[Op]:
    """One op of each shape, with as many GEMMs as cores can share."""
    shapes = {(op.M, op.N, op.K, op.kind): op for op in resolve_workload(workload).ops}
    return list(shapes.values())


def folds(hardware, op) -> int:
    array = getattr(hardware, "array", None)
    return array.folds(op.M, op.N, op.K) if array is not None else op.M * op.N // (64 * 64)


def compared(design, workload, most) -> Iterator[str]:
    """Compares every op that is not too long; yields its name for each comparison."""
    hardware = hardware_of(design)
    for op in ops_of(workload):
        if folds(hardware, op) > most:
            continue
        try:
            plan = plan_op(hardware, op)
        except OlivineError:
            continue  # refused on either path
        for fidelity in FIDELITIES:
            if not simulate._need_no_rows(hardware, fidelity):
                continue
            timing, counts = simulate._on_loops(hardware, plan, fidelity, True)
            _, _, tiles, counted = simulate._costs(hardware, op, plan, [(None, None)] * plan.batch, fidelity, 0)
            assert replace(timing, events=None, cores=()) == replace(tiles, events=None, cores=()), (op, fidelity)
            assert counts == counted, (op, fidelity)
            yield op.name


def sampled(design, workload) -> bool:
    return zlib.crc32(f"{design} {workload}".encode()) % 12 == 0


@pytest.mark.parametrize("design", DESIGNS)
def test_a_sample_of_workloads_takes_both_paths_alike(design):
    chosen = [workload for workload in WORKLOADS if sampled(design, workload)]
    assert chosen
    names = [name for workload in chosen for name in compared(design, workload, FEW)]
    if simulate._need_no_rows(hardware_of(design), "pipeline"):
        assert names, "no op was compared"


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
def test_every_workload_takes_both_paths_alike(design):
    assert [name for workload in WORKLOADS for name in compared(design, workload, MANY)] or not (
        simulate._need_no_rows(hardware_of(design), "pipeline")
    )
