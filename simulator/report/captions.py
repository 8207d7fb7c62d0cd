"""What to say under each figure: units, what is normalised to what, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from simulator.report.comparison import shown_panels
from simulator.report.formatting import common_start, plural
from simulator.report.per_op import first_point, shown_designs
from simulator.report.plotted import (
    GEOMEAN,
    MAX_OPS,
    area_parts,
    cycle_shares,
    energy_stacks,
    layer_times,
    point_labels,
    speedups,
    uniques,
)
from simulator.report.speedup import speedup_strips

__all__ = ["area", "cycles", "energy", "per_op", "published", "speedup", "tradeoff"]


def speedup(results: pd.DataFrame, layers: pd.DataFrame, baseline: str | None) -> str:
    """Caption of the speedup figure."""
    table = speedups(results)
    drawn = {pair for strip in speedup_strips(results, table) for pair in _pairs(strip.rows(table))}
    rest = _rest(len(drawn), len(_pairs(table)))
    return (
        f"Latency of {baseline} over the latency of each design on the same workload{_same_point(results)}; "
        f"higher is faster, the dashed line is {baseline}." + _mean_note(results) + rest
    )


def published(manifest: Mapping[str, Any]) -> str:
    """Caption of the figure of published lines."""
    source = manifest["published"]["source"]
    return (
        f"Latency of the baseline over that of each design; dashed and crossed: {source}; with dots: computed here. "
        "Above the line at 1 a design is faster than its baseline."
    )


def energy(results: pd.DataFrame, layers: pd.DataFrame, baseline: str | None) -> str:
    """Caption of the energy figure."""
    rest = _left_out(energy_stacks(results, baseline))
    if baseline is None:
        return "Energy by component; the number is the total. Static energy is charged for the whole run." + rest
    mean = ""
    if results["workload"].nunique() > 1:
        mean = f" The {GEOMEAN} is of the totals; its bar is split as the mean of the normalised components is."
    return (
        f"Energy by component over the total energy of {baseline} on the same workload{_same_point(results)}; "
        f"the number is the total, lower is better, the dashed line is {baseline}. "
        f"Static energy is charged for the whole run.{mean}{rest}"
    )


def tradeoff(results: pd.DataFrame, layers: pd.DataFrame, baseline: str | None) -> str:
    """Caption of the accuracy figure."""
    swept = " A design has one point per sweep point and is named at its best." if _swept(results) else ""
    return (
        "Signal to quantisation noise ratio of the outputs, in dB, against total energy; up and left is better. A "
        "value in brackets lies beyond the scale. "
        f"Ringed points are Pareto optimal: no other is both as accurate and as frugal.{swept}"
    )


def cycles(results: pd.DataFrame, layers: pd.DataFrame, baseline: str | None) -> str:
    """Caption of the cycles figure."""
    return (
        f"Share of the array's cycles by cause: {_computing(results)}, or waiting for what is named. Every cycle has "
        f"one cause; the number is the total, in cycles of the design's own clock.{_left_out(cycle_shares(results))}"
    )


def area(results: pd.DataFrame, layers: pd.DataFrame, baseline: str | None) -> str:
    """Caption of the area figure."""
    rest = " The smallest parts are summed as other." if "other" in area_parts(results) else ""
    return f"Area by part in mm²; the number is the total.{rest}"


def per_op(results: pd.DataFrame, layers: pd.DataFrame, baseline: str | None) -> str:
    """Caption of the per-op figure of one workload."""
    text = f"Time of each op in execution order: {_computing(layers)}, or waiting; all columns share one scale."
    start = common_start(first_point(layers)["op"])
    if start:
        text += f" Op names leave out the start that all share, “{start}”."
    if _swept(layers):
        text += f" Sweep point shown: {point_labels(first_point(layers)).iloc[0]}."
    ops = first_point(layers)["op"].nunique()
    drawn = layer_times(first_point(layers), first_point(results))["op"].nunique()
    if ops > MAX_OPS:
        text += f" The {drawn} longest of {ops:,} ops are shown; all are in layers.parquet."
    elif drawn < ops:
        text += f" {ops - drawn} of {ops} ops are too short to see; all are in layers.parquet."
    shown, known = len(shown_designs(first_point(results), baseline)), results["design"].nunique()
    if shown < known:
        text += f" The baseline and the fastest others are shown: {shown} of {plural(known, 'design')}."
    return text


def _computing(frame: pd.DataFrame) -> str:
    if "fill_drain_cycles" not in frame:
        return "computing"
    return "operands streaming into it, filling and draining between them"


def _swept(frame: pd.DataFrame) -> bool:
    return len(uniques(point_labels(frame))) > 1


def _same_point(results: pd.DataFrame) -> str:
    return " at the same sweep point" if _swept(results) else ""


def _mean_note(results: pd.DataFrame) -> str:
    return f" The {GEOMEAN} is over the workloads." if results["workload"].nunique() > 1 else ""


def _left_out(table: pd.DataFrame) -> str:
    chosen, known = shown_panels(table)
    return _rest(len(chosen), known)


def _pairs(table: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(table["workload"], table["point"], strict=True))


def _rest(drawn: int, known: int) -> str:
    if drawn == known:
        return ""
    return f" {drawn} of {known:,} combinations of workload and sweep point are drawn; all are in results.csv."
