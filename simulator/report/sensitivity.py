"""What an analysis of sensitivity shows: CSV, ranking, tornado figures and one page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from simulator.report.atomic import write_bytes
from simulator.report.figures import FigureFile, save_figure
from simulator.report.formatting import ABSENT, is_missing, number, plural
from simulator.report.headline import Card
from simulator.report.page import facts_of, figure_view, render
from simulator.report.tables import TEXT_COLUMNS, latex_table, markdown_table
from simulator.report.tornado import METRIC_NAMES, changes, panels_of, short_names, strongest, swings, tornado_figure

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["ranking_table", "terminal_ranking", "write_sensitivity"]


def write_sensitivity(folder: Path, table: pd.DataFrame, manifest: dict[str, Any]) -> Path:
    """Writes ``sensitivity.csv``, manifest, tables, figures and page; returns the page.

    Raises: OutputError if the folder cannot be written.
    """
    write_bytes(folder / "sensitivity.csv", table.to_csv(index=False, lineterminator="\n").encode("utf-8"))
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False, default=str)
    write_bytes(folder / "manifest.json", f"{text}\n".encode())
    ranking = ranking_table(table, manifest["metric"], manifest["by"])
    write_bytes(folder / "tables" / "sensitivity.md", markdown_table(ranking).encode("utf-8"))
    write_bytes(folder / "tables" / "sensitivity.tex", latex_table(ranking).encode("utf-8"))
    figures = _figures(folder, table, manifest)
    page = render(
        "sensitivity.html.j2",
        scripted=False,
        manifest=manifest,
        cards=_cards(table, manifest),
        ranking=ranking,
        text_columns=TEXT_COLUMNS,
        metric=METRIC_NAMES[manifest["metric"]],
        figures=[figure_view(figure) for figure in figures],
        facts=facts_of(manifest),
    )
    return write_bytes(folder / "index.html", page.encode("utf-8"))


def ranking_table(table: pd.DataFrame, metric: str, by: float) -> pd.DataFrame:
    """One row per constant, strongest first, as texts: what it is, which design it moves most, and how far."""
    moved = changes(table, metric)
    rows = []
    for _, own in table.groupby("rank", sort=True):
        here = moved.loc[own.index]
        at = int(here.abs().max(axis=1).fillna(0.0).to_numpy().argmax())
        row = own.iloc[at]
        low, high = (float(here[way].iloc[at]) for way in ("low", "high"))
        rows.append(
            {
                "Rank": str(row["rank"]),
                "Constant": row["constant"],
                "Value": number(row["value"], 4),
                "Moves most": f"{row['design']} {row['point']}".strip() if row["swing"] > 0 else ABSENT,
                f"−{100 * by:g} %": _percent(low),
                f"+{100 * by:g} %": _percent(high),
                "Arrays resized": "yes" if own["resized"].any() else "no",
                "Source": row["source"],
            }
        )
    return pd.DataFrame(rows, dtype=object)


def _percent(change: float) -> str:
    """A relative change in percent: hundredths of one, or a dash."""
    return ABSENT if is_missing(change) else "0" if change == 0 else f"{100 * change:+.2f} %"


def terminal_ranking(table: pd.DataFrame, metric: str, by: float, top: int) -> Table:
    """The first ``top`` of ``ranking_table`` for a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    ranking = ranking_table(table, metric, by).drop(columns=["Source", "Arrays resized"]).head(top)
    ranking["Constant"] = short_names(ranking["Constant"].tolist())
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, title=f"what moves {METRIC_NAMES[metric]}", title_justify="left")
    for name in ranking.columns:
        shown.add_column(name, justify="left" if name in TEXT_COLUMNS else "right", overflow="fold")
    for cells in ranking.itertuples(index=False, name=None):
        shown.add_row(*cells)
    return shown


def _figures(folder: Path, table: pd.DataFrame, manifest: dict[str, Any]) -> list[FigureFile]:
    """A figure for each metric that anything moves, that of the ranking first; stale ones go."""
    written = []
    for metric in sorted(METRIC_NAMES, key=lambda name: name != manifest["metric"]):
        name = f"tornado_{metric}"
        figure = tornado_figure(table, metric, manifest["by"], manifest["baseline"], manifest["top"])
        if figure is None:
            for kind in ("png", "svg"):
                (folder / "figures" / f"{name}.{kind}").unlink(missing_ok=True)
            continue
        files = save_figure(figure, folder / "figures" / name)
        title = f"What moves {METRIC_NAMES[metric]}"
        written.append(FigureFile(name, title, _caption(table, metric, manifest), *files))
    return written


def _caption(table: pd.DataFrame, metric: str, manifest: dict[str, Any]) -> str:
    moving = sum(swing > 0 for swing in swings(table, metric).values())
    drawn = len(strongest(table, metric, manifest["top"]))
    text = (
        f"Each constant varied alone by {100 * manifest['by']:g} %: by how much the {METRIC_NAMES[metric]} of each "
        f"design over that of {manifest['baseline']} (geometric mean over workloads) then differs from the study's own."
    )
    if drawn < moving:
        text += f" The strongest {drawn} of {moving} constants that move it; all are in sensitivity.csv."
    known = len(table[["design", "point"]].drop_duplicates())
    shown = len(panels_of(table, metric))
    return text + (
        f" {shown} of {known} designs and sweep points are drawn, those that move most." if shown < known else ""
    )


def _cards(table: pd.DataFrame, manifest: dict[str, Any]) -> list[Card]:
    first = table.iloc[0]
    known, moving = table["constant"].nunique(), sum(s > 0 for s in swings(table, manifest["metric"]).values())
    resized = table.loc[table["resized"], "constant"].nunique()
    name = METRIC_NAMES[manifest["metric"]]
    cards = [
        Card(
            f"Largest change of {name}", f"{100 * first['swing']:.1f} %", f"{first['constant']}, first of the ranking"
        ),
        Card("Constants varied", f"{known:,}", f"{moving} move {name} at all"),
        Card("Left out", f"{len(manifest['left_out']):,}", "numbers that are choices, are 0 or cannot take the step"),
    ]
    if manifest["normalise"] != "none":
        note = f"choose other arrays under normalise: {manifest['normalise']}, which were simulated anew"
        cards.append(Card("Arrays resized by", plural(resized, "constant"), note))
    return cards
