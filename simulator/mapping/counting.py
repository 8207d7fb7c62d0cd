"""Counts of an output-stationary GEMM: what moved between DRAM, scratchpads and the array edge, and what the PEs did.

Operands are read from a scratchpad once per fold that uses them and then hop from PE to PE; partial sums stay in the
PEs; each result is written to the out scratchpad once, at accumulator width, and read once for write-back.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from numpy.typing import NDArray

from simulator.counts import Counts, Traffic
from simulator.datapath import Datapath, TileCosts, Width
from simulator.mapping.blocking import OperandBits
from simulator.mapping.output_stationary import ArrayShape
from simulator.tiles import TileTable
from simulator.workload import Op

__all__ = ["count_os"]


def count_os(
    op: Op,
    table: TileTable,
    array: ArrayShape,
    bits: OperandBits,
    datapath: Datapath,
    cycles: int,
    costs: TileCosts | None = None,
) -> Counts:
    """Counts of one of the op's GEMMs that took ``cycles``.

    Args:
        table: its tiles, data-dependent loads included.
        costs: what its values add, if they do.
    Raises: ConservationError if the tiles lose bytes; assertion if they lose MACs.
    """
    tiles = table.rows
    macs = int(tiles["macs"].sum())
    assert macs == op.M * op.N * op.K, "tiles must cover the GEMM exactly once"
    costs = costs or TileCosts.none(tiles)
    passes = {"act": -(-op.N // array.cols), "weight": -(-op.M // array.rows)}
    lines = {"act": op.M, "weight": op.N}
    moved = {
        operand: _operand(tiles, operand, lines[operand], passes[operand], op.K, getattr(bits, operand), costs)
        for operand in ("act", "weight")
    }
    results = op.M * op.N * bits.accumulator
    stored = int(tiles["store_bytes"].sum()) * 8
    edge_reads = {operand: lines[operand] * op.K * passes[operand] for operand in lines}
    counts = Counts(
        macs,
        cycles,
        _actions(op, edge_reads, _drain_bits(op, array, bits), datapath, costs),
        {
            ("dram", "act"): Traffic(read_bits=int(tiles["act_load_bytes"].sum()) * 8),
            ("dram", "weight"): Traffic(read_bits=int(tiles["weight_load_bytes"].sum()) * 8),
            ("dram", "out"): Traffic(write_bits=stored),
            ("act_buffer", "act"): moved["act"],
            ("weight_buffer", "weight"): moved["weight"],
            ("out_buffer", "out"): Traffic(results, results),
        },
    )
    act_bits, weight_bits = (
        width.dram_bits * rows * op.K // width.values for width, rows in ((bits.act, op.M), (bits.weight, op.N))
    )
    counts.require_compulsory(act_bits, weight_bits, op.M * op.N * bits.output)
    return counts


def _operand(
    tiles: NDArray[Any], operand: str, lines: int, passes: int, K: int, width: Width, costs: TileCosts
) -> Traffic:
    """Scratchpad traffic of one operand: read once per pass over the array, written as it is loaded."""
    loaded = tiles[f"{operand}_load_bytes"] > 0
    rows = tiles["m" if operand == "act" else "n"]
    written = (-(-rows * width.row_bits(tiles["k"]) // 8) * 8)[loaded].sum()
    more_read, more_written = getattr(costs, f"{operand}_buffer_bits")
    return Traffic(passes * lines * width.row_bits(K) + more_read, int(written) + more_written)


def _actions(
    op: Op, edge_reads: dict[str, int], drain_bits: int, datapath: Datapath, costs: TileCosts
) -> dict[str, float]:
    actions: dict[str, float] = defaultdict(float)
    for per_one, times in (
        (datapath.actions_per_mac(), op.M * op.N * op.K),
        (datapath.actions_per_operand("act"), edge_reads["act"]),
        (datapath.actions_per_operand("weight"), edge_reads["weight"]),
        (datapath.actions_per_output(), op.M * op.N),
        ({"reg_bit": 1}, drain_bits),
        (costs.actions, 1),
    ):
        for action, n in per_one.items():
            actions[action] += n * times
    return dict(actions)


def _drain_bits(op: Op, array: ArrayShape, bits: OperandBits) -> int:
    """Register bits that results hop through on their way out: ``rows - r`` hops for a result of array row ``r``."""
    full, ragged = divmod(op.M, array.rows)
    hops = full * _hops(array.rows, array.rows) + _hops(ragged, array.rows)
    return hops * op.N * bits.accumulator * array.result_words


def _hops(rows_used: int, rows: int) -> int:
    return sum(rows - r for r in range(rows_used))
