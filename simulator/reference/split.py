"""LLM.int8()'s sum, with NumPy: int8 part and half-precision columns apart, joined after dequantisation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.formats import Encoded
from simulator.reference.floats import matmul_in_order
from simulator.reference.integers import int_matmul

__all__ = ["joined", "matmul_split"]


def matmul_split(act: Encoded, weight: Encoded) -> NDArray[np.float32]:
    """Real results (M, N) of a split GEMM (``formats.llm_int8.Split``), in the order of ``int8_and_fp16``."""
    halves = matmul_in_order(
        act.extras["outlier_value"].astype(np.float32), weight.extras["outlier_weight"].astype(np.float32)
    )
    return joined(act, weight, halves)


def joined(act: Encoded, weight: Encoded, halves: NDArray[np.float32]) -> NDArray[np.float32]:
    """Real results (M, N) from the sums over outlier columns, however those were made."""
    integers = int_matmul(act.codes.view(np.int8), weight.codes.view(np.int8))
    scales = np.asarray(act.extras["row_scale"], np.float32) * np.asarray(weight.scale, np.float32).reshape(1, -1)
    return np.asarray(integers.astype(np.float32) * scales + halves)
