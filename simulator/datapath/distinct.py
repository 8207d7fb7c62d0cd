"""Equal rows of integer columns, found once: what many tiles share is worked out for one of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["distinct_rows"]


def distinct_rows(columns: Sequence[NDArray[np.integer]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of rows of non-negative numbers: the first of each kind, kinds in lexicographic order, and which kind each is.

    Columns are put together to one number, ranked first where that would not fit 62 bits: several times as fast as
    sorting rows.
    """
    if len(columns[0]) == 1:
        return np.zeros(1, np.int64), np.zeros(1, np.int64)
    key = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        radix = int(column.max(initial=0)) + 1
        if (int(key.max(initial=0)) + 1) * radix >= 1 << 62:
            key = np.unique(key, return_inverse=True)[1]
        key = key * radix + column
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    return first, which
