"""``docs/performance.md`` and its figure, from the results in ``benchmarks/results``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import yaml

from benchmarks.measure import DATA, Line

matplotlib.use("Agg")
from matplotlib import pyplot

ABOUT = yaml.safe_load((DATA / "about.yaml").read_text())
"""What is said about each part, in their order; first the introduction."""


def write_page(results: Path, page: Path) -> None:
    """Write the page and, beside it, ``figures/growth.svg``, from every part that there is."""
    records = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    order = [*ABOUT, *(r["part"] for r in records)]
    records.sort(key=lambda record: order.index(record["part"]))
    parts = [(record, [_line(x) for x in record["lines"]]) for record in records]
    page.parent.mkdir(parents=True, exist_ok=True)
    sections = [ABOUT["introduction"], _goals(parts)]
    for record, lines in parts:
        sections.append(_section(record, lines))
        if any(line.size for line in lines):
            draw(lines, page.parent / "figures" / "growth.svg")
            sections.append("![Cost against size](figures/growth.svg)\n")
    page.write_text("\n".join(sections))


def _line(record: dict[str, Any]) -> Line:
    known = {k: v for k, v in record.items() if k != "ratio"}
    return Line(**known | {"pairs": tuple(known["pairs"])})


def _goals(parts: list[tuple[dict[str, Any], list[Line]]]) -> str:
    rows = ["## What was aimed at\n", "| what | aimed at | found | |", "| :--- | ---: | ---: | :--- |"]
    for _, lines in parts:
        for line in lines:
            if line.met is None:
                continue
            verdict = "yes" if line.met else "**no**"
            if line.limit is not None:
                rows.append(f"| {line.what} | under {line.limit:g} {line.unit} | {_number(line.rate)} | {verdict} |")
            else:
                aim, found = f"{_number(line.goal)}×", f"{_number(line.ratio)}×"
                rows.append(f"| {line.what}, {line.unit}, over {line.yardstick} | {aim} | {found} | {verdict} |")
    return "\n".join(rows) + "\n"


def _section(record: dict[str, Any], lines: list[Line]) -> str:
    machine = record["machine"]
    setting = ", ".join(f"{k} {v}" for k, v in machine.items())
    rows = [f"## {record['part'].replace('_', ' ')}\n"]
    if record["part"] in ABOUT:
        rows.append(ABOUT[record["part"]] + "\n")
    rounds = max(len(line.pairs) for line in lines) or record["rounds"]
    rows.append(f"{rounds} round{'s' * (rounds > 1)}; {setting}.\n")
    rows += ["| what | unit | ours | yardstick | its | better by |", "| :--- | :--- | ---: | :--- | ---: | ---: |"]
    for x in lines:
        numbers = f"{_number(x.rate)} | {x.yardstick} | {_number(x.yardstick_rate)} | {_number(x.ratio)}×"
        rows.append(f"| {x.what} | {x.unit} | {numbers} |")
    return "\n".join(rows) + "\n"


def _number(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def draw(lines: list[Line], path: Path) -> None:
    """Cost against size on logarithmic axes, a line per series, each with a dotted one of linear growth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    matplotlib.rcParams["svg.hashsalt"] = "olivine"
    figure, axes = pyplot.subplots(figsize=(6, 4))
    series: dict[str, list[Line]] = {}
    for line in lines:
        series.setdefault(line.what.split(":")[0], []).append(line)
    for name, points in series.items():
        sizes = [point.size for point in points]
        (drawn,) = axes.loglog(sizes, [point.rate for point in points], marker="o", label=name)
        second = points[min(1, len(points) - 1)]
        linear = [second.rate * size / second.size for size in sizes]
        axes.loglog(sizes, linear, ":", color=drawn.get_color(), linewidth=1)
    axes.plot([], [], ":", color="grey", label="linear growth from the second size")
    axes.set_xlabel("tiles, or layers")
    axes.set_ylabel("CPU seconds")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
