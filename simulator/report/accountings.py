"""The table "Under each accounting": the same designs at the sizes and prices of several studies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from simulator.report.formatting import number
from simulator.report.plotted import geomean, uniques

__all__ = ["accountings", "accountings_table"]


def accountings(beside: Mapping[str, Any]) -> pd.DataFrame:
    """A row per design and accounting that has it, design by design; columns design, accounting, rows, cols,
    macs_per_cycle, area_ratio, time_ratio, energy_ratio.

    Ratios are over ``beside["over"]`` in the same study: core area per MAC, and geometric means over workloads of time
    and energy.
    """
    frame = pd.DataFrame(beside["rows"])
    frame["um2_per_mac"] = frame["core_um2"] / frame["macs_per_cycle"]
    columns = {"area_ratio": "um2_per_mac", "time_ratio": "latency_s", "energy_ratio": "energy_total_pj"}
    rows = []
    for design in uniques(frame["design"]):
        for accounting in uniques(frame["accounting"]):
            here = frame[frame["accounting"] == accounting].set_index("workload")
            own, base = here[here["design"] == design], here[here["design"] == beside["over"]]
            if len(own):
                first = own.iloc[0]
                row = {"design": design, "accounting": accounting}
                row |= {name: first[name] for name in ("rows", "cols", "macs_per_cycle")}
                rows.append(row | {name: geomean(own[column] / base[column]) for name, column in columns.items()})
    return pd.DataFrame(rows)


def accountings_table(beside: Mapping[str, Any]) -> pd.DataFrame:
    """The same as texts, for the page, Markdown and LaTeX."""
    rows, over = accountings(beside), beside["over"]
    return pd.DataFrame(
        {
            "Design": rows["design"],
            "Accounting": rows["accounting"],
            "Array": [f"{r} × {c}" for r, c in zip(rows["rows"], rows["cols"], strict=True)],
            "MACs a cycle": rows["macs_per_cycle"].map(lambda v: f"{round(v):,}"),
            f"Area per MAC / {over}": rows["area_ratio"].map(lambda v: number(v)),
            f"Time / {over}": rows["time_ratio"].map(lambda v: number(v)),
            f"Energy / {over}": rows["energy_ratio"].map(lambda v: number(v)),
        },
        dtype=object,
    )
