"""Why a point has no result."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Failure"]


@dataclass(frozen=True)
class Failure:
    """Why a point has no result: one line. ``final``: it would fail again, so that it is not tried again; ``kind``: the
    name of what was raised.
    """

    reason: str
    kind: str = "OlivineError"
    final: bool = True
