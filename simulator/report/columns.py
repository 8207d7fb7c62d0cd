"""What every column of ``results.csv`` and ``layers.parquet`` means, and its unit: for documentation and pages."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["COLUMNS", "Column", "described_column"]


@dataclass(frozen=True)
class Column:
    """One column, or all columns of a pattern.

    Attributes:
        name: as it is written; ``<...>`` stands for a part that varies.
        unit: empty for text, counts and ratios.
        meaning: one sentence, in Markdown.
        tables: which tables have it.
    """

    name: str
    unit: str
    meaning: str
    tables: tuple[str, ...] = ("results",)

    def fits(self, column: str) -> bool:
        """Whether a column of a table is this one."""
        parts = (re.escape(part) for part in re.split(r"<[a-z ]+>", self.name))
        return re.fullmatch(".+".join(parts), column) is not None


_BOTH = ("results", "layers")
_LAYERS = ("layers",)

COLUMNS = (
    Column("design", "", "Name of the design.", _BOTH),
    Column("workload", "", "Name of the workload.", _BOTH),
    Column("axis:<path>", "", "Value of a sweep axis at this point.", _BOTH),
    Column("array_kind", "", "`systolic` or `tensor_core`."),
    Column("datapath", "", "Name of the datapath."),
    Column("dataflow", "", "`os`, `ws` or `is`; empty on tensor cores."),
    Column("op", "", "Name of the op or pass.", _LAYERS),
    Column("kind", "", "`linear`, `bmm`, or the kind of pass.", _LAYERS),
    Column("M", "", "Rows of A; empty for a pass.", _LAYERS),
    Column("N", "", "Columns of W; empty for a pass.", _LAYERS),
    Column("K", "", "Length of the reduction; empty for a pass.", _LAYERS),
    Column("rows", "", "PEs from top to bottom; in `layers` rows of values of a pass.", _BOTH),
    Column("cols", "", "PEs from left to right; in `layers` values of a row of a pass.", _BOTH),
    Column("cores", "", "Cores."),
    Column("sms", "", "Streaming multiprocessors."),
    Column("count", "", "Equal GEMMs, or repetitions of a pass, that the row covers.", _LAYERS),
    Column("tiles", "", "Tiles of all of them.", _LAYERS),
    Column("partition", "", "Along which dimension cores share the GEMM; empty on one core.", _LAYERS),
    Column("total_cycles", "cycles", "From the first load to the last store: compute and all stalls.", _BOTH),
    Column("compute_cycles", "cycles", "The array with ideal memory and nothing to wait for.", _BOTH),
    Column("fill_drain_cycles", "cycles", "Of `compute_cycles`, those in which no streamed operand enters.", _BOTH),
    Column("stall_dram_read_cycles", "cycles", "Waiting for operands from DRAM.", _BOTH),
    Column("stall_dram_write_cycles", "cycles", "Waiting for results to be written to DRAM.", _BOTH),
    Column("stall_bank_cycles", "cycles", "Waiting for words of a scratchpad whose bank is busy.", _BOTH),
    Column("stall_outlier_cycles", "cycles", "Waiting for outliers.", _BOTH),
    Column("stall_vector_cycles", "cycles", "Waiting for passes over operands or results.", _BOTH),
    Column("stall_shared_memory_cycles", "cycles", "Of a GPU: waiting for shared memory.", _BOTH),
    Column("stall_l2_cycles", "cycles", "Of a GPU: waiting for L2.", _BOTH),
    Column("stall_sync_cycles", "cycles", "Of a GPU: waiting for other warps and results of instructions.", _BOTH),
    Column("stall_epilogue_cycles", "cycles", "Of a GPU: waiting for blocks to end whose registers are needed.", _BOTH),
    Column("stall_launch_cycles", "cycles", "Of a GPU: waiting for kernels to be launched.", _BOTH),
    Column("latency_s", "s", "`total_cycles` at the design's clock."),
    Column("macs", "", "Useful multiply-accumulates.", _BOTH),
    Column("mapping_util", "", "Share of the PEs that hold work, weighted by MACs.", _BOTH),
    Column("compute_util", "", "Useful MACs over what the array could have done in the time.", _BOTH),
    Column("dram_read_bytes", "bytes", "Read from DRAM.", _BOTH),
    Column("dram_write_bytes", "bytes", "Written to DRAM.", _BOTH),
    Column("dram_activates", "", "Of banked DRAM: rows opened.", _BOTH),
    Column("dram_precharges", "", "Of banked DRAM: rows closed.", _BOTH),
    Column("dram_read_bursts", "", "Of banked DRAM: bursts read.", _BOTH),
    Column("dram_write_bursts", "", "Of banked DRAM: bursts written.", _BOTH),
    Column("dram_refreshes", "", "Of banked DRAM: refreshes.", _BOTH),
    Column("dram_row_hits", "", "Of banked DRAM: bursts that found their row open.", _BOTH),
    Column("dram_row_misses", "", "Of banked DRAM: bursts that found no row open.", _BOTH),
    Column("dram_row_conflicts", "", "Of banked DRAM: bursts that found another row open.", _BOTH),
    Column("dram_bus_busy_cycles", "cycles", "Of banked DRAM: the data bus moves data.", _BOTH),
    Column("count_<level>_<operand>_reads", "", "Accesses that read an operand at a level.", _LAYERS),
    Column("count_<level>_<operand>_writes", "", "Accesses that write an operand at a level.", _LAYERS),
    Column("count_<level>_<operand>_read_bytes", "bytes", "Read of an operand at a level.", _LAYERS),
    Column("count_<level>_<operand>_write_bytes", "bytes", "Written of an operand at a level.", _LAYERS),
    Column("energy_total_pj", "pJ", "All energy.", _BOTH),
    Column("energy_static_pj", "pJ", "Leakage and background power over the makespan.", _BOTH),
    Column("energy_dram_pj", "pJ", "Bits moved to and from DRAM, and rows opened.", _BOTH),
    Column("energy_buffer_pj", "pJ", "Scratchpads and the global buffer; of a GPU L2 and shared memory.", _BOTH),
    Column("energy_core_pj", "pJ", "Everything else: MACs, registers, decoders, vector unit.", _BOTH),
    Column("energy_gpu_const_pj", "pJ", "Of a GPU: constant power of the board.", _BOTH),
    Column("energy_gpu_static_pj", "pJ", "Of a GPU: static power of its multiprocessors.", _BOTH),
    Column("energy_gpu_dram_l2_pj", "pJ", "Of a GPU: DRAM and L2.", _BOTH),
    Column("energy_gpu_l1_reg_pj", "pJ", "Of a GPU: shared memory and registers.", _BOTH),
    Column("energy_gpu_core_pj", "pJ", "Of a GPU: tensor cores, CUDA cores and decoders.", _BOTH),
    Column("energy_part_<component>_pj", "pJ", "Energy of one line of the breakdown; the lines sum to the total."),
    Column("area_total_um2", "um2", "All area that is charged."),
    Column("area_part_<component>_um2", "um2", "Area of one line of the breakdown; the lines sum to the total."),
    Column("edp_js", "Js", "Energy times latency."),
    Column("sqnr_db", "dB", "Signal over noise of the results, against float64 products of the stored tensors.", _BOTH),
    Column("sqnr_quantisation_db", "dB", "The same of the infinitely precise product of the codes.", _BOTH),
    Column("sqnr_arithmetic_db", "dB", "The same of what the accumulator rounds away.", _BOTH),
    Column("exact", "", "Whether every value equals the exact reference, bit for bit.", _BOTH),
    Column("fidelity", "", "How timing was found."),
    Column("seed", "", "For what was drawn at random."),
    Column("clock_mhz", "MHz", "Clock of the array."),
    Column("peak_tops", "TOPS", "Two operations per MAC of a full array; of an op, at its precision.", _BOTH),
    Column("dram_gb_s", "GB/s", "Peak bandwidth of DRAM; empty where nothing limits it."),
    Column("act_bits_per_value", "bits", "Stored bits of an activation, scales, padding and lists included."),
    Column("weight_bits_per_value", "bits", "Stored bits of a weight, scales, padding and lists included."),
    Column("tokens", "", "New tokens of all sequences that one run takes."),
    Column("tokens_per_s", "1/s", "`tokens` over latency."),
    Column("dram_bound_tokens_per_s", "1/s", "The same if DRAM's peak were the only limit."),
    Column("pj_per_token", "pJ", "Energy over `tokens`."),
    Column("weight_read_bytes", "bytes", "Weights read from DRAM."),
    Column("kv_read_bytes", "bytes", "Keys and values read from DRAM."),
    Column("speedup", "", "Latency of the baseline, same workload and axis values, over this one."),
    Column("energy_ratio", "", "Energy over the baseline's, same workload and axis values."),
    Column(
        "accuracy_<metric>", "", "What `accuracy` of the study measured on a real model: [Accuracy](../accuracy.md)."
    ),
    Column("search_round", "", "Which round of a search asked for the point, the first is 1."),
    Column("failure", "", "Why a point has no numbers; a table without failures has no such column."),
    Column("simulated_us", "us", "Where the study has measured times: what the op takes here.", _LAYERS),
    Column("measured_us", "us", "Where the study has measured times: what it took there.", _LAYERS),
)


def described_column(name: str, table: str = "results") -> Column | None:
    """The column of that name; the first that fits of those with a pattern. None if nobody has described it."""
    return next((column for column in COLUMNS if table in column.tables and column.fits(name)), None)
