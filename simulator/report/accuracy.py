"""A real model's accuracy beside what each design costs: one table, one figure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from simulator.report.atomic import write_bytes
from simulator.report.formatting import (
    ABSENT,
    ENERGY_PJ,
    TIME_S,
    choose_unit,
    decibels,
    is_missing,
    number,
    plural,
)
from simulator.report.pareto import AREA_UM2, non_dominated
from simulator.report.plotted import point_labels, uniques
from simulator.report.style import WIDTH_IN, design_colours, styled
from simulator.report.tables import latex_table, markdown_table
from simulator.report.tradeoff import draw_points, name_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "accuracy_caption",
    "accuracy_figure",
    "accuracy_note",
    "accuracy_table",
    "fitness_table",
    "terminal_fitness",
    "write_accuracy",
]

_COSTS = (
    ("energy", "energy_total_pj", ENERGY_PJ),
    ("latency", "latency_s", TIME_S),
    ("area", "area_total_um2", AREA_UM2),
)
_CLOSEST = 1e-4
"""Cosines nearer to 1 are drawn there: what is beyond makes no difference to anyone."""
_FORMATS = {"activations": "Activations", "weights": "Weights", "scales": "Scales"}
_METRICS = {
    "perplexity": "Perplexity",
    "bits_per_character": "Bits per character",
    "cosine": "Cosine",
    "worst_cosine": "Worst cosine",
    "rank_correlation": "Rank correlation",
    "top1_agreement": "Top-1 agreement",
    "output_sqnr_db": "Output SQNR (dB)",
    "worst_layer_sqnr_db": "Worst layer (dB)",
}


def fitness_table(rows: pd.DataFrame, prefix: str = "") -> pd.DataFrame:
    """Every cell a text: design, its formats, and what is left of the model's accuracy."""
    table = {"Design": rows["design"].astype(str)}
    for column, name in _FORMATS.items():
        table[name] = rows[prefix + column].map(lambda v: str(v) or ABSENT)
    for column, name in _METRICS.items():
        if prefix + column in rows:
            table[name] = rows[prefix + column].map(decibels if column.endswith("_db") else _four)
    return pd.DataFrame(table, dtype=object).reset_index(drop=True)


def _four(value: Any) -> str:
    return number(value, 4)


def accuracy_table(results: pd.DataFrame, about: Mapping[str, Any]) -> pd.DataFrame:
    """A row per result, the float model first: accuracy, then latency, energy and area."""
    of_float = {k: math.inf if k.endswith("_db") else v for k, v in about["float"].items()}  # JSON knows no infinity
    reference = pd.DataFrame([of_float])
    table = fitness_table(results, "accuracy_")
    names = point_labels(results)
    table["Design"] = [f"{d} ({p})" if p else d for d, p in zip(table["Design"], names, strict=True)]
    if results["workload"].nunique() > 1:
        table.insert(1, "Workload", results["workload"].tolist())
    for name, column, ladder in _COSTS:
        unit = choose_unit(results[column], ladder)
        table[f"{name.capitalize()} ({unit.name})"] = [number(v / unit.worth) for v in results[column]]
    return pd.concat([fitness_table(reference), table], ignore_index=True)[list(table.columns)].fillna(ABSENT)


