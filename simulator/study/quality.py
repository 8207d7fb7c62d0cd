"""The datapath's result against the exact reference, bit for bit, and both kinds of error against real products."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.datapath import Datapath
from simulator.datapath.accumulate import require_finite, require_fit
from simulator.datapath.edp import EdpRun
from simulator.formats import Encoded
from simulator.reference import edp_reference, exact_matmul, first_mismatch, noise_energy, precise_matmul, sqnr_db

__all__ = ["Quality", "check_values"]


@dataclass(frozen=True)
class Quality:
    """Verdict on the values of one op.

    Attributes:
        exact: every result equals the reference in every bit.
        mismatch: where it does not, as one line; empty if exact.
        signal: sum of squares of the float64 product of the unquantised tensors.
        noise: of the datapath's error against it; quantisation_noise: of the error of the infinitely precise product
            of the same codes; arithmetic_noise: of the difference between the two (rounding in the accumulator).
    """

    exact: bool
    mismatch: str
    signal: float
    noise: float
    quantisation_noise: float
    arithmetic_noise: float

    @property
    def sqnr_db(self) -> float:
        """Signal to noise ratio of the result [dB]."""
        return sqnr_db(self.signal, self.noise)

    def relative(self, kind: str = "noise") -> float:
        """Noise power of that kind, ``noise`` or one of its parts, over signal power; NaN without signal."""
        return float(getattr(self, kind)) / self.signal if self.signal else math.nan


def check_values(
    name: str,
    datapath: Datapath,
    operands: list[tuple[Encoded, Encoded]],
    results: list[NDArray[Any]],
    act: ArrayLike,
    weight: ArrayLike,
    sums: EdpRun | None = None,
) -> Quality:
    """Check the results (M, N) of each GEMM of op ``name`` and measure their errors.

    Args:
        act, weight: the unquantised tensors (count, M, K) and (count, N, K).
        sums: how tensor cores add; None: an array of the datapath's own PEs does.
    """
    act, weight = np.asarray(act), np.asarray(weight)
    mismatch, signal = "", 0.0
    noise = np.zeros(3)
    for index, (found, pair) in enumerate(zip(results, operands, strict=True)):
        _require_accumulator(datapath, *pair, sums)
        expected = _reference(datapath, *pair, sums)
        require_finite(expected, datapath.name)
        mismatch = mismatch or _describe(name, datapath.name, index, len(results), found, expected)
        real = np.matmul(act[index].astype(np.float64), weight[index].astype(np.float64).T)
        result, precise = datapath.real(found, *pair), _precise(datapath, found, *pair)
        signal += noise_energy(real, result)[0]
        noise += [noise_energy(x, y)[1] for x, y in ((real, result), (real, precise), (precise, result))]
    return Quality(not mismatch, mismatch, signal, *noise.tolist())


def _reference(datapath: Datapath, act: Encoded, weight: Encoded, sums: EdpRun | None) -> NDArray[Any]:
    how = datapath.accumulation
    formats = {"act_format": datapath.act_format, "weight_format": datapath.weight_format}
    if sums is not None:
        order = sums.orders[16] if how.kind == "int8_and_fp16" else datapath.edp_order(sums.orders)
        regions = sums.over(len(act.codes), len(weight.codes), act.length)
        return edp_reference(act, weight, **formats, accumulation=how.kind, order=order, regions=regions)
    return exact_matmul(act, weight, **formats, accumulation=how.kind, block=how.block)


def _precise(datapath: Datapath, found: NDArray[Any], act: Encoded, weight: Encoded) -> NDArray[np.float64]:
    """The infinitely precise product of the codes, as a real value. An integer result is that product already."""
    if datapath.accumulation.kind == "int":
        return datapath.real(found, act, weight)
    a, w = datapath.decoded(act, weight)
    return datapath.real(precise_matmul(a, w), act, weight)


def _require_accumulator(datapath: Datapath, act: Encoded, weight: Encoded, sums: EdpRun | None) -> None:
    """Hold a datapath to the accumulator it states, whether or not its own ``matmul`` does.

    Raises: AccumulatorOverflowError naming the first output of which a partial sum does not fit.
    """
    if datapath.accumulation.kind == "int" and sums is not None:
        datapath.edp_require_fit(act, weight, sums)
    elif datapath.accumulation.kind == "int":
        for products_of in datapath.sums(act, weight):
            require_fit(*products_of, datapath.name)


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
