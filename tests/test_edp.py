"""Sums of dot-product units: kernel, reference and fractions agree bit for bit, whatever the order; what cannot run."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator import datapath
from simulator.datapath.edp import EdpOrder, EdpRun, Region
from simulator.datapath.fp16_mac import Fp16Mac
from simulator.errors import AccumulatorOverflowError
from simulator.formats import Encoded
from simulator.formats.blocks import pack_blocks
from simulator.reference import edp_reference
from tests import naive_edp
from tests.datapaths import adversarial_pair, label, make, random_pair, same_bits, seeds, stored
from tests.test_datapath_contract import ADVERSARIAL, VARIANTS

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.filterwarnings("ignore:overflow encountered in"),
    pytest.mark.filterwarnings("ignore:invalid value encountered in"),
]

VOLTA, AMPERE, HOPPER = EdpOrder(4, 0), EdpOrder(8, 1), EdpOrder(16, 2)
HOPPER_FP8 = EdpOrder(32, -10, fraction_bits=13)
BLACKWELL_FP4 = EdpOrder(64, 12, exact=16)
ORDERS = {4: BLACKWELL_FP4, 8: HOPPER_FP8, 16: HOPPER}
"""Units that multiply whatever any datapath has, to reach as many as there are."""
INTEGERS = {4: EdpOrder(16), 8: EdpOrder(8), 16: AMPERE}
"""Of Turing and Ampere."""
CANNOT = {
    "gobo": "its PEs add activations by index; gobo_dram is GOBO on tensor cores",
    "olaccel": "its outlier lanes and 16-bit integer multipliers have no place in dot-product units",
    "adaptivfloat": "its sums of 40 bits do not fit a tensor core's registers of 32",
}
"""Datapaths that no tensor core runs as they are by default."""
EVERY = [*((name, {}) for name in datapath.names()), *VARIANTS, ("adaptivfloat", {"acc_bits": 32})]


def reference(dp, pair, run):
    how = dp.accumulation.kind
    return edp_reference(
        *pair,
        act_format=dp.act_format,
        weight_format=dp.weight_format,
        accumulation=how,
        order=run.orders[16] if how == "int8_and_fp16" else dp.edp_order(run.orders),
        regions=run.over(len(pair[0].codes), len(pair[1].codes), pair[0].length),
    )


def check(dp, pair, run):
    """The kernel gives the reference's bits, or says that a sum leaves the accumulator, which is one of its own."""
    try:
        found = dp.edp_matmul(*pair, run)
    except AccumulatorOverflowError:
        if dp.accumulation.kind != "int":
            assert not np.isfinite(reference(dp, pair, run)).all()
        return None
    same_bits(found, reference(dp, pair, run))
    return found


def cut(pair, *cuts):
    """One region with these cuts, and K."""
    return (Region((0, len(pair[0].codes)), (0, len(pair[1].codes)), (0, *cuts, pair[0].length)),)


# Every datapath


@pytest.mark.parametrize("which", EVERY, ids=label)
def test_every_datapath_runs_on_tensor_cores_or_says_why_not(which):
    dp = make(which)
    reason = dp.why_no_edp(ORDERS)
    if reason:
        assert len(reason) > 20
        assert not reason.endswith(".")
        return
    for seed in range(3):
        check(dp, random_pair(dp, seed, largest=40), EdpRun(ORDERS))
    for case in ADVERSARIAL:
        check(dp, adversarial_pair(dp, case), EdpRun(ORDERS))


def test_by_default_all_but_three_run():
    reasons = {name: datapath.create(name, {}).why_no_edp(ORDERS) for name in datapath.names()}
    assert {name: reason for name, reason in reasons.items() if reason} == CANNOT


