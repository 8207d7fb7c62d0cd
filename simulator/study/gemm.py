"""One GEMM on one design, from Python: ``simulate_gemm``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator import units
from simulator.config import Design, load_design
from simulator.config.catalogue import Reference
from simulator.config.study import Fidelity
from simulator.cost import total
from simulator.errors import UnknownNameError, WorkloadError
from simulator.reference import sqnr_db
from simulator.study.building import build
from simulator.study.hardware import Hardware
from simulator.study.kept import hardware_of
from simulator.study.simulate import OpResult, simulate_op
from simulator.study.systolic import SystolicHardware
from simulator.workload import Op

__all__ = ["GemmResult", "simulate_gemm"]


@dataclass(frozen=True)
class GemmResult:
    """What one GEMM took and gave.

    Attributes:
        cycles: ``total``, ``compute`` and one entry per stall cause; compute and causes sum to the total.
        fill_drain_cycles: part of ``compute`` in which no streamed operand enters the array: fill, drain, bubbles.
        latency_s: makespan [s].
        macs: useful multiply-accumulates, M*N*K.
        bytes: memory level -> {"read", "write"} [bytes].
        dram: activates, row hits and so on of banked DRAM; empty for others.
        partition: M, N or K, along which the cores share the product; empty where one core has it whole.
        counts: a record per level and operand: ``reads`` and ``writes`` (accesses: bursts of DRAM, words of a
            scratchpad, registers) and ``read_bytes``, ``write_bytes``; docs/counts.md has the formulas.
        energy_pj: component -> pJ, plus ``total``; empty where the design has no prices.
        area_um2: component -> um^2, plus ``total``; likewise.
        mapping_util: PEs that hold work over PEs; compute_util: useful MACs over PE-cycles of the whole run.
        c: real result (M, N), float64: the datapath's exact accumulators times the scales; None without values.
        accumulators: the datapath's own result (M, N), int64 or float32; None without values.
        exact: whether the accumulators equal the exact reference bit for bit; None without values.
        mismatch: the first difference as one line, empty if there is none.
        sqnr_db: against the float64 product of the unquantised tensors [dB]; None without values.
        sqnr_quantisation_db, sqnr_arithmetic_db: its two parts: the error of the infinitely precise product of the
            same codes, and the difference between that and the result.
    """

    cycles: dict[str, int]
    fill_drain_cycles: int
    latency_s: float
    macs: int
    bytes: dict[str, dict[str, int]]
    counts: list[dict[str, Any]]
    energy_pj: dict[str, float]
    area_um2: dict[str, float]
    mapping_util: float
    compute_util: float
    tiles: int
    dram: dict[str, int] = field(default_factory=dict)
    partition: str = ""
    c: NDArray[np.float64] | None = None
    accumulators: NDArray[Any] | None = None
    exact: bool | None = None
    mismatch: str = ""
    sqnr_db: float | None = None
    sqnr_quantisation_db: float | None = None
    sqnr_arithmetic_db: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Everything but the arrays, as plain data for JSON."""
        skipped = ("c", "accumulators")
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in skipped}


def simulate_gemm(
    design: Design | Reference,
    M: int | None = None,
    N: int | None = None,
    K: int | None = None,
    *,
    a: ArrayLike | None = None,
    w: ArrayLike | None = None,
    fidelity: Fidelity = "pipeline",
    seed: int = 0,
) -> GemmResult:
    """Simulate ``A[M,K] x W[K,N] -> C[M,N]``.

    Args:
        design: a loaded design, a shipped name, a path or a mapping.
        M, N, K: the shape; not needed with tensors, and checked against them if given.
        a, w: real operands (M, K) and (K, N); without them only cycles, bytes, energy and area are known, except
            that ``pe_array`` then draws standard normal tensors with ``seed``.
        fidelity: ``bound``, ``pipeline``, ``event`` or ``pe_array``.
    Raises: OlivineError, one line, for anything that the caller can put right.
    """
    if fidelity not in get_args(Fidelity):
        raise UnknownNameError("fidelity", str(fidelity), get_args(Fidelity))
    if not isinstance(seed, int) or seed < 0:
        raise WorkloadError(f"seed must be an integer of at least 0, got {seed!r}")
    hardware = _hardware(design)
    op, tensors = _operation(M, N, K, a, w)
    return _as_gemm(hardware.for_op(op), simulate_op(hardware, op, tensors, fidelity=fidelity, seed=seed))


