"""Arrays as text that Verilog's ``$readmemh`` reads: one word per element, hexadecimal, one line per row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import DatapathError, EncodingError

__all__ = ["hex_memory", "named_words", "twos_complement"]

_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


def hex_memory(words: NDArray[np.unsignedinteger[Any]], bits: int) -> bytes:
    """Unsigned words below ``2^bits``, any shape; the last axis of two or more makes the lines."""
    if words.size == 0:
        return b""
    rows = words.reshape(-1, words.shape[-1] if words.ndim > 1 else 1)
    digits = -(-bits // 4)
    text = np.full((*rows.shape, digits + 1), ord(" "), np.uint8)
    for place in range(digits):
        nibble = rows >> np.array(4 * (digits - 1 - place), rows.dtype) & np.array(0xF, rows.dtype)
        text[..., place] = _DIGITS[nibble]
    text[:, -1:, -1] = ord("\n")
    return text.tobytes()


def twos_complement(values: NDArray[np.signedinteger[Any]], bits: int) -> NDArray[np.uint64]:
    """Signed integers as words of ``bits``. Raises: DatapathError if one does not fit."""
    half = 1 << (bits - 1)
    if values.size and not -half <= int(values.min()) <= int(values.max()) < half:
        raise DatapathError(f"a result between {values.min()} and {values.max()} does not fit {bits} bits")
    return values.astype(np.int64).view(np.uint64) & np.uint64((1 << bits) - 1)


def named_words(name: str, array: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.unsignedinteger[Any]]]]:
    """The bits of any array of numbers, unchanged, as unsigned words of its own width; each field of a record by name.

    Raises: EncodingError for elements that are no words of 8, 16, 32 or 64 bits.
    """
    if array.dtype.names:
        for field in array.dtype.names:
            yield from named_words(f"{name}_{field}", array[field])
        return
    if array.dtype.hasobject or array.dtype.itemsize not in (1, 2, 4, 8):
        raise EncodingError(f"{name}: elements of {array.dtype} are no memory words of 8, 16, 32 or 64 bits")
    yield name, np.ascontiguousarray(np.atleast_1d(array)).view(f"u{array.dtype.itemsize}")
