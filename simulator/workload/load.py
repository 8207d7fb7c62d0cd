"""From a name, a path or a mapping to a checked workload, other tools' files among them."""

from __future__ import annotations

from pathlib import Path

from simulator import config
from simulator.config import WorkloadSpec
from simulator.config.catalogue import Reference
from simulator.config.foreign import Reader
from simulator.workload.onnx_model import read_onnx
from simulator.workload.scalesim import read_topology

__all__ = ["READERS", "load_workload"]

READERS: dict[str, Reader] = {".csv": read_topology, ".onnx": read_onnx}
"""Ending of a file's name -> what reads it."""


def load_workload(ref: Reference, *, near: Path | None = None) -> WorkloadSpec:
    """A workload of shapes by shipped name, path or mapping; a path may also be a SCALE-Sim topology
    (``.csv``) or an ONNX model (``.onnx``).

    Args:
        near: folder in which relative paths are also looked for.
    Raises: OlivineError, one line with file, line and field.
    """
    return config.load_workload(ref, near=near, readers=READERS)
