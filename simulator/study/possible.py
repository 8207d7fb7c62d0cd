"""Which columns the results of a study can have, found without simulating: a constraint on any other is a slip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from simulator.config.conditions import ANYTHING, parse_condition
from simulator.config.design import SystolicDesign
from simulator.errors import ConfigError, OlivineError, did_you_mean
from simulator.report.columns import COLUMNS
from simulator.study.columns import NAMED_COLUMNS, is_column
from simulator.study.constraints import constraints_as_written
from simulator.study.joined import accuracy_columns
from simulator.study.point import Point
from simulator.study.points import Points

__all__ = ["require_columns"]

_LOOKED_AT = 500
"""Points of small studies, all of them, and draws of larger ones."""


def require_columns(points: Points) -> None:
    """Refuse a constraint on what no result of the study can have. Raises: ConfigError with the nearest name."""
    for text, where in constraints_as_written(points):
        names = parse_condition(text, ANYTHING, where).names
        open_ended = [name for name in names if is_column(name)]
        parse_condition(text, [*NAMED_COLUMNS, *points.space.paths, *open_ended], where)
        for name in sorted(names - {*points.space.paths} - _ALWAYS):
            _require_possible(points, name, where)


def _require_possible(points: Points, name: str, where: str) -> None:
    others: set[str] = set()
    for index in _spread(points):
        try:
            possible = _sometimes(points, points.point(index))
        except OlivineError:
            continue
        if name in possible:
            return
        others |= possible
    if others:
        hint = did_you_mean(name, others)
        raise ConfigError(f"{where}: no point of this study has a column '{name}'{hint}")


def _spread(points: Points) -> Iterator[int]:
    """All points of a small study. Of a large one: per design and workload those that differ in one value from the
    first, then some drawn by chance.
    """
    if points.total <= _LOOKED_AT:
        yield from points.indices()
        return
    sizes = len(points.study.designs), len(points.study.workloads), *map(len, points.space.axes)
    ones = ([v if i == axis else 0 for i in range(len(sizes))] for axis, n in enumerate(sizes) for v in range(n))
    rng = np.random.default_rng(0)
    drawn = ([int(rng.integers(size)) for size in sizes] for _ in range(_LOOKED_AT))
    for design, workload, *places in (*islice(ones, _LOOKED_AT), *drawn):
        index = points.index_of(design, workload, points.space.index_of(places))
        if points.exists(index):
            yield index


def _sometimes(points: Points, point: Point) -> set[str]:
    """Columns of a point's results that not every point has."""
    hardware = point.hardware
    kinds = [names for names, has in _SOMETIMES.items() if has(points, point)]
    energies = (f"energy_part_{part}_pj" for each in hardware.precisions for part in each.bill.components)
    areas = (f"area_part_{part}_um2" for part in hardware.area)
    return {name for names in kinds for name in names}.union(energies, areas, accuracy_columns(points.study))


def _is_banked(points: Points, point: Point) -> bool:
    design = point.hardware.design
    return isinstance(design, SystolicDesign) and design.memory.dram.model == "banked"


def _named(*beginnings: str) -> tuple[str, ...]:
    return tuple(column.name for column in COLUMNS if "<" not in column.name and column.name.startswith(beginnings))


_SOMETIMES: dict[tuple[str, ...], Callable[[Points, Point], bool]] = {
    ("rows", "cols", "cores"): lambda _, point: isinstance(point.hardware.design, SystolicDesign),
    ("sms", *_named("energy_gpu_")): lambda _, point: not isinstance(point.hardware.design, SystolicDesign),
    (*_named("dram_activates", "dram_precharges", "dram_read_bursts", "dram_write_bursts", "dram_refreshes"),
     *_named("dram_row_", "dram_bus_")): _is_banked,
    ("tokens", *_named("tokens_", "dram_bound_", "pj_per_", "weight_read_", "kv_read_")):
        lambda _, point: point.workload.tokens is not None,
    ("search_round",): lambda points, _: points.study.search is not None,
}  # fmt: skip
_ALWAYS = set(NAMED_COLUMNS) - {name for names in _SOMETIMES for name in names}
