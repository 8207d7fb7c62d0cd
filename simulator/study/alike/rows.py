"""From points to their rows, those that are alike at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat

import numpy as np

from simulator import datapath as datapaths
from simulator.config.study import Fidelity
from simulator.study.alike.gemms import measured_shapes
from simulator.study.alike.groups import groups_of, kind_of_passes, systolic
from simulator.study.alike.passes import PassRuns
from simulator.study.alike.products import Products
from simulator.study.alike.stacked import stacked_hardware, stacked_sizes
from simulator.study.passes import PassResult
from simulator.study.point import Point
from simulator.study.rows import Row, Subject, subject_row
from simulator.study.simulate import OpResult
from simulator.workload import Op

__all__ = ["alike_rows"]


def alike_rows(
    points: Mapping[int, Point],
    fidelity: Fidelity,
    seed: int,
    broken: Callable[[Sequence[int], Exception], None] | None = None,
) -> dict[int, Row]:
    """Rows (``point_row``) of as many points as can be run at once, by the points' names.

    A point that is left out has to be run alone, which also says what is wrong with it.

    Args:
        broken: is told of points that should have run at once, and what was raised instead; without it, that is raised.
    """
    found: dict[int, Row] = {}
    for names in groups_of(points, fidelity):
        try:
            found |= _rows(names, [points[name] for name in names], fidelity, seed)
        except Exception as error:
            if broken is None:
                raise
            broken(names, error)
    return found


@datapaths.blamed()
def _rows(names: Sequence[int], points: Sequence[Point], fidelity: Fidelity, seed: int) -> dict[int, Row]:
    many = [systolic(point) for point in points]
    steps = points[0].workload.steps
    everyone = stacked_hardware(many)
    batches, runs = measured_shapes(everyone, many, (s for s in steps if isinstance(s, Op)))
    passes = PassRuns(kind_of_passes(points[0]), many, steps)
    products = Products(points[0], many, batches, runs & passes.fit)
    kept = [int(i) for i in np.flatnonzero(products.fit)]
    if not kept:
        return {}
    chosen = [points[i] for i in kept]
    stacked = everyone if len(kept) == len(many) else stacked_hardware([many[i] for i in kept])
    done = passes.results(kept, stacked)
    results: list[OpResult | PassResult] = []
    for place, step in enumerate(steps):
        if isinstance(step, Op):
            results.append(products.result(place, stacked, kept))
        else:
            results.append(done[place])
    label = f"{chosen[0].label} and {len(chosen) - 1} more"
    row = subject_row(Subject(label, stacked, chosen[0].workload, stacked_sizes(chosen)), results, fidelity, seed)
    return dict(zip((names[i] for i in kept), _unstacked(row, len(kept)), strict=True))


def _unstacked(row: Row, count: int) -> list[Row]:
    """A row of arrays as a row for each of their entries."""
    columns = [value.tolist() if isinstance(value, np.ndarray) else repeat(value, count) for value in row.values()]
    return [dict(zip(row, values, strict=True)) for values in zip(*columns, strict=True)]
