"""The handful of answers at the top of the page."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from simulator.report.formatting import ENERGY_PJ, TIME_S, Unit, choose_unit, is_missing, number, plural
from simulator.report.pareto import usable
from simulator.report.plotted import best_points, exactness, over_baseline, point_labels, uniques

__all__ = ["Card", "headline_cards"]


class Card(NamedTuple):
    """One answer: the question, the figure, where it comes from, and ``good``, ``bad`` or nothing."""

    label: str
    value: str
    note: str
    mood: str = ""


def headline_cards(results: pd.DataFrame, layers: pd.DataFrame, manifest: dict[str, Any]) -> list[Card]:
    """Fastest design, most frugal design, the verdict on exactness and the size of the study."""
    baseline = manifest.get("baseline")
    good = results[usable(results)]
    compared = baseline in set(good["design"]) and good["design"].nunique() > 1
    first = _over(good, str(baseline)) if compared else _absolute(good)
    return [*first, _exact_card(results, _is_counted(manifest)), _scope_card(results, layers, manifest)]


def _over(results: pd.DataFrame, baseline: str) -> list[Card]:
    others = results[results["design"] != baseline]
    over = f"{{}} over {baseline}{_mean(results)}"
    cards = []
    fastest = best_points(others, others["speedup"]).nlargest(1, "value")
    for _, row in fastest.iterrows():
        cards.append(Card("Best speedup", f"{row['value']:.2f}×", over.format(_who(row)) + _accuracy(others, row)))
    energy = over_baseline(results, "energy_total_pj", baseline)[others.index]
    for _, row in best_points(others, energy).nsmallest(1, "value").iterrows():
        cards.append(
            Card("Lowest energy ratio", f"{row['value']:.2f}×", over.format(_who(row)) + _accuracy(others, row))
        )
    return cards


def _absolute(results: pd.DataFrame) -> list[Card]:
    shown = [("Lowest latency", "latency_s", TIME_S), ("Lowest energy", "energy_total_pj", ENERGY_PJ)]
    return [_least(label, results, column, ladder) for label, column, ladder in shown if results[column].notna().any()]


def _least(label: str, results: pd.DataFrame, column: str, ladder: tuple[Unit, ...]) -> Card:
    row = best_points(results, results[column]).nsmallest(1, "value").iloc[0]
    unit = choose_unit([row["value"]], ladder)
    return Card(
        label,
        f"{number(row['value'] / unit.worth)} {unit.name}",
        f"{_who(row)}{_mean(results)}{_accuracy(results, row)}",
    )


def _who(row: pd.Series) -> str:
    return f"{row['design']} ({row['point']})" if row["point"] else str(row["design"])


def _mean(results: pd.DataFrame) -> str:
    count = results["workload"].nunique()
    return f", geometric mean of {count} workloads" if count > 1 else f" on {results['workload'].iloc[0]}"


def _accuracy(results: pd.DataFrame, row: pd.Series) -> str:
    """The accuracy that came with it: fast or frugal alone is no merit."""
    chosen = results[(results["design"] == row["design"]) & (point_labels(results) == row["point"])]
    known = [float(v) for v in chosen["sqnr_db"] if not is_missing(v)]
    if not known:
        return ""
    return f"; SQNR {'' if len(known) == 1 else 'at least '}{min(known):.1f}\u00a0dB"


def _is_counted(manifest: dict[str, Any]) -> bool:
    """Whether a study asked for no values."""
    return bool(manifest.get("study_resolved", {}).get("values") == "counted")


def _exact_card(results: pd.DataFrame, counted: bool) -> Card:
    label = "Every value equals the exact reference"
    exact, checked, known = exactness(results)
    if not checked:
        why = "Tensors were counted, no product was computed" if counted else "No result carries tensors: shapes only"
        return Card(label, "not checked", f"{why}.")
    scope = plural(checked, "result") + (
        " checked" if checked == known else f" checked of {known:,}; the rest are shapes"
    )
    if exact < checked:
        return Card(label, "NO", f"{plural(checked - exact, 'result')} differ; {scope}.", "bad")
    return Card(label, "yes", f"{scope}.", "good")


def _scope_card(results: pd.DataFrame, layers: pd.DataFrame, manifest: dict[str, Any]) -> Card:
    points = len(uniques(point_labels(results)))
    scope = [plural(results["design"].nunique(), "design"), plural(results["workload"].nunique(), "workload")]
    if points > 1:
        scope.append(plural(points, "sweep point"))
    lost = int((~usable(results)).sum())
    out = [f"{plural(lost, 'result')} failed or break a constraint"] if lost else []
    unfinished = manifest.get("unfinished")
    if unfinished:
        out.insert(0, "not finished: {points:,} of {of:,} points".format(**unfinished))
    notes = [*out, f"{plural(len(layers), 'op')} simulated", f"fidelity {manifest.get('fidelity', 'unknown')}"]
    return Card("Study", plural(len(results), "result"), f"{' × '.join(scope)}; {', '.join(notes)}")
