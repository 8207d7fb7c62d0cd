"""Blocks of neighbours along K that share a scale byte: the packed layout of the ``mx`` and ``nvfp4`` formats.

A row is cut into blocks of ``values_per_group``; no block straddles rows. Each block is stored as its scale byte, then
its elements, first element in the most significant bits. The last block of a row may be short: it is stored full, with
zero elements that decoding ignores and that no scale depends on.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simulator.errors import EncodingError
from simulator.formats.base import SCALE_BITS, Format, Storage, checked_codes
from simulator.kernels import njit

__all__ = ["BlockFormat", "pack_blocks", "row_chunks"]

_CHUNK = 1 << 22
"""Values encoded at a time: bounds the temporaries of an encoding to some 50 MiB."""


@njit(cache=True)
def _pack(scales, elements, bits, out):
    """Scale bytes (R, B) and element codes (R, B, block) to packed rows ``out``."""
    R, B, block = elements.shape
    for r in range(R):
        at = 0
        for b in range(B):
            out[r, at] = scales[r, b]
            at += 1
            word, held = 0, 0
            for i in range(block):
                word = (word << bits) | int(elements[r, b, i])
                held += bits
                while held >= 8:
                    held -= 8
                    out[r, at] = word >> held
                    word &= (1 << held) - 1
                    at += 1


@njit(cache=True)
def _unpack(codes, bits, block, scale_values, element_values, largest, out):
    """Fill ``out`` (R, K) with element * scale; flat position of the first value float32 cannot hold, or -1."""
    R, K = out.shape
    for r in range(R):
        at = 0
        for k in range(K):
            if k % block == 0:
                at = k // block * (1 + block * bits // 8)
                scale = np.float64(scale_values[codes[r, at]])
                word, held = 0, 0
            if held < bits:
                at += 1
                word = (word << 8) | int(codes[r, at])
                held += 8
            held -= bits
            value = np.float64(element_values[word >> held]) * scale
            word &= (1 << held) - 1
            if not abs(value) <= largest:  # NaN too
                return r * K + k
            out[r, k] = value
    return -1


def pack_blocks(
    scales: NDArray[np.uint8], elements: NDArray[np.uint8], bits: int, out: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Scale bytes (R, B) and element codes (R, B, block), ``bits`` wide, to packed rows in ``out``."""
    _pack(scales, elements, bits, out)
    return out


def row_chunks(rows: int, length: int) -> list[slice]:
    """Slices of rows that hold about ``_CHUNK`` values each."""
    step = max(1, _CHUNK // length)
    return [slice(first, first + step) for first in range(0, rows, step)]


class BlockFormat(Format):
    """A format whose codes hold a scale byte for each block of ``values_per_group`` values.

    Attributes:
        scale_values: value of each of the 256 scale bytes, float32; NaN where a byte is illegal.
        element_values: value of each element code, float32; NaN or infinite where a code is illegal.
    """

    scale_values: ClassVar[NDArray[np.float32]]
    element_values: ClassVar[NDArray[np.float32]]

    def decode(self, codes: NDArray[np.uint8], length: int) -> NDArray[np.float32]:
        """See ``Format.decode``: element * block scale, exact in float32.

        Raises: EncodingError with the position of the first value that is no finite float32 number.
        """
        rows = checked_codes(codes, self.packed_bytes(length), self.name)
        out = np.empty((len(rows), length), np.float32)
        largest = float(np.finfo(np.float32).max)
        bad = _unpack(rows, self.bits, self.values_per_group, self.scale_values, self.element_values, largest, out)
        if bad >= 0:
            where = tuple(int(i) for i in np.unravel_index(bad, (*codes.shape[:-1], length)))
            scale = rows[bad // length, bad % length // self.values_per_group * self._block_bytes]
            raise EncodingError(
                f"{self.name}: the value at position {where} (block scale 0x{scale:02x}) is no finite float32 number"
            )
        return out.reshape(*codes.shape[:-1], length)

    def packed_bytes(self, length: int) -> int:
        """Bytes of one row of ``length`` values: whole blocks, scale bytes included."""
        return self._blocks(length) * self._block_bytes

    def storage(self, shape: tuple[int, ...], scales: int = 1) -> Storage:
        """See ``Format.storage``; block scales count as scale bits, the unused end of a short block as padding."""
        values = int(np.prod(shape))
        blocks = values // shape[-1] * self._blocks(shape[-1])
        payload = values * self.bits
        padding = blocks * self.values_per_group * self.bits - payload
        return Storage(payload, padding, 8 * blocks + scales * SCALE_BITS * self.has_scale, values)

    def _blocks(self, length: int) -> int:
        return -(-length // self.values_per_group)

    @property
    def _block_bytes(self) -> int:
        return 1 + self.values_per_group * self.bits // 8
