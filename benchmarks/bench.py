"""Speed within one warm process: kernels against memcpy and BLAS, engines against each other."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np

import simulator as sim
from benchmarks.measure import Line, seconds
from simulator import datapath, formats
from simulator.config import load_dram
from simulator.datapath import Width
from simulator.engine import IdealDram, nest_cycles, run_pipeline
from simulator.engine.dram_banked import serve
from simulator.engine.event import run_events
from simulator.mapping import ArrayShape, Blocking, BufferLimits, OperandBits, candidates, lower, nest_of, table_of
from simulator.study.building import build
from simulator.study.drams import banked_dram
from simulator.study.planning import _best_plan
from simulator.study.simulate import simulate_op
from simulator.workload import Op


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


def searches(rounds: int) -> list[Line]:
    """Tilings timed per second as loop nests, against their tables; and exact searches, against those to 1 %."""
    lines = []
    for dataflow in ("ws", "is"):
        hardware = build(sim.load_design("int8_systolic", set={"array.dataflow": dataflow}))
        op, dram = Op("gemm", 2048, 768, 768), hardware.dram
        fixed = op, hardware.array, hardware.bits
        choices = candidates(*fixed, hardware.limits)
        some = [choices[i] for i in range(0, len(choices), len(choices) // 40)]

        def nests(fixed=fixed, some=some, depths=hardware.depths, dram=dram):
            return [nest_cycles(nest_of(*fixed, blocking, depths), dram) for blocking in some]

        def tables(fixed=fixed, some=some, depths=hardware.depths, dram=dram):
            return [run_pipeline(table_of(*fixed, blocking, depths), dram).total_cycles for blocking in some]

        def search(tolerance, fixed=fixed, hw=hardware, dram=dram):
            how = {"cycles": lambda nest: nest_cycles(nest, dram), "bytes_per_cycle": dram.bytes_per_cycle}
            return lower(*fixed, hw.limits, hw.depths, **how, tolerance=tolerance)

        fast, slow = (len(some) / seconds(work, rounds) for work in (nests, tables))
        lines.append(Line(f"tilings timed, {dataflow}", "per second", fast, "table by table", slow))
        exact, near = (1 / seconds(lambda s=search, t=t: s(t), rounds) for t in (0.0, 0.01))
        lines.append(Line(f"exact search, {dataflow}", "per second", exact, "to 1 %", near))
    return lines


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


def whole_gemm(rounds: int) -> list[Line]:
    """GEMMs per second, everything included, against the register-accurate array on the same design."""
    design = sim.load_design("int8_systolic", set={"array.rows": 32, "array.cols": 32})
    shape = {"M": 512, "N": 768, "K": 768}
    fast = 1 / seconds(lambda: sim.simulate_gemm(design, **shape), rounds)
    slow = 1 / seconds(lambda: sim.simulate_gemm(design, **shape, fidelity="pe_array"), 1)
    return [Line("simulate_gemm 512 x 768 x 768", "per second", fast, "fidelity pe_array", slow)]


def bert_ops(batch: int = 16, tokens: int = 128) -> list[Op]:
    """BERT-base forward, all 12 layers: linear layers over the whole batch, attention per sequence and head."""
    rows, heads = batch * tokens, 12
    linear = {"query": (768, 768), "key": (768, 768), "value": (768, 768), "output": (768, 768)}
    linear |= {"intermediate": (3072, 768), "dense": (768, 3072)}
    layer = [Op(name, rows, N, K) for name, (N, K) in linear.items()]
    layer += [Op("qk", tokens, tokens, 64, batch * heads, "bmm"), Op("pv", tokens, 64, tokens, batch * heads, "bmm")]
    return [replace(op, name=f"layer.{i}.{op.name}") for i in range(12) for op in layer]


def bert_forward(rounds: int) -> list[Line]:
    """BERT-base forwards per second of CPU, shapes only, against 20 ms each: in a warm process with the tilings known,
    and as a new point of a study that has to search them. A forward is 96 ops of 4,896 GEMMs.
    """
    ops, lines = bert_ops(), []
    for name, dataflow in [("int8", "os"), ("int8", "ws"), ("int8", "is"), ("olive", "os"), ("gobo", "os")]:
        design = "gobo_array" if name == "gobo" else f"{name}_systolic"
        hardware = build(sim.load_design(design, set={"array.dataflow": dataflow}))
        few = rounds if not hardware.datapath.assumed_distribution else 1  # drawn for each of its GEMMs

        def forward(hardware=hardware):
            return [simulate_op(hardware, op) for op in ops]

        def new_point(hardware=hardware):
            _best_plan.cache_clear()
            return [simulate_op(fresh, op) for fresh in [replace(hardware)] for op in ops]

        for how, work in (("warm", forward), ("new point", new_point)):
            rate = 1 / seconds(work, few, time.process_time)
            lines.append(Line(f"BERT-base, {name} {dataflow}, {how}", "forward/s of CPU", rate, "20 ms", 50.0))
    return lines


def tile_memory(rounds: int) -> list[Line]:
    """Peak memory with tiles of 56 x 56 x 256 as M grows, against the smallest GEMM: of a ``simulate_gemm`` by shape,
    which does not grow with the tiles, and of the table with a row for each that timelines and drawn costs need.
    """
    design = sim.load_design("int8_systolic", set={"tiling.m": 56, "tiling.n": 56, "tiling.order": "mnk"})
    hardware = build(design)

    def whole(op: Op) -> None:
        _best_plan.cache_clear()
        sim.simulate_gemm(design, op.M, op.N, op.K)

    def table(op: Op) -> None:
        blocking = Blocking(56, 56, op.K, "mnk")
        run_pipeline(table_of(op, hardware.array, hardware.bits, blocking, hardware.depths), hardware.dram)

    lines = []
    for what, work in (("simulate_gemm", whole), ("tile table", table)):
        ops = [Op("gemm", 56 * 8 * scale, 56 * 8, 256) for scale in (1, 16, 256)]
        peaks = [_peak_kb(work, op) for op in ops]
        lines += [
            Line(f"{what}, {op.M // 7} tiles", "kB at most", peak, "64 tiles", peaks[0])
            for op, peak in zip(ops, peaks, strict=True)
        ]
    return lines


def _peak_kb(work: Callable[[Op], None], op: Op) -> float:
    """Most memory that ``work`` holds at a time in a warm process."""
    work(op)
    tracemalloc.start()
    work(op)
    peak = tracemalloc.get_traced_memory()[1] / 1e3
    tracemalloc.stop()
    return peak


PARTS = {
    "encoding": encoding,
    "products": products,
    "engines": engines,
    "searches": searches,
    "memory": memory,
    "gemm": whole_gemm,
    "bert": bert_forward,
    "tile_memory": tile_memory,
}
