"""Which ops of a model to keep: ``0,5``, ``0-1`` or ``encoder.layer.0.*``."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

from simulator.errors import TraceError

__all__ = ["layer_of", "select_ops"]

_LAYER = re.compile(r"\.layer\.(\d+)\.")


def layer_of(op_name: str) -> int:
    """The layer number in an op's name."""
    match = _LAYER.search(op_name)
    assert match, op_name
    return int(match.group(1))


def select_ops(choice: str | None, names: Sequence[str]) -> tuple[str, ...]:
    """The names that any item of a comma-separated ``choice`` names, in the order of ``names``; all for None.

    An item is a layer number, an inclusive range of them, or an fnmatch pattern on whole names.
    Raises: TraceError if an item names nothing, listing what there is.
    """
    if choice is None:
        return tuple(names)
    kept: set[str] = set()
    for item in (part.strip() for part in choice.split(",")):
        matching = [name for name in names if _matches(item, name)]
        if not matching:
            raise TraceError(f"layers '{item}' matches no op; available: {_available(names)}")
        kept.update(matching)
    return tuple(name for name in names if name in kept)


def _matches(item: str, name: str) -> bool:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", item)
    if match is None:
        return fnmatch.fnmatchcase(name, item)
    first = int(match.group(1))
    return first <= layer_of(name) <= int(match.group(2) or first)


def _available(names: Sequence[str]) -> str:
    """``layers 0-5, each with encoder.layer.N.qk, ...``: one line however deep the model."""
    layers = sorted({layer_of(name) for name in names})
    parts = dict.fromkeys(_LAYER.sub(".layer.N.", name) for name in names)
    return f"layers {layers[0]}-{layers[-1]}, each with {', '.join(parts)}"
