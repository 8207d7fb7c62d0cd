"""Why a point has no result; kept without the place in a file, which another study that asks for the point has not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

__all__ = ["Failure", "placed", "unplaced"]

Steps = tuple[str | int, ...]
Where = Callable[[Steps], str]
"""Where a field of a document is written: ``file:line: dotted.path``."""
_STEP = re.compile(r"\[(\d+)\]|[^.\[\]]+")


@dataclass(frozen=True)
class Failure:
    """Why a point has no result: one line. ``final``: it would fail again, so that it is not tried again; ``kind``: the
    name of what was raised; ``of`` and ``field``: the document and its field by dotted path that the reason is about,
    where it is still to be said where that is written.
    """

    reason: str
    kind: str = "OlivineError"
    final: bool = True
    of: str = ""
    field: str = ""


def unplaced(failure: Failure, documents: Mapping[str, Where]) -> Failure:
    """A reason that begins with the place of a field of one of the documents, without it."""
    parts = failure.reason.split(": ")
    for name, where in documents.items():
        for i, field in enumerate(parts[1:-1], start=1):
            rest = ": ".join(parts[i + 1 :])
            if f"{where(_steps(field))}: {rest}" == failure.reason:
                return replace(failure, reason=rest, of=name, field=field)
    return failure


def placed(failure: Failure, documents: Mapping[str, Where]) -> Failure:
    """The inverse of ``unplaced``, by the documents of the study that asks."""
    if failure.of not in documents:
        return failure
    where = documents[failure.of](_steps(failure.field))
    return replace(failure, reason=f"{where}: {failure.reason}", of="", field="")


def _steps(field: str) -> Steps:
    return tuple(int(step[1]) if step[1] else step[0] for step in _STEP.finditer(field))