def terminal_fitness(rows: pd.DataFrame) -> Any:
    """``fitness_table`` for a terminal of 80 columns: without the formats."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = fitness_table(rows).drop(columns=list(_FORMATS.values()))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in shown.columns:
        left = name == "Design"
        table.add_column(name.replace(" ", "\n", 1), justify="left" if left else "right", no_wrap=left)
    for row in shown.itertuples(index=False, name=None):
        table.add_row(*map(str, row))
    return table


@styled
def accuracy_figure(results: pd.DataFrame, about: Mapping[str, Any]) -> Figure | None:
    """The model's first merit against energy, latency and area of the first workload; up and left is better."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    merit = about["merit"]
    results = results[results["workload"] == results["workload"].iloc[0]]
    costs = [cost for cost in _COSTS if results[cost[1]].notna().sum() > 1]
    if not costs:
        return None
    figure = Figure(figsize=(WIDTH_IN, 0.4 + 2.9 * len(costs)), layout="constrained")
    FigureCanvasAgg(figure)
    colours = design_colours(uniques(results["design"]))
    drawn = []
    for axes, (name, column, ladder) in zip(figure.subplots(len(costs), 1, squeeze=False).flat, costs, strict=True):
        unit = choose_unit(results[column], ladder)
        table = _points(results, merit, column)
        table["x"] = table["cost"] / unit.worth
        draw_points(axes, table, colours, least_pad=1e-6)
        if _near_one(merit):
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{1 - 10**-y:.{max(0, round(y))}f}"))
        else:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{abs(y):.4g}"))
        axes.set_xlabel(f"{name} ({unit.name})")
        drawn.append((axes, table))
    figure.supylabel(merit["text"], fontsize=8)
    figure.draw_without_rendering()
    for axes, table in drawn:
        name_points(axes, table)
    return figure


def _near_one(merit: Mapping[str, Any]) -> bool:
    """Whether a merit is drawn by its distance to 1: all cosines of interest lie there."""
    return str(merit["column"]).endswith("cosine")


def _points(results: pd.DataFrame, merit: Mapping[str, Any], cost: str) -> pd.DataFrame:
    """Columns that ``tradeoff`` draws; ``drawn_db`` is the merit, its sign changed where less is better."""
    value = results[merit["column"]].astype(float) * (1.0 if merit["more_is_better"] else -1.0)
    better = value
    if _near_one(merit):
        value = -np.log10(np.maximum(1 - value, _CLOSEST))
    costs = results[cost].astype(float)
    table = pd.DataFrame({"design": results["design"], "cost": costs, "drawn_db": value, "better": better})
    table = table[[not is_missing(v) and abs(v) < float("inf") for v in table["drawn_db"]]].dropna()
    table["sqnr_db"] = table["drawn_db"]
    table["pareto"] = non_dominated(np.column_stack([table["cost"], -table["better"]]))
    return table


def accuracy_caption(about: Mapping[str, Any]) -> str:
    """Caption of the figure."""
    cut = f" Cosines above {1 - _CLOSEST:.4f} are drawn there." if _near_one(about["merit"]) else ""
    return (
        f"{about['merit']['text'].capitalize()} of {about['model']} run end to end with the numbers of each design, "
        "against energy, time and area of the study's first workload; up and left is better. Ringed points are Pareto "
        "optimal: no other is both as accurate and as cheap." + cut
    )


def accuracy_note(about: Mapping[str, Any]) -> str:
    """What was run and how."""
    inputs = about["inputs"]
    sets = {name: f"{plural(each['count'], 'input')} from {each['from']}" for name, each in inputs.items()}
    which = "products with weights" if about["products"] == "layers" else "all products, those of two activations too"
    sums = {
        "float32": "What the codes stand for is multiplied in float32: errors of accumulators are not in it.",
        "datapath": "Sums are the datapath's own.",
    }[about["sums"]]
    return (
        f"{about['model']} ({about['source']}), {which} in each design's numbers. Scales found on "
        f"{sets['calibration']}, judged on {sets['evaluation']}; the sets share nothing. {sums}"
    )


def write_accuracy(folder: Path, rows: pd.DataFrame, layers: pd.DataFrame, about: Mapping[str, Any]) -> Path:
    """What ``olivine accuracy`` leaves: tables and what was run; returns the first. Raises: OutputError."""
    for name, frame in (("accuracy", rows), ("accuracy_layers", layers)):
        write_bytes(folder / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n").encode())
    table = fitness_table(rows)
    write_bytes(folder / "accuracy.md", markdown_table(table).encode())
    write_bytes(folder / "accuracy.tex", latex_table(table).encode())
    write_bytes(folder / "manifest.json", (json.dumps(about, indent=2, ensure_ascii=False) + "\n").encode())
    return folder / "accuracy.md"
