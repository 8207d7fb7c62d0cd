"""Speed side by side in one run, printed as ratios: kernels against memcpy and BLAS, engines against each other.

    python benchmarks/bench.py [--json FILE] [--rounds N]

Every line is the median of several rounds in a warm process. Nothing is asserted: the tests guard results, not time.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np

import simulator as sim
from simulator import datapath, formats
from simulator.config import load_dram
from simulator.datapath import Width
from simulator.engine import IdealDram, run_pipeline
from simulator.engine.dram_banked import serve
from simulator.engine.event import run_events
from simulator.engine.pe_array import run_os_array
from simulator.mapping import ArrayShape, BufferLimits, OperandBits, lower
from simulator.study.drams import banked_dram
from simulator.workload import Op


@dataclass(frozen=True)
class Line:
    """One comparison: ``rate`` of ours in ``unit``, of the yardstick, and ours over it."""

    what: str
    unit: str
    rate: float
    yardstick: str
    yardstick_rate: float

    @property
    def ratio(self) -> float:
        return self.rate / self.yardstick_rate


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Median seconds of one call, after a warm-up call."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


def encoding(rounds: int) -> list[Line]:
    """Float32 bytes encoded and decoded per second on one core, against copying the same bytes.

    What bounds them is not memory, as the ratios show, but work per value: a division, a look-up and packing; for the
    pairs of `ovp*` also a branch on the kind of pair. It is taken one way for nearly all pairs of a bell-shaped tensor;
    where outliers are frequent (the last line: a fifth of all values times 6) it is mispredicted, and time goes there.
    """
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2048, 4096), dtype=np.float32)
    copy = x.nbytes / seconds(x.copy, rounds) / 1e6

    def rate(work: Callable[[], object]) -> float:
        return x.nbytes / seconds(work, rounds) / 1e6

    lines = []
    for name in formats.names():
        number_format = formats.get(name)
        if not isinstance(number_format, formats.Format):
            continue  # encodings that search (dictionaries, types) are not bound by memory
        scale = number_format.calibrate(x, method="three_sigma")
        encoded = rate(lambda f=number_format, s=scale: f.encode(x, s))
        lines.append(Line(f"encode {name}", "MB/s of float32", encoded, "memory copy", copy))
        codes = number_format.encode(x, scale)
        decoded = rate(lambda f=number_format, c=codes: f.decode(c, x.shape[-1]))
        lines.append(Line(f"decode {name}", "MB/s of values", decoded, "memory copy", copy))
    ovp4 = formats.get("ovp4")
    scale = ovp4.calibrate(x, method="three_sigma")
    hard = np.where(rng.random(x.shape) < 0.2, 6 * x, x)
    encoded = rate(lambda: ovp4.encode(hard, scale))
    return [*lines, Line("encode ovp4, many outliers", "MB/s of float32", encoded, "memory copy", copy)]


def products(rounds: int) -> list[Line]:
    """MACs per second of each datapath's exact product, against a float64 BLAS product of the same shape."""
    rng = np.random.default_rng(0)
    M, N, K = 256, 768, 768
    act, weight = rng.standard_normal((M, K), dtype=np.float32), rng.standard_normal((N, K), dtype=np.float32)
    a64, w64 = act.astype(np.float64), weight.T.astype(np.float64)
    blas = M * N * K / seconds(lambda: a64 @ w64, rounds) / 1e9
    lines = []
    for name in datapath.names():
        unit = datapath.create(name, {})
        ((a, w),) = unit.encode(act[None], weight[None], ("tensor", "row"), ("three_sigma", "three_sigma"))
        rate = M * N * K / seconds(lambda u=unit, a=a, w=w: u.matmul(a, w), rounds) / 1e9
        lines.append(Line(f"matmul {name}", "GMAC/s", rate, "float64 BLAS", blas))
    return lines


