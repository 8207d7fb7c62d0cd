"""Accumulators: does every partial sum fit, and which output breaks first?"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from simulator.errors import AccumulatorOverflowError

__all__ = ["fits", "require_finite", "require_fit"]


def fits(act: NDArray[np.integer], weight: NDArray[np.integer], acc_bits: int) -> bool:
    """Whether no order of operands (M, K) and (N, K) of these magnitudes can leave ``acc_bits``."""
    if act.size == 0 or weight.size == 0:
        return True
    largest = [max(int(x.max()), -int(x.min())) for x in (act, weight)]
    return act.shape[1] * largest[0] * largest[1] < 1 << (acc_bits - 1)


@njit(cache=True)
def _first_overflow(act, weight, low, high):
    """Flat output position of the first partial sum outside [low, high], or -1."""
    for m in range(act.shape[0]):
        for n in range(weight.shape[0]):
            acc = np.int64(0)
            for k in range(act.shape[1]):
                acc += np.int64(act[m, k]) * np.int64(weight[n, k])
                if acc < low or acc > high:
                    return m * weight.shape[0] + n
    return -1


def require_fit(act: NDArray[np.integer], weight: NDArray[np.integer], acc_bits: int, name: str) -> None:
    """Walk every partial sum of integer operands (M, K) and (N, K).

    Raises: AccumulatorOverflowError naming the first output that leaves ``acc_bits``.
    """
    if fits(act, weight, acc_bits):
        return
    high = (1 << (acc_bits - 1)) - 1
    bad = _first_overflow(act, weight, -high - 1, high)
    if bad >= 0:
        where = divmod(int(bad), len(weight))
        raise AccumulatorOverflowError(f"{name}: a partial sum of output {where} leaves the {acc_bits}-bit accumulator")


def require_finite(results: NDArray[np.float32], name: str) -> None:
    """Hold FP32 sums (M, N) to numbers: a sum that once left FP32 stays infinite, or becomes NaN, to its end.

    Raises: AccumulatorOverflowError naming the first output of which a partial sum was too large.
    """
    broken = ~np.isfinite(results)
    if broken.any():
        where = tuple(int(i) for i in np.unravel_index(int(np.argmax(broken)), results.shape))
        raise AccumulatorOverflowError(f"{name}: a partial sum of output {where} leaves the FP32 accumulator")
