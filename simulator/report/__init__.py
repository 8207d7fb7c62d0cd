"""What a run shows its reader: tables, figures and one page, drawn from the run's records and from nothing else.

The submodules load on first use, so importing this room costs nothing until something is drawn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.report.figures import FigureFile, write_figures
    from simulator.report.page import write_page
    from simulator.report.run_folder import read_run, write_report
    from simulator.report.summary import summary_table
    from simulator.report.tables import latex_table, markdown_table
    from simulator.report.terminal import terminal_table

__all__ = [
    "FigureFile",
    "latex_table",
    "markdown_table",
    "read_run",
    "summary_table",
    "terminal_table",
    "write_figures",
    "write_page",
    "write_report",
]

_HOME = {
    "FigureFile": "figures",
    "latex_table": "tables",
    "markdown_table": "tables",
    "read_run": "run_folder",
    "summary_table": "summary",
    "terminal_table": "terminal",
    "write_figures": "figures",
    "write_page": "page",
    "write_report": "run_folder",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
