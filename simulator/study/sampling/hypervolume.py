"""How much of what can be had a set of points covers: the volume that it dominates.

Exact, by moocore (Fonseca, Paquete and Lopez-Ibanez, An improved dimension-sweep algorithm for the hypervolume
indicator, CEC 2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["hypervolume", "log_hypervolume"]

Flags = Sequence[bool] | bool


def hypervolume(values: Any, reference: Any, maximise: Flags = False) -> float:
    """Volume between the front of ``values`` and ``reference``, a point that is worse than all of it.

    Args:
        values: (points, objectives). Points that do not beat ``reference`` in every objective add nothing, and neither
            do points with a NaN.
        reference: one value per objective.
        maximise: whether more is better, per objective or for all.
    Returns: the product of the objectives' units.
    """
    import moocore

    table = _minimised(_table(values), maximise)
    corner = _minimised(np.asarray(reference, dtype=float)[None, :], maximise)[0]
    inside = np.ascontiguousarray(table[(table < corner).all(axis=1)])  # a NaN is below nothing
    return float(moocore.hypervolume(inside, ref=corner)) if len(inside) else 0.0


def log_hypervolume(values: Any, reference: Any, maximise: Flags = False) -> float:
    """``hypervolume`` of the logarithms: halving an objective counts the same wherever it is halved.

    Raises: ValueError if a value is not above 0.
    """
    table, corner = _table(values), np.asarray(reference, dtype=float)
    if (table <= 0).any() or (corner <= 0).any():
        raise ValueError("logarithms need values above 0")
    return hypervolume(np.log(table), np.log(corner), maximise)


def _table(values: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    table = np.asarray(values, dtype=float)
    if table.ndim != 2:
        raise ValueError(f"values must be (points, objectives), got the shape {table.shape}")
    return table


def _minimised(table: np.ndarray[Any, Any], maximise: Flags) -> np.ndarray[Any, Any]:
    """The same points with every objective to be minimised."""
    return np.where(np.broadcast_to(maximise, table.shape[1:]), -table, table)
