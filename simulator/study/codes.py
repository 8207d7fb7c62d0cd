"""Packed codes on their way to disk: written as they are made, a block of rows at a time, published whole."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from simulator.report.atomic import cannot_write, whole_file

__all__ = ["CodesFile", "codes_path"]

_DTYPES = {"u1": "U8", "i1": "I8", "u2": "U16", "i2": "I16", "u4": "U32", "i4": "I32", "f2": "F16", "f4": "F32"}
"""numpy's word for what encodings store -> the safetensors header's."""
_COPY_BYTES = 1 << 20


def codes_path(out: Path, format_name: str, tensor: str) -> Path:
    """Where the codes of a tensor lie; its name, which may hold anything, as one file name."""
    return out / "codes" / format_name / f"{quote(tensor, safe='')}.safetensors"


class CodesFile:
    """A safetensors file whose arrays grow along their first axis; a context manager that keeps nothing unless told.

    What is appended goes to a nameless file in the same folder; ``publish`` then lays out the real one. Memory holds
    a list of pieces.

    Raises: OutputError if it cannot be written there.
    """

    def __init__(self, path: Path, metadata: Mapping[str, str]) -> None:
        self._path, self._metadata = path, dict(metadata)
        self._pieces: dict[str, list[tuple[int, int]]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._dtypes: dict[str, np.dtype[np.generic]] = {}
        self._end = 0

    def __enter__(self) -> CodesFile:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._spool = cast(BinaryIO, tempfile.TemporaryFile(dir=self._path.parent))
        except OSError as error:
            raise cannot_write(self._path, error) from None
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._spool.close()

    def append(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Put each array after what was appended under its name before; all axes but the first stay the same."""
        for name, array in arrays.items():
            known = self._shapes.get(name, (0, *array.shape[1:]))
            assert known[1:] == array.shape[1:]
            assert self._dtypes.setdefault(name, array.dtype) == array.dtype
            self._shapes[name] = (known[0] + len(array), *known[1:])
            self._pieces.setdefault(name, []).append((self._end, array.nbytes))
            self._end += array.nbytes
            try:
                self._spool.write(np.ascontiguousarray(array).data)
            except OSError as error:
                raise cannot_write(self._path, error) from None

    def publish(self) -> None:
        """Write the file: header, then each array from its pieces, the widest type first so that all are aligned."""
        names = sorted(self._shapes, key=lambda name: (-self._dtypes[name].itemsize, name))
        with whole_file(self._path) as file:
            file.write(self._header(names))
            for name in names:
                for at, size in self._pieces[name]:
                    self._copy(at, size, file)

    def _header(self, names: list[str]) -> bytes:
        header: dict[str, object] = {"__metadata__": self._metadata}
        end = 0
        for name in names:
            start, end = end, end + sum(size for _, size in self._pieces[name])
            dtype = _DTYPES[self._dtypes[name].str[1:]]
            header[name] = {"dtype": dtype, "shape": list(self._shapes[name]), "data_offsets": [start, end]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text

    def _copy(self, at: int, size: int, file: BinaryIO) -> None:
        self._spool.seek(at)
        while size > 0:
            piece = self._spool.read(min(size, _COPY_BYTES))
            file.write(piece)
            size -= len(piece)
