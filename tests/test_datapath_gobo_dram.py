"""``gobo_dram``: what the decompressor makes of every code, and what crosses the DRAM port."""

from __future__ import annotations

import numpy as np
import pytest

from simulator import datapath
from simulator.datapath import Job, OptionError, Width
from simulator.formats import Encoded
from simulator.mapping import ArrayShape, BufferLimits, OperandBits, lower
from simulator.workload import Op
from tests import naive, naive_gobo
from tests.datapaths import encoded_pair, heavy_tailed, same_bits, seeds

pytestmark = pytest.mark.kernels

every_width = pytest.mark.parametrize("bits", [3, 4])


def make(bits=4, **options):
    return datapath.create("gobo_dram", {"index_bits": bits, **options})


def listed(weight, K):
    """{(n, k): value} of an operand."""
    places = weight.extras["outlier_position"].tolist()
    return dict(zip((divmod(p, K) for p in places), weight.extras["outlier_value"].tolist(), strict=True))


@every_width
@seeds(6)
def test_matmul_is_the_plain_loop_over_decompressed_halves(bits, seed):
    rng = np.random.default_rng(seed)
    M, N, K = rng.integers(1, 24, 3).tolist()
    dp = make(bits, log_probability=-1.5)
    act, weight = encoded_pair(dp, heavy_tailed(rng, (M, K)), heavy_tailed(rng, (N, K)))
    outliers = listed(weight, K)
    dictionary = weight.extras["dictionary"].tolist()
    decompressed = [
        [outliers.get((n, k), dictionary[i]) for k, i in enumerate(naive_gobo.stream(row, bits, K))]
        for n, row in enumerate(weight.codes.tolist())
    ]
    assert all(v == naive.encode_fp16(v) for row in decompressed for v in row)
    values = act.codes.view("<f2").astype(np.float32).tolist()
    same_bits(dp.matmul(act, weight), naive.float_matmul(values, decompressed))
    same_bits(dp.edge_words(weight, "weight"), np.float32(decompressed))


def test_every_byte_decompresses_least_significant_index_first():
    dictionary = np.arange(100, 116).astype(np.float16)
    extras = {
        "dictionary": dictionary,
        "outlier_position": np.zeros(0, np.uint32),
        "outlier_value": np.zeros(0, np.float32),
    }
    weight = Encoded(np.arange(256, dtype=np.uint8)[:, None], np.ones((), np.float32), 2, extras)
    expected = [[100 + byte % 16, 100 + byte // 16] for byte in range(256)]
    assert make(4).edge_words(weight, "weight").tolist() == expected


@every_width
def test_indices_cross_the_port_and_halves_fill_the_scratchpad(bits):
    width = make(bits).width("weight")
    assert width.dram_row_bits(80) == 80 * bits
    assert width.row_bits(80) == 80 * 16
    assert make(bits).width("act").dram_row_bits(80) == 80 * 16


@pytest.mark.parametrize(
    ("M", "N", "K", "usable"), [(12, 20, 48, None), (12, 20, 48, 4096), (12, 20, 48, 1024), (40, 8, 16, 4096)]
)
def test_each_load_brings_its_outliers_and_decompresses_its_values(M, N, K, usable):
    """Counted weight by weight over the tiles that load them; the last shape keeps its weights from tile to tile."""
    dp = make(3)
    limits = None if usable is None else BufferLimits(usable, usable, usable)
    bits = OperandBits(dp.width("act"), dp.width("weight"), 32, 16)
    tiles = lower(Op("any", M, N, K), ArrayShape(4, 4, "full"), bits, limits, (2, 2, 2)).rows
    rng = np.random.default_rng(0)
    act, weight = encoded_pair(dp, rng.standard_normal((M, K)), heavy_tailed(rng, (N, K)))
    outliers = listed(weight, K)
    assert outliers
    costs = dp.tile_costs(Job(M, N, K, 4, 4, tiles, act, weight, 0))
    plain = [dict(zip(tiles.dtype.names, t.tolist(), strict=True)) for t in tiles]
    loads = [t["weight_load_bytes"] > 0 for t in plain]
    assert all(loads) == (M == 12)
    expected = [8 * naive_gobo.in_tile(t, outliers) * load for t, load in zip(plain, loads, strict=True)]
    assert costs.weight_load_bytes.tolist() == expected
    values = sum(t["n"] * t["k"] for t, load in zip(plain, loads, strict=True) if load)
    assert costs.actions == {"decompress_gobo_value": values}
    assert values >= N * K
    assert not costs.outlier_cycles.any()
    assert costs.weight_buffer_bits == (0, 0)


def test_shapes_alone_draw_the_share_that_gobo_draws():
    bits = OperandBits(Width.plain(16), Width.plain(16, 4), 32, 16)
    tiles = lower(Op("any", 8, 64, 256), ArrayShape(8, 8, "full"), bits, None).rows
    same = [
        datapath.create(name, {"outlier_share": 0.01}).tile_costs(Job(8, 64, 256, 8, 8, tiles, None, None, 3))
        for name in ("gobo", "gobo_dram")
    ]
    assert same[0].weight_load_bytes.tolist() == same[1].weight_load_bytes.tolist()
    assert same[0].weight_load_bytes.sum() > 0
    assert make(outlier_share=0.5).assumed_distribution.startswith("each weight is an outlier with probability 0.5,")


def test_decompressors_keep_up_with_the_port():
    assert make(4).area_bill(8, 16) == {"pe_fp16_acc32": 128, "decompressor_gobo": 256}
    assert make(3).area_bill(8, 16)["decompressor_gobo"] == 342
    assert make(3, port_bits=9).area_bill(8, 16)["decompressor_gobo"] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index_bits": 8}, "Input should be 3 or 4, found 8"),
        ({"port_bits": 0}, "Input should be greater than or equal to 1, found 0"),
        ({"dictionary": "fp32"}, "unknown option of datapath 'gobo_dram'; allowed: "),
    ],
)
def test_a_wrong_option_is_one_clear_line(options, message):
    with pytest.raises(OptionError) as error:
        datapath.create("gobo_dram", options)
    assert str(error.value).startswith(message)
