"""The page's table of counts: reads, writes and bytes of each level and operand, all ops of a result together."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pandas as pd

from simulator.report.formatting import BYTES, choose_unit, elide, number
from simulator.report.plotted import point_labels, uniques

__all__ = ["MAX_RESULTS", "CountsTable", "counts_table"]

MAX_RESULTS = 100
_COLUMN = re.compile(r"count_(?P<place>.+)_(?P<what>reads|writes|read_bytes|write_bytes)$")
_PLACES = {
    "dram_act": "DRAM, activations",
    "dram_weight": "DRAM, weights",
    "dram_out": "DRAM, results and sums",
    "global_buffer_act": "global buffer, activations",
    "global_buffer_weight": "global buffer, weights",
    "act_buffer_act": "activation scratchpad",
    "weight_buffer_weight": "weight scratchpad",
    "out_buffer_out": "results scratchpad",
    "edge_act": "array edge, activations",
    "edge_weight": "array edge, weights",
    "edge_out": "array edge, results and sums",
    "registers_act": "registers, activations",
    "registers_weight": "registers, weights",
    "registers_out": "registers, sums",
}


class CountsTable(NamedTuple):
    """Headings of the columns after the first (bytes with their unit), and for each result its name and its lines."""

    heads: list[str]
    results: list[tuple[str, list[list[str]]]]
    known: int


def counts_table(layers: pd.DataFrame) -> CountsTable:
    """Sums the counts of each design on each workload at each sweep point, in the order of the records."""
    columns = [c for c in layers.columns if _COLUMN.match(c)]
    if not columns or layers.empty:
        return CountsTable([], [], 0)
    keys = pd.Series(
        list(zip(layers["design"], layers["workload"], point_labels(layers), strict=True)), index=layers.index
    )
    sums = layers[columns].groupby(keys, sort=False).sum()
    byte_columns = [c for c in columns if c.endswith("_bytes")]
    unit = choose_unit(sums[byte_columns].max(axis=1), BYTES)
    heads = ["Reads", "Writes", f"Read ({unit.name})", f"Written ({unit.name})"]
    shown = sums.head(MAX_RESULTS).to_dict("index")
    results = [(_name(key), _lines(row, unit.worth)) for key, row in shown.items()]
    return CountsTable(heads, results, len(sums))


def _name(key: Any) -> str:
    return elide(" · ".join(part for part in key if part), 80)


def _lines(row: dict[Any, Any], worth: float) -> list[list[str]]:
    """A line per level and operand: its name, accesses, and bytes; an empty cell where nothing can move that way."""
    places = uniques(match["place"] for column in row if (match := _COLUMN.match(column)))
    lines = []
    for place in places:
        whats = {what: row.get(f"count_{place}_{what}") for what in ("reads", "writes", "read_bytes", "write_bytes")}
        cells = [
            "" if n is None else number(n / worth) if what.endswith("_bytes") else f"{int(n):,}"
            for what, n in whats.items()
        ]
        lines.append([_PLACES.get(place, place.replace("_", " ")), *cells])
    return lines
