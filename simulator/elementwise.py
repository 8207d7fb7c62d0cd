"""Arithmetic that reads the same for one design, as numbers, and for many at once, as arrays of an entry each.

Sums, products and comparisons do so by themselves, and give each entry the bits that it would have alone; what follows
does not.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["anywhere", "everywhere", "is_close", "larger", "ratio", "whole"]


def everywhere(condition: Any) -> bool:
    """Whether it holds for all of them."""
    return bool(condition.all()) if isinstance(condition, np.ndarray) else bool(condition)


def anywhere(condition: Any) -> bool:
    """Whether it holds for any of them."""
    return bool(condition.any()) if isinstance(condition, np.ndarray) else bool(condition)


def is_close(one: Any, other: Any, rel_tol: float) -> bool:
    """Whether all of them are within that share of each other."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return bool((np.abs(one - other) <= rel_tol * np.maximum(np.abs(one), np.abs(other))).all())
    return math.isclose(one, other, rel_tol=rel_tol)


def larger(one: Any, other: Any) -> Any:
    """The larger of two."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.maximum(one, other)
    return max(one, other)


def ratio(above: Any, below: Any, otherwise: float) -> Any:
    """A quotient; ``otherwise`` where there is nothing below the line."""
    if isinstance(below, np.ndarray):
        return np.where(below != 0, above / np.where(below != 0, below, 1), otherwise)
    return above / below if below else otherwise


def whole(number: Any) -> Any:
    """A whole number as an integer."""
    return number.astype(np.int64) if isinstance(number, np.ndarray) else int(number)
