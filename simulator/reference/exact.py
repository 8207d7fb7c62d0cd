"""The exact quantised answer, written independently of the datapaths: decoded operands, summed as stated."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simulator.formats import Encoded, TensorEncoding
from simulator.reference.dictionary import matmul_by_index
from simulator.reference.floats import matmul_in_blocks, matmul_in_order
from simulator.reference.integers import int_matmul
from simulator.reference.split import matmul_split

__all__ = ["exact_matmul"]

Kind = Literal["int", "fp32_sequential", "fp32_blocks", "fp32_by_index", "int8_and_fp16"]


def exact_matmul(
    act: Encoded,
    weight: Encoded,
    *,
    act_format: TensorEncoding,
    weight_format: TensorEncoding,
    accumulation: Kind,
    block: int = 1,
) -> NDArray[Any]:
    """Product of two encoded operands of M and N rows, shape (M, N), before their scales.

    Args:
        accumulation, block: what "exact" means, see ``datapath.Accumulation``.
    Returns: int64 for ``int``, else float32.
    Raises: EncodingError on an illegal code; OverflowError if an integer result may leave int64.
    """
    if accumulation == "int8_and_fp16":
        return matmul_split(act, weight)
    a = act_format.decode_operand(act)
    if accumulation == "fp32_by_index":
        return matmul_by_index(np.asarray(a, np.float32), weight, weight_format.bits)
    w = weight_format.decode_operand(weight)
    if accumulation == "fp32_sequential":
        return matmul_in_order(a, w)
    return matmul_in_blocks(a, w, block) if accumulation == "fp32_blocks" else int_matmul(a, w)