@pytest.mark.parametrize(
    ("which", "orders", "reason"),
    [
        (("fp8_mac", {}), INTEGERS, "the 8-bit dot-product units of this tensor core multiply integers only"),
        (("mx", {}), INTEGERS, "the 4-bit and 8-bit dot-product units of this tensor core multiply integers only"),
        (("fp16_mac", {}), {8: EdpOrder(8)}, "this tensor core has no 16-bit dot-product units"),
        (("mixed_int8_fp16", {}), {8: EdpOrder(8)}, "this tensor core has no 16-bit dot-product units"),
        (
            ("int_mac", {"act_bits": 4, "weight_bits": 4}),
            {16: AMPERE},
            "this tensor core has no 4-bit or 8-bit dot-product units",
        ),
        (("int_mac", {"acc_bits": 48}), INTEGERS, "its sums of 48 bits do not fit a tensor core's registers of 32"),
        (("bitfusion", {"act_bits": 16}), INTEGERS, "dot-product units for 16 bits multiply FP16, not integers"),
        (
            ("mx", {"format": "mxfp8"}),
            {8: EdpOrder(32, 12, exact=32)},
            "a group's sum may need 60 bits, of which there are 53",
        ),
        (
            ("fp16_mac", {}),
            {16: EdpOrder(16, 2, exact=4)},
            "dot-product units add 4 products under one scale, and it has none",
        ),
        (
            ("mx", {"format": "nvfp4"}),
            {4: EdpOrder(32, 2, exact=32)},
            "dot-product units add 32 products under one scale, and it has one per 16",
        ),
    ],
    ids=str,
)
def test_what_cannot_run_says_why(which, orders, reason):
    assert make(which).why_no_edp(orders) == reason


def test_floats_of_a_datapath_that_says_nothing_are_not_taken_for_integers():
    class Silent(Fp16Mac):
        edp_multiplies_floats = False

    assert Silent().why_no_edp(ORDERS) == "it does not say how dot-product units add what is no integer"


@pytest.mark.parametrize(
    ("which", "orders", "width"),
    [
        (("ovp", {}), INTEGERS, 4),
        (("ovp", {"bits": 8}), INTEGERS, 8),
        (("ant", {}), INTEGERS, 4),
        (("ant", {}), {8: EdpOrder(16)}, 8),  # no units for 4 bits
        (("biscaled", {}), INTEGERS, 8),
        (("int_mac", {"act_bits": 8, "weight_bits": 4}), INTEGERS, 8),
        (("gobo_dram", {}), INTEGERS, 16),
        (("mixed_int8_fp16", {}), INTEGERS, 8),
        (("mx", {"format": "mxfp4"}), ORDERS, 4),
        (("mx", {"format": "mxfp4"}), {4: EdpOrder(16), 8: HOPPER_FP8}, 8),  # those for 4 bits multiply integers
        (("mx", {"format": "mxfp8", "weight": "mxfp4"}), ORDERS, 8),
    ],
    ids=str,
)
def test_the_wider_operand_picks_the_unit(which, orders, width):
    assert make(which).why_no_edp(orders) == ""
    assert make(which).edp_unit(orders) == width


# FP16 and FP8, any order


def half(bits):
    return stored(np.array(bits, "<u2").view(np.uint8), np.shape(bits)[1])


finite_half = st.integers(0, 0xFFFF).filter(lambda bits: bits & 0x7C00 != 0x7C00)
orders = st.builds(
    EdpOrder,
    group=st.integers(1, 20),
    extra_bits=st.integers(-20, 21),
    rounding=st.sampled_from(["zero", "nearest"]),
    fraction_bits=st.integers(3, 23),
)
small = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def products(a, w, fields):
    """(value, exponent field) of every step, from operands (K,) and the field of a number."""
    return [(Fraction(float(x)) * Fraction(float(y)), fields(x) + fields(y)) for x, y in zip(a, w, strict=True)]


def field_of(lowest):
    return lambda x: max(math.frexp(x)[1] - 1, lowest)


@small
@given(data=st.data(), K=st.integers(1, 40), order=orders)
def test_fp16_kernel_reference_and_fractions_agree(data, K, order):
    rows = [data.draw(st.lists(finite_half, min_size=K, max_size=K)) for _ in range(4)]
    dp, pair = datapath.create("fp16_mac", {}), (half(rows[:2]), half(rows[2:]))
    run = EdpRun({16: order})
    found = dp.edp_matmul(*pair, run)
    same_bits(found, reference(dp, pair, run))
    a, w = (np.array(part, np.uint16).view(np.float16) for part in (rows[:2], rows[2:]))
    how = {"rounding": order.rounding, "fraction_bits": order.fraction_bits}
    for m, n in np.ndindex(found.shape):
        expected = naive_edp.dot(products(a[m], w[n], field_of(-14)), order.group, order.extra_bits, **how)
        assert float(found[m, n]) == expected
        assert expected or math.copysign(1, found[m, n]) == 1


