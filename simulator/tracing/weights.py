"""A model's weight files, memory-mapped and read one tensor at a time."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulator.errors import TraceError
from simulator.tracing.messages import one_line
from simulator.tracing.stored import REAL_DTYPES, StoredTensor, stored_tensors

__all__ = ["INDEX_FILE", "WEIGHT_FILE", "ModelWeights", "weight_files"]

WEIGHT_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"
_OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


class ModelWeights:
    """The tensors of one or several safetensors files; ``prefix`` (``bert.`` and the like) is tried before every name.

    Raises: TraceError for a file that is no safetensors file.
    """

    def __init__(self, *paths: Path, prefix: str = "") -> None:
        self._path, self._prefix = paths[0], prefix
        self._tensors: dict[str, StoredTensor] = {}
        for path in paths:
            self._tensors |= stored_tensors(path)

    def has(self, name: str) -> bool:
        """Whether ``get`` would find it."""
        return self._key(name) is not None

    def get(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """One tensor, as float32. Raises: TraceError if it is missing, of another shape or of no readable type."""
        stored = self._stored(name)
        if stored.shape != shape or stored.dtype not in REAL_DTYPES:
            raise TraceError(
                f"{stored.path}: tensor '{stored.name}' is {stored.dtype} {list(stored.shape)}, "
                f"expected floats {list(shape)}"
            )
        return np.asarray(stored.mapped(), dtype=np.float32)

    def flat(self, name: str, size: int) -> NDArray[np.float32]:
        """A tensor of ``size`` values as one row. Raises: TraceError as ``get`` does."""
        stored = self._stored(name)
        return self.get(name, stored.shape if math.prod(stored.shape) == size else (size,)).reshape(size)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, nothing read. Raises: TraceError if it is missing."""
        return self._stored(name).shape

    def _stored(self, name: str) -> StoredTensor:
        key = self._key(name)
        if key is None:
            raise TraceError(f"{self._path}: tensor '{name}' is missing")
        return self._tensors[key]

    def _key(self, name: str) -> str | None:
        """The name in the file: with or without the prefix, and gamma and beta for old LayerNorms."""
        names = [name]
        for new, old in _OLD_NAMES.items():
            if name.endswith(new):
                names.append(name.removesuffix(new) + old)
        known = (key for candidate in names for key in (candidate, self._prefix + candidate))
        return next((key for key in known if key in self._tensors), None)


def weight_files(folder: Path) -> list[Path]:
    """``model.safetensors`` of a folder, or the files that its index names, which never leave the folder.

    Raises: TraceError if there is neither, or the index is none.
    """
    single, index = folder / WEIGHT_FILE, folder / INDEX_FILE
    if single.is_file() or not index.is_file():
        return [single]
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise TraceError(f"{index}: not an index of weight files: {one_line(error)}") from None
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise TraceError(f"{index}: weight_map names {name!r}, which is no safetensors file of this folder")
    if not names:
        raise TraceError(f"{index}: weight_map names no file")
    return [folder / name for name in names]
