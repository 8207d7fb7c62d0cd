"""Traces: weights and activations captured from real models, and the folder that holds them.

The submodules load on first use: what runs on shapes reads no trace.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.tracing.statistics_table import describe
    from simulator.tracing.store import Trace, open_trace
    from simulator.tracing.writer import TraceWriter

__all__ = ["Trace", "TraceWriter", "describe", "open_trace"]

_HOME = {"Trace": "store", "TraceWriter": "writer", "describe": "statistics_table", "open_trace": "store"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
