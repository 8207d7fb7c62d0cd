"""Traces: weights and activations captured from real models, and the folder that holds them."""

from simulator.tracing.describe import describe
from simulator.tracing.store import Trace, open_trace
from simulator.tracing.writer import TraceWriter

__all__ = ["Trace", "TraceWriter", "describe", "open_trace"]
