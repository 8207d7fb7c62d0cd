"""What was made of late: caches that do not grow with the points."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

__all__ = ["held"]

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


def held(known: dict[_K, _V], key: _K, made: _V, most: int) -> _V:
    """``made``, kept among the last ``most``."""
    if len(known) >= most:
        del known[next(iter(known))]
    known[key] = made
    return made
