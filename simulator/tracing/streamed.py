"""A stored tensor, read a block of rows at a time while the block before is worked on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from simulator.tracing.stored import StoredTensor
from simulator.tracing.widen import widen

__all__ = ["BLOCK_VALUES", "RowBlock", "row_blocks"]

BLOCK_VALUES = 1 << 18
"""Values of a block, unless one row has more: two of them, as float32 and as stored, fit a second cache of 2 MiB or
nearly so.
"""

RowBlock = tuple[int, int, NDArray[np.float32], bool]
"""Which GEMM, its first row, values (R, K), and whether all are finite."""


def row_blocks(tensor: StoredTensor, rows: int, block_values: int = BLOCK_VALUES) -> Iterator[RowBlock]:
    """All of a tensor of GEMMs of ``rows`` rows each; the values of a block are gone when the next one is asked for.

    A second thread reads and widens; what float32 cannot hold becomes infinite.
    Raises: TraceError if the file cannot be read.
    """
    step = max(1, block_values // tensor.K)
    spans = [
        (gemm, first, min(step, rows - first)) for gemm in range(tensor.rows // rows) for first in range(0, rows, step)
    ]
    wide = [np.empty((min(step, rows), tensor.K), np.float32) for _ in range(2)]
    raw = np.empty(wide[0].shape, tensor.numpy_dtype)
    with tensor.open() as file, ThreadPoolExecutor(1) as reader:

        def read(place: int) -> RowBlock:
            gemm, first, number = spans[place]
            stored, values = raw[:number], wide[place % 2][:number]
            tensor.read_into(file, gemm * rows + first, stored)
            return gemm, first, values, widen(stored, values)

        coming = reader.submit(read, 0)
        for place in range(1, len(spans) + 1):
            block = coming.result()
            if place < len(spans):
                coming = reader.submit(read, place)
            yield block