def engines(rounds: int) -> list[Line]:
    """Tiles per second of the recurrence, against the same tiles as SimPy events."""
    limits = BufferLimits(16384, 16384, 65536)
    bits = OperandBits(Width.plain(8), Width.plain(8), 32, 16)
    table = lower(Op("gemm", 2048, 1024, 256), ArrayShape(8, 8, "full"), bits, limits, (2, 2, 2))
    dram = IdealDram(64.0, 50, 64)
    fast = len(table) / seconds(lambda: run_pipeline(table, dram), rounds) / 1e3
    slow = len(table) / seconds(lambda: run_events(table, dram), 1) / 1e3
    return [Line(f"pipeline, {len(table)} tiles", "thousand tiles/s", fast, "SimPy events", slow)]


def memory(rounds: int) -> list[Line]:
    """Bursts per second of banked DRAM on a sequential stream, against random bursts."""
    lines, bursts = [], 1 << 20
    for name, scheduler in [("ddr4_3200", "in_order"), ("hbm2e_3200", "in_order"), ("ddr4_3200", "fr_fcfs")]:
        dram = banked_dram(load_dram(name, set={"controller.scheduler": scheduler}), 1000)
        size = dram.burst_bytes
        places = np.random.default_rng(0).integers(0, dram.capacity_bytes // size, bursts // 16)
        scattered = np.stack([places * 0, places * size, places * 0 + size, places * 0], axis=1)
        stream = bursts / seconds(lambda d=dram: serve(d, d.start(), [(0, 0, bursts * d.burst_bytes, 0)]), rounds) / 1e6
        random = len(places) / seconds(lambda d=dram, t=scattered: serve(d, d.start(), t), rounds) / 1e6
        lines.append(Line(f"{name} {scheduler}", "million bursts/s", stream, "random bursts", random))
    return lines


def registers(rounds: int) -> list[Line]:
    """Simulated PE-cycles per second of the register-accurate array, against MACs of a plain integer product."""
    rng = np.random.default_rng(0)
    act, weight = rng.integers(-127, 128, (128, 512)), rng.integers(-127, 128, (128, 512))
    unit = datapath.create("int_mac", {})
    how = {"mac": unit.mac, "state_type": unit.state_type}

    def run():
        return run_os_array(act, weight, 32, 32, **how, period_cycles=512, double_buffered=True)

    ours = run().pe_cycles / seconds(run, rounds) / 1e6
    plain = act.size * len(weight) / seconds(lambda: act @ weight.T, rounds) / 1e6
    return [Line("pe_array int8, 32 x 32", "million PE-cycles/s", ours, "NumPy int64 MACs", plain)]


def whole_gemm(rounds: int) -> list[Line]:
    """GEMMs per second, everything included, against the register-accurate array on the same design."""
    design = sim.load_design("int8_systolic", set={"array.rows": 32, "array.cols": 32})
    shape = {"M": 512, "N": 768, "K": 768}
    fast = 1 / seconds(lambda: sim.simulate_gemm(design, **shape), rounds)
    slow = 1 / seconds(lambda: sim.simulate_gemm(design, **shape, fidelity="pe_array"), 1)
    return [Line("simulate_gemm 512 x 768 x 768", "per second", fast, "fidelity pe_array", slow)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the lines to this file")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    lines = [
        line for part in (encoding, products, engines, memory, registers, whole_gemm) for line in part(arguments.rounds)
    ]
    print(f"{'what':<32}{'rate':>12}  {'unit':<22}{'yardstick':<20}{'rate':>12}{'ratio':>12}")
    for line in lines:
        print(
            f"{line.what:<32}{line.rate:>12.4g}  {line.unit:<22}{line.yardstick:<20}"
            f"{line.yardstick_rate:>12.4g}{line.ratio:>12.4g}"
        )
    if arguments.json:
        machine = {
            "machine": platform.machine(),
            "python": platform.python_version(),
            "processor": platform.processor(),
        }
        records = [asdict(line) | {"ratio": line.ratio} for line in lines]
        arguments.json.write_text(json.dumps({"machine": machine, "lines": records}, indent=2) + "\n")


if __name__ == "__main__":
    main()
