"""What is in a trace, one row per op, from the manifest alone."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from simulator.tracing.manifest import OpRecord
from simulator.tracing.store import SIDES, Trace

__all__ = ["describe"]


def describe(trace: Trace) -> list[dict[str, Any]]:
    """One row per op, in the trace's order.

    Columns: ``name, kind, M, N, K, count, macs``, ``bytes`` of both operands as stored [byte], and for each operand
    ``x`` in a, w: ``x_bytes``, ``x_absmax``, ``x_sigma``, ``x_max_over_sigma`` (0 when sigma is 0) and
    ``x_share_3sigma``, the share of elements further than 3 sigma from the mean (0..1).
    """
    return [_row(record) for record in trace.manifest.ops]


def _row(record: OpRecord) -> dict[str, Any]:
    op = record.op
    row: dict[str, Any] = {key: getattr(op, key) for key in ("name", "kind", "M", "N", "K", "count", "macs")}
    row["bytes"] = sum(_stored_bytes(record, side) for side in SIDES)
    for side in SIDES:
        stats = record.stats.a if side == "a" else record.stats.w
        row[f"{side}_bytes"] = _stored_bytes(record, side)
        row[f"{side}_absmax"] = stats.absmax
        row[f"{side}_sigma"] = stats.sigma
        row[f"{side}_max_over_sigma"] = stats.absmax / stats.sigma if stats.sigma else 0.0
        row[f"{side}_share_3sigma"] = stats.share_3sigma
    return row


def _stored_bytes(record: OpRecord, side: Literal["a", "w"]) -> int:
    elements = int(np.prod(record.stored_shape(side)))
    return elements * np.dtype(record.operand(side).dtype).itemsize
