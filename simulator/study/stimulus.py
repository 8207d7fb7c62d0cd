"""The tensors of one GEMM, to drive somebody's RTL with: drawn, outliers among them, or taken from a trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.config import Design
from simulator.config.design import SystolicDesign
from simulator.errors import OlivineError, WorkloadError
from simulator.study.workloads import resolve_workload
from simulator.workload import Op

__all__ = ["Stimulus", "drawn_stimulus", "planted_tensors", "trace_stimulus"]

_DEFAULT_K = 65
"""Steps of a fold by default: odd, so that pairs are padded."""
_MOST_WORDS = 1 << 24
"""Words of one memory: beyond it neither an RTL simulator nor its user has the patience."""
_ONE_IN = 128
"""One in that many drawn values is an outlier."""
_SMALLEST, _LARGEST = 4.0, 64.0
"""Magnitudes of planted outliers [standard deviations of the rest]: assumed; OliVe finds up to 325 in BERT-base."""


@dataclass(frozen=True)
class Stimulus:
    """Real tensors of one GEMM, (1, M, K) and (1, N, K), and where they are from: ``workload`` is the trace, if one."""

    op: Op
    act: NDArray[np.float32]
    weight: NDArray[np.float32]
    source: dict[str, Any]
    workload: str = ""


def drawn_stimulus(
    design: Design, M: int | None = None, N: int | None = None, K: int | None = None, seed: int = 0
) -> Stimulus:
    """Tensors drawn with ``seed``; without a shape one of four folds, ragged in both directions.

    Raises: WorkloadError for a shape that is too large to write.
    """
    rows, cols = _sides(design)
    shape = (M or rows + -(-rows // 2), N or cols + -(-cols // 2), K or _DEFAULT_K)
    op = _writable_op("drawn", *shape)
    act, weight = planted_tensors(*shape, seed)
    planted = f"one in {_ONE_IN} values or more, {_SMALLEST:g} to {_LARGEST:g} standard deviations at most"
    return Stimulus(op, act, weight, {"tensors": "standard normal", "seed": seed, "planted_outliers": planted})


def _sides(design: Design) -> tuple[int, int]:
    """Rows and columns of the array; any where it has none, which is refused elsewhere."""
    return (design.array.rows, design.array.cols) if isinstance(design, SystolicDesign) else (1, 1)


def trace_stimulus(
    trace: str, op_name: str, M: int | None = None, N: int | None = None, K: int | None = None
) -> Stimulus:
    """The first GEMM of a trace's op, or its leading M x K and N x K corner. Only what is taken decides the scales.

    Raises: TraceError, UnknownNameError; WorkloadError for a corner larger than the op.
    """
    workload = resolve_workload(trace)
    if workload.trace is None:
        raise OlivineError(f"{trace}: a workload of shapes has no tensors; `olivine list traces` names traces")
    op = workload.trace.record(op_name).op
    for name, asked, has in (("M", M, op.M), ("N", N, op.N), ("K", K, op.K)):
        if asked is not None and asked > has:
            raise WorkloadError(f"op '{op.name}' of {workload.name} has {name}={has}, {asked} was asked for")
    cut = _writable_op(op.name, M or op.M, N or op.N, K or op.K)
    act, weight = workload.trace.load(op_name)
    source: dict[str, Any] = {"tensors": "trace", "trace": workload.name, "sha256": workload.fingerprint, "op": op.name}
    source |= {"op_shape": {"M": op.M, "N": op.N, "K": op.K}, "gemm": 0, "gemms": op.count}
    return Stimulus(cut, act[:1, : cut.M, : cut.K], weight[:1, : cut.N, : cut.K], source, workload.name)


def _writable_op(name: str, M: int, N: int, K: int) -> Op:
    op = Op(name, M, N, K)
    if max(M * K, N * K, M * N) > _MOST_WORDS:
        raise WorkloadError(f"{M} x {N} x {K}: a memory of more than {_MOST_WORDS} words; give smaller -m, -n, -k")
    return op


def planted_tensors(M: int, N: int, K: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Standard normal (1, M, K) and (1, N, K), each with outliers of both signs, every fourth beside another one.

    Magnitudes are log-uniform up to 64 sigma, less in a small tensor, whose sigma a large outlier would swallow.
    """
    rng = np.random.default_rng(seed)
    return _planted((1, M, K), rng), _planted((1, N, K), rng)


def _planted(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    values = rng.standard_normal(shape, dtype=np.float32)
    flat = values.reshape(-1)
    places = rng.choice(flat.size, size=-(-flat.size // _ONE_IN), replace=False)
    places = np.union1d(places, np.minimum(places[::4] + 1, flat.size - 1))
    largest = min(max(flat.size**0.5, 2 * _SMALLEST), _LARGEST)
    magnitudes = np.exp(rng.uniform(np.log(_SMALLEST), np.log(largest), len(places)))
    flat[places] = rng.choice([-1, 1], len(places)) * magnitudes
    return values
