"""The table "Beside the paper": published numbers, and the same quantities computed from a run's results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from simulator.report.formatting import number
from simulator.report.plotted import GPU_CATEGORIES, geomean, over_baseline, point_labels, uniques

__all__ = ["beside_paper", "beside_table", "series_points"]

_QUANTITY = {"time": "time", "energy": "energy"} | {
    f"{part}_share": f"energy, share of {name}"
    for part, name in (
        ("static", "static"),
        ("dram", "DRAM"),
        ("buffer", "buffers"),
        ("core", "core"),
        *((f"gpu_{category}", label) for category, label in GPU_CATEGORIES.items()),
    )
}


def beside_paper(results: pd.DataFrame, published: Mapping[str, Any]) -> pd.DataFrame:
    """A row per sweep point and claim: columns point, claim, quantity, source, paper, ours, ratio, least and most.

    ``ours`` of a time or an energy is the baseline's over the design's, geometric mean over workloads; that of a share
    the arithmetic mean. ``least`` and ``most`` are those of single workloads, ``ratio`` is ours over the paper's.
    """
    labels = point_labels(results)
    rows = []
    for point in uniques(labels):
        here = results[labels == point]
        for claim in (*published.get("claims", ()), *_of_series(published)):
            values = _values(here, claim)
            mean = values.mean() if claim["metric"].endswith("_share") else geomean(values)
            rows.append(
                {
                    "point": point,
                    "claim": claim["text"],
                    "quantity": _QUANTITY[claim["metric"]],
                    "source": claim.get("source") or published["source"],
                    "paper": claim["value"],
                    "ours": mean,
                    "ratio": mean / claim["value"],
                    "least": values.min(),
                    "most": values.max(),
                }
            )
    return pd.DataFrame(rows)


def _of_series(published: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each point of a published line as a claim of its own, about one workload."""
    for series in published.get("series", ()):
        name = f"{series['panel']}: {series['text']}" if series["panel"] else series["text"]
        for workload, place, value in zip(series["workloads"], series["at"], series["values"], strict=True):
            text = f"{name}, {series['x']} {place:g}"
            yield {**series, "metric": "time", "text": text, "workload": workload, "value": value}


def series_points(results: pd.DataFrame, published: Mapping[str, Any]) -> pd.DataFrame:
    """A row per point of a line, where nothing is swept: columns panel, series, design, x, at, paper, ours."""
    lines = list(published.get("series", ()))
    if not lines or len(set(point_labels(results))) > 1:
        return pd.DataFrame(columns=["panel", "series", "design", "x", "at", "paper", "ours"])
    rows = []
    for claim, at in zip(_of_series(published), (place for line in lines for place in line["at"]), strict=True):
        ours = geomean(_values(results, claim))
        named = {"panel": claim["panel"], "series": claim["text"].rsplit(", ", 1)[0], "design": claim["design"]}
        rows.append({**named, "x": claim["x"], "at": float(at), "paper": claim["value"], "ours": ours})
    return pd.DataFrame(rows)


def _values(results: pd.DataFrame, claim: Mapping[str, Any]) -> pd.Series:
    """What a claim is about, one value per workload that it is about."""
    results = results[results["workload"] == claim["workload"]] if claim.get("workload") else results
    own = results["design"] == claim["design"]
    if claim["metric"].endswith("_share"):
        part = claim["metric"].removesuffix("_share")
        return (results[f"energy_{part}_pj"] / results["energy_total_pj"])[own]
    column = {"time": "latency_s", "energy": "energy_total_pj"}[claim["metric"]]
    return 1 / over_baseline(results, column, claim["baseline"])[own]


def beside_table(results: pd.DataFrame, published: Mapping[str, Any]) -> pd.DataFrame:
    """The same as texts, for the page, Markdown and LaTeX."""
    rows = beside_paper(results, published)
    table = {"Claim": rows["claim"], "Quantity": rows["quantity"], "Source": rows["source"]}
    if rows["point"].any():
        table["Point"] = rows["point"]
    table["Paper"] = rows["paper"].map(lambda v: number(v))
    table["Ours"] = rows["ours"].map(lambda v: number(v))
    table["Ours / paper"] = rows["ratio"].map(lambda v: f"{v:.2f}")
    spans = zip(rows["least"], rows["most"], strict=True)
    table["Single workloads"] = pd.Series([f"{number(a)} – {number(b)}" for a, b in spans], dtype=object)
    return pd.DataFrame(table, dtype=object)