def _hardware(design: Design | Reference) -> Hardware:
    built = hardware_of(design) if isinstance(design, Design) else build(load_design(design))
    return built.on("")


def _operation(
    M: int | None, N: int | None, K: int | None, a: ArrayLike | None, w: ArrayLike | None
) -> tuple[Op, tuple[NDArray[Any], NDArray[Any]] | None]:
    if (a is None) != (w is None):
        raise WorkloadError("give both tensors, a of shape (M, K) and w of shape (K, N), or neither")
    if a is None or w is None:
        if M is None or N is None or K is None:
            raise WorkloadError("give M, N and K, or the tensors a and w")
        return Op("gemm", M, N, K), None
    a, w = np.asarray(a), np.asarray(w)
    if a.ndim != 2 or w.ndim != 2 or a.shape[1] != w.shape[0]:
        raise WorkloadError(f"a of shape {a.shape} times w of shape {w.shape} is no product A[M,K] x W[K,N]")
    for tensor, values in (("a", a), ("w", w)):
        if values.dtype.kind not in "fiu":
            raise WorkloadError(f"{tensor} must hold real numbers, got dtype {values.dtype}")
    op = Op("gemm", a.shape[0], w.shape[1], a.shape[1])
    for name, given, found in (("M", M, op.M), ("N", N, op.N), ("K", K, op.K)):
        if given is not None and given != found:
            raise WorkloadError(f"{name}={given} was given, but the tensors have {name}={found}")
    return op, (a[None], np.ascontiguousarray(w.T)[None])


def _as_gemm(hardware: Hardware, result: OpResult) -> GemmResult:
    op, timing, quality = result.op, result.timing, result.quality
    area = hardware.area
    values = result.values[0] if result.values else None
    return GemmResult(
        cycles=timing.by_cause(),
        fill_drain_cycles=timing.fill_drain_cycles,
        latency_s=units.cycles_to_s(timing.total_cycles, hardware.design.clock_mhz),
        macs=result.counts.macs,
        bytes={level: _bytes(result, level) for level in _levels(hardware, result)},
        counts=result.counts.records(),
        energy_pj=_summed(result.energy),
        area_um2=_summed(area),
        mapping_util=hardware.mapping_util(op),
        compute_util=op.macs / (hardware.macs_per_cycle * timing.total_cycles) if timing.total_cycles else 0.0,
        tiles=result.tiles,
        dram=timing.dram,
        partition=result.partition,
        c=hardware.datapath.real(values, *result.operands[0]) if values is not None else None,
        accumulators=values,
        exact=quality.exact if quality else None,
        mismatch=quality.mismatch if quality else "",
        sqnr_db=quality.sqnr_db if quality else None,
        sqnr_quantisation_db=sqnr_db(quality.signal, quality.quantisation_noise) if quality else None,
        sqnr_arithmetic_db=sqnr_db(quality.signal, quality.arithmetic_noise) if quality else None,
    )


def _levels(hardware: Hardware, result: OpResult) -> tuple[str, ...]:
    """Memories of the design."""
    if isinstance(hardware, SystolicHardware):
        return ("dram", *hardware.bill.buffers)
    return tuple(dict.fromkeys(level for level, _ in result.counts.traffic))


def _summed(parts: dict[str, float]) -> dict[str, float]:
    """The parts and their total; nothing where there are no prices."""
    return parts | {"total": total(parts)} if parts else {}


def _bytes(result: OpResult, level: str) -> dict[str, int]:
    moved = result.counts.level(level)
    return {"read": units.bits_to_bytes(moved.read_bits), "write": units.bits_to_bytes(moved.write_bits)}
