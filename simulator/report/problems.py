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
    """The study's constraints as written, and how many points meet and break them all together; None without any."""
    texts = (manifest.get("study_resolved") or {}).get("constraints") or []
    if "meets_constraints" not in results or not texts:
        return None
    ran = ~failed(results)
    verdicts = results["meets_constraints"].map(verdict)[ran]
    met, broken = (f"{int(verdicts.eq(which).sum()):,}" for which in (True, False))
    rows = [{"Constraint": str(text), "Points that meet it": "", "Points that break it": ""} for text in texts]
    rows.append({"Constraint": "all of them", "Points that meet it": met, "Points that break it": broken})
    if len(texts) == 1:
        rows = [rows[1] | {"Constraint": str(texts[0])}]
    return pd.DataFrame(rows, dtype=object)
