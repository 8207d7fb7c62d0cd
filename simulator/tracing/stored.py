"""The tensors of a safetensors file, read a block of rows at a time: memory holds the block, never the tensor."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from simulator.errors import TraceError
from simulator.tracing.files import why_no_safetensors
from simulator.tracing.messages import one_line
from simulator.tracing.widen import as_float32

__all__ = ["REAL_DTYPES", "StoredTensor", "stored_tensors"]

_REAL: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
}
REAL_DTYPES = frozenset(_REAL)
"""The safetensors header's words for real numbers."""
_DTYPES: dict[str, np.dtype[Any]] = _REAL | {
    f"{kind.upper()}{8 * size}": np.dtype(f"<{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)
}
"""The safetensors header's word -> the type that reads it."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies in its file; its last axis is K, all others are rows.

    Attributes:
        dtype: the safetensors header's word for it.
        offset: of its first value in the file [byte].
    """

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def K(self) -> int:
        """Values of a row."""
        return self.shape[-1] if self.shape else 1

    @property
    def rows(self) -> int:
        """All axes but the last."""
        return math.prod(self.shape[:-1])

    def mapped(self) -> NDArray[Any]:
        """All values in the stored type, memory-mapped: a page is read when a value on it is.

        Raises: TraceError if the type is none that is read, or the file has become shorter.
        """
        dtype = self.numpy_dtype
        if 0 in self.shape:
            return np.empty(self.shape, dtype)
        try:
            return np.memmap(self.path, dtype, "r", self.offset, self.shape)
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from None

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The type as numpy calls it. Raises: TraceError if it is none that is read."""
        if self.dtype not in _DTYPES:
            raise TraceError(f"{self.path}: tensor '{self.name}' is {self.dtype}; known: {', '.join(_DTYPES)}")
        return _DTYPES[self.dtype]

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Rows ``[first, last)`` as float32, shape (last - first, K); what float32 cannot hold becomes infinite.

        Raises: TraceError if the type is none that is read, or the file cannot be read.
        """
        values = np.empty((last - first, self.K), self.numpy_dtype)
        with self.open() as file:
            self.read_into(file, first, values)
        return values if values.dtype == np.float32 else as_float32(values)[0]

    def open(self) -> FileIO:
        """Its file. Raises: TraceError."""
        try:
            return FileIO(self.path)
        except OSError as error:
            raise self._unreadable(error) from None

    def read_into(self, file: FileIO, first: int, out: NDArray[Any]) -> None:
        """Rows from ``first`` on into ``out`` (rows, K), of the stored type. Raises: TraceError."""
        left = out.view(np.uint8).reshape(-1).data
        try:
            file.seek(self.offset + first * self.K * self.numpy_dtype.itemsize)
            while len(left) and (got := file.readinto(left)):  # a system call reads 2 GiB at most
                left = left[got:]
        except OSError as error:
            raise self._unreadable(error) from None
        if len(left):
            raise TraceError(f"{self.path}: tensor '{self.name}': the file has become shorter while it was read")

    def _unreadable(self, error: Exception) -> TraceError:
        return TraceError(f"{self.path}: tensor '{self.name}': cannot read it: {one_line(error)}")


def stored_tensors(path: Path) -> dict[str, StoredTensor]:
    """All tensors of a safetensors file by name, in the order of their names; only the header is read.

    Raises: TraceError if the file is missing or not one.
    """
    if not path.is_file():
        raise TraceError(f"{path}: no such file")
    try:
        with safe_open(path, framework="numpy"):  # holds the header against the file's size
            pass
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
    except OSError as error:
        raise TraceError(f"{path}: not a readable safetensors file: {one_line(error)}") from None
    except (ValueError, RecursionError, SafetensorError) as error:
        reason = why_no_safetensors(path) or one_line(error)
        raise TraceError(f"{path}: not a readable safetensors file: {reason}") from None
    header.pop("__metadata__", None)
    return {
        name: StoredTensor(path, name, entry["dtype"], tuple(entry["shape"]), 8 + size + entry["data_offsets"][0])
        for name, entry in sorted(header.items())
    }
