"""What the model takes for granted, in one list: printed in every report and in the README."""

from __future__ import annotations

__all__ = ["ASSUMPTIONS"]

ASSUMPTIONS = (
    "Ops run one after another, and so do the GEMMs of one op (attention heads; on tensor cores these are one kernel): "
    "operands come from DRAM, results go back to DRAM, nothing is kept on chip or prefetched across them.",
    "Ideal DRAM is one channel at a fixed rate and latency, moving whole bursts; banked DRAM serves the bursts of one"
    " transfer after another from the rows they lie in, each operand tile by tile in one region, all banks closed and"
    " refresh just done when a GEMM begins. A core's DMA loads the next tile before it writes this one back; several "
    "cores are served first come, first served, a whole transfer at a time. Tilings are compared on ideal DRAM of the"
    " same peak, each core with its share.",
    "Several cores work on one GEMM at a time, near-equal parts of M, N or K each, and wait for the last; where K is "
    "cut, partial sums go through DRAM, where those of an output chunk lie together, and the vector units add them.",
    "What memory.global_buffer holds is chosen for each GEMM before it runs: of its two operands those that fit "
    "whole, as wide as in DRAM, and save most DRAM traffic. The first tile that loads a block brings it from DRAM, "
    "other cores wait until it is there; cores share one read port, and filling takes nothing of it. Tiles are cut as"
    " if there were none. Outlier lists and masks, results, partial sums and passes of the vector unit do not use it.",
    "Tiles are cut for least cycles; tilings within tiling.tolerance of the least (0 unless set) tie, and the one of "
    "least DRAM traffic is taken. Output-stationary tiles hold all of K; where no whole reduction of one fold fits "
    "the scratchpads, a tile is one fold, its operands stream in chunks of K, and partial sums never leave the PEs. "
    "Weight- and input-stationary sums go through the out scratchpad, and to DRAM and back where the loop order needs"
    " it.",
    "The shapes of arrays and workload decide how full the last folds are: compare the utilisation columns, not speed"
    " alone. The clock is taken as given, whatever the library's cells allow.",
    "Scratchpads deliver a full array edge every cycle, unless memory.bank_conflicts is on: then folds last as long "
    "as their banks are busy with their words, and edge buffers even out what happens within a fold.",
    "Scales are calibrated on the very tensors that are run. Their own bytes (one per tensor, row or column) count as"
    " storage, not as DRAM traffic; neither do dictionaries. Outlier lists and masks do; what they take of a "
    "scratchpad's capacity is not modelled.",
    "Passes that a workload lists (softmax, normalisation, activation functions, residuals, quantising ...) run on "
    "the vector unit after what is listed before them, from DRAM and back to it; docs/passes.md has the operations of"
    " each. A lane does one FP32 operation a cycle. Fused passes move nothing but parameters and hide behind the "
    "array, fold by fold; the GEMM's results are still written at memory.output_bits. The encoders of all formats "
    "count as a multiplication, a rounding and a clamp.",
    "Outliers that arrive too fast stop the whole array, feeds and drains included; a fold of GOBO's ends when its "
    "last outlier is served.",
    "Decoders sit in the operand path as one pipeline stage and cost no cycles.",
    "Processing elements without work and stalled arrays draw leakage only (ideal clock gating); leakage and DRAM "
    "background power are drawn over the whole makespan.",
    "Logic prices are pre-layout synthesis results with glitches: no wires, no clock tree, no controller, and no "
    "drain or second weight register, although fold_overlap full has one. PEs that were not synthesised on NanGate45 "
    "are transferred from three open libraries by a sibling's ratio (hardware/). They are good as ratios first and as"
    " absolute values second.",
    "On tensor cores a GEMM is one kernel, the one of least cycles here, which need not be the library's; blocks that "
    "an SM holds run in step, all SMs alike; what L2 holds follows from the order of blocks and its size. Results are "
    "written to L2, and to DRAM only as loads push them out or after the kernel. The clock never drops, whatever "
    "power is drawn; instruction fetches, address translation and bank conflicts cost nothing (docs/tensor_cores.md).",
    "A pass on a GPU is a kernel of its own unless it is fused: threads stream, half of them waiting for DRAM while "
    "the others work, and results are written to DRAM. Where a design lists kernels, a host program launches them "
    "again and again without an end, and the L2 keeps whole tensors, those touched last (docs/gpu_programs.md).",
    "A graphics card draws its constant power, and each SM static power as it has a thread block or none, over the "
    "whole run, launches included; its clock stays whatever it draws. Bits between two levels and operations of logic "
    "have one price each, measured on older GPUs or synthesised, and scaled (docs/costs.md).",
    "SQNR of a workload is that of the mean, over ops, of noise power over signal power, against float64 products of "
    "the stored tensors. Encoding SQNR is that of the infinitely precise product of the same codes, arithmetic SQNR "
    "that of what the accumulator rounds away. A trace stored in FP16 loses nothing in FP16, so an FP16 design shows "
    "its accumulation error alone.",
)
