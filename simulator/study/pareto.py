"""Fronts of a result table: which rows no other row beats in every objective, and the volume that they dominate.

Both are exact, by moocore (Fonseca, Paquete and Lopez-Ibanez, An improved dimension-sweep algorithm for the
hypervolume indicator, CEC 2006; Kung, Luccio and Preparata, J. ACM 22(4), 1975).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["hypervolume", "log_hypervolume", "nondominated"]

Array = np.ndarray[Any, np.dtype[np.float64]]


def nondominated(values: Any, maximise: Sequence[bool] | bool = False) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows of ``values`` (points, objectives) no other row dominates.

    A row dominates another if it is as good in every objective and better in one; equal rows are both kept. Rows with
    a NaN are never on the front.

    Args:
        maximise: per objective, or for all of them.
    Returns: one bool per row.
    """
    import moocore

    table = _table(values)
    known = ~np.isnan(table).any(axis=1)
    front = np.zeros(len(table), dtype=bool)
    if known.any():
        front[known] = moocore.is_nondominated(_minimised(table[known], maximise), keep_weakly=True)
    return front


def hypervolume(values: Any, reference: Sequence[float] | Array, maximise: Sequence[bool] | bool = False) -> float:
    """Volume between the front of ``values`` (points, objectives) and ``reference``, a point worse than all of it.

    Rows that do not beat ``reference`` in every objective add nothing, and neither do rows with a NaN.
    Returns: the product of the objectives' units.
    """
    import moocore

    table = _table(values)
    table = _minimised(table[~np.isnan(table).any(axis=1)], maximise)
    corner = _minimised(np.asarray(reference, dtype=float)[None, :], maximise)[0]
    table = table[(table < corner).all(axis=1)]
    return float(moocore.hypervolume(table, ref=corner)) if len(table) else 0.0


def log_hypervolume(values: Any, reference: Sequence[float] | Array, maximise: Sequence[bool] | bool = False) -> float:
    """``hypervolume`` of the logarithms: of ratios, as latency, energy and area are drawn and compared.

    Raises: ValueError if a value is not above 0.
    """
    table, corner = _table(values), np.asarray(reference, dtype=float)
    if (table <= 0).any() or (corner <= 0).any():
        raise ValueError("logarithms need values above 0")
    return hypervolume(np.log(table), np.log(corner), maximise)


def _table(values: Any) -> Array:
    table = np.asarray(values, dtype=float)
    if table.ndim != 2:
        raise ValueError(f"values must be (points, objectives), got the shape {table.shape}")
    return table


def _minimised(table: Array, maximise: Sequence[bool] | bool) -> Array:
    """The same points with every objective to be minimised."""
    return np.ascontiguousarray(np.where(np.broadcast_to(maximise, table.shape[1:]), -table, table))
