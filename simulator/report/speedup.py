"""The speedup figure: bars per workload and their geometric mean; with a sweep, bars or a line per sweep point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from simulator.report.formatting import elide, wrapped
from simulator.report.plotted import GEOMEAN, axes_of, speedups, uniques
from simulator.report.style import GRID, INK, MUTED, PAPER, WIDTH_IN, design_colours, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Strip", "speedup_figure", "speedup_strips"]

_MAX_BARS = 60
_MAX_STRIPS = 16
_LINES = ("-", "--", ":", "-.")
_PLOT_IN = WIDTH_IN - 0.7

Colours = dict[str, dict[str, str]]


class Strip(NamedTuple):
    """One axes: its title, the column its groups come from, the groups, and whether lines join them."""

    title: str
    column: str
    groups: list[str]
    lines: bool

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """The speedups it draws."""
        other = "point" if self.column == "workload" else "workload"
        return table[table[self.column].isin(self.groups) & (table[other] == self.title)]


def speedup_strips(results: pd.DataFrame, table: pd.DataFrame) -> list[Strip]:
    """How the speedups fall into axes: one, or one per workload of a sweep, cut where the bars would be too thin.

    A long sweep of one numeric field becomes lines instead. Of too many axes only the geometric means stay, then only
    the first.
    """
    swept = table["point"].nunique() > 1
    title, column = ("workload", "point") if swept else ("point", "workload")
    groups, designs = uniques(table[column]), table["design"].nunique()
    axes = axes_of(results)
    numeric = len(axes) == 1 and pd.api.types.is_numeric_dtype(results[axes[0]])
    lines = swept and numeric and len(groups) * designs > _MAX_BARS
    pieces = 1 if lines else -(-len(groups) * designs // _MAX_BARS)
    size = -(-len(groups) // pieces)
    cuts = [groups[i : i + size] for i in range(0, len(groups), size)]
    strips = [Strip(name, column, cut, lines) for name in uniques(table[title]) for cut in cuts]
    if len(strips) > _MAX_STRIPS:
        strips = [strip for strip in strips if strip.title == GEOMEAN] or strips
    return strips[:_MAX_STRIPS]


@styled
def speedup_figure(results: pd.DataFrame, layers: pd.DataFrame, baseline: str | None) -> Figure | None:
    """Speedup over the baseline, values written on the bars, the baseline a line at 1; None without a baseline."""
    from matplotlib.figure import Figure

    table = speedups(results)
    if baseline is None or table.empty:
        return None
    colours = design_colours(uniques(results["design"]))
    if len(table) == table["design"].nunique():
        return _plain_bars(table, colours, baseline)
    strips = speedup_strips(results, table)
    named = [
        strip is strips[-1] or strip.groups != after.groups
        for strip, after in zip(strips, strips[1:] + strips[-1:], strict=True)
    ]
    figure = Figure(figsize=(WIDTH_IN, 0.5 + 1.65 * len(strips) + 0.25 * sum(named)), layout="constrained")
    grid = figure.subplots(len(strips), 1, squeeze=False, sharey=True)[:, 0]
    slots = max(len(strip.groups) for strip in strips)
    for axes, strip, name in zip(grid, strips, named, strict=True):
        _strip(axes, strip, strip.rows(table), colours, slots)
        axes.set_ylabel(f"speedup over\n{elide(baseline, 24)}")
        _group_names(axes, strip.groups if name else [""] * len(strip.groups), _PLOT_IN / slots)
        axes.set_xlim(-0.55, slots - 0.45)
    grid[0].set_ylim(0, table["speedup"].max() * (1.16 if _bar_inches(colours, slots) > 0.3 else 1.28))
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper left", ncols=_legend_columns(colours))
    return figure


def _plain_bars(table: pd.DataFrame, colours: Colours, baseline: str) -> Figure:
    """One workload at one point: a bar per design with its name under it needs no legend."""
    from matplotlib.figure import Figure

    wide = min(WIDTH_IN, 1.1 + 1.15 * len(table))
    figure = Figure(figsize=(wide, 2.3), layout="constrained")
    axes = figure.subplots()
    for i, (design, height) in enumerate(zip(table["design"], table["speedup"], strict=True)):
        axes.bar(i, height, 0.62, edgecolor=PAPER, linewidth=0.4, **colours[design])  # type: ignore[arg-type]
        _value(axes, i, height, upright=False)
    _ground(axes)
    axes.set_ylim(0, table["speedup"].max() * 1.16)
    axes.set_ylabel(f"speedup over\n{elide(baseline, 30)}")
    axes.set_title(elide(table["workload"].iloc[0], 60))
    _group_names(axes, table["design"].tolist(), (wide - 0.7) / len(table))
    return figure


def _bar_inches(colours: Colours, slots: int) -> float:
    return _PLOT_IN * 0.82 / len(colours) / slots


def _strip(axes: Axes, strip: Strip, table: pd.DataFrame, colours: Colours, slots: int) -> None:
    places = {group: i for i, group in enumerate(strip.groups)}
    wide = 0.82 / len(colours)
    for k, (design, look) in enumerate(colours.items()):
        rows = table[table["design"] == design]
        x, y = [places[g] for g in rows[strip.column]], rows["speedup"].tolist()
        label = elide(design, 34)
        if strip.lines:
            style = {"color": look["facecolor"], "linestyle": _LINES[k // 8 % len(_LINES)]}
            axes.plot(x, y, marker="o", markersize=3, linewidth=1.2, label=label, **style)  # type: ignore[arg-type]
            continue
        at = [place + (k - (len(colours) - 1) / 2) * wide for place in x]
        axes.bar(at, y, wide * 0.94, edgecolor=PAPER, linewidth=0.4, label=label, **look)  # type: ignore[arg-type]
        for left, height in zip(at, y, strict=True):
            _value(axes, left, height, upright=_bar_inches(colours, slots) < 0.3)
    _ground(axes)
    axes.set_title(elide(strip.title, 90))
    if places.get(GEOMEAN):
        axes.axvline(places[GEOMEAN] - 0.5, color=MUTED, linewidth=0.5, linestyle=":")


def _ground(axes: Axes) -> None:
    """The baseline's line and the grid."""
    axes.axhline(1, color=INK, linewidth=0.7, linestyle=(0, (4, 2)), zorder=3)
    axes.grid(axis="y")
    axes.tick_params(axis="x", length=0)
    axes.locator_params(axis="y", nbins=5)


