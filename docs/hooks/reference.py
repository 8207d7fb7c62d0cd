"""The generated pages: commands, YAML fields, columns, datapaths, formats, what is shipped, assumptions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import typer
from fields import fields_page, options_table
from typer.cli import get_docs_for_click

from simulator import datapath, formats
from simulator.cli import app
from simulator.report.columns import COLUMNS
from simulator.study.assumptions import ASSUMPTIONS
from simulator.study.describe import LISTS, list_names

__all__ = ["generated_pages"]

Row = Sequence[str]

_EXITS = "Exit codes: 0 done, 1 a check or a point failed, 2 the input is wrong (one line on stderr), 130 interrupted."
_DATAPATHS = """# Datapaths

A datapath is what a PE computes with, in one file. `datapath: {name: ...}` of a design picks one; its other keys are
options. One of your own: [the tutorial](../tutorial.md).
"""
_FORMATS = """# Formats

A format turns real tensors into codes and back: `sim.formats.get(name)` in Python, `--format` of `olivine quantize`.
How they fare on the sample trace: [Number formats](../formats.md).
"""


def generated_pages() -> dict[str, str]:
    """Path of a page in docs/ -> its Markdown."""
    kinds = ("study", "design", "workload", "cost", "dram", "kernels")
    return {
        "assumptions.md": _assumptions(),
        "reference/commands.md": _commands(),
        **{f"reference/{kind}.md": fields_page(kind) for kind in kinds},
        "reference/columns.md": _columns(),
        "reference/datapaths.md": _datapaths(),
        "reference/formats.md": _formats(),
        "reference/shipped.md": _shipped(),
        "reference/python.md": (Path(__file__).parent / "python_api.md").read_text(encoding="utf-8"),
    }


def table(head: Row, rows: Iterable[Row]) -> str:
    """A Markdown table; bars in cells are escaped."""
    lines = [head, [":---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _assumptions() -> str:
    head = "# What the model takes for granted\n\nAlso printed in every report.\n\n"
    linked = (re.sub(r"docs/(\w+\.md)", r"[\1](\1)", text) for text in ASSUMPTIONS)
    return head + "".join(f"- {text}\n" for text in linked)


def _commands() -> str:
    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="olivine", title="Commands")
    return text.replace("**Usage**", f"{_EXITS}\n\n**Usage**", 1)


def _columns() -> str:
    def rows(name: str) -> Iterator[Row]:
        return ((f"`{c.name}`", c.unit, c.meaning) for c in COLUMNS if name in c.tables)

    head = ("Column", "Unit", "Meaning")
    return (
        "# Columns of the results\n\n`results.csv` and `.parquet` have a row per design, workload and sweep point,"
        " `layers.parquet` one per op and pass. A column that applies to no row is left out.\n\n"
        f"## results\n\n{table(head, rows('results'))}\n## layers\n\n{table(head, rows('layers'))}"
    )


def _datapaths() -> str:
    parts = [_DATAPATHS]
    for name in datapath.names():
        cls = datapath.get(name)
        module = _prose(inspect.getdoc(inspect.getmodule(cls)) or "")
        parts.append(
            f"## `{name}` {{#{name}}}\n\n{_prose(inspect.getdoc(cls) or '')}\n\n{module}\n\n{options_table(cls)}"
        )
    return "\n".join(parts)


def _formats() -> str:
    parts = [_FORMATS]
    for name in formats.names():
        cls = type(formats.get(name))
        parts.append(f"## `{name}` {{#{name}}}\n\n{_prose(inspect.getdoc(cls) or '')}\n\n{options_table(cls)}")
    return "\n".join(parts)


def _shipped() -> str:
    parts = ["# What is shipped\n\nAs `olivine list` prints it. A name does wherever a path does.\n"]
    for kind in LISTS:
        if kind not in ("datapaths", "formats"):
            entries = list_names(kind)
            rows = ((f"`{e['name']}`", *(e[column] for column in list(e)[1:])) for e in entries)
            parts.append(f"## {kind}\n\n{table([c.capitalize() for c in entries[0]], rows)}")
    return "\n".join(parts)


def _prose(docstring: str) -> str:
    """A docstring as Markdown: single backticks, and no sections that only Python callers need."""
    text = re.split(r"\n(?:Args|Attributes|Raises|Returns):", docstring)[0]
    spans = text.replace("``", "`").split("`")
    return "`".join(span if i % 2 else span.replace("*", r"\*") for i, span in enumerate(spans)).strip()
