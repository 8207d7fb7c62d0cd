"""What is in a trace, one row per op."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from simulator.tracing.manifest import OpRecord
from simulator.tracing.store import SIDES, Side, Trace

__all__ = ["describe"]

_ITEM_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "int8": 1}


def describe(trace: Trace) -> list[dict[str, Any]]:
    """One row per op, in the trace's order.

    Columns: ``name, kind, M, N, K, count, macs``, ``bytes`` of both operands as stored [byte], and for each operand
    ``x`` in a, w: ``x_dtype``, ``x_bytes``, ``x_rows_kept`` (of each GEMM, all of them unless sampled), ``x_absmax``,
    ``x_sigma``, ``x_max_over_sigma`` (0 when sigma is 0), ``x_share_3sigma``, the share of elements further than 3
    sigma from the mean (0..1), ``x_kurtosis`` (excess), ``x_pairs_normal_normal``, ``x_pairs_outlier_normal`` and
    ``x_pairs_outlier_outlier``, shares of the (even, odd) neighbours along K (0..1), and ``x_feature_dims``, columns of
    K with a magnitude of 6 or more. Statistics are of all rows, also of those not kept.
    """
    return [_row(trace, record) for record in trace.manifest.ops]


def _row(trace: Trace, record: OpRecord) -> dict[str, Any]:
    op = record.op
    row: dict[str, Any] = {key: getattr(op, key) for key in ("name", "kind", "M", "N", "K", "count", "macs")}
    row["bytes"] = sum(_stored_bytes(record, side) for side in SIDES)
    for side in SIDES:
        stats, operand = trace.stats(record.name, side), record.operand(side)
        pairs = np.array(stats.pairs, float) / sum(stats.pairs or (1,))
        row |= {
            f"{side}_dtype": operand.dtype,
            f"{side}_bytes": _stored_bytes(record, side),
            f"{side}_rows_kept": operand.rows_kept or (op.M if side == "a" else op.N),
            f"{side}_absmax": stats.absmax,
            f"{side}_sigma": stats.sigma,
            f"{side}_max_over_sigma": stats.absmax / stats.sigma if stats.sigma else 0.0,
            f"{side}_share_3sigma": stats.share_3sigma,
            f"{side}_kurtosis": stats.kurtosis,
            f"{side}_pairs_normal_normal": float(pairs[0]),
            f"{side}_pairs_outlier_normal": float(pairs[1]),
            f"{side}_pairs_outlier_outlier": float(pairs[2]),
            f"{side}_feature_dims": stats.feature_dims,
        }
    return row


def _stored_bytes(record: OpRecord, side: Side) -> int:
    return math.prod(record.stored_shape(side)) * _ITEM_BYTES[record.operand(side).dtype]
