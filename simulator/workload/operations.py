"""What each kind of pass does, as a table: operations per value and per row, operands, and trips to the scratchpads.

An *add* is any of add, subtract, compare, maximum, round, clamp: each is charged as one FP32 addition. A *special*
function is an exponential or logarithm to base 2, reciprocal, reciprocal square root or tanh. A *reduction* of n values
takes n - 1 adds. *Reads* are how often a row comes out of the scratchpad that it was loaded into, *rewrites* how often
it goes back and forth through the out scratchpad before the result is written there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from simulator.workload.passes import TAPPED, Pass

__all__ = ["WORK", "Work", "work_of"]


@dataclass(frozen=True)
class Work:
    """Operations of one kind of pass.

    Attributes:
        adds, muls, specials: per value.
        reductions: of all values of a row, or of each group of it that shares a scale.
        row_adds, row_muls, row_specials: per row, or per such group.
        group: neighbours that are reduced or mixed together; 0: a whole row.
        inputs: values loaded per result; row_inputs: values loaded per row, whatever its columns.
        parameters: values loaded per column, once per pass; kept: values per column written back at its end.
        reads, rewrites: see above.
    """

    adds: int = 0
    muls: int = 0
    specials: int = 0
    reductions: int = 0
    row_adds: int = 0
    row_muls: int = 0
    row_specials: int = 0
    group: int = 0
    inputs: int = 1
    row_inputs: int = 0
    parameters: int = 0
    kept: int = 0
    reads: int = 1
    rewrites: int = 0

    def groups(self, cols: int) -> int:
        """Groups of a row that are reduced on their own."""
        return -(-cols // (self.group or cols))


WORK: dict[str, Work] = {
    # x + b, one b per column
    "bias": Work(adds=1, parameters=1),
    # a causal depthwise filter along the rows, its taps per column (set by work_of)
    "conv1d": Work(),
    # x times the row's scale, times the column's; scales came with the operands and are not loaded again
    "dequantise": Work(muls=2),
    # x/2 * (1 + tanh(x * (c0 + c1 * x^2))): x^2, c1 *, c0 +, x *, tanh, 1 +, x/2, times; Hendrycks and Gimpel, 2016
    "gelu": Work(adds=2, muls=5, specials=1),
    # log2(n) butterfly stages of one add per value, each back and forth through the scratchpad (set by work_of);
    # its factor 1/sqrt(n) goes into a scale
    "hadamard": Work(),
    # sweep 1: sum; times 1/n. Sweep 2: minus mean, squared, sum; times 1/n, plus eps, rsqrt.
    # Sweep 3: minus mean, times rsqrt, times gain, plus offset. Ba et al., arXiv:1607.06450
    "layer_norm": Work(adds=3, muls=3, reductions=2, row_adds=1, row_muls=2, row_specials=1, parameters=2, reads=3),
    # a row of a table in DRAM: an embedding
    "lookup": Work(),
    # the window's values against each other (adds and inputs set by work_of)
    "max_pool": Work(),
    # the window's values summed (adds and inputs set by work_of), times 1 / window
    "mean_pool": Work(muls=1),
    # x * y, both of full size
    "multiply": Work(muls=1, inputs=2),
    # x times the reciprocal of the scale, round, clamp; a scale found at run time adds to it (see work_of)
    "quantise": Work(adds=2, muls=1),
    # max(x, 0)
    "relu": Work(adds=1),
    # min(max(x, 0), 6)
    "relu6": Work(adds=2),
    # x + y, both of full size
    "residual": Work(adds=1, inputs=2),
    # sweep 1: squared, sum; times 1/n, plus eps, rsqrt. Sweep 2: times rsqrt, times gain. Zhang and Sennrich, 2019
    "rms_norm": Work(muls=3, reductions=1, row_adds=1, row_muls=1, row_specials=1, parameters=1, reads=2),
    # x * cos + partner * sin, each of a pair; cos and sin of a place are loaded, one of them per value. Su et al., 2021
    "rotary": Work(adds=1, muls=2, inputs=2),
    # x times a constant
    "scale": Work(muls=1),
    # a state-space model's recurrence, its states per column (set by work_of). Gu and Dao, Mamba, 2023, algorithm 2
    "selective_scan": Work(),
    # x * 1 / (1 + 2^(-x * log2 e)): times, 2^, 1 +, reciprocal, times
    "silu": Work(adds=1, muls=2, specials=2),
    # sweep 1: maximum. Sweep 2: minus maximum, times log2 e, 2^, sum, kept in the out scratchpad; reciprocal.
    # Sweep 3: times the reciprocal
    "softmax": Work(adds=1, muls=2, specials=1, reductions=2, row_specials=1, reads=2, rewrites=1),
    # log2(1 + 2^(x * log2 e)) * ln 2: times, 2^, 1 +, log2, times
    "softplus": Work(adds=1, muls=2, specials=2),
}


def work_of(work: Pass, dynamic: int | None = None) -> Work:
    """Operations of one pass.

    Args:
        dynamic: for ``quantise``: None if the scale is known beforehand; else how many values along a row share one
            that is the reciprocal of their largest magnitude, 0 for a whole row: one more sweep that finds the largest
            magnitude, a reciprocal and a multiplication by the largest code per scale.
    """
    base = WORK[work.kind]
    if work.kind == "hadamard":
        stages = work.mixed.bit_length() - 1
        return replace(base, adds=stages, rewrites=max(stages - 1, 0), group=work.mixed)
    if work.kind in TAPPED:
        return _TAPPED[work.kind](work.block)
    if work.kind in ("max_pool", "mean_pool"):
        return replace(base, adds=work.block - 1, inputs=work.block)
    if work.kind == "quantise" and dynamic is not None:
        return replace(base, reductions=1, row_muls=1, row_specials=1, group=dynamic, reads=2)
    return base


def _conv1d(taps: int) -> Work:
    """Taps times the last values of a column, summed; the taps and all but one of the values come with the pass, the
    newest values go back for the rows that follow.
    """
    return Work(adds=taps - 1, muls=taps, parameters=2 * taps - 1, kept=taps - 1)


def _selective_scan(states: int) -> Work:
    """h = 2^(dt * A) * h + dt * x * B per state, y = sum of h * C over states + D * x; x and dt are loaded per value, B
    and C per row, A (times log2 e), D and h per column, h goes back.

    Per state: dt * A, 2^, times h, (dt * x) * B, plus, times C, plus; per value dt * x and D * x.
    """
    return Work(
        adds=2 * states,
        muls=4 * states + 2,
        specials=states,
        inputs=2,
        row_inputs=2 * states,
        parameters=2 * states + 1,
        kept=states,
    )


_TAPPED = {"conv1d": _conv1d, "selective_scan": _selective_scan}
