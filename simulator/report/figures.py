"""Every figure of a run: drawn, captioned and written twice, as PNG and as SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from simulator.report import captions
from simulator.report.accuracy import accuracy_caption, accuracy_figure
from simulator.report.atomic import write_bytes
from simulator.report.beside import series_points
from simulator.report.comparison import area_figure, cycles_figure, energy_figure
from simulator.report.measured import measured_caption, measured_figure
from simulator.report.per_op import per_op_figure
from simulator.report.plotted import uniques
from simulator.report.published_lines import published_figure
from simulator.report.speedup import speedup_figure
from simulator.report.style import figure_style
from simulator.report.throughput import throughput_figure
from simulator.report.tradeoff import tradeoff_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "FigureFile",
    "area_figure",
    "cycles_figure",
    "energy_figure",
    "per_op_figure",
    "save_figure",
    "speedup_figure",
    "throughput_figure",
    "tradeoff_figure",
    "write_figures",
]

Draw = Callable[[pd.DataFrame, pd.DataFrame, str | None], "Figure | None"]
Caption = Callable[[pd.DataFrame, pd.DataFrame, str | None], str]


@dataclass(frozen=True)
class FigureFile:
    """One figure as the page shows it: where its files are and what to say under it."""

    name: str
    title: str
    caption: str
    png: Path
    svg: Path


@dataclass(frozen=True)
class _Plan:
    name: str
    title: str
    draw: Draw
    caption: Caption


_PLANS = (
    _Plan("measured", "Beside measurements", measured_figure, measured_caption),
    _Plan("speedup", "Speedup", speedup_figure, captions.speedup),
    _Plan("throughput", "Tokens per second and energy per token", throughput_figure, captions.throughput),
    _Plan("energy", "Energy by component", energy_figure, captions.energy),
    _Plan("sqnr_energy", "Accuracy against energy", tradeoff_figure, captions.tradeoff),
    _Plan("cycles", "Where the cycles go", cycles_figure, captions.cycles),
    _Plan("area", "Area by part", area_figure, captions.area),
)


_PUBLISHED, _ACCURACY = "published", "accuracy_cost"


def write_figures(
    results: pd.DataFrame, layers: pd.DataFrame, manifest: dict[str, Any], out_dir: Path
) -> list[FigureFile]:
    """Draws what the records allow into ``out_dir/figures``; the same records give the same bytes.

    Figures of an earlier run that these records do not give are removed.
    Returns: the figures in reading order; the per-op figures, one per workload, come last.
    Raises: OutputError if the folder cannot be written.
    """
    results = results[results["total_cycles"].notna()]  # points that failed or were not simulated have no numbers
    baseline = _baseline(results, manifest)
    written = _published(results, manifest, Path(out_dir) / "figures" / _PUBLISHED)
    written += _accuracy(results, manifest, Path(out_dir) / "figures" / _ACCURACY)
    for plan, rows, ops in _planned(results, layers):
        figure = plan.draw(rows, ops, baseline)
        if figure is not None:
            files = save_figure(figure, Path(out_dir) / "figures" / plan.name)
            written.append(FigureFile(plan.name, plan.title, plan.caption(rows, ops, baseline), *files))
    _forget_others(Path(out_dir) / "figures", {file for figure in written for file in (figure.png, figure.svg)})
    return written


def _published(results: pd.DataFrame, manifest: dict[str, Any], stem: Path) -> list[FigureFile]:
    """The paper's lines beside ours, if it has any."""
    figure = published_figure(series_points(results, manifest.get("published") or {}))
    if figure is None:
        return []
    return [FigureFile(_PUBLISHED, "Beside the paper", captions.published(manifest), *save_figure(figure, stem))]


def _accuracy(results: pd.DataFrame, manifest: dict[str, Any], stem: Path) -> list[FigureFile]:
    """A real model's accuracy against costs, if the study has one."""
    about = manifest.get("accuracy")
    figure = accuracy_figure(results, about) if about else None
    if not about or figure is None:
        return []
    title = "A real model's accuracy against energy, time and area"
    return [FigureFile(_ACCURACY, title, accuracy_caption(about), *save_figure(figure, stem))]


def _forget_others(folder: Path, kept: set[Path]) -> None:
    for name in ("layers_*", _PUBLISHED, _ACCURACY, *(plan.name for plan in _PLANS)):
        for kind in ("png", "svg"):
            for stale in set(folder.glob(f"{name}.{kind}")) - kept:
                stale.unlink()


def _baseline(results: pd.DataFrame, manifest: dict[str, Any]) -> str | None:
    name = manifest.get("baseline")
    return name if name in set(results["design"]) else None


def _planned(results: pd.DataFrame, layers: pd.DataFrame) -> Iterator[tuple[_Plan, pd.DataFrame, pd.DataFrame]]:
    for plan in _PLANS:
        yield plan, results, layers
    workloads = uniques(layers["workload"])
    slugs = _slugs(workloads)
    for workload in workloads:
        title = f"Time per op: {workload}"
        plan = _Plan(f"layers_{slugs[workload]}", title, per_op_figure, captions.per_op)
        yield plan, results[results["workload"] == workload], layers[layers["workload"] == workload]


def _slugs(names: list[str]) -> dict[str, str]:
    """A distinct file name part for each name, whatever is in it."""
    slugs: dict[str, str] = {}
    for name in names:
        slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:40] or "workload"
        while slug in slugs.values():
            slug += "_2"
        slugs[name] = slug
    return slugs


def save_figure(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """PNG and SVG of a figure, without dates or versions in them."""
    paths = []
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        content = io.BytesIO()
        with figure_style():
            figure.savefig(content, format=kind, metadata=metadata)
        paths.append(write_bytes(stem.with_name(f"{stem.name}.{kind}"), content.getvalue()))
    return paths[0], paths[1]
