"""What tests of datapaths share: operands, references, and arrays to run them on."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from simulator import datapath
from simulator.datapath import Datapath
from simulator.engine.pe_array import run_os_array
from simulator.formats import Encoded
from simulator.mapping import ArrayShape
from simulator.reference import exact_matmul
from simulator.study.verify import adversarial_tensors


def label(which):
    return "-".join([which[0], *(f"{k}={v}" for k, v in which[1].items())])


def seeds(count):
    return pytest.mark.parametrize("seed", range(count), ids=lambda s: f"seed{s}")


def make(which) -> Datapath:
    return datapath.create(which[0], which[1])


def heavy_tailed(rng, shape):
    return (rng.standard_normal(shape) * np.exp(1.5 * rng.standard_normal(shape))).astype(np.float32)


def random_shape(seed, largest=20):
    """Shape and generator of a seed; seed 0 is the smallest GEMM there is."""
    rng = np.random.default_rng(seed)
    return (1, 1, 1, rng) if seed == 0 else (*rng.integers(1, largest + 1, 3).tolist(), rng)


def encoded_pair(dp, act, weight, method="three_sigma") -> tuple[Encoded, Encoded]:
    """Operands of (M, K) and (N, K); with three sigmas on the largest normal, outliers reach every part of a grid."""
    return dp.encode(act[None], weight[None], ("row", "row"), (method, method))[0]


def random_pair(dp, seed, largest=20):
    M, N, K, rng = random_shape(seed, largest)
    return encoded_pair(dp, heavy_tailed(rng, (M, K)), heavy_tailed(rng, (N, K)))


@cache
def _adversarial():
    return {name: (act[0], weight[0]) for name, act, weight in adversarial_tensors(0)}


def adversarial_pair(dp, case):
    return encoded_pair(dp, *_adversarial()[case])


def stored(codes, K):
    """Packed codes (R, bytes) as an operand of scale 1."""
    return Encoded(codes, np.ones((), np.float32), K)


def reference(dp, pair):
    return exact_matmul(
        *pair,
        act_format=dp.act_format,
        weight_format=dp.weight_format,
        accumulation=dp.accumulation.kind,
        block=dp.accumulation.block,
    )


def first_overflow(dp, pair):
    """Position of the first output of which a partial sum leaves the accumulator, or None."""
    if dp.accumulation.kind != "int":
        return None
    a, w = (x.astype(np.int64) for x in dp.accumulated(*pair))
    partial = np.cumsum(a[:, None, :] * w[None, :, :], axis=-1)
    half = 1 << (dp.accumulation.bits - 1)
    broken = np.argwhere(((partial < -half) | (partial >= half)).any(axis=-1))
    return tuple(broken[0].tolist()) if len(broken) else None


def same_bits(found, expected):
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    bits = f"u{found.dtype.itemsize}"
    np.testing.assert_array_equal(np.ascontiguousarray(found).view(bits), np.ascontiguousarray(expected).view(bits))


def fold(lane):
    """What the PEs of a lane compute, step by step: results (M, N)."""
    out = np.zeros(
        (len(lane.act), len(lane.weight)), np.int64 if np.issubdtype(lane.state_type, np.integer) else np.float32
    )
    for m, a in enumerate(lane.act):
        for n, w in enumerate(lane.weight):
            state = np.zeros(lane.registers, lane.state_type)
            for k in range(len(a)):
                lane.mac(state, a[k], w[k])
            out[m, n] = lane.finish(state, lane.constants)
    return out


def run_lane(lane, overlap, **gate):
    """One register-accurate array at work, and the closed form of its cycles without stalls."""
    shape = ArrayShape(lane.rows, lane.cols, overlap, 1, lane.result_words)
    run = run_os_array(
        lane.act,
        lane.weight,
        lane.rows,
        lane.cols,
        mac=lane.mac,
        period_cycles=shape.fold(lane.act.shape[1]).period_cycles,
        double_buffered=overlap == "full",
        finish=lane.finish,
        constants=lane.constants,
        registers=lane.registers,
        state_type=lane.state_type,
        result_words=lane.result_words,
        **gate,
    )
    return run, shape.total(len(lane.act), len(lane.weight), lane.act.shape[1])


def on_the_arrays(dp, pair, rows, cols, overlap):
    """Results of the register-accurate arrays of ``rows x cols`` PEs, whose cycles are the closed form's."""
    results = []
    for lane in dp.lanes(*pair, *dp.logical_array(rows, cols)):
        run, cycles = run_lane(lane, overlap)
        assert run.cycles == cycles
        results.append(run.values)
    return dp.merge(results, *pair)
