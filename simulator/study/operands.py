"""Real tensors to packed operands: scales found, codes made, and back to real results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.config import Design
from simulator.datapath import Datapath

__all__ = ["Operands", "encode", "random_tensors"]


@dataclass(frozen=True)
class Operands:
    """Codes and scales of ``count`` GEMMs.

    Attributes:
        act, weight: packed codes (count, M, bytes) and (count, N, bytes).
        act_scale: float32, broadcasts against (count, M, 1); weight_scale: against (count, N, 1).
        length: K.
    """

    act: NDArray[np.uint8]
    weight: NDArray[np.uint8]
    act_scale: NDArray[np.float32]
    weight_scale: NDArray[np.float32]
    length: int

    def real(self, index: int, accumulators: NDArray[Any]) -> NDArray[np.float64]:
        """Accumulators (M, N) of one GEMM times both scales, float64."""
        act = np.broadcast_to(self.act_scale, (*self.act.shape[:2], 1))[index].astype(np.float64)
        weight = np.broadcast_to(self.weight_scale, (*self.weight.shape[:2], 1))[index].astype(np.float64)
        return accumulators * (act * weight.T)


def encode(design: Design, datapath: Datapath, act: ArrayLike, weight: ArrayLike) -> Operands:
    """Calibrate and encode tensors (count, M, K) and (count, N, K) as the design's quantisation says.

    Raises: EncodingError for a value that cannot be encoded.
    """
    act, weight = np.asarray(act), np.asarray(weight)
    quantisation = design.quantisation
    scales, codes = [], []
    for tensor, number_format, how in (
        (act, datapath.act_format, quantisation.activations),
        (weight, datapath.weight_format, quantisation.weights),
    ):
        axis = None if how.granularity == "tensor" else -1
        scales.append(number_format.calibrate(tensor, axis=axis, method=how.calibration))
        codes.append(number_format.encode(tensor, scales[-1]))
    return Operands(codes[0], codes[1], scales[0], scales[1], act.shape[-1])


def random_tensors(M: int, N: int, K: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Standard normal (1, M, K) and (1, N, K) when only shapes are known and values are asked for."""
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((1, M, K), dtype=np.float32),
        rng.standard_normal((1, N, K), dtype=np.float32),
    )
