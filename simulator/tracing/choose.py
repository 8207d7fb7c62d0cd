"""Which ops of a model to keep: ``0,5``, ``0-1`` or ``encoder.layer.0.*``."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

from simulator.errors import TraceError

__all__ = ["chooses", "layer_of", "select_ops"]

_LAYER = re.compile(r"(?:^|(?<=\.))(layers?\.?|blocks?\.|h\.)(\d+)(?=\.|$)")


def layer_of(op_name: str) -> int | None:
    """The number of the layer, block or stage in an op's name; None for an op outside all of them."""
    match = _LAYER.search(op_name)
    return int(match.group(2)) if match else None


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


def chooses(choice: str | None, name: str) -> bool:
    """Whether ``select_ops`` would keep that name; an item that names nothing is no error yet."""
    return choice is None or any(_matches(item.strip(), name) for item in choice.split(","))


def _matches(item: str, name: str) -> bool:
    match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", item)
    if match is None:
        return fnmatch.fnmatchcase(name, item)
    first, layer = int(match.group(1)), layer_of(name)
    return layer is not None and first <= layer <= int(match.group(2) or first)


def _available(names: Sequence[str]) -> str:
    """``layers 0-5, each with encoder.layer.N.qk, ...; head``: one line however deep the model."""
    layers = sorted({layer for name in names if (layer := layer_of(name)) is not None})
    inside = [name for name in names if layer_of(name) is not None]
    parts = dict.fromkeys(_LAYER.sub(r"\1N", name, count=1) for name in inside)
    outside = [name for name in names if layer_of(name) is None]
    spoken = [f"layers {layers[0]}-{layers[-1]}, each with {', '.join(parts)}"] if layers else []
    return "; ".join([*spoken, *([", ".join(outside)] if outside else [])])
