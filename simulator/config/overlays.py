"""Changes by dotted path laid over a design's document, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from simulator.config.load import Source, apply_overrides

__all__ = ["Overlay", "for_datapath", "for_dram", "lay"]

Overlay = tuple[str, Mapping[str, Any]]
"""What to call the changes in a complaint, and value by dotted path."""


def lay(source: Source, overlays: Iterable[Overlay]) -> Source:
    """A design's document with changes, later ones over earlier. Another ``datapath.name`` drops the options of the
    datapath that it replaces; ``memory.dram.model`` to or from ``banked`` those of the DRAM.

    Raises: ConfigError.
    """
    for label, changes in overlays:
        source = for_datapath(source, changes.get("datapath.name"))
        source = apply_overrides(for_dram(source, changes.get("memory.dram.model")), changes, label=label)
    return source


def for_datapath(source: Source, name: Any) -> Source:
    """``source`` without the options of its datapath if another datapath, ``name``, is about to take its place."""
    found = source.data.get("datapath")
    if name is None or not isinstance(found, dict) or found.get("name") == name:
        return source
    return replace(source, data={**source.data, "datapath": {k: v for k, v in found.items() if k == "name"}})


def for_dram(source: Source, model: Any) -> Source:
    """``source`` without the fields of its DRAM if one of another kind, ``model``, is about to take its place: banked
    DRAM is a part and its controller, the others a rate and a latency.
    """
    memory = source.data.get("memory")
    found = memory.get("dram") if isinstance(memory, dict) else None
    if model is None or not isinstance(memory, dict) or not isinstance(found, dict):
        return source
    if (model == "banked") == (found.get("model") == "banked"):
        return source
    kept = {k: v for k, v in found.items() if k == "model"}
    return replace(source, data={**source.data, "memory": {**memory, "dram": kept}})