def _value(axes: Axes, x: float, height: float, *, upright: bool) -> None:
    axes.annotate(
        f"{height:.2f}" if height < 10 else f"{height:.1f}",
        (x, height),
        xytext=(0, 3),
        textcoords="offset points",
        ha="left" if upright else "center",
        va="center_baseline" if upright else "bottom",
        rotation=90 if upright else 0,
        rotation_mode="anchor",
        fontsize=6.5 if upright else 7,
        zorder=4,  # above the dashed line
        bbox={"boxstyle": "square,pad=0.1", "facecolor": PAPER, "edgecolor": "none"},
    )


def _group_names(axes: Axes, groups: Sequence[str], wide: float) -> None:
    """Names under the groups: of a sweep its fields as rows, each value under the groups that share it; else names,
    slanted where ``wide`` inches each are too few.
    """
    parts = [group.split(", ") for group in groups]
    settings = [dict(part.split("=", 1) for part in own) for own in parts if all("=" in part for part in own)]
    if len(settings) == len(groups) and len({tuple(each) for each in settings}) == 1:
        _rows_of_fields(axes, settings, wide)
        return
    names = [elide(group, 24) for group in groups]
    slanted = 0.066 * max(map(len, names)) > wide
    look: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(range(len(names)), names, **look)


def _rows_of_fields(axes: Axes, settings: Sequence[dict[str, str]], wide: float) -> None:
    """A row per swept field, the last one nearest to the bars; a value is written once for groups in a row that share
    it and all values further out; lines part the groups.
    """
    fields = list(settings[0])
    axes.set_xticks(range(len(settings)), [""] * len(settings))
    if len(fields) == 1:
        axes.set_xticks(range(len(settings)), [_fitted(each[fields[0]], wide) for each in settings])
        axes.set_xlabel(fields[0])
        return
    for row, field in enumerate(reversed(fields)):
        outer = fields[: len(fields) - row]
        runs = _runs([tuple(each[name] for name in outer) for each in settings])
        for first, last in runs:
            middle, span = (first + last) / 2, (last - first + 1) * wide
            _under(axes, middle, row, _fitted(settings[first][field], span), "center")
            if row and first:
                axes.axvline(first - 0.5, color=GRID, linewidth=0.5 + 0.4 * row, zorder=0)
        _under(axes, -0.6, row, wrapped(field, 26), "right")


def _runs(keys: Sequence[Any]) -> list[tuple[int, int]]:
    """First and last place of each run of equal keys."""
    starts = [i for i, key in enumerate(keys) if i == 0 or key != keys[i - 1]]
    return [(start, end - 1) for start, end in zip(starts, [*starts[1:], len(keys)], strict=True)]


def _under(axes: Axes, x: float, row: int, text: str, side: str) -> None:
    axes.annotate(
        text, (x, 0), xytext=(0, -4 - 13 * row), xycoords=("data", "axes fraction"), textcoords="offset points",
        ha=side, va="top", fontsize=6.5 if side == "center" else 5.5, annotation_clip=False, linespacing=0.95,
        color=INK if side == "center" else MUTED,
    )  # fmt: skip


def _fitted(text: str, wide: float) -> str:
    return elide(text, max(3, int(wide / 0.06)))


def _legend_columns(colours: Colours) -> int:
    widest = max(len(elide(name, 34)) for name in colours)
    return max(1, min(len(colours), int(WIDTH_IN / (0.068 * widest + 0.4))))
