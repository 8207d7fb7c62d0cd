"""Counts of an output-stationary GEMM: what moved between DRAM, scratchpads and the array edge, and what the PEs did.

Operands are read from a scratchpad once per fold that uses them and then hop from PE to PE; partial sums stay in the
PEs; each result is written to the out scratchpad once, at accumulator width, and read once for write-back.
"""

from __future__ import annotations

from simulator.counts import Counts, Traffic
from simulator.datapath import Datapath
from simulator.mapping.blocking import OperandBits
from simulator.mapping.output_stationary import ArrayShape
from simulator.tiles import TileTable
from simulator.workload import Op

__all__ = ["count_os"]


def count_os(op: Op, table: TileTable, array: ArrayShape, bits: OperandBits, datapath: Datapath, cycles: int) -> Counts:
    """Counts of one of the op's GEMMs that took ``cycles``.

    Raises: ConservationError if the tiles lose bytes; assertion if they lose MACs.
    """
    tiles = table.rows
    macs = int(tiles["macs"].sum())
    assert macs == op.M * op.N * op.K, "tiles must cover the GEMM exactly once"
    act_reads = op.M * op.K * -(-op.N // array.cols)
    weight_reads = op.N * op.K * -(-op.M // array.rows)
    loads = {operand: int(tiles[f"{operand}_load_bytes"].sum()) * 8 for operand in ("act", "weight")}
    stored = int(tiles["store_bytes"].sum()) * 8
    results = op.M * op.N * bits.accumulator
    counts = Counts(
        macs,
        cycles,
        _actions(macs, {"act": act_reads, "weight": weight_reads}, _drain_bits(op, array, bits), datapath),
        {
            ("dram", "act"): Traffic(read_bits=loads["act"]),
            ("dram", "weight"): Traffic(read_bits=loads["weight"]),
            ("dram", "out"): Traffic(write_bits=stored),
            ("act_buffer", "act"): Traffic(act_reads * bits.act, loads["act"]),
            ("weight_buffer", "weight"): Traffic(weight_reads * bits.weight, loads["weight"]),
            ("out_buffer", "out"): Traffic(results, results),
        },
    )
    counts.require_compulsory(op.M * op.K * bits.act, op.N * op.K * bits.weight, op.M * op.N * bits.output)
    return counts


def _actions(macs: int, operand_reads: dict[str, int], drain_bits: int, datapath: Datapath) -> dict[str, float]:
    actions = {action: n * macs for action, n in datapath.actions_per_mac().items()}
    for operand in ("act", "weight"):
        for action, n in datapath.actions_per_operand(operand).items():
            actions[action] = actions.get(action, 0) + n * operand_reads[operand]
    actions["reg_bit"] = actions.get("reg_bit", 0) + drain_bits
    return actions


def _drain_bits(op: Op, array: ArrayShape, bits: OperandBits) -> int:
    """Register bits that results hop through on their way out: ``rows - r`` hops for a result of array row ``r``."""
    full, ragged = divmod(op.M, array.rows)
    hops = full * _hops(array.rows, array.rows) + _hops(ragged, array.rows)
    return hops * op.N * bits.accumulator


def _hops(rows_used: int, rows: int) -> int:
    return sum(rows - r for r in range(rows_used))
