"""What was made of late: caches that do not grow with the points."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

__all__ = ["held"]

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


def held(known: dict[_K, _V], key: _K, made: _V, most: int) -> _V:
    """``made``, kept; what there is before is forgotten when it is as much as ``most``. (To look for the oldest of a
    dict that is always full takes longer with every one that was removed.)
    """
    if len(known) >= most:
        known.clear()
    known[key] = made
    return made
