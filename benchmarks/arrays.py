"""The register-accurate arrays against the same array as RTL: PE-cycles per second, one thread each.

A PE-cycle is the same on both sides: one PE taken over one clock edge, all of its registers included (activation, tag,
weight, accumulator, drain register), whether it holds an operand or a bubble. Both run the same operands through an
int8 array of ``tests/rtl`` and must take the same cycles and give the same values, else nothing is reported. On the
RTL's side only the loop over cycles is timed, not Verilator's translation and the C++ compiler's minutes; on
ours the whole call with a kernel already compiled.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import ROOT, Line, alternately, command, compared, seconds
from simulator import datapath
from simulator.config import load_design
from simulator.datapath import Lane
from simulator.engine.pe_array import ArrayRun, run_os_array
from simulator.engine.pe_array_stationary import run_stationary_array
from simulator.study.stimulus import drawn_stimulus
from simulator.study.vectors import write_vectors

RTL = ROOT / "tests" / "rtl"
SOURCES = [RTL / f"{name}.sv" for name in ("os_array", "pe", "product", "delay", "column_drain")]
DATAPATHS = {
    "int8": ("int_mac", {}),
    "int4": ("int_mac", {"act_bits": 4, "weight_bits": 4}),
    "ovp": ("ovp", {}),
    "ovp, 8 bits on 4-bit PEs": ("ovp", {"bits": 8}),
    "fp16": ("fp16_mac", {}),
}
SIDES = (16, 32)
GOAL = 10.0
"""PE-cycles per second over Verilator's that were aimed at."""


