"""Counts of a GEMM on tensor cores: what moved between DRAM, L2, shared memory and registers, and what was computed.

| level | read | written |
| --- | --- | --- |
| ``dram`` | operands, as L2 misses them | results, once |
| ``l2`` | operands, as blocks ask for them; partial sums, by the kernel that adds them | operands from DRAM; results |
| ``shared_memory`` | fragments, by every warp; sums, row by row | operands, as blocks ask for them; sums |
| ``registers`` | fragments (not ``wgmma``) and sums, by every matrix instruction | sums, by every matrix instruction |

Matrix instructions work on whole blocks and whole steps: where a GEMM ends within one, they multiply zeros.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from simulator.counts import Counts, Traffic
from simulator.datapath import Datapath
from simulator.errors import ConservationError
from simulator.mapping.tensor_core.machine import ceil_div
from simulator.mapping.tensor_core.table import GpuPlan
from simulator.tiles import Tiles

__all__ = ["count_gpu"]

_LINE_BYTES = 32
"""What L2 is accessed in: a sector (CUDA C++ Programming Guide, device memory accesses)."""
_REGISTER_BITS = 32 * 32
"""One register of all threads of a warp."""
_WORD_BITS = 128 * 8
"""One access of shared memory: all 32 banks of 4 bytes."""


@dataclass(frozen=True)
class _Work:
    """Of the whole GEMM: steps of all blocks, warps (or groups that issue together) of a block, instructions."""

    steps: int
    groups: int
    instructions: int


def count_gpu(
    plan: GpuPlan, tiles: Tiles, datapath: Datapath, cycles: int, launch_cycles: int, burst_bytes: int
) -> Counts:
    """Counts of one kernel, of one GEMM or a batch, that took ``cycles``, its launch too.

    Raises: ConservationError if tiles lose MACs or bytes.
    """
    op = plan.op
    macs = op.macs
    if tiles.total("macs") != macs:
        raise ConservationError(f"{op.name}: the tiles have {tiles.total('macs')} MACs, the GEMM has {macs}")
    work = _work(plan)
    traffic = _dram(plan, tiles, burst_bytes) | _l2(plan) | _shared(plan, work) | _registers(plan, work)
    _require_compulsory(plan, traffic)
    actions: dict[str, float] = defaultdict(float)
    for per_one, times in (
        (datapath.edp_actions_per_mac(), macs),
        (datapath.actions_per_output(), op.M * op.N * op.count),
    ):
        for action, n in per_one.items():
            actions[action] += n * times
    active = _active_sm_cycles(plan, cycles, launch_cycles)
    return Counts(macs, cycles, dict(actions), traffic, tiles.compute_cycles, active_sm_cycles=active)


def _active_sm_cycles(plan: GpuPlan, cycles: int, launch_cycles: int) -> int:
    """Cycles in which an SM has a block, over all of them: none has one while a kernel is launched, and those that the
    last set of blocks leaves out have none for as long as that takes on chip.
    """
    g, sms, costs = plan.grid, plan.machine.sms, plan.costs
    ran, working = cycles - launch_cycles, min(g.last, sms)
    last_set = plan.beginning(costs.last) + g.steps * int(costs.last.whole) + int(costs.ends[1])
    idle = ran if g.sets == 1 else min(last_set, ran)
    return sms * ran - (sms - working) * idle


def _work(plan: GpuPlan) -> _Work:
    g, x, (m, n, k) = plan.grid, plan.kernel, plan.machine.mma
    tiles = g.rows * g.cols * plan.op.count
    steps = tiles * -(-plan.op.K // x.k) if x.stream else tiles * x.splits * g.steps
    groups = x.warps_m * x.warps_n
    across = -(-(x.n // x.warps_n) // n)
    return _Work(steps, groups, steps * groups * -(-(x.m // x.warps_m) // m) * across * (x.k // k))


def _dram(plan: GpuPlan, tiles: Tiles, burst_bytes: int) -> dict[tuple[str, str], Traffic]:
    """Operands as the tiles load them; results in full, whenever L2 writes them back."""
    found = {}
    for side in ("act", "weight"):
        column = tiles.rows[f"{side}_load_bytes"]
        found["dram", side] = Traffic(read_bits=8 * tiles.summed(column), reads=tiles.summed(-(-column // burst_bytes)))
    results = plan.op.count * (-(-plan.op.M * plan.op.N * plan.bits.output // 8))
    return found | {("dram", "out"): Traffic(write_bits=8 * results, writes=-(-results // burst_bytes))}


def _l2(plan: GpuPlan) -> dict[tuple[str, str], Traffic]:
    outputs, bits, splits = plan.op.M * plan.op.N * plan.op.count, plan.bits, plan.kernel.splits
    found = {}
    sides = (("act", bits.act, plan.costs.dram.act), ("weight", bits.weight, plan.costs.dram.weight))
    for (side, width, loaded), asked in zip(sides, plan.costs.l2, strict=True):
        filled = 8 * int(loaded) * width.bits // width.dram_bits  # L2 has what DRAM may hold packed in full width
        found["l2", side] = _lines(8 * asked, filled)
    parts = outputs * splits * bits.accumulator if splits > 1 else 0
    if plan.kernel.stream:
        parts = (plan.grid.blocks - 1) * plan.kernel.m * plan.kernel.n * bits.accumulator
    return found | {("l2", "out"): _lines(parts, parts + outputs * bits.output)}


def _shared(plan: GpuPlan, work: _Work) -> dict[tuple[str, str], Traffic]:
    x, bits, g = plan.kernel, plan.bits, plan.grid
    act, weight = x.m // x.warps_m * bits.act.row_bits(x.k), x.n // x.warps_n * bits.weight.row_bits(x.k)
    sums = (work.steps if x.stream else g.blocks * g.steps) // g.steps * x.m * x.n * bits.accumulator
    fetched = ceil_div(g.rows, min(plan.machine.cluster, g.rows))  # times that columns of W come out of L2
    return {
        ("shared_memory", "act"): _words(work.steps * work.groups * act, 8 * plan.costs.l2[0]),
        ("shared_memory", "weight"): _words(
            work.steps * work.groups * weight, 8 * plan.costs.l2[1] // fetched * g.rows
        ),
        ("shared_memory", "out"): _words(sums, sums),
    }


def _registers(plan: GpuPlan, work: _Work) -> dict[tuple[str, str], Traffic]:
    """Of instructions that groups of warps issue together only sums are in registers, of no more columns than there are
    (``wgmma``).
    """
    x, (m, n, k) = plan.kernel, plan.machine.mma
    bits, times, together = plan.bits, work.instructions, plan.machine.mma_warps > 1
    act, weight = (0, 0) if together else (times * m * bits.act.row_bits(k), times * n * bits.weight.row_bits(k))
    sums = times * m * (min(n, x.n // x.warps_n) if together else n) * bits.accumulator
    return {
        ("registers", "act"): Traffic(read_bits=act, reads=-(-act // _REGISTER_BITS)),
        ("registers", "weight"): Traffic(read_bits=weight, reads=-(-weight // _REGISTER_BITS)),
        ("registers", "out"): Traffic(sums, sums, -(-sums // _REGISTER_BITS), -(-sums // _REGISTER_BITS)),
    }


def _lines(read_bits: int, written_bits: int) -> Traffic:
    width = 8 * _LINE_BYTES
    return Traffic(read_bits, written_bits, -(-read_bits // width), -(-written_bits // width))


def _words(read_bits: int, written_bits: int) -> Traffic:
    return Traffic(read_bits, written_bits, -(-read_bits // _WORD_BITS), -(-written_bits // _WORD_BITS))


def _require_compulsory(plan: GpuPlan, traffic: dict[tuple[str, str], Traffic]) -> None:
    """Every operand comes out of L2 at least once, and out of DRAM unless it was there. Raises: ConservationError."""
    op, bits = plan.op, plan.bits
    there = plan.machine.warm and not plan.costs.dram.full
    for side, rows, width in (("act", op.count * op.M, bits.act), ("weight", op.count * op.N, bits.weight)):
        needed = {"l2": rows * width.row_bits(op.K), "dram": 0 if there else rows * width.dram_row_bits(op.K)}
        for level, least in needed.items():
            if traffic[level, side].read_bits < least:
                raise ConservationError(
                    f"{side}: {traffic[level, side].read_bits} bits read from {level}, but the operand has {least}"
                )
