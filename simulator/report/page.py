"""One page that shows the whole run and needs nothing but itself: styles, script and figures are inside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from simulator.report.accountings import accountings_table
from simulator.report.accuracy import accuracy_note, accuracy_table
from simulator.report.atomic import write_bytes
from simulator.report.beside import beside_table
from simulator.report.counts_table import counts_table
from simulator.report.figures import FigureFile
from simulator.report.formatting import ABSENT, is_missing, number
from simulator.report.grid import Grid, data_of, rows_of
from simulator.report.headline import headline_cards
from simulator.report.inline_svg import inline_svg
from simulator.report.measured import measured_table
from simulator.report.op_table import op_grid
from simulator.report.pareto import varying
from simulator.report.points import is_large, layers_of, shortlist, swept_together
from simulator.report.problems import problems
from simulator.report.summary import best_table, results_grid
from simulator.report.sweep_figures import undrawn
from simulator.report.tables import TEXT_COLUMNS

__all__ = ["facts_of", "figure_view", "render", "write_page"]

_TEMPLATES = Path(__file__).parent / "templates"
_VENDOR = Path(__file__).parent / "vendor"


def write_page(
    run_dir: Path,
    results: pd.DataFrame,
    layers: pd.DataFrame,
    manifest: dict[str, Any],
    figures: Sequence[FigureFile],
) -> Path:
    """Writes ``run_dir/index.html`` from the records and the figures already drawn; returns its path.

    Raises: OutputError if it cannot be written.
    """
    published, measured = manifest.get("published"), manifest.get("measured")
    large, swept = is_large(results), swept_together(results)
    table = results_grid(results)
    page = render(
        "index.html.j2",
        scripted=True,
        manifest=manifest,
        cards=headline_cards(results, layers, manifest),
        best=best_table(results) if large else None,
        results=table,
        front=[objective.name for objective in varying(results)] if swept and len(varying(results)) > 1 else [],
        front_file=(Path(run_dir) / "tables" / "pareto.md").exists(),
        axes=[axis.removeprefix("axis:") for first, rest in swept.items() for axis in (first, *rest)],
        problems=[(name, table) for name, table in problems(results, manifest).items()],
        text_columns=(*TEXT_COLUMNS, *(c.name for c in table.columns if not c.numeric)),
        beside=beside_table(results, published) if published else None,
        accountings=accountings_table(manifest["beside"]) if manifest.get("beside") else None,
        accuracy=accuracy_table(results, manifest["accuracy"]) if manifest.get("accuracy") else None,
        accuracy_note=accuracy_note(manifest["accuracy"]) if manifest.get("accuracy") else "",
        measured=measured_table(layers) if measured else None,
        figures=[figure_view(f) for f in figures if not f.name.startswith("layers_")],
        undrawn=undrawn(results, manifest.get("figures")),
        op_figures=[figure_view(f) for f in figures if f.name.startswith("layers_")],
        ops=op_grid(layers, results),
        counts=counts_table(layers_of(layers, shortlist(results)) if large else layers),
        designs=[_design(d) for d in manifest.get("designs") or []],
        workloads=manifest.get("workloads") or [],
        prices=manifest.get("prices") or [],
        facts=facts_of(manifest),
        assumptions=manifest.get("assumptions") or [],
    )
    return write_bytes(Path(run_dir) / "index.html", page.encode("utf-8"))


def render(name: str, *, scripted: bool, **records: Any) -> str:
    """A template of this package with the styles of all pages and, where one has such tables, the script of grids."""
    library, own = _VENDOR / "datatables" / "dataTables.min.js", _TEMPLATES / "grid.js"
    script = "\n".join(path.read_text(encoding="utf-8").rstrip() for path in (library, own)) if scripted else ""
    return str(
        _template(name).render(
            css=_safe((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
            script=_safe(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() if scripted else "",
            **records,
        )
    )


def _template(name: str) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": _quantity, "flat": flat_items, "rows": rows_of, "data": _data}
    return environment.get_template(name)


def _safe(text: str) -> Any:
    """Marks this package's own text, never a user's, as ready for the page."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704


def _data(grid: Grid) -> Any:
    """The values of a table as JSON that may stand inside a page: nothing in it ends the element it is in."""
    from jinja2.utils import htmlsafe_json_dumps

    return htmlsafe_json_dumps(data_of(grid), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def figure_view(figure: FigureFile) -> dict[str, Any]:
    """A figure as templates show it: drawn inside the page, its files beside it."""
    svg = inline_svg(figure.svg.read_text(encoding="utf-8"), figure.name, figure.title, figure.notes)
    files = {kind: f"figures/{getattr(figure, kind).name}" for kind in ("svg", "png")}
    return {"name": figure.name, "title": figure.title, "caption": figure.caption, "svg": _safe(svg), "files": files}


def _design(design: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": design.get("name", ABSENT),
        "sha256": design.get("sha256"),
        "cost_library": design.get("cost_library"),
        "settings": list(flat_items(design.get("resolved") or {})),
    }


def flat_items(value: Any, path: str = "") -> Iterable[tuple[str, str]]:
    """Dotted path and text of every leaf of nested dicts and lists of dicts."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flat_items(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for i, inner in enumerate(value):
            yield from flat_items(inner, f"{path}[{i}]")
    else:
        yield path, _leaf(value)


def _leaf(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_leaf, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None or value == {} else str(value)


def _quantity(value: Any) -> str:
    """A price: at most four significant digits, or a dash."""
    if is_missing(value) or isinstance(value, str):
        return ABSENT if is_missing(value) else str(value)
    text = number(value, 4)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def facts_of(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    """What to quote to get the same run again."""
    named = [
        ("Command", "command"),
        ("Created (UTC)", "created_utc"),
        ("Olivine", "olivine_version"),
        ("Code SHA-256", "code_sha256"),
        ("Seed", "seed"),
        ("Fidelity", "fidelity"),
        ("Baseline", "baseline"),
    ]
    facts = [(label, _leaf(manifest[key])) for label, key in named if key in manifest]
    facts += [(f"{name} version", text) for name, text in flat_items(manifest.get("versions") or {}) if name]
    return facts + [
        (f"Time: {name.replace('_', ' ')}", text) for name, text in flat_items(manifest.get("timings") or {}) if name
    ]
