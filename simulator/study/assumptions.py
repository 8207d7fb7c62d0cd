"""What the model takes for granted, in one list: printed in every report and in the README."""

from __future__ import annotations

__all__ = ["ASSUMPTIONS"]

ASSUMPTIONS = (
    "Ops run one after another, and so do the GEMMs of one op (attention heads): operands come from DRAM, results go "
    "back to DRAM, nothing is kept on chip or prefetched across them.",
    "DRAM is one in-order channel at a fixed rate and latency, moving whole bursts; the next tile's load goes before "
    "this tile's write-back.",
    "Tiles are cut for least cycles; among equals, for least DRAM traffic: a blocking that is 1 % faster wins even if "
    "it reads more. Where no whole reduction of one fold fits the scratchpads, a tile is one fold, its operands stream "
    "in chunks of K, and partial sums never leave the PEs.",
    "The shapes of arrays and workload decide how full the last folds are: compare the utilisation columns, not speed "
    "alone. The clock is taken as given, whatever the library's cells allow.",
    "Scratchpads deliver a full array edge every cycle; bank conflicts are not modelled.",
    "Scales are calibrated on the very tensors that are run. Their own bytes (one per tensor, row or column) count as "
    "storage, not as DRAM traffic.",
    "Softmax, LayerNorm, GELU, residuals, quantising and dequantising passes take no time and no energy.",
    "Decoders sit in the operand path as one pipeline stage and cost no cycles.",
    "Processing elements without work and stalled arrays draw leakage only (ideal clock gating); leakage and DRAM "
    "background power are drawn over the whole makespan.",
    "Logic prices are pre-layout synthesis results with glitches: no wires, no clock tree, no controller, and no drain "
    "register, although fold_overlap full has one. They are good as ratios first and as absolute values second.",
    "SQNR of a workload is that of the mean, over ops, of noise power over signal power, against float64 products of "
    "the stored tensors. A trace stored in FP16 loses nothing in FP16, so an FP16 design shows its accumulation error "
    "alone.",
)
