"""``olivine verify``: every datapath against the exact reference, and every rung of the fidelity ladder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.config import Design
from simulator.config.design import Cores, SystolicDesign, Tiling
from simulator.config.study import Fidelity
from simulator.errors import MismatchError, OlivineError
from simulator.mapping import FOLD_OVERLAPS
from simulator.study.building import build
from simulator.study.hardware import Hardware
from simulator.study.passes import simulate_step
from simulator.study.simulate import OpResult, simulate_op
from simulator.study.systolic import SystolicHardware
from simulator.study.workloads import Workload
from simulator.workload import Op

__all__ = ["Check", "verify_design"]

_LADDER_SIDES = ((2, 2), (6, 10), (16, 8))
"""Even: four 4-bit PEs may make one 8-bit MAC."""
_LADDER_SHAPES = ((1, 1, 1), (7, 5, 3), (17, 9, 33))


@dataclass(frozen=True)
class Check:
    """One verdict; ``complaint`` is empty if it passed."""

    design: str
    what: str
    cases: int
    complaint: str = ""


def verify_design(
    design: Design, workload: Workload, seed: int = 0, progress: Callable[[str], None] | None = None
) -> Iterator[Check]:
    """All checks of one design, each as soon as it is known.

    Values of every op of the workload's trace and of adversarial tensors; the register-accurate array against closed
    forms and values, if it is systolic; bound <= pipeline == event on this design's memory.
    Raises: ConfigError if the design cannot be built.
    """
    hardware = build(design)
    on_workload = hardware.on(workload.name)
    checks: list[tuple[str, Callable[[], int]]] = [
        (f"values on {workload.name}", lambda: _trace_values(on_workload, workload, progress)),
        ("values on adversarial tensors", lambda: _adversarial_values(hardware, seed)),
    ]
    if isinstance(hardware, SystolicHardware):
        checks.append(("registers == closed forms, values", lambda: _registers(hardware, seed)))
    checks.append(("bound <= pipeline == event", lambda: _ladder(on_workload, workload)))
    for what, run in checks:
        try:
            yield Check(design.name, what, run())
        except MismatchError as error:
            yield Check(design.name, what, 0, str(error))


def _trace_values(hardware: Hardware, workload: Workload, progress: Callable[[str], None] | None) -> int:
    if workload.trace is None:
        raise OlivineError(
            f"{workload.name}: verify needs tensors, this workload has shapes only; `olivine list traces` names traces"
        )
    for op in workload.ops:
        if progress:
            progress(f"{hardware.design.name}: {op.name}")
        _require_exact(simulate_op(hardware, op, workload.trace.load(op.name)))
    return len(workload.ops)


def _adversarial_values(hardware: Hardware, seed: int) -> int:
    cases = [(variant, *case) for variant in hardware.precisions for case in adversarial_tensors(seed)]
    for variant, name, act, weight in cases:
        op = Op(name, act.shape[1], weight.shape[1], act.shape[2], act.shape[0])
        _require_exact(simulate_op(variant, op, (act, weight)))
    return len(cases)


def adversarial_tensors(seed: int) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """Named pairs (1, M, K), (1, N, K) meant to break a datapath: zeros, heavy tails, planted outliers, extremes."""
    rng = np.random.default_rng(seed)
    for K in (1, 2, 7, 64, 129):
        act, weight = (rng.standard_normal((1, rows, K), dtype=np.float32) for rows in (9, 11))
        yield f"normal, K={K}", act, weight
        yield f"zeros, K={K}", np.zeros_like(act), weight
        spread = [x * np.exp(2 * rng.standard_normal(x.shape, dtype=np.float32)) for x in (act, weight)]
        yield f"heavy tails, K={K}", spread[0], spread[1]
        for name, places in (("edge", [0, K - 1]), ("adjacent", [K // 2, max(K // 2 - 1, 0)]), ("all", list(range(K)))):
            planted = [_with_outliers(x, places, rng) for x in (act, weight)]
            yield f"{name} outliers, K={K}", planted[0], planted[1]
        yield f"largest magnitudes, K={K}", np.full_like(act, 3e4), np.full_like(weight, -3e4)


def _with_outliers(x: NDArray[np.float32], places: list[int], rng: np.random.Generator) -> NDArray[np.float32]:
    out = x.copy()
    out[..., places] *= rng.uniform(20, 300, (*x.shape[:-1], len(places))).astype(np.float32)
    return out


def _require_exact(result: OpResult) -> None:
    if result.quality and result.quality.mismatch:
        raise MismatchError(result.quality.mismatch)


def _registers(hardware: SystolicHardware, seed: int) -> int:
    """Small arrays, all overlaps: cycles are compared inside ``simulate_op``, the closed form here once more."""
    cases = 0
    for rows, cols in _LADDER_SIDES:
        for overlap in (o for o in FOLD_OVERLAPS if o != "scalesim"):
            for small in build(_resized(hardware.design, rows, cols, overlap)).precisions:
                for M, N, K in _LADDER_SHAPES:
                    op = Op(f"{M} x {N} x {K} on {rows} x {cols}", M, N, K)
                    result = simulate_op(small, op, fidelity="pe_array", seed=seed)
                    _require_exact(result)
                    expected = small.array.total(M, N, K)
                    if result.timing.compute_cycles != expected:
                        found = result.timing.compute_cycles
                        raise MismatchError(f"{op.name}, {overlap}: {found} cycles, the closed form says {expected}")
                    cases += 1
    return cases


def _resized(design: SystolicDesign, rows: int, cols: int, overlap: str) -> SystolicDesign:
    """One core of the design with another array; it still knows the file whose relative paths it names."""
    array = design.array.model_copy(update={"rows": rows, "cols": cols, "fold_overlap": overlap})
    return design.model_copy(update={"array": array, "cores": Cores(), "tiling": Tiling()})


def _ladder(hardware: Hardware, workload: Workload) -> int:
    fidelities: tuple[Fidelity, ...] = ("bound", "pipeline", "event")
    for index, step in enumerate(workload.steps):
        bound, pipeline, event = (
            simulate_step(hardware, workload.steps, index, fidelity=fidelity).timing for fidelity in fidelities
        )
        if event.by_cause() != pipeline.by_cause():
            raise MismatchError(f"{step.name}: event says {event.by_cause()}, pipeline {pipeline.by_cause()}")
        if bound.total_cycles > pipeline.total_cycles:
            raise MismatchError(
                f"{step.name}: the bound is {bound.total_cycles} cycles, pipeline {pipeline.total_cycles}"
            )
    return len(workload.steps)
