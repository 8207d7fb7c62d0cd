"""The table and the figure "Beside measurements": what ops took here, and on real hardware."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from simulator.report.formatting import elide, number
from simulator.report.plotted import point_labels, uniques
from simulator.report.style import GRID, INK, MUTED, WIDTH_IN, design_colours, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["measured_caption", "measured_figure", "measured_rows", "measured_table"]


def measured_rows(layers: pd.DataFrame) -> pd.DataFrame:
    """A row per measured op, design and sweep point: columns design, point, workload, op, measured_us, simulated_us,
    error (ours over the measured time, less one). Empty where a study has no measured times.
    """
    names = ["design", "point", "workload", "op", "measured_us", "simulated_us", "error"]
    if "measured_us" not in layers:
        return pd.DataFrame(columns=names)
    rows = layers.assign(point=point_labels(layers)).dropna(subset=["measured_us"]).reset_index(drop=True)
    return rows.assign(error=rows["simulated_us"] / rows["measured_us"] - 1)[names]


def _series(rows: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Design, sweep point and ops of each of them."""
    pairs = dict.fromkeys(zip(rows["design"].astype(str), rows["point"].astype(str), strict=True))
    return [(d, p, rows[(rows["design"] == d) & (rows["point"] == p)]) for d, p in pairs]


def _mean_error(own: pd.DataFrame) -> float:
    """Mean absolute error."""
    return float(own["error"].abs().mean())


def measured_table(layers: pd.DataFrame) -> pd.DataFrame:
    """The rows as texts, with the mean absolute error of each design and sweep point below its ops."""
    table: list[dict[str, str]] = []
    for design, point, own in _series(measured_rows(layers)):
        for _, row in own.iterrows():
            table.append(
                {
                    "Design": design,
                    "Point": point,
                    "Op": str(row["op"]),
                    "Measured (µs)": number(row["measured_us"]),
                    "Ours (µs)": number(row["simulated_us"]),
                    "Error (%)": f"{100 * row['error']:+.1f}",
                }
            )
        mean = f"{100 * _mean_error(own):.1f}"
        last = {"Op": "mean absolute error", "Measured (µs)": "", "Ours (µs)": "", "Error (%)": mean}
        table.append({"Design": design, "Point": point} | last)
    frame = pd.DataFrame(table, dtype=object)
    return frame.drop(columns="Point") if len(frame) and not frame["Point"].any() else frame


def measured_caption(results: pd.DataFrame, layers: pd.DataFrame, baseline: str | None) -> str:
    """Caption of the figure."""
    means = ", ".join(
        f"{design}{f' ({point})' if point else ''} {100 * _mean_error(own):.1f} %"
        for design, point, own in _series(measured_rows(layers))
    )
    return (
        "Left: time of each op here against its time on real hardware, both on a logarithmic scale; on the line they "
        f"are equal. Right: by how much ours is longer (right) or shorter. Mean absolute error: {means}."
    )


@styled
def measured_figure(results: pd.DataFrame, layers: pd.DataFrame, baseline: str | None) -> Figure | None:
    """Ours against measured, and the error of each op; None where nothing was measured."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = measured_rows(layers)
    if rows.empty:
        return None
    ops = uniques(rows["op"])
    figure = Figure(figsize=(WIDTH_IN, max(2.8, 0.9 + 0.24 * len(ops))), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    series = _series(rows)
    colours = design_colours(uniques(rows["design"]))
    for index, (design, point, own) in enumerate(series):
        colour = colours[design]["facecolor"]
        label = f"{design} ({point})" if point else design
        left.scatter(own["measured_us"], own["simulated_us"], s=24, color=colour, zorder=3, label=elide(label, 40))
        offset = (index + 0.5) / len(series) - 0.5
        places = [ops.index(op) + 0.8 * offset for op in own["op"]]
        right.barh(places, 100 * own["error"], height=0.7 / len(series), color=colour, zorder=3)
    _scales(left, rows)
    _errors(right, ops, rows)
    if len(series) > 1:
        left.legend(loc="upper left", fontsize=7, frameon=False)
    return figure


def _scales(axes: Axes, rows: pd.DataFrame) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    times = pd.concat([rows["measured_us"], rows["simulated_us"]])
    ends = (times.min() / 1.6, times.max() * 1.6)
    axes.plot(ends, ends, color=MUTED, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="measured (µs)", ylabel="ours (µs)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda t, _: f"{t:,.6g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(color=GRID)


def _errors(axes: Axes, ops: list[str], rows: pd.DataFrame) -> None:
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(ops)), [elide(op, 28) for op in ops])
    axes.set_ylim(len(ops) - 0.4, -0.6)
    widest = max(10.0, 110 * rows["error"].abs().max())
    axes.set_xlim(-widest, widest)
    axes.set_xlabel("ours over measured, less one (%)")
    axes.grid(axis="x", color=GRID)
