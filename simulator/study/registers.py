"""One GEMM on the register-accurate arrays of a datapath."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from simulator.datapath import Lane
from simulator.engine.pe_array import run_os_array
from simulator.engine.pe_array_stationary import run_stationary_array
from simulator.errors import ConfigError, MismatchError
from simulator.formats import Encoded
from simulator.study.hardware import Hardware
from simulator.tiles import TileTable

__all__ = ["run_registers"]


def run_registers(hardware: Hardware, act: Encoded, weight: Encoded, table: TileTable) -> NDArray[Any]:
    """Results (M, N) as they leave the edge registers; cycles of every array are held to the closed form.

    Raises: ConfigError if the design is no hardware (``fold_overlap: scalesim``); MismatchError if cycles differ.
    """
    array = hardware.array
    if array.overlap == "scalesim":
        field = hardware.design.where("array", "fold_overlap")
        raise ConfigError(f"{field}: pe_array runs hardware: none, wave or full")
    lanes = hardware.datapath.lanes(act, weight, array.rows, array.cols)
    results = []
    for index, lane in enumerate(lanes):
        values, cycles = _run(hardware, lane)
        expected = _closed_form(hardware, lane)
        if index == 0 and (array.dataflow == "os" or len(table) == 1):  # else blocks of the stream take more folds
            expected = table.compute_cycles
        if cycles != expected:
            raise MismatchError(f"the array took {cycles} cycles, the closed form says {expected}")
        results.append(values)
    return hardware.datapath.merge(results, act, weight)


def _shape(hardware: Hardware, lane: Lane) -> Any:
    return replace(hardware.array, rows=lane.rows, cols=lane.cols, cycles_per_step=1, result_words=lane.result_words)


def _closed_form(hardware: Hardware, lane: Lane) -> int:
    return int(_shape(hardware, lane).total(*_lengths(lane)))


def _lengths(lane: Lane) -> tuple[int, int, int]:
    """M, N, and the steps of K."""
    return len(lane.act), len(lane.weight), lane.act.shape[1]


def _run(hardware: Hardware, lane: Lane) -> tuple[NDArray[Any], int]:
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
    sides = lane.act, lane.weight, lane.rows, lane.cols
    if shape.dataflow == "os":
        run = run_os_array(*sides, **how, result_words=lane.result_words)
    else:
        run = run_stationary_array(*sides, **how, held="weight" if shape.dataflow == "ws" else "act")
    return run.values, run.cycles
