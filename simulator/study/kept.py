"""Hardware of the designs that a process uses again and again, kept as long as no file that it was made of changes."""

from __future__ import annotations

import os
from collections import OrderedDict

from simulator.config import Design
from simulator.config.text_file import Stamps, noting_files, unchanged
from simulator.study.building import build
from simulator.study.hardware import Hardware

__all__ = ["hardware_of"]

_MOST = 64
"""Designs whose hardware is kept; the one not used for longest goes."""

_kept: OrderedDict[tuple[int, str], tuple[Design, Stamps, Hardware]] = OrderedDict()
"""By identity of the design, which is kept with it, and the folder from which relative paths are looked for."""


def hardware_of(design: Design) -> Hardware:
    """``build(design)``, once while price lists and tables stay as they are. Raises: ConfigError."""
    key = id(design), os.getcwd()
    found = _kept.get(key)
    if found is None or not unchanged(found[1]):
        with noting_files() as stamps:
            found = design, stamps, build(design)
        _kept[key] = found
    _kept.move_to_end(key)
    if len(_kept) > _MOST:
        _kept.popitem(last=False)
    return found[2]
