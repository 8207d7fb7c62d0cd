"""What a sweep could not run or did not want: failed points with their reasons, constraints and who meets them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from simulator.report.formatting import elide, verdict
from simulator.report.pareto import failed
from simulator.report.plotted import axes_of
from simulator.report.points import settings_text

__all__ = ["constraints_table", "failures_table", "problems"]

_MAX_REASONS, _REASON_CHARS = 100, 300


def problems(results: pd.DataFrame, manifest: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The tables there are, by name."""
    found = {"failures": failures_table(results), "constraints": constraints_table(results, manifest)}
    return {name: table for name, table in found.items() if table is not None}


def failures_table(results: pd.DataFrame) -> pd.DataFrame | None:
    """Each reason for which points failed: how many did, and the first of them; None if none did."""
    lost = results[failed(results)]
    if lost.empty:
        return None
    rows = []
    for reason, own in lost.groupby("failure", sort=False):
        first = own.iloc[0]
        point = ", ".join(
            filter(None, [f"{first['design']} on {first['workload']}", settings_text(first, axes_of(own))])
        )
        rows.append({"Reason": elide(str(reason), _REASON_CHARS), "Points": f"{len(own):,}", "Point": point})
    table = pd.DataFrame(rows, dtype=object).rename(columns={"Point": "First point"})
    order = table["Points"].str.replace(",", "").astype(int).sort_values(ascending=False, kind="stable").index
    return table.loc[order].head(_MAX_REASONS).reset_index(drop=True)


def constraints_table(results: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.DataFrame | None:
    """The study's constraints as written, and how many points meet and break each and all of them together; None
    without any.
    """
    texts = (manifest.get("study_resolved") or {}).get("constraints") or []
    if "meets_constraints" not in results or not texts:
        return None
    verdicts = results["meets_constraints"].map(verdict)[~failed(results)]
    counts = {str(one["text"]): (one["met"], one["broken"]) for one in manifest.get("constraints") or []}
    together = int(verdicts.eq(True).sum()), int(verdicts.eq(False).sum())
    each = [(str(text), *counts.get(str(text), (None, None))) for text in texts]
    rows = [each[0][:1] + together] if len(texts) == 1 else [*each, ("all of them", *together)]
    cells = [[text, *("" if n is None else f"{n:,}" for n in numbers)] for text, *numbers in rows]
    return pd.DataFrame(cells, columns=["Constraint", "Points that meet it", "Points that break it"], dtype=object)