@pytest.mark.parametrize("kind", ["e4m3", "e5m2"])
@pytest.mark.parametrize("order", [HOPPER_FP8, EdpOrder(1, -20, "nearest", 5), EdpOrder(2, 21)], ids=str)
def test_every_pair_of_fp8_numbers(kind, order):
    """All products of two numbers, alone and added to what a first product left."""
    dp = datapath.create("fp8_mac", {"act": kind, "weight": kind})
    codes = np.arange(256, dtype=np.uint8)
    codes = codes[np.isfinite(dp.act_format.values)]
    run = EdpRun({8: order})
    for first in (0x00, 0x01, 0x38, 0xF7 & 0x7B):
        act = np.stack([np.full_like(codes, first), codes], axis=1)
        weight = np.stack([np.full_like(codes, first ^ 0x80), codes], axis=1)
        pair = stored(act, 2), stored(weight, 2)
        found = dp.edp_matmul(*pair, run)
        same_bits(found, reference(dp, pair, run))
    rng = np.random.default_rng(0)
    values, lowest = dp.act_format.values, {"e4m3": -6, "e5m2": -14}[kind]
    for m, n in rng.integers(0, len(codes), (300, 2)):
        a, w = values[act[m]], values[weight[n]]
        how = {"rounding": order.rounding, "fraction_bits": order.fraction_bits}
        steps = products(a, w, field_of(lowest))
        assert float(found[m, n]) == naive_edp.dot(steps, order.group, order.extra_bits, **how)


@pytest.mark.parametrize(
    ("order", "act", "weight", "expected"),
    [
        # 2^24 in the accumulator: what is below its last bit is lost one product at a time, kept by a later generation
        (VOLTA, [4096] * 1 + [0] * 3 + [1, 1, 0, 0], [4096] + [0] * 3 + [1, 1, 0, 0], 2**24),
        (AMPERE, [4096] * 1 + [0] * 7 + [1, 1] + [0] * 6, [4096] + [0] * 7 + [1, 1] + [0] * 6, 2**24 + 2),
        # both products in one group of Volta: aligned and truncated before they meet
        (VOLTA, [4096, 1, 1, 0], [4096, 1, 1, 0], 2**24),
        # 1.5 * 1.5 = 2.25 has exponent 0: it does not push the others down a bit
        (VOLTA, [1.5, 2**-12, 0, 0], [1.5, 2**-11, 0, 0], 2.25 + 0),
        (VOLTA, [1.5, 2**-12, 0, 0], [1.5, 2**-10, 0, 0], 2.25 + 2**-22),
        # towards zero on both sides
        (AMPERE, [1, 2**-12, 0], [1, 2**-12, 0], 1),
        (AMPERE, [-1, -(2**-12), 0], [1, 2**-12, 0], -1),
        # cancellation: what was truncated does not come back
        (HOPPER, [256, 2**-10, -256, 2**-9], [256, 1, 256, 1], 2**-9),
        # subnormals of FP16 are numbers, and their exponent is -14
        (HOPPER, [2**-24, 2**-24], [1, -1], 0),
        (HOPPER, [2**-24], [2**-24], 2**-48),
    ],
    ids=str,
)
def test_what_is_kept_and_what_is_lost(order, act, weight, expected):
    pair = [stored(np.array([x], "<f2").view(np.uint8), len(x)) for x in (act, weight)]
    dp = datapath.create("fp16_mac", {})
    run = EdpRun({16: order})
    assert dp.edp_matmul(*pair, run) == [[expected]]
    same_bits(dp.edp_matmul(*pair, run), reference(dp, pair, run))


def test_the_order_of_groups_matters_and_the_order_within_does_not():
    dp, rng = datapath.create("fp16_mac", {}), np.random.default_rng(5)
    a, w = (rng.standard_normal((6, 64)).astype("<f2") for _ in range(2))
    run = EdpRun({16: AMPERE})

    def product(order):
        return dp.edp_matmul(*(stored(np.ascontiguousarray(x[:, order]).view(np.uint8), 64) for x in (a, w)), run)

    k = np.arange(64)
    within, across = k.reshape(8, 8)[:, ::-1].ravel(), k.reshape(8, 8)[::-1].ravel()
    same_bits(product(within), product(k))
    assert (product(across) != product(k)).any()
    assert (product(k) != dp.matmul(*(stored(x.view(np.uint8), 64) for x in (a, w)))).any()


# Block formats

