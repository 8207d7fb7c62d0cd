"""Float32 sums in the order in which operands arrive: one rounding per step, as PEs with an FP32 adder make them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.kernels import njit

__all__ = ["mac_in_order", "matmul_in_order"]


@njit(cache=True)
def mac_in_order(state: NDArray[np.float32], act: float, weight: float) -> None:
    """One step of one PE whose products are exact in FP32, so that only the addition rounds."""
    state[0] = np.float32(state[0] + np.float32(act * weight))


@njit(cache=True)
def _accumulate(act, weight_t):
    """(M, K) x (K, N) float32 -> (M, N); every output sums k = 0, 1 ... K-1 in that order, outputs side by side."""
    M, K = act.shape
    N = weight_t.shape[1]
    out = np.zeros((M, N), np.float32)
    for m in range(M):
        for k in range(K):
            a = act[m, k]
            for n in range(N):
                out[m, n] = np.float32(out[m, n] + np.float32(a * weight_t[k, n]))
    return out


def matmul_in_order(act: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[Any]:
    """Values (M, K) and (N, K) whose products are exact in FP32 -> sums (M, N), as ``mac_in_order`` makes them."""
    return np.asarray(_accumulate(act, np.ascontiguousarray(weight.T)))
