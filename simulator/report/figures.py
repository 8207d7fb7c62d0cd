"""Every figure of a run: drawn, captioned and written twice, as PNG and as SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from simulator.report import captions
from simulator.report.accuracy import accuracy_caption, accuracy_figure
from simulator.report.atomic import write_bytes
from simulator.report.beside import series_points
from simulator.report.comparison import area_figure, cycles_figure, energy_figure
from simulator.report.drawing import Drawing
from simulator.report.measured import measured_caption, measured_figure
from simulator.report.per_op import per_op_figure
from simulator.report.plotted import uniques
from simulator.report.points import is_large, shortlist, with_letters
from simulator.report.published_lines import published_figure
from simulator.report.speedup import speedup_figure
from simulator.report.style import figure_style, styled
from simulator.report.sweep_figures import SWEEP_NAMES, fastest_ops, sweep_drawings
from simulator.report.throughput import throughput_figure
from simulator.report.tradeoff import tradeoff_figure
from simulator.report.zipped import with_zipped

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
    """One figure as the page shows it: where its files are, what to say under it and, by id, of its parts."""

    name: str
    title: str
    caption: str
    png: Path
    svg: Path
    notes: dict[str, str] = field(default_factory=dict)


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
_PNG_DPI, _DOTS_DPI = 160, 110
"""Of PNGs, and of the pictures of many dots inside an SVG."""
_OF_THE_BEST = ("energy", "cycles", "area")


@styled
def write_figures(
    results: pd.DataFrame, layers: pd.DataFrame, manifest: dict[str, Any], out_dir: Path
) -> list[FigureFile]:
    """Draws what the records allow into ``out_dir/figures``; the same records give the same bytes.

    Figures of an earlier run that these records do not give are removed.
    Returns: the figures in reading order; the per-op figures, one per workload, come last.
    Raises: OutputError if the folder cannot be written.
    """
    results = results[results["total_cycles"].notna()]  # points that failed or were not simulated have no numbers
    results, layers = (with_zipped(frame, manifest) for frame in (results, layers))
    folder = Path(out_dir) / "figures"
    written = _published(results, manifest, folder / _PUBLISHED)
    written += _accuracy(results, manifest, folder / _ACCURACY)
    large = is_large(results)
    of_points = [_written(drawing, folder) for drawing in sweep_drawings(results, layers, manifest.get("figures"))]
    bars = (
        _bars(results, layers, _baseline(results, manifest), folder)
        if not large
        else _few_bars(results, layers, folder)
    )
    written += [*of_points, *bars] if large else [*bars, *of_points]
    _forget_others(folder, {file for figure in written for file in (figure.png, figure.svg)})
    return sorted(written, key=lambda figure: figure.name.startswith("layers_"))


def _written(drawing: Drawing, folder: Path) -> FigureFile:
    files = save_figure(drawing.figure, folder / drawing.name)
    return FigureFile(drawing.name, drawing.title, drawing.caption, *files, notes=drawing.notes)


def _bars(results: pd.DataFrame, layers: pd.DataFrame, baseline: str | None, folder: Path) -> list[FigureFile]:
    """Bars of every result, and a figure of the ops of each workload."""
    written = []
    for plan, rows, ops in _planned(results, layers):
        figure = plan.draw(rows, ops, baseline)
        if figure is not None:
            drawing = Drawing(plan.name, plan.title, figure, plan.caption(rows, ops, baseline))
            written.append(_written(drawing, folder))
    return written


def _few_bars(results: pd.DataFrame, layers: pd.DataFrame, folder: Path) -> list[FigureFile]:
    """Of a large sweep: bars of its best points, and the ops of each design at its fastest."""
    rows, ops = with_letters(shortlist(results)), fastest_ops(results, layers)
    written = []
    for plan in [plan for plan in _PLANS if plan.name in _OF_THE_BEST]:
        figure = plan.draw(rows, layers.head(0), None) if len(rows) else None
        if figure is not None:
            text = f"{plan.caption(rows, layers.head(0), None)} Letters are those of the table of best points."
            written.append(_written(Drawing(plan.name, f"{plan.title}: best points", figure, text), folder))
    throughput = next(plan for plan in _PLANS if plan.name == "throughput")
    for plan, own, layers_ in [(throughput, results, layers), *_per_op(*ops[:2])]:
        figure = plan.draw(own, layers_, None)
        if figure is not None:
            text = plan.caption(own, layers_, None) + (ops[2] if plan is not throughput else "")
            written.append(_written(Drawing(plan.name, plan.title, figure, text), folder))
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
    for name in ("layers_*", *SWEEP_NAMES, _PUBLISHED, _ACCURACY, *(plan.name for plan in _PLANS)):
        for kind in ("png", "svg"):
            for stale in set(folder.glob(f"{name}.{kind}")) - kept:
                stale.unlink()


def _baseline(results: pd.DataFrame, manifest: dict[str, Any]) -> str | None:
    name = manifest.get("baseline")
    return name if name in set(results["design"]) else None


def _planned(results: pd.DataFrame, layers: pd.DataFrame) -> Iterator[tuple[_Plan, pd.DataFrame, pd.DataFrame]]:
    for plan in _PLANS:
        yield plan, results, layers
    yield from _per_op(results, layers)


def _per_op(results: pd.DataFrame, layers: pd.DataFrame) -> Iterator[tuple[_Plan, pd.DataFrame, pd.DataFrame]]:
    if layers.empty:
        return
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
    """PNG and SVG of a figure, laid out once for both, without dates or versions in them."""
    paths = []
    with figure_style():
        _lay_out(figure)
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
            content = io.BytesIO()
            figure.savefig(content, format=kind, metadata=metadata, dpi=_DOTS_DPI if kind == "svg" else _PNG_DPI)
            paths.append(write_bytes(stem.with_name(f"{stem.name}.{kind}"), content.getvalue()))
    return paths[0], paths[1]


def _lay_out(figure: Figure) -> None:
    """Place what is in a figure, once and for all: saving would do it for each file, and draw all of it to no end."""
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        if not axis.get_label_text():
            axis.set_label_coords(0, 0)  # else all labels of ticks are measured to find a place for nothing
    engine = figure.get_layout_engine()
    if engine is not None:
        figure.set_dpi(_PNG_DPI)
        engine.execute(figure)
        figure.set_layout_engine(None)
