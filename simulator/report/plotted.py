"""The numbers behind every figure and headline: small pure functions from the records to what is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import pandas as pd

from simulator.report.formatting import field_text, is_missing, verdict

__all__ = [
    "ENERGY_PARTS",
    "GEOMEAN",
    "GPU_CATEGORIES",
    "MAX_OPS",
    "area_parts",
    "axes_of",
    "axis_names",
    "best_points",
    "cycle_parts",
    "cycle_shares",
    "energy_parts",
    "energy_stacks",
    "exactness",
    "field_texts",
    "geomean",
    "layer_times",
    "over_baseline",
    "point_labels",
    "speedups",
    "uniques",
    "with_streaming",
]

GEOMEAN = "geometric mean"
ENERGY_PARTS = {"static": "static", "dram": "DRAM", "buffer": "buffers", "core": "core"}
GPU_CATEGORIES = {
    "const": "constant",
    "static": "static",
    "dram_l2": "DRAM + L2",
    "l1_reg": "shared memory + registers",
    "core": "core",
}
"""What energy is split into, and how it is called: for any design, and as studies of GPUs do."""
MAX_OPS = 100
SHORTEST = 400
"""Ops that take less than this part of the longest one are not drawn: no pixel would be theirs."""
_AXIS = "axis:"
_KEYS = ["point", "workload", "design"]


def axes_of(frame: pd.DataFrame) -> list[str]:
    """The sweep-axis columns, in order."""
    return [c for c in frame.columns if c.startswith(_AXIS)]


def axis_names(axes: Sequence[str]) -> dict[str, str]:
    """Axis column -> as much of the end of its path as no other axis shares; of several fields that change together
    their names, what ends them all alike once.
    """
    paths = [path for axis in axes for path in axis.removeprefix(_AXIS).split(", ")]
    return {axis: _together([_ending(path, paths) for path in axis.removeprefix(_AXIS).split(", ")]) for axis in axes}


def _ending(path: str, paths: Sequence[str]) -> str:
    steps = path.split(".")
    for count in range(1, len(steps) + 1):
        ending = ".".join(steps[-count:])
        if sum(f".{other}".endswith(f".{ending}") for other in paths) == 1:
            return ending
    return path


def _together(names: Sequence[str]) -> str:
    """``act / weight_buffer.capacity_kib`` for names that end alike from a dot or an underscore on."""
    if len(names) < 2:
        return names[0]
    ends = zip(*(reversed(name) for name in names), strict=False)
    alike = "".join(letters[0] for letters in takewhile(lambda letters: len(set(letters)) == 1, ends))[::-1]
    places = [place for place in (alike.find("."), alike.find("_")) if place >= 0]
    end = alike[min(places) :] if places else ""
    heads = [name[: len(name) - len(end)] for name in names]
    return f"{' / '.join(heads)}{end}" if all(heads) else " / ".join(names)


def field_texts(values: pd.Series) -> pd.Series:
    """``field_text`` of each value, made once for each distinct one: a sweep has few."""
    if values.dtype == object:  # lists and the like cannot be told apart by their hashes
        return values.map(field_text)
    places, distinct = pd.factorize(values, use_na_sentinel=False)
    texts = np.array([field_text(value) for value in distinct], dtype=object)
    return pd.Series(texts[places], index=values.index, dtype=object)


def point_labels(frame: pd.DataFrame) -> pd.Series:
    """One text per row naming its sweep point, ``"rows=8, dataflow=os"``; empty where nothing is swept."""
    names = axis_names(axes_of(frame))
    columns = [[f"{name}={text}" for text in field_texts(frame[axis])] for axis, name in names.items()]
    labels = [", ".join(row) for row in zip(*columns, strict=True)] if columns else [""] * len(frame)
    return pd.Series(labels, index=frame.index, dtype=object)


def uniques(values: Iterable[Any]) -> list[Any]:
    """The distinct values, in order of first appearance."""
    return list(dict.fromkeys(values))


def geomean(values: Iterable[float]) -> float:
    """Geometric mean of the positive values; NaN of none."""
    known = [v for v in values if not is_missing(v) and v > 0]
    return float(np.exp(np.mean(np.log(known)))) if known else float("nan")


def over_baseline(results: pd.DataFrame, column: str, baseline: str | None) -> pd.Series:
    """``column`` divided by the baseline design's value on the same workload at the same sweep point; else NaN."""
    keys = list(zip(point_labels(results), results["workload"], strict=True))
    base = {
        key: value
        for key, design, value in zip(keys, results["design"], results[column], strict=True)
        if design == baseline
    }
    ratios = [v / base[k] if base.get(k) else float("nan") for k, v in zip(keys, results[column], strict=True)]
    return pd.Series(ratios, index=results.index, dtype=float)


def speedups(results: pd.DataFrame) -> pd.DataFrame:
    """Columns point, workload, design, speedup; with several workloads the geometric mean over them joins as one."""
    table = _keyed(results).assign(speedup=results["speedup"].astype(float)).dropna(subset=["speedup"])
    if table["workload"].nunique() < 2:
        return table.reset_index(drop=True)
    means = table.groupby(["point", "design"], sort=False)["speedup"].agg(geomean).reset_index()
    return pd.concat([table, means.assign(workload=GEOMEAN)], ignore_index=True)[[*_KEYS, "speedup"]]


def energy_parts(results: pd.DataFrame) -> dict[str, str]:
    """What energy is split into, part -> column: GPUs' categories where all designs are GPUs."""
    of_gpus = {part: f"energy_gpu_{part}_pj" for part in GPU_CATEGORIES}
    if all(column in results and results[column].notna().all() for column in of_gpus.values()):
        return of_gpus
    return {part: f"energy_{part}_pj" for part in ENERGY_PARTS}