def operands(M: int, N: int, K: int) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Random int8 (M, K) and (N, K), -128 included."""
    rng = np.random.default_rng(0)
    return rng.integers(-128, 128, (M, K), np.int8), rng.integers(-128, 128, (N, K), np.int8)


def ours(act: NDArray[Any], weight: NDArray[Any], side: int, name: str = "int_mac", **how: Any) -> ArrayRun:
    """One GEMM on the output-stationary array of ``side x side`` PEs."""
    unit = datapath.create(name, {})
    how = {"mac": unit.mac, "state_type": unit.state_type, "period_cycles": max(act.shape[1], side), **how}
    return run_os_array(act, weight, side, side, **how, double_buffered=True)


def verilated(side: int, folder: Path) -> Path:
    """The array compiled by Verilator with its fastest options."""
    flags = f"-O3 -march=native -DROWS={side} -DCOLS={side}"
    shape = {"ROWS": side, "COLS": side, "EXPONENT_INTEGER": 0, "ACT_BITS": 8, "WEIGHT_BITS": 8}
    options = ["--cc", "--exe", "--build", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert"]
    options += ["-Wno-fatal", "-Wno-WIDTH", "--top-module", "os_array", "-CFLAGS", flags]
    options += ["-MAKEFLAGS", "OPT_FAST=-O3 OPT_GLOBAL=-O3", "--Mdir", str(folder), "-o", "sim"]
    source = Path(__file__).with_name("rtl.cpp")
    command(["verilator", *options, *(f"-G{k}={v}" for k, v in shape.items()), source, *SOURCES])
    return folder / "sim"


def check(run: ArrayRun, cycles: int, values: NDArray[Any], who: str) -> None:
    """Raises: SystemExit if the two sides differ."""
    if run.cycles != cycles or not np.array_equal(run.values, values):
        raise SystemExit(f"{who} took {cycles} cycles, we {run.cycles}, or values differ")


def against_verilator(rounds: int) -> list[Line]:
    """Both on the same operands, in turn."""
    if shutil.which("verilator") is None:
        print("verilator is absent (Debian: apt-get install verilator): the array is not compared with it")
        return []
    lines = []
    for side in SIDES:
        with tempfile.TemporaryDirectory() as scratch:
            program = verilated(side, Path(scratch) / "build")
            for K, folds, goal in ((512, 8, GOAL), (side, 32, None)):  # the second: results leave without a pause
                act, weight = operands(folds * side, folds * side, K)
                files = _files(act, weight, Path(scratch))
                check(ours(act, weight, side), *_rtl_run(program, act, weight, files)[:2], "Verilator")
                mine, theirs = (
                    partial(_our_rate, act, weight, side),
                    partial(_rtl_rate, program, act, weight, files, side),
                )
                rates = alternately(rounds, mine, theirs)
                what = f"pe_array int8, {side} x {side}, K = {K}"
                lines.append(compared(what, "million PE-cycles/s", rates[0], "Verilator", rates[1], goal=goal))
    return lines


def _files(act: NDArray[np.int8], weight: NDArray[np.int8], folder: Path) -> list[Path]:
    """Operands for the RTL, and where its results go."""
    files = [folder / name for name in ("act.bin", "weight.bin", "out.bin")]
    act.tofile(files[0])
    weight.tofile(files[1])
    return files


def _rtl_run(program: Path, act: Any, weight: Any, files: list[Path]) -> tuple[int, NDArray[Any], float]:
    shape = len(act), len(weight), act.shape[1]
    _, said = command([program, *map(str, shape), *files])
    cycles, spent = said.split()
    return int(cycles), np.fromfile(files[2], np.int32).reshape(shape[:2]), float(spent)


def _rtl_rate(program: Path, act: Any, weight: Any, files: list[Path], side: int) -> float:
    cycles, _, spent = _rtl_run(program, act, weight, files)
    return cycles * side * side / spent / 1e6


def _our_rate(act: Any, weight: Any, side: int) -> float:
    start = time.process_time()
    run = ours(act, weight, side)
    return run.pe_cycles / (time.process_time() - start) / 1e6


def against_iverilog(rounds: int) -> list[Line]:
    """An interpreter of Verilog on the testbench that ``olivine vectors`` writes; its whole run is timed."""
    if shutil.which("iverilog") is None:
        return []
    side, shape = 16, (32, 32, 64)
    design = load_design("int8_systolic", set={"array.rows": side, "array.cols": side})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "vectors"
        cycles = write_vectors(design, drawn_stimulus(design, *shape, seed=0), folder)["cycles"]["total"]
        parts = [RTL / f"{name}.sv" for name in ("dut_int", "ovp4_decoder")]
        command(
            ["iverilog", "-g2012", "-s", "olivine_tb", "-o", "tb", folder / "testbench.sv", *parts, *SOURCES], folder
        )
        if f"{cycles} cycles" not in (said := command(["vvp", "tb"], folder)[1]):
            raise SystemExit(f"iverilog: {said}")
        theirs = [cycles * side * side / command(["vvp", "tb"], folder)[0].cpu_s / 1e6 for _ in range(rounds)]
    mine = [_our_rate(*operands(*shape), side) for _ in range(rounds + 1)][1:]
    return [compared(f"pe_array int8, {side} x {side}, K = 64", "million PE-cycles/s", mine, "iverilog", theirs)]


def variants(rounds: int) -> list[Line]:
    """PE-cycles per second of datapaths, dataflows, one fold, and cycles without values, against a NumPy product's
    MACs per second of the same operands in int64: what is possible without any register.
    """
    act, weight = operands(256, 256, 512)
    wide = act.astype(np.int64), weight.astype(np.int64).T
    plain = act.size * len(weight) / seconds(lambda: wide[0] @ wide[1], rounds) / 1e6
    lines = []
    for name in DATAPATHS:
        for dataflow in ("os", "ws", "is"):
            run = partial(_lane_run, name, dataflow)
            lines.append(_rate_line(f"{name}, {dataflow}", run, rounds, plain))
    lines.append(_rate_line("int8, os, one fold", lambda: ours(act, weight, 32, folds=1), rounds, plain))
    lines.append(_rate_line("int8, os, no values", lambda: ours(act, weight, 32, mac=None), rounds, plain))
    return lines


def _rate_line(what: str, run: Any, rounds: int, plain: float) -> Line:
    rate = run().pe_cycles / seconds(run, rounds) / 1e6
    return Line(f"pe_array {what}, 32 x 32", "million PE-cycles/s", rate, "NumPy int64 MACs", plain)


@cache
def _lane(name: str) -> Lane:
    """Edge words of normal tensors of 256 x 256 x 512, and a PE."""
    unit = datapath.create(*DATAPATHS[name])
    tensors = np.random.default_rng(0).standard_normal((2, 1, 256, 512), dtype=np.float32)
    pair = unit.encode(*tensors, ("row", "row"), ("absmax", "absmax"))[0]
    (lane,) = unit.lanes(*pair, 32, 32)
    return lane


def _lane_run(name: str, dataflow: str) -> ArrayRun:
    """Their product on a 32 x 32 array."""
    lane = _lane(name)
    how: dict[str, Any] = {"mac": lane.mac, "finish": lane.finish, "state_type": lane.state_type}
    sides = lane.act, lane.weight, 32, 32
    if dataflow == "os":
        return run_os_array(*sides, **how, period_cycles=512, double_buffered=True)
    held = "weight" if dataflow == "ws" else "act"
    return run_stationary_array(*sides, **how, held=held, period_cycles=256, double_buffered=True)


PARTS = {"registers": variants}
PEERS = {"rtl": against_verilator, "iverilog": against_iverilog}
