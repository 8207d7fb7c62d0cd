"""Figures that compare designs: energy by component, cycles by cause, area by part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from simulator.report.formatting import ENERGY_PJ, choose_unit, elide, number
from simulator.report.plotted import (
    ENERGY_PARTS,
    GEOMEAN,
    GPU_CATEGORIES,
    area_parts,
    cycle_parts,
    cycle_shares,
    energy_parts,
    energy_stacks,
    uniques,
)
from simulator.report.stacks import Panel, Part, Row, cause_parts, stacked_figure
from simulator.report.style import part_colour, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MAX_PANELS", "area_figure", "cycles_figure", "energy_figure", "shown_panels"]

MAX_PANELS = 24


def shown_panels(table: pd.DataFrame) -> tuple[list[tuple[str, str]], int]:
    """The (workload, point) pairs a panelled figure draws, and how many there are: past the limit, only the first.

    With more pairs than panels the geometric mean stands for the workloads, where there is one.
    """
    pairs = uniques(zip(table["workload"], table["point"], strict=True))
    chosen = pairs
    if len(pairs) > MAX_PANELS:
        chosen = [pair for pair in pairs if pair[0] == GEOMEAN] or pairs
    return chosen[:MAX_PANELS], len(pairs)


def _panels(table: pd.DataFrame, keys: list[str], notes: pd.Series) -> list[Panel]:
    table = table.assign(note=notes)
    panels = []
    pairs = shown_panels(table)[0]
    alone = len({workload for workload, _ in pairs}) == 1 and all(point for _, point in pairs)
    for workload, point in pairs:
        chosen = table[(table["workload"] == workload) & (table["point"] == point)].to_dict("records")
        rows = [Row(row["design"], {key: row[key] for key in keys}, row["note"]) for row in chosen]
        panels.append(Panel(" · ".join(part for part in ("" if alone else workload, point) if part), rows))
    return panels


@styled
def energy_figure(results: pd.DataFrame, layers: pd.DataFrame, baseline: str | None) -> Figure | None:
    """Energy by component, over the baseline's total (or in joules without one), the total at the end of each bar."""
    table, keys = energy_stacks(results, baseline), list(energy_parts(results))
    if table.empty:
        return None
    xlabel = f"energy, {elide(baseline or '', 40)} = 1"
    notes = table["total"].map(lambda v: f"{v:.2f}")
    if baseline is None:
        unit = choose_unit(table["total"], ENERGY_PJ)
        table[[*keys, "total"]] /= unit.worth
        xlabel = f"energy ({unit.name})"
        notes = table["total"].map(number)
    labels = ENERGY_PARTS | GPU_CATEGORIES
    parts = [Part(name, labels[name], part_colour(name)) for name in keys]
    return stacked_figure(_panels(table, keys, notes), parts, xlabel, mark=1.0 if baseline else None)


@styled
def cycles_figure(results: pd.DataFrame, layers: pd.DataFrame, baseline: str | None) -> Figure | None:
    """Share of the cycles that each cause took, the total at the end of each bar."""
    table = cycle_shares(results)
    if table.empty:
        return None
    notes = table["total_cycles"].map(_cycles_text)
    causes = cycle_parts(table)
    panels = _panels(table, causes, notes)
    return stacked_figure(panels, cause_parts(table, causes), "share of cycles (total at the right)", inside=True)


def _cycles_text(cycles: float) -> str:
    for worth, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if cycles >= worth:
            return f"{number(cycles / worth)} {letter}"
    return f"{cycles:.0f}"


@styled
def area_figure(results: pd.DataFrame, layers: pd.DataFrame, baseline: str | None) -> Figure | None:
    """Area by part in mm2, the total at the end of each bar."""
    table = area_parts(results)
    if table.empty or not table["total"].gt(0).any():
        return None
    names = [c for c in table.columns if c not in {"design", "point", "total"}]
    varies = table["design"].duplicated(keep=False)
    labels = [
        f"{design} · {point}" if several and point else design
        for design, point, several in zip(table["design"], table["point"], varies, strict=True)
    ]
    rows = [
        Row(label, {name: row[name] for name in names}, number(row["total"]))
        for label, row in zip(labels, table.to_dict("records"), strict=True)
    ]
    colours = {"other": part_colour("static")}
    parts = [
        Part(name, elide(name.replace("_", " "), 26), colours.get(name, part_colour("", place)))
        for place, name in enumerate(names)
    ]
    return stacked_figure([Panel("", rows)], parts, "area (mm²)")