def energy_stacks(results: pd.DataFrame, baseline: str | None) -> pd.DataFrame:
    """Columns point, workload, design, one per energy component and total.

    With a baseline every value is over the baseline's total energy, and with several workloads a geometric mean joins:
    its total is the geometric mean of the totals, split as the arithmetic mean of the normalised components is.
    Without one, values are pJ.
    """
    columns = energy_parts(results)
    parts = list(columns)
    table = _keyed(results)
    for part, column in (columns | {"total": "energy_total_pj"}).items():
        table[part] = results[column].astype(float)
    if baseline is None:
        return table.dropna(subset=["total"]).reset_index(drop=True)  # designs without prices have no energy
    scale = over_baseline(results, "energy_total_pj", baseline) / table["total"]
    table[[*parts, "total"]] = table[[*parts, "total"]].mul(scale, axis=0)
    table = table.dropna(subset=["total"]).reset_index(drop=True)
    if table["workload"].nunique() < 2:
        return table
    groups = table.groupby(["point", "design"], sort=False)
    means = groups[parts].mean()
    total = groups["total"].agg(geomean)
    means = means.mul(total / means.sum(axis=1), axis=0).assign(total=total, workload=GEOMEAN).reset_index()
    return pd.concat([table, means[table.columns]], ignore_index=True)


def with_streaming(frame: pd.DataFrame) -> pd.DataFrame:
    """The records with compute split in two: ``streaming_cycles`` beside ``fill_drain_cycles``, where that is known."""
    if "fill_drain_cycles" not in frame:
        return frame
    return frame.assign(streaming_cycles=frame["compute_cycles"] - frame["fill_drain_cycles"])


def cycle_parts(frame: pd.DataFrame) -> list[str]:
    """The columns that split ``total_cycles`` by cause: compute, or its two parts where they are known, then every
    stall.
    """
    compute = ["streaming_cycles", "fill_drain_cycles"] if "streaming_cycles" in frame else ["compute_cycles"]
    return [*compute, *(c for c in frame.columns if c.startswith("stall_") and c.endswith("_cycles"))]


def cycle_shares(results: pd.DataFrame) -> pd.DataFrame:
    """Columns point, workload, design, total_cycles and the share of it that each cause took (shares sum to 1); 0 of a
    cause that the design's kind of array does not have.
    """
    results = with_streaming(results)
    parts = cycle_parts(results)
    shares = results[parts].astype(float).fillna(0.0).div(results["total_cycles"].astype(float), axis=0)
    return pd.concat([_keyed(results), results[["total_cycles"]], shares], axis=1).reset_index(drop=True)


def area_parts(results: pd.DataFrame, keep: int = 7) -> pd.DataFrame:
    """Columns design, point, total and one per part, in mm2; parts beyond the ``keep`` largest are summed as other.

    One row per distinct area of a design: workloads never change it, and a sweep only sometimes does.
    """
    columns = [c for c in results.columns if c.startswith("area_part_") and c.endswith("_um2")]
    names = {c: c.removeprefix("area_part_").removesuffix("_um2") for c in columns}
    parts = results[columns].astype(float).fillna(0.0).rename(columns=names) / 1e6
    total = results["area_total_um2"].astype(float) / 1e6
    parts = parts[parts.max().sort_values(ascending=False, kind="stable").index]
    parts = parts.loc[:, parts.gt(0).any()]
    rest = total - parts.iloc[:, :keep].sum(axis=1)
    parts = parts.iloc[:, :keep]
    if (rest > 1e-6 * total).any():
        parts = parts.assign(other=rest.clip(lower=0.0) + parts.get("other", 0.0))
    table = pd.concat([_keyed(results)[["design", "point"]], total.rename("total"), parts], axis=1)
    return table.drop_duplicates(["design", *table.columns[2:]]).reset_index(drop=True)


def layer_times(layers: pd.DataFrame, results: pd.DataFrame, limit: int = MAX_OPS) -> pd.DataFrame:
    """Columns op, design and seconds per cause for one workload at one sweep point, ops in execution order.

    Past ``limit`` ops only the longest ones stay, by their slowest design; those too short to see beside the longest go
    anyway.
    """
    layers = with_streaming(layers)
    parts = cycle_parts(layers)
    clock = dict(zip(results["design"], results["clock_mhz"], strict=True))
    hz = layers["design"].map(clock).astype(float) * 1e6
    times = layers[["op", "design"]].join(layers[parts].astype(float).div(hz, axis=0))
    longest = times.assign(all=times[parts].sum(axis=1)).groupby("op", sort=False)["all"].max()
    seen = longest[longest >= longest.max() / SHORTEST]
    times = times[times["op"].isin(seen.nlargest(limit, keep="first").index)]
    return times.groupby(["op", "design"], sort=False)[parts].sum().reset_index()


def best_points(results: pd.DataFrame, values: pd.Series) -> pd.DataFrame:
    """Columns design, point, value: the geometric mean of ``values`` over workloads, in the order of the records."""
    positive = values.astype(float).where(values.astype(float) > 0)
    table = _keyed(results).assign(value=np.log(positive))
    means = table.groupby(["design", "point"], sort=False)["value"].mean().dropna()
    return np.exp(means).reset_index()


def exactness(results: pd.DataFrame) -> tuple[int, int, int]:
    """Rows whose values equal the exact reference, rows checked, and all rows."""
    verdicts = [verdict(v) for v in results["exact"]] if "exact" in results else []
    return verdicts.count(True), len(verdicts) - verdicts.count(None), len(results)


def _keyed(results: pd.DataFrame) -> pd.DataFrame:
    keys = {"point": point_labels(results), "workload": results["workload"], "design": results["design"]}
    return pd.DataFrame(keys, dtype=object)
