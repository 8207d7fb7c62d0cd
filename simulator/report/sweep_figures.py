"""Which figures of points a study gets: what it asks for, or what its size and its axes allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from simulator.report.drawing import Drawing
from simulator.report.effects import effect_drawings
from simulator.report.fronts import pareto_drawings
from simulator.report.heat import heat_drawings
from simulator.report.pareto import usable
from simulator.report.plotted import axes_of, uniques
from simulator.report.points import column_of, layers_of, point_key, settings_text, swept_axes
from simulator.report.roofline import roofline_drawings

__all__ = ["SWEEP_NAMES", "fastest_ops", "sweep_drawings", "undrawn"]

SWEEP_NAMES = ("pareto_*", "effects_*", "heat_*", "roofline")
_LEAST_POINTS = 10
"""A sweep of fewer results shows all it has in bars."""


def sweep_drawings(results: pd.DataFrame, layers: pd.DataFrame, asked: Mapping[str, Any] | None) -> Iterator[Drawing]:
    """Fronts, effects and heat maps of a sweep, and a roofline of any study whose DRAM has a bandwidth."""
    swept = bool(swept_axes(results)) and int(usable(results).sum()) >= _LEAST_POINTS
    for kind, draw in (("pareto", pareto_drawings), ("effects", effect_drawings), ("heatmaps", heat_drawings)):
        if swept or (asked and asked.get(kind)):
            yield from draw(results, asked)
    yield from roofline_drawings(results, layers, asked)


def undrawn(results: pd.DataFrame, asked: Mapping[str, Any] | None) -> list[str]:
    """Columns that the study asks figures of and of which its results know nothing."""
    heats = [heat[field] for heat in (asked or {}).get("heatmaps") or [] for field in ("x", "y", "value")]
    pairs = [name for pair in (asked or {}).get("pareto") or [] for name in pair]
    names = uniques([*pairs, *heats, *((asked or {}).get("effects") or [])])
    rows = results[usable(results)]
    return [name for name in names if (column := column_of(rows, name)) is None or not rows[column].notna().any()]


def fastest_ops(results: pd.DataFrame, layers: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Results and ops of each design and workload at its fastest point of which ops are kept, without their axes; and
    which points those are.
    """
    axes = axes_of(results)
    kept = set(point_key(layers)) if len(layers) else set()
    known = results[usable(results) & pd.Series([key in kept for key in point_key(results)], index=results.index)]
    if known.empty:
        return results.head(0), layers.head(0), ""
    fastest = known.loc[known.groupby(["workload", "design"], sort=False)["latency_s"].idxmin()]
    ops = layers_of(layers, fastest)
    swept = swept_axes(results)
    places = uniques(f"{row['design']} at {settings_text(row, swept)}" for _, row in fastest.iterrows())
    said = f" Each design at its fastest point of the sweep: {'; '.join(places[:6])}."
    return fastest.drop(columns=axes), ops.drop(columns=axes), said
