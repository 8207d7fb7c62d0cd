"""One GEMM on the register-accurate arrays of a datapath."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from simulator.datapath import Gate, Job, Lane
from simulator.engine.pe_array import ArrayRun, run_os_array
from simulator.engine.pe_array_stationary import run_stationary_array
from simulator.errors import ConfigError, MismatchError
from simulator.formats import Encoded
from simulator.mapping import lower
from simulator.study.systolic import SystolicHardware
from simulator.tiles import TileTable
from simulator.workload import Op

__all__ = ["run_registers"]


def run_registers(hardware: SystolicHardware, act: Encoded, weight: Encoded, table: TileTable) -> NDArray[Any]:
    """Results (M, N) as they leave the edge registers. Cycles of every array are held to the closed form, and those
    that it stood frozen, or that one array took longer than the other, to what the tiles charge.

    Raises: ConfigError if the design is no hardware (``fold_overlap: scalesim``); MismatchError if cycles differ.
    """
    array = hardware.array
    if array.overlap == "scalesim":
        field = hardware.design.where("array", "fold_overlap")
        raise ConfigError(f"{field}: pe_array runs hardware: none, wave or full")
    lanes = hardware.datapath.lanes(act, weight, array.rows, array.cols)
    runs = [_run(hardware, lane) for lane in lanes]
    for index, (lane, run) in enumerate(zip(lanes, runs, strict=True)):
        expected = _closed_form(hardware, lane)
        if index == 0 and (array.dataflow == "os" or len(table) == 1):  # else blocks of the stream take more folds
            expected = table.compute_cycles
        if run.cycles - run.frozen_cycles != expected:
            moving = run.cycles - run.frozen_cycles
            raise MismatchError(f"the array took {moving} cycles, the closed form says {expected}")
    if len(lanes) > 1 or _gate(hardware, lanes[0]) is not None:
        _check_waiting(hardware, act, weight, table, runs)
    return hardware.datapath.merge([run.values for run in runs], act, weight)


def _check_waiting(
    hardware: SystolicHardware, act: Encoded, weight: Encoded, table: TileTable, runs: list[ArrayRun]
) -> None:
    """Hold what values cost on the arrays to the tiles: those of this run, or, where folds come in parts or each tile
    waits for the slower of two arrays, to one tile of the whole GEMM. Raises: MismatchError.
    """
    M, N, K = len(act.codes), len(weight.codes), act.length
    if len(runs) > 1 or (hardware.array.dataflow == "os" and (table.rows["k"] < K).any()):
        table = lower(Op("whole", M, N, K), hardware.array, hardware.bits, None)
    array = hardware.array
    job = Job(M, N, K, array.rows, array.cols, table.rows, act, weight, 0, array.fold_beside, array.dataflow)
    costs = hardware.datapath.tile_costs(job)
    assert costs is not None, "a datapath whose array waits charges its tiles for that"
    charged = int(costs.outlier_cycles.sum())
    found = max(run.cycles for run in runs) - (runs[0].cycles - runs[0].frozen_cycles)
    if found != charged:
        raise MismatchError(f"the arrays waited {found} cycles for outliers, the tiles say {charged}")


def _shape(hardware: SystolicHardware, lane: Lane) -> Any:
    return replace(hardware.array, rows=lane.rows, cols=lane.cols, cycles_per_step=1, result_words=lane.result_words)


def _closed_form(hardware: SystolicHardware, lane: Lane) -> int:
    return int(_shape(hardware, lane).total(*_lengths(lane)))


def _lengths(lane: Lane) -> tuple[int, int, int]:
    """M, N, and the steps of K."""
    return len(lane.act), len(lane.weight), lane.act.shape[1]


def _run(hardware: SystolicHardware, lane: Lane) -> ArrayRun:
    shape = _shape(hardware, lane)
    how: dict[str, Any] = {
        "mac": lane.mac,
        "period_cycles": shape.fold(shape.stream(*_lengths(lane))).period_cycles,
        "double_buffered": shape.overlap == "full",
        "finish": lane.finish,
        "constants": lane.constants,
        "registers": lane.registers,
        "state_type": lane.state_type,
    }
    gate = _gate(hardware, lane)
    if gate is not None:
        how |= {"gate": gate.asked, "gate_memory": gate.memory}
    sides = lane.act, lane.weight, lane.rows, lane.cols
    if shape.dataflow == "os":
        return run_os_array(*sides, **how, result_words=lane.result_words)
    return run_stationary_array(*sides, **how, held="weight" if shape.dataflow == "ws" else "act")


def _gate(hardware: SystolicHardware, lane: Lane) -> Gate | None:
    return lane.gate if hardware.array.dataflow == "os" else lane.held_gate
