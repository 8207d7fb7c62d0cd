"""A model's weight file, memory-mapped and read one tensor at a time."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from simulator.errors import TraceError
from simulator.tracing.messages import one_line

__all__ = ["ModelWeights"]

_OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


class ModelWeights:
    """A safetensors file; a context manager. ``prefix`` (``bert.`` and the like) is tried before every name."""

    def __init__(self, path: Path, prefix: str = "") -> None:
        self._path = path
        self._prefix = prefix
        self._file: Any = None
        self._keys: frozenset[str] = frozenset()

    def __enter__(self) -> ModelWeights:
        try:
            self._file = safe_open(self._path, framework="numpy").__enter__()
        except (OSError, SafetensorError) as exc:
            raise TraceError(f"{self._path}: not a readable safetensors file: {one_line(exc)}") from None
        self._keys = frozenset(self._file.keys())
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._file.__exit__(kind, exc, tb)

    def get(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """One tensor, as float32. Raises: TraceError if it is missing, of another shape or of no readable type."""
        key = self._key(name)
        try:
            values = self._file.get_tensor(key)
        except (SafetensorError, TypeError, ValueError) as exc:
            raise TraceError(f"{self._path}: tensor '{key}': cannot read it: {one_line(exc)}") from None
        if values.shape != shape or values.dtype.kind != "f":
            raise TraceError(
                f"{self._path}: tensor '{key}' is {values.dtype} {list(values.shape)}, expected floats {list(shape)}"
            )
        return np.asarray(values, dtype=np.float32)

    def _key(self, name: str) -> str:
        """The name in the file: with or without the prefix, and gamma and beta for old LayerNorms."""
        names = [name]
        for new, old in _OLD_NAMES.items():
            if name.endswith(new):
                names.append(name.removesuffix(new) + old)
        for candidate in names:
            for key in (candidate, self._prefix + candidate):
                if key in self._keys:
                    return key
        raise TraceError(f"{self._path}: tensor '{name}' is missing")
