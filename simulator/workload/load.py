"""From a name, a path or a mapping to a checked workload, other tools' files among them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from simulator import config
from simulator.config import WorkloadSpec
from simulator.config.catalogue import Reference
from simulator.config.foreign import Reader
from simulator.config.model_json import model_document
from simulator.config.overlays import Overlay
from simulator.workload.onnx_model import read_onnx
from simulator.workload.scalesim import read_topology
from simulator.workload.tflite_model import read_tflite

__all__ = ["READERS", "load_workload"]

READERS: dict[str, Reader] = {
    ".csv": read_topology,
    ".json": model_document,
    ".onnx": read_onnx,
    ".tflite": read_tflite,
}
"""Ending of a file's name -> what reads it."""


def load_workload(ref: Reference, *, near: Path | None = None, overlays: Iterable[Overlay] = ()) -> WorkloadSpec:
    """A workload of shapes by shipped name, path or mapping; a path may also be a model's ``config.json``, a SCALE-Sim
    topology (``.csv``), an ONNX model (``.onnx``) or a TensorFlow Lite model (``.tflite``).

    Args:
        near: folder in which relative paths are also looked for.
        overlays: overrides by dotted path, each with what to call it in a complaint; later ones win.
    Raises: OlivineError, one line with file, line and field.
    """
    return config.load_workload(ref, near=near, overlays=overlays, readers=READERS)
