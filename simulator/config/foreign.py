"""What is read from another tool's file: a document like one from YAML, where each value came from, what was left."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from simulator.config.load import read_yaml
from simulator.config.yaml_nodes import Source, Steps, found
from simulator.errors import ConfigError, ImportNote

__all__ = ["FOREIGN", "Foreign", "Reader", "read_document", "with_dims"]

FOREIGN = {
    ".cfg": ("design", "a SCALE-Sim configuration"),
    ".csv": ("workload", "a SCALE-Sim topology"),
    ".json": ("workload", "a model's config.json"),
    ".onnx": ("workload", "an ONNX model"),
    ".tflite": ("workload", "a TensorFlow Lite model"),
}
"""Ending of a file's name -> which kind of record it describes, and what it is."""
_MOST = 2**31 - 1
"""Of a dimension: as many values as any of these tools' tensors have along an axis."""


@dataclass(frozen=True)
class Foreign:
    """A document made of another tool's file.

    Attributes:
        source: the document.
        origins: path of a value -> where it was taken from, or that it is assumed.
        notes: one line for each thing in the file that changes its own tool's results and has no counterpart here.
    """

    source: Source
    origins: Mapping[Steps, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def noted(self) -> Source:
        """The document; each note becomes a warning."""
        for note in self.notes:
            warnings.warn(f"{self.source.label}: {note}", ImportNote, stacklevel=2)
        return self.source


Reader = Callable[[Path, Mapping[str, int]], Foreign]
"""From a file, and values for the dimensions that it leaves open by name, to a document."""


def read_document(path: Path, kind: str, readers: Mapping[str, Reader]) -> Source:
    """A file as a document: YAML, unless its name ends as another tool's files do.

    Raises: ConfigError, or what the reader raises.
    """
    suffix = path.suffix.lower()
    if suffix in readers and path.is_file():
        return readers[suffix](path, {}).noted()
    described, tool = FOREIGN.get(suffix, (kind, ""))
    if described != kind and path.is_file():
        raise ConfigError(f"{path}: {tool} is a {described}, not a {kind}")
    return read_yaml(path)


def with_dims(source: Source, readers: Mapping[str, Reader]) -> tuple[Source, Mapping[str, Reader]]:
    """A document without its ``dims``, and readers that know these values of open dimensions.

    Raises: ConfigError if they are no numbers, or nothing of what the document extends can have open dimensions.
    """
    if "dims" not in source.data or not readers:
        return source, readers
    dims = source.data["dims"]
    if not isinstance(dims, dict):
        raise ConfigError(f"{source.where(('dims',))}: expected a mapping of names to numbers, found {found(dims)}")
    for name, size in dims.items():
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= _MOST:
            must = f"must be a whole number from 1 to {_MOST}"
            raise ConfigError(f"{source.where(('dims', name))}: {must}, found {found(size)}")
    bases = source.data["extends"]
    if not any(Path(base).suffix.lower() in readers for base in (bases if isinstance(bases, list) else [bases])):
        raise ConfigError(f"{source.where(('dims',))}: goes with extends: a file whose sizes have names")
    bare = replace(source, data={key: value for key, value in source.data.items() if key != "dims"})
    return bare, {suffix: _knowing(reader, dims) for suffix, reader in readers.items()}


def _knowing(reader: Reader, dims: Mapping[str, int]) -> Reader:
    return lambda path, more: reader(path, {**dims, **more})