BLOCK_ORDERS = [EdpOrder(32, 2), BLACKWELL_FP4, EdpOrder(4, -6, "nearest", 10, exact=2), EdpOrder(3, 5)]


LOWEST = {
    "mxfp8": (-6, -127),
    "mxfp6_e3m2": (-2, -127),
    "mxfp6_e2m3": (0, -127),
    "mxfp4": (0, -127),
    "nvfp4": (0, -6),
}
"""Exponents of subnormal elements and of subnormal scales."""
IN_BLOCKS = [
    pytest.param(name, order, id=f"{name}-{order}")
    for name in (*LOWEST, "mxint8")
    for order in BLOCK_ORDERS
    if not datapath.create("mx", {"format": name}).why_no_edp({4: order, 8: order})
]


def random_blocks(rng, encoding, rows, K):
    """Packed rows of random legal elements and scales, far apart in size."""
    blocks = -(-K // encoding.values_per_group)
    legal = np.flatnonzero(np.isfinite(encoding.element_values))
    scales = np.flatnonzero(np.isfinite(encoding.scale_values))
    low, high = np.sort(rng.choice(scales[: 190 if len(scales) > 200 else None], 2))
    out = np.zeros((rows, encoding.packed_bytes(K)), np.uint8)
    elements = rng.choice(legal, (rows, blocks, encoding.values_per_group)).astype(np.uint8)
    elements[rng.random(elements.shape) < rng.choice([0.0, 0.5, 0.95])] = 0
    pack_blocks(rng.integers(low, high + 1, (rows, blocks)).astype(np.uint8), elements, encoding.bits, out)
    return stored(out, K)


@seeds(12)
@pytest.mark.parametrize(("name", "order"), IN_BLOCKS)
def test_block_formats_kernel_and_reference_agree(name, order, seed):
    rng = np.random.default_rng(seed)
    dp = datapath.create("mx", {"format": name})
    K = int(rng.integers(1, 140))
    pair = tuple(random_blocks(rng, dp.act_format, rows, K) for rows in (5, 4))
    check(dp, pair, EdpRun({4: order, 8: order}))


@seeds(6)
@pytest.mark.parametrize(("name", "order"), [p for p in IN_BLOCKS if p.values[0] in LOWEST])
def test_block_formats_agree_with_fractions(name, order, seed):
    rng = np.random.default_rng(seed + 100)
    dp = datapath.create("mx", {"format": name})
    encoding, K = dp.act_format, 70
    pair = [random_blocks(rng, encoding, 2, K) for _ in range(2)]
    found = check(dp, pair, EdpRun({4: order, 8: order}))
    assert found is not None, "these scales are too small for that"
    parts = [naive_blocks(encoding, operand) for operand in pair]
    how = {"rounding": order.rounding, "fraction_bits": order.fraction_bits, "exact": order.exact}
    for m, n in np.ndindex(found.shape):
        steps = [
            naive_step(one, other, *LOWEST[name], order.exact)
            for one, other in zip(parts[0][m], parts[1][n], strict=True)
        ]
        assert float(found[m, n]) == naive_edp.dot(steps, order.group, order.extra_bits, **how)


def naive_blocks(encoding, operand: Encoded):
    """Element and scale of every value, row by row."""
    size, bits = encoding.values_per_group, encoding.bits
    out = []
    for row in operand.codes:
        values = []
        for k in range(operand.length):
            at = k // size * (1 + size * bits // 8)
            stream = "".join(f"{byte:08b}" for byte in row[at + 1 : at + 1 + size * bits // 8])
            code = int(stream[k % size * bits : (k % size + 1) * bits], 2)
            values.append((float(encoding.element_values[code]), float(encoding.scale_values[row[at]])))
        out.append(values)
    return out


def naive_step(one, other, lowest, scale_lowest, exact):
    """Product and field of two (element, scale)."""
    elements, scales = zip(one, other, strict=True)
    value = math.prod(Fraction(x) for x in (*elements, *scales))
    field = sum(field_of(scale_lowest)(x) for x in scales)
    return value, field if exact > 1 else field + sum(field_of(lowest)(x) for x in elements)


# Slices of K


@seeds(8)
def test_slices_are_added_in_fp32_in_order(seed):
    rng = np.random.default_rng(seed)
    dp = datapath.create("fp16_mac", {})
    pair = random_pair(dp, seed + 1, largest=60)
    M, N, K = len(pair[0].codes), len(pair[1].codes), pair[0].length
    row, col = int(rng.integers(0, M + 1)), int(rng.integers(0, N + 1))
    corners = [((a, b), (c, d)) for a, b in ((0, row), (row, M)) for c, d in ((0, col), (col, N)) if a < b and c < d]
    regions = tuple(
        Region(rows, cols, (0, *np.unique(rng.integers(1, K + 1, rng.integers(0, 4))).tolist()))
        for rows, cols in corners
    )
    regions = tuple(Region(r.rows, r.cols, tuple(sorted({*r.cuts, K}))) for r in regions)
    run = EdpRun({16: AMPERE}, regions)
    found = check(dp, pair, run)
    for region in regions:
        total = np.float32(0)
        for first, end in zip(region.cuts, region.cuts[1:], strict=False):
            part = [stored(np.ascontiguousarray(x.codes[:, 2 * first : 2 * end]), end - first) for x in pair]
            total = total + dp.edp_matmul(*part, EdpRun({16: AMPERE}))[region.block]
        same_bits(np.asarray(total), found[region.block])


# Integers


def int8(values):
    return stored(np.array(values, np.int8).view(np.uint8), np.shape(values)[1])


def test_int_sums_are_held_after_each_group_and_slice():
    """127 * 127 three times leaves 16 bits; what comes back within a group, or a slice, never was in a register."""
    dp = datapath.create("int_mac", {"acc_bits": 16})
    pair = int8([[127, 127, 127, 127]]), int8([[127, 127, 127, -127]])
    assert dp.edp_matmul(*pair, EdpRun({8: EdpOrder(4)})) == [[2 * 127 * 127]]
    for run in (EdpRun({8: EdpOrder(1)}), EdpRun({8: EdpOrder(3)}), EdpRun({8: EdpOrder(4)}, cut(pair, 3))):
        with pytest.raises(AccumulatorOverflowError, match=r"output \(0, 0\) leaves the 16-bit accumulator"):
            dp.edp_matmul(*pair, run)
    three = int8([[127, 127, 127]]), int8([[127, 127, 127]])
    with pytest.raises(AccumulatorOverflowError):  # each slice fits, their sum does not
        dp.edp_matmul(*three, EdpRun({8: EdpOrder(4)}, cut(three, 2)))


def test_an_overflow_of_a_region_names_the_output_of_the_whole():
    dp = datapath.create("int_mac", {"acc_bits": 16})
    act, weight = np.zeros((5, 6), np.int8), np.zeros((7, 6), np.int8)
    act[3], weight[5] = 127, 127
    pair = int8(act), int8(weight)
    regions = tuple(Region(rows, cols, (0, 4, 6)) for rows in ((0, 2), (2, 5)) for cols in ((0, 4), (4, 7)))
    with pytest.raises(AccumulatorOverflowError, match=r"output \(3, 5\)"):
        dp.edp_matmul(*pair, EdpRun({8: EdpOrder(8)}, regions))


@seeds(6)
@pytest.mark.parametrize("which", [("ovp", {}), ("ovp", {"bits": 8}), ("ant", {}), ("biscaled", {})], ids=label)
def test_integer_datapaths_give_the_array_s_sum_whatever_the_slices(which, seed):
    dp = make(which)
    pair = random_pair(dp, seed)
    K = pair[0].length
    whole = dp.matmul(*pair)
    for cuts in ((), (K // 2,) if K > 1 else (), tuple(range(1, K))):
        same_bits(dp.edp_matmul(*pair, EdpRun(INTEGERS, cut(pair, *cuts))), whole)


def test_outlier_columns_are_added_by_the_fp16_units():
    dp = datapath.create("mixed_int8_fp16", {})
    rng = np.random.default_rng(0)
    act, weight = rng.standard_normal((7, 96)).astype(np.float32), rng.standard_normal((5, 96)).astype(np.float32)
    act[:, ::3] *= 50
    pair = dp.encode(act[None], weight[None], ("row", "row"), ("absmax", "absmax"))[0]
    results = [dp.edp_matmul(*pair, EdpRun({8: EdpOrder(8), 16: fp16})) for fp16 in (VOLTA, HOPPER)]
    assert (results[0] != results[1]).any()
    assert (results[0] != dp.matmul(*pair)).any()
    for fp16, found in zip((VOLTA, HOPPER), results, strict=True):
        same_bits(found, reference(dp, pair, EdpRun({8: EdpOrder(8), 16: fp16})))
