"""The datapath's result against the exact reference, bit for bit, and against the unquantised product."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.datapath import Datapath
from simulator.datapath.accumulate import require_fit
from simulator.formats import Encoded
from simulator.reference import exact_matmul, first_mismatch, noise_energy, sqnr_db

__all__ = ["Quality", "check_values"]


@dataclass(frozen=True)
class Quality:
    """Verdict on the values of one op.

    Attributes:
        exact: every accumulator equals the reference in every bit.
        mismatch: where it does not, as one line; empty if exact.
        signal, noise: sums of squares of the float64 product of the unquantised tensors, and of the error against it.
    """

    exact: bool
    mismatch: str
    signal: float
    noise: float

    @property
    def sqnr_db(self) -> float:
        """Signal to quantisation noise ratio [dB]."""
        return sqnr_db(self.signal, self.noise)

    @property
    def relative_noise(self) -> float:
        """Noise power over signal power; NaN without signal."""
        return self.noise / self.signal if self.signal else math.nan


def check_values(
    name: str,
    datapath: Datapath,
    operands: list[tuple[Encoded, Encoded]],
    results: list[NDArray[Any]],
    act: ArrayLike,
    weight: ArrayLike,
) -> Quality:
    """Check the accumulators (M, N) of each GEMM of op ``name`` and measure their error.

    Args:
        act, weight: the unquantised tensors (count, M, K) and (count, N, K).
    """
    act, weight = np.asarray(act), np.asarray(weight)
    mismatch, signal, noise = "", 0.0, 0.0
    for index, (found, pair) in enumerate(zip(results, operands, strict=True)):
        _require_accumulator(datapath, *pair)
        expected = exact_matmul(
            *pair,
            act_format=datapath.act_format,
            weight_format=datapath.weight_format,
            accumulation=datapath.accumulation.kind,
        )
        mismatch = mismatch or _describe(name, datapath.name, index, len(results), found, expected)
        real = np.matmul(act[index].astype(np.float64), weight[index].astype(np.float64).T)
        op_signal, op_noise = noise_energy(real, datapath.real(found, *pair))
        signal, noise = signal + op_signal, noise + op_noise
    return Quality(not mismatch, mismatch, signal, noise)


def _require_accumulator(datapath: Datapath, act: Encoded, weight: Encoded) -> None:
    """Hold a datapath to the accumulator it states, whether or not its own ``matmul`` does.

    Raises: AccumulatorOverflowError naming the first output of which a partial sum does not fit.
    """
    if datapath.accumulation.kind == "int":
        grids = datapath.act_format.decode_operand(act), datapath.weight_format.decode_operand(weight)
        require_fit(*grids, datapath.accumulation.bits, datapath.name)


def _describe(op: str, datapath: str, index: int, count: int, found: NDArray[Any], expected: NDArray[Any]) -> str:
    """One line naming layer, position and both values of the first difference, or an empty string."""
    where = first_mismatch(found, expected)
    if where is None:
        return ""
    if not where:
        return (
            f"{op}: datapath '{datapath}' gave {found.dtype} of shape {found.shape}, "
            f"the reference {expected.dtype} of shape {expected.shape}"
        )
    gemm = f" of GEMM {index}" if count > 1 else ""
    values = f"datapath '{datapath}' gave {found[where]}, the exact reference is {expected[where]}"
    return f"{op}: output {where}{gemm}: {values}"
