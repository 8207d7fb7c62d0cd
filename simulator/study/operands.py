"""Real tensors to encoded operands, as a design's quantisation says."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.config import Design
from simulator.datapath import Datapath
from simulator.formats import Encoded, Granularity
from simulator.formats.base import Calibration
from simulator.formats.streamed import Streamed

__all__ = ["encode", "marks", "random_tensors", "shares_scale"]


def shares_scale(granularity: str) -> Granularity:
    """A design's ``tensor | token | channel`` as the formats' ``tensor | row``."""
    return "tensor" if granularity == "tensor" else "row"


def encode(design: Design, datapath: Datapath, act: ArrayLike, weight: ArrayLike) -> list[tuple[Encoded, Encoded]]:
    """Calibrate and encode tensors (count, M, K) and (count, N, K): both operands of each GEMM.

    Raises: EncodingError for a value that cannot be encoded.
    """
    return datapath.encode(act, weight, *_scales(design))


def marks(design: Design, datapath: Datapath, act: Streamed, weight: Streamed) -> list[tuple[Encoded, Encoded]]:
    """What costs look at of operands that are read in blocks. Raises: as ``Datapath.marks``."""
    return datapath.marks(act, weight, *_scales(design))


def _scales(design: Design) -> tuple[tuple[Granularity, Granularity], tuple[Calibration, Calibration]]:
    """What shares a scale, and how it is found, of activations and weights."""
    acts, weights = design.quantisation.activations, design.quantisation.weights
    return (shares_scale(acts.granularity), shares_scale(weights.granularity)), (acts.calibration, weights.calibration)


def random_tensors(M: int, N: int, K: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Standard normal (1, M, K) and (1, N, K) when only shapes are known and values are asked for."""
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((1, M, K), dtype=np.float32),
        rng.standard_normal((1, N, K), dtype=np.float32),
    )
