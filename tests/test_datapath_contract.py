"""The contract of a datapath, held for every registered one: shipped, dropped in, or installed by somebody else."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator import datapath
from simulator.config import load_cost
from simulator.datapath import Datapath, Job, OptionError
from simulator.errors import AccumulatorOverflowError
from simulator.formats import TensorEncoding
from simulator.mapping import ArrayShape
from simulator.study.verify import adversarial_tensors
from simulator.tiles import TILE_DTYPE
from tests.datapaths import (
    adversarial_pair,
    encoded_pair,
    first_overflow,
    fold,
    heavy_tailed,
    label,
    make,
    on_the_arrays,
    random_pair,
    reference,
    same_bits,
    seeds,
)

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.filterwarnings("ignore:overflow encountered in"),  # kernels run as plain Python
]

VARIANTS = [
    ("int_mac", {"act_bits": 4, "weight_bits": 4}),
    ("int_mac", {"act_bits": 8, "weight_bits": 4}),
    ("int_mac", {"act_bits": 4, "weight_bits": 8}),
    ("int_mac", {"acc_bits": 16}),
    ("int_mac", {"act_bits": 3, "weight_bits": 6}),
    ("int_mac", {"act_bits": 16, "weight_bits": 16, "acc_bits": 48}),
    ("int_mac", {"act_zero_point": True}),
    ("ovp", {"pair_rule": "left"}),
    ("gobo", {"index_bits": 4, "dictionary": "fp16"}),
    ("gobo_dram", {"index_bits": 3}),
    ("mixed_int8_fp16", {"outlier_weights": "int8", "fp16_cols": 2}),
    ("fp8_mac", {"act": "e5m2", "weight": "e5m2"}),
    ("fp8_mac", {"act": "e4m3", "weight": "e5m2"}),
    ("mx", {"format": "nvfp4"}),
    ("mx", {"format": "mxfp8"}),
    ("mx", {"format": "mxint8"}),
    ("mx", {"format": "mxfp6_e3m2", "weight": "mxfp6_e2m3"}),
    ("mx", {"format": "mxfp8", "weight": "mxfp4"}),
    ("ovp", {"normal": "auto"}),
    ("ovp", {"bits": 8}),
    ("ovp", {"bits": 8, "outlier_format": "e2m5", "pair_rule": "left"}),
    ("bitfusion", {"act_bits": 4, "weight_bits": 2}),
    ("bitfusion", {"act_bits": 16, "weight_bits": 16}),
    ("biscaled", {"acc_bits": 48}),
    ("olaccel", {"outlier_share": 0.2, "group": 3}),
    ("olaccel", {"stalls": False}),
    ("ovp", {"pair_rule": "left"}),
    ("adaptivfloat", {"acc_bits": 32}),
    ("ant", {"bits": 8}),
    ("ant", {"types": "flint-pot", "type_per": "operand"}),
]
"""Options beyond the defaults that the contract is held to as well."""
ADVERSARIAL = [name for name, _, _ in adversarial_tensors(0)]

every_datapath = pytest.mark.parametrize("which", [*((name, {}) for name in datapath.names()), *VARIANTS], ids=label)


def check_values(dp, pair):
    """``matmul`` gives the exact reference, or names the output that overflows. Returns whether there is a result."""
    overflow = first_overflow(dp, pair)
    if overflow is not None:
        with pytest.raises(AccumulatorOverflowError) as error:
            dp.matmul(*pair)
        assert str(overflow) in str(error.value)
        return False
    found = dp.matmul(*pair)
    same_bits(found, reference(dp, pair))
    assert found.dtype == (np.int64 if dp.accumulation.kind == "int" else np.float32)
    assert found.shape == (len(pair[0].codes), len(pair[1].codes))
    return True


# What a datapath says of itself


@every_datapath
def test_it_is_a_frozen_record_of_json_options(which):
    dp = make(which)
    assert isinstance(dp, Datapath)
    assert dp.name == which[0]
    assert which[0] in datapath.names()
    options = dataclasses.asdict(dp)
    assert datapath.create(which[0], json.loads(json.dumps(options))) == dp == make(which)
    for attribute in [*options, "name"]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(dp, attribute, 1)
    with pytest.raises(OptionError) as error:
        datapath.create(which[0], {"no_such_option": 1})
    assert error.value.option == "no_such_option"


@every_datapath
def test_formats_accumulation_widths_and_steps(which):
    dp = make(which)
    assert isinstance(dp.act_format, TensorEncoding)
    assert isinstance(dp.weight_format, TensorEncoding)
    assert dp.accumulation.bits == 32 or dp.accumulation.kind == "int"
    assert 1 <= dp.accumulation.bits <= 63
    assert isinstance(dp.cycles_per_step(), int)
    assert dp.cycles_per_step() >= 1
    for operand in ("act", "weight"):
        width = dp.width(operand)
        assert width.values >= 1
        assert width.bits % 8 == width.dram_bits % 8 == 0
        assert 0 < width.row_bits(1) == width.row_bits(width.values)
        assert width.longest(width.row_bits(7 * width.values)) == 7 * width.values
    rows, cols = dp.logical_array(64, 32)
    assert rows > 0 < cols


def require_bill(bill, number):
    for name, count in bill.items():
        assert isinstance(name, str)
        assert name
        assert isinstance(count, number)
        assert not isinstance(count, bool)
        assert math.isfinite(count)
        assert count > 0


@every_datapath
def test_actions_and_parts(which):
    dp = make(which)
    assert dp.actions_per_mac()
    for bill in (dp.actions_per_mac(), dp.actions_per_output(), *map(dp.actions_per_operand, ("act", "weight"))):
        require_bill(bill, int | float)
    for rows, cols in ((2, 2), (6, 10), (64, 64)):
        bill = dp.area_bill(rows, cols)
        require_bill(bill, int)
        for larger in (dp.area_bill(rows + 2, cols), dp.area_bill(rows, cols + 2)):
            assert all(larger[part] >= count for part, count in bill.items())
            assert sum(larger.values()) > sum(bill.values())


# Values


@every_datapath
@pytest.mark.parametrize("case", ADVERSARIAL)
def test_matmul_is_the_reference_on_adversarial_tensors(which, case):
    check_values(make(which), adversarial_pair(make(which), case))


@every_datapath
@seeds(24)
def test_matmul_is_the_reference_on_random_shapes(which, seed):
    check_values(make(which), random_pair(make(which), seed))


@every_datapath
def test_matmul_is_the_reference_on_anything(which):
    """2,000 GEMMs that hypothesis makes (400 for options beyond the defaults): few values, so that codes, ties and
    outliers of all kinds meet.
    """
    dp = make(which)
    number = st.one_of(
        st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 7.0, 6.0, -6.0, 9.5, 100.0, -3e4]),
        st.floats(-300, 300, width=32, allow_subnormal=False),
    )

    @settings(
        max_examples=150 if which[1] else 800, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(data=st.data(), M=st.integers(1, 3), N=st.integers(1, 3), K=st.integers(1, 9))
    def run(data, M, N, K):
        act, weight = (
            np.array(data.draw(st.lists(number, min_size=r * K, max_size=r * K)), np.float32).reshape(r, K)
            for r in (M, N)
        )
        check_values(dp, encoded_pair(dp, act, weight))

    run()


@every_datapath
@seeds(6)
def test_matmul_repeats_itself_and_leaves_its_inputs_alone(which, seed):
    dp = make(which)
    pair = random_pair(dp, seed)
    if first_overflow(dp, pair) is not None:
        pair = encoded_pair(dp, np.zeros((3, 5), np.float32), np.ones((2, 5), np.float32))
    kept = [x.codes.copy() for x in pair]
    first = dp.matmul(*pair)
    fed = dp.edge_words(pair[0], "act")
    same_bits(dp.matmul(*pair), first)
    same_bits(make(which).edge_words(pair[0], "act"), fed)
    for operand, codes in zip(pair, kept, strict=True):
        same_bits(operand.codes, codes)


# The array edge and one PE


@every_datapath
@seeds(6)
def test_edge_words_are_rows_of_numbers(which, seed):
    dp = make(which)
    for encoded, operand in zip(random_pair(dp, seed), ("act", "weight"), strict=True):
        fed = dp.edge_words(encoded, operand)
        assert fed.shape == (len(encoded.codes), encoded.length * dp.cycles_per_step())
        assert fed.dtype in (np.int64, np.float32, np.float64)


@every_datapath
@seeds(8)
def test_mac_folded_over_the_lanes_is_matmul(which, seed):
    dp = make(which)
    pair = random_pair(dp, seed, largest=9)
    if check_values(dp, pair):
        lanes = dp.lanes(*pair, 4, 4)
        same_bits(dp.merge([fold(lane) for lane in lanes], *pair), dp.matmul(*pair))


@every_datapath
@pytest.mark.parametrize("overlap", ["none", "wave", "full"])
@seeds(5)
def test_the_register_accurate_arrays_give_matmul(which, overlap, seed):
    dp = make(which)
    pair = random_pair(dp, seed, largest=9)
    rows, cols = ((2, 2), (2, 4), (4, 2), (4, 6), (6, 2))[seed]
    if check_values(dp, pair):
        same_bits(on_the_arrays(dp, pair, rows, cols, overlap), dp.matmul(*pair))


@every_datapath
def test_the_array_gives_matmul_for_zeros_of_either_sign(which):
    """Negative activations on zero weights: a float accumulator that starts at +0.0 never ends at -0.0."""
    dp = make(which)
    pair = encoded_pair(dp, np.full((2, 3), -1.0, np.float32), np.zeros((2, 3), np.float32))
    same_bits(on_the_arrays(dp, pair, 2, 2, "full"), dp.matmul(*pair))


# What depends on values


def tiles_of(M, N, K, side):
    """One tile per ``side x side`` block of outputs, all of K."""
    blocks = [(m, n) for m in range(0, M, side) for n in range(0, N, side)]
    tiles = np.zeros(len(blocks), TILE_DTYPE)
    for tile, (m, n) in zip(tiles, blocks, strict=True):
        tile["m0"], tile["n0"], tile["m"], tile["n"], tile["k"] = m, n, min(side, M - m), min(side, N - n), K
        tile["folds"], tile["issue_cycles"], tile["macs"] = 1, max(K, side), tile["m"] * tile["n"] * K
        tile["act_load_bytes"] = tile["weight_load_bytes"] = K
    return tiles


@every_datapath
@pytest.mark.parametrize("known", [True, False], ids=["values", "shapes"])
@seeds(3)
def test_costs_of_values_are_none_or_one_count_per_tile(which, known, seed):
    dp = make(which)
    act, weight = random_pair(dp, seed)
    M, N, K = len(act.codes), len(weight.codes), act.length
    tiles = tiles_of(M, N, K, 4)
    kept = tiles.copy()
    beside = ArrayShape(4, 4, "full").fold_beside
    job = Job(M, N, K, *dp.logical_array(4, 4), tiles, *((act, weight) if known else (None, None)), seed, beside)
    costs, again = dp.tile_costs(job), dp.tile_costs(job)
    without = dp.tile_costs(dataclasses.replace(job, act=None, weight=None))
    assert (costs is None) == (again is None) == (without is None)
    assert (without is None) == (dp.assumed_distribution == "")
    np.testing.assert_array_equal(tiles, kept)
    if costs is None:
        assert dp.data_dependent_actions() == ()
        return
    for field in ("outlier_cycles", "vector_cycles", "act_load_bytes", "weight_load_bytes"):
        found = getattr(costs, field)
        assert found.dtype == np.int64
        assert found.shape == (len(tiles),)
        assert (found >= 0).all()
        np.testing.assert_array_equal(found, getattr(again, field))
    assert set(costs.actions) <= set(dp.data_dependent_actions())
    assert all(count >= 0 for count in costs.actions.values())
    assert min(*costs.act_buffer_bits, *costs.weight_buffer_bits) >= 0


def test_the_oracle_of_overflow_can_fail():
    """What the value tests lean on: a sum that leaves the accumulator is found, and none is invented."""
    dp = datapath.create("int_mac", {"acc_bits": 16})
    large = encoded_pair(dp, np.ones((1, 9), np.float32), np.ones((1, 9), np.float32), "absmax")
    assert first_overflow(dp, large) == (0, 0)
    rng = np.random.default_rng(0)
    small = encoded_pair(dp, heavy_tailed(rng, (2, 2)), heavy_tailed(rng, (2, 2)))
    assert first_overflow(dp, small) is None


# Shipped datapaths: prices


SHIPPED = [name for name in datapath.names() if datapath.get(name).__module__.startswith("simulator.")]
"""Another package's datapath brings its own prices."""


@pytest.mark.parametrize("which", [*((name, {}) for name in SHIPPED), *VARIANTS], ids=label)
def test_everything_a_shipped_datapath_bills_is_priced(which):
    dp, library = make(which), load_cost("open")
    actions = {*dp.actions_per_mac(), *dp.actions_per_output(), *dp.data_dependent_actions()}
    actions |= {*dp.actions_per_operand("act"), *dp.actions_per_operand("weight")}
    assert actions <= set(library.actions), sorted(actions - set(library.actions))
    assert set(dp.area_bill(4, 4)) <= set(library.parts), sorted(set(dp.area_bill(4, 4)) - set(library.parts))
