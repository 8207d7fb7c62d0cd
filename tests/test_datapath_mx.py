"""``mx``: all pairs of elements, scales to their extremes, block sums against fractions, words, bounds, wrong input."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator import datapath
from simulator.config import load_design
from simulator.datapath import OptionError
from simulator.errors import AccumulatorOverflowError, ConfigError, EncodingError
from simulator.formats import Encoded
from simulator.reference.floats import matmul_in_blocks
from simulator.study.building import build
from simulator.study.quality import check_values
from tests import naive_blocks, naive_floats
from tests.datapaths import encoded_pair, fold, reference, same_bits, seeds, stored

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.filterwarnings("ignore:overflow encountered in", "ignore:invalid value encountered in"),
]  # kernels run as plain Python

ELEMENTS = {name: naive_blocks.MX[name] for name in ("mxfp8", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4", "mxint8")}
ELEMENTS["nvfp4"] = naive_blocks.E2M1
FLOATS = ("mxfp8", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4")
SAME = [(name, name) for name in ELEMENTS]
PAIRS = SAME + [(a, w) for a in FLOATS for w in FLOATS if a != w]
every_pair = pytest.mark.parametrize(("act", "weight"), PAIRS)
every_format = pytest.mark.parametrize("name", ELEMENTS)


def make(act="mxfp4", weight=None):
    return datapath.create("mx", {"format": act, "weight": None if weight == act else weight})


def block_size(name):
    return 16 if name == "nvfp4" else 32


@cache
def finite(name):
    """Legal element codes."""
    return [c for c in range(ELEMENTS[name].codes) if ELEMENTS[name].value(c) is not None]


@cache
def scale_value(name, byte):
    return naive_blocks.E4M3.value(byte) if name == "nvfp4" else Fraction(2) ** (byte - 127)


def packed(name, scales, rows):
    """Rows of element codes (R, K) as an operand; ``scales``: a byte for each block, the same in all rows."""
    size, out = block_size(name), []
    for row in rows:
        stored_row = []
        for byte, block in zip(scales, naive_blocks.in_blocks(row, size), strict=True):
            full = block + [finite(name)[-1]] * (size - len(block))  # what is beyond K must not matter
            stored_row += [byte, *naive_blocks.most_significant_first(full, ELEMENTS[name].bits)]
        out.append(stored_row)
    return stored(np.array(out, np.uint8), len(rows[0]))


def exact(name, scales, rows):
    """Exact values of the same."""
    size, value = block_size(name), ELEMENTS[name].value
    return [[value(c) * scale_value(name, scales[k // size]) for k, c in enumerate(row)] for row in rows]


def expected(act, weight, scales, rows):
    """Sums (M, N) by fractions."""
    values = (exact(name, s, r) for name, s, r in zip((act, weight), scales, rows, strict=True))
    return naive_floats.matmul(*values, lambda products: naive_floats.sum_in_blocks(products, block_size(act)))


def check(dp, act, weight, scales, rows):
    """Through ``matmul`` and through words, PEs and ``finish``: the sums by fractions, or the first that overflows."""
    pair = [packed(name, s, r) for name, s, r in zip((act, weight), scales, rows, strict=True)]
    sums = expected(act, weight, scales, rows)
    overflow = naive_floats.first_overflow(sums)
    if overflow is not None:
        with pytest.raises(AccumulatorOverflowError) as error:
            dp.matmul(*pair)
        assert str(error.value) == f"mx: a partial sum of output {overflow} leaves the FP32 accumulator"
        found = fold(dp.lanes(*pair, 4, 4)[0])
        assert [list(row) for row in np.isfinite(found)] == [[s != naive_floats.OVERFLOW for s in row] for row in sums]
        return
    same_bits(dp.matmul(*pair), naive_floats.as_float32(sums))
    same_bits(fold(dp.lanes(*pair, 4, 4)[0]), naive_floats.as_float32(sums))


# Products of all codes


def scale_pairs(name):
    """Pairs of scale bytes: ordinary, subnormal results, results that vanish, the largest, one at each end."""
    if name == "nvfp4":
        return [(a, w) for a in (0, 1, 7, 8, 0x38, 0x7E) for w in (0, 3, 0x3B, 0x7E)]
    return [(127, 127), (0, 127), (0, 105), (50, 60), (0, 0), (0, 254), (190, 188), (254, 127)]


@pytest.mark.parametrize("name", ["mxfp4", "nvfp4"])
def test_all_pairs_of_4_bit_elements_at_all_kinds_of_scales(name):
    rows = [[c] for c in finite(name)]
    assert len(rows) == 16
    for act_byte, weight_byte in scale_pairs(name):
        check(make(name), name, name, ([act_byte], [weight_byte]), (rows, rows))


@pytest.mark.parametrize(("act", "weight"), [("mxint8", "mxint8"), ("mxfp8", "mxfp8")])
def test_all_pairs_of_8_bit_elements(act, weight):
    rows = [[c] for c in finite(act)]
    assert len(rows) in (254, 256)
    check(make(act), act, weight, ([127], [127]), (rows, rows))
    few = rows[::7]
    for act_byte, weight_byte in scale_pairs(act):
        check(make(act), act, weight, ([act_byte], [weight_byte]), (few, few))


@pytest.mark.parametrize(("act", "weight"), [p for p in PAIRS if "mxint8" not in p and p != ("mxfp8", "mxfp8")])
def test_all_pairs_of_elements_of_two_formats(act, weight):
    rows = [[c] for c in finite(act)], [[c] for c in finite(weight)]
    check(make(act, weight), act, weight, ([127 - 60], [127 - 75]) if act != "nvfp4" else ([1], [0x7E]), rows)


def test_every_scale_byte_reaches_the_pe():
    for name in ELEMENTS:
        one = next(c for c in finite(name) if ELEMENTS[name].value(c) == 1)
        middle = 0x38 if name == "nvfp4" else 127
        for byte in range(127 if name == "nvfp4" else 255):
            check(make(name), name, name, ([byte], [middle]), ([[one]], [[one]]))


# Sums


@settings(deadline=None, max_examples=40)
@given(data=st.data(), K=st.integers(1, 70), spread=st.integers(0, 40))
@every_pair
def test_blocks_are_summed_exactly_and_rounded_once(act, weight, data, K, spread):
    """Scales of neighbouring blocks near each other, so that FP32 additions round, or near either end of FP32."""
    draw, blocks = data.draw, -(-K // block_size(act))
    if act == "nvfp4":
        bytes_ = [st.integers(0, 126)] * 2
    else:
        middle = draw(st.sampled_from([(127, 127), (60, 60), (70, 40), (190, 185)]))
        bytes_ = [st.integers(max(0, m - spread), min(254, m + spread)) for m in middle]
    scales = [draw(st.lists(b, min_size=blocks, max_size=blocks)) for b in bytes_]
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    rows = [[rng.choice(finite(name), K).tolist() for _ in range(2)] for name in (act, weight)]
    check(make(act, weight), act, weight, scales, rows)


@every_pair
def test_largest_elements_fill_a_block_and_smallest_show(act, weight):
    """31 largest products and one smallest: every bit of the block register counts."""
    size = block_size(act)
    rows = []
    for name in (act, weight):
        largest = max(finite(name), key=ELEMENTS[name].value)
        smallest = min((c for c in finite(name) if ELEMENTS[name].value(c) > 0), key=ELEMENTS[name].value)
        negative = min(finite(name), key=ELEMENTS[name].value)
        rows.append([[largest] * (size - 1) + [smallest], [negative] * size, [smallest] * size])
    middle = 0x38 if act == "nvfp4" else 127
    check(make(act, weight), act, weight, ([middle], [middle]), rows)


def test_a_block_rounds_once_and_not_at_every_product():
    """65536 and twice half of its last FP32 place: added one by one, both halves are lost."""
    code = {ELEMENTS["mxfp8"].value(c): c for c in finite("mxfp8")}
    row = [[code[256], code[Fraction(1, 16)], code[Fraction(1, 16)]]]
    operand = packed("mxfp8", [127], row)
    assert make("mxfp8").matmul(operand, operand).tolist() == [[65536 + 2**-7]]
    half = np.float32(2**-8)
    assert np.float32(65536) + half + half == 65536


def test_a_subnormal_block_is_not_rounded_to_24_bits_first():
    """768 - 2^-18 at 2^-158 is just below 1.5 subnormals; 24 bits of it would be 1.5, and a tie."""
    code = {ELEMENTS["mxfp8"].value(c): c for c in finite("mxfp8")}
    rows = [[code[24], code[Fraction(1, 512)]]], [[code[32], code[Fraction(-1, 512)]]]
    check(make("mxfp8"), "mxfp8", "mxfp8", ([48], [48]), rows)
    pair = [packed("mxfp8", [48], r) for r in rows]
    assert make("mxfp8").matmul(*pair).tolist() == [[2.0**-149]]
    same_bits(reference(make("mxfp8"), pair), make("mxfp8").matmul(*pair))


def test_blocks_end_where_they_should():
    """1 at element 31 or 32 of K = 64, against 2^24 in the other block: the sum of a block is rounded on its own."""
    dp, code = make("mxint8"), {v: c for c in range(256) if (v := ELEMENTS["mxint8"].value(c)) is not None}
    for place in (0, 31, 32, 63):
        row = [0] * 64
        row[place] = code[1]
        full = [[code[1]] * 64]
        for scales in ([127, 151], [151, 127]):
            check(dp, "mxint8", "mxint8", (scales, [127, 127]), ([row], full))


@seeds(6)
def test_the_reference_sums_blocks_exactly(seed):
    rng = np.random.default_rng(seed)
    act, weight = PAIRS[rng.integers(len(PAIRS))]
    dp, (M, N, K) = make(act, weight), rng.integers(1, 80, 3) // [20, 20, 1] + 1
    spread = [np.exp(3 * rng.standard_normal((r, K))).astype(np.float32) for r in (M, N)]
    pair = encoded_pair(dp, spread[0] - spread[0][::-1], spread[1])
    values = [[[Fraction(float(x)) for x in row] for row in side] for side in dp.decoded(*pair)]
    sums = naive_floats.matmul(*values, lambda p: naive_floats.sum_in_blocks(p, block_size(act)))
    same_bits(reference(dp, pair), naive_floats.as_float32(sums))
    same_bits(dp.matmul(*pair), naive_floats.as_float32(sums))


def test_the_reference_refuses_sums_that_float64_cannot_hold():
    narrow, wide = np.array([[2.0**26, 1.0]]), np.array([[2.0**26, 0.5]])
    assert matmul_in_blocks(narrow, np.array([[2.0**24, 1.0]]), 2).tolist() == [[2.0**50]]
    assert matmul_in_blocks(wide, wide, 1).tolist() == [[2.0**52]]
    with pytest.raises(OverflowError) as error:
        matmul_in_blocks(wide, wide, 2)
    assert str(error.value) == "a block's sum may need more than 53 bits"
    assert matmul_in_blocks(np.zeros((1, 3)), np.ones((2, 3)), 2).tolist() == [[0, 0]]


# Sums beyond FP32


def test_a_sum_beyond_fp32_names_its_output():
    """254 + 127: 2^127 a block; the second one is too much, and an equal negative one does not bring it back."""
    code = {ELEMENTS["mxfp4"].value(c): c for c in range(16) if c != 8}
    one, minus = code[1], code[-1]
    rows = [[[one] + [0] * 31] * 3, [[one] + [0] * 31, [minus] + [0] * 31]]
    check(make(), "mxfp4", "mxfp4", ([254], [127]), rows)
    rows = [[[0] * 96, [one] * 96], [[0] * 96, ([one] + [0] * 31) * 2 + [minus] * 32]]
    pair = [packed("mxfp4", [254] * 3, rows[0]), packed("mxfp4", [127] * 3, rows[1])]
    with pytest.raises(AccumulatorOverflowError) as error:
        make().matmul(*pair)
    assert str(error.value) == "mx: a partial sum of output (1, 1) leaves the FP32 accumulator"
    check(make(), "mxfp4", "mxfp4", ([254] * 3, [127] * 3), rows)


def test_an_infinite_sum_is_refused_wherever_it_comes_from():
    """Registers of the array give infinities, as FP32 adders do; the check of values does not let them pass."""
    dp, act, weight = make(), np.full((1, 2, 40), 1e30, np.float32), np.full((1, 3, 40), 1e10, np.float32)
    pair = encoded_pair(dp, act[0], weight[0])
    found = fold(dp.lanes(*pair, 4, 4)[0])
    assert np.isposinf(found).all()
    with pytest.raises(AccumulatorOverflowError) as error:
        check_values("op", dp, [pair], [found], act, weight)
    assert str(error.value) == "mx: a partial sum of output (0, 0) leaves the FP32 accumulator"


# Words and bills


@every_format
def test_words_carry_the_end_of_every_block(name):
    for K in (1, block_size(name), block_size(name) + 1, 3 * block_size(name) - 1):
        operand = packed(name, [0x38] * -(-K // block_size(name)), [[finite(name)[1]] * K] * 2)
        ends = make(name).edge_words(operand, "act") >> 26
        size = block_size(name)
        assert ends.tolist() == [[int(k % size == size - 1 or k == K - 1) for k in range(K)]] * 2


@pytest.mark.parametrize(
    ("act", "weight", "pe", "bits"),
    [
        ("mxfp4", "mxfp4", "mxfp4", 8.5),
        ("nvfp4", "nvfp4", "nvfp4", 9),
        ("mxint8", "mxint8", "mxint8", 16.5),
        ("mxfp6_e3m2", "mxfp4", "mxfp6", 10.5),
        ("mxfp4", "mxfp6_e2m3", "mxfp6_e2m3", 10.5),
        ("mxfp6_e2m3", "mxfp6_e3m2", "mxfp8", 12.5),
        ("mxfp8", "mxfp4", "mxfp8", 12.5),
    ],
)
def test_the_pe_of_the_wider_format_is_billed(act, weight, pe, bits):
    dp = make(act, weight)
    assert dp.area_bill(4, 8) == {f"pe_{pe}": 32}
    end, share = ("block_scale_add_nvfp4", 1 / 16) if act == "nvfp4" else ("block_scale_add_fp32", 1 / 32)
    assert dp.actions_per_mac() == {f"mac_{pe}": 1, end: share}
    assert dp.register_bits("act") + dp.register_bits("weight") == bits


def test_a_pe_that_is_billed_for_two_formats_holds_the_elements_of_both():
    values = {name: {ELEMENTS[name].value(c) for c in finite(name)} for name in FLOATS}
    assert values["mxfp4"] < values["mxfp6_e3m2"] < values["mxfp8"]
    assert values["mxfp4"] < values["mxfp6_e2m3"] < values["mxfp8"]
    assert not values["mxfp6_e2m3"] <= values["mxfp6_e3m2"]


@pytest.mark.parametrize(("act", "weight"), PAIRS)
def test_block_sums_need_no_more_bits_than_stated(act, weight):
    """The table of the module: bits of the block register, from all elements' largest and smallest magnitudes."""
    stated = {"mxfp4": 14, "nvfp4": 13, "mxfp6_e2m3": 18, "mxint8": 21, "mxfp6_e3m2": 24, "mxfp8": 42}
    total, unit = Fraction(block_size(act)), Fraction(1)
    for name in (act, weight):
        magnitudes = {abs(ELEMENTS[name].value(c)) for c in finite(name)} - {0}
        total, unit = total * max(magnitudes), unit * min(magnitudes)
    bits = 1 + int(total / unit).bit_length()
    assert (total / unit).denominator == 1
    assert bits == stated[act] if act == weight else bits < 42
    assert (act, weight) != ("mxfp8", "mxfp4") or bits == 28


def test_a_layer_may_narrow_its_weights_on_the_hardware_of_the_wider_format():
    design = {"datapath": {"name": "mx", "format": "mxfp8"}}
    layers = [{"ops": "*fc1*", "datapath": {"weight": "mxfp4"}}]
    base = load_design("int8_systolic").model_dump() | design
    assert build(load_design(base | {"layers": layers})).layers[0][1].datapath == make("mxfp8", "mxfp4")
    layers[0]["datapath"] = {"format": "mxfp4"}
    with pytest.raises(
        ConfigError, match="a layer may set how the array is used, not what it is made of; pe_mxfp4, pe"
    ):
        build(load_design(base | {"layers": layers}))


# Wrong input


@every_format
def test_a_scale_that_is_no_number_is_named_with_its_block(name):
    for byte in [0xFF, 0x7F, 0x80, 0xC3, 0xFE] if name == "nvfp4" else [0xFF]:
        good = packed(name, [0x38] * 3, [[1] * (3 * block_size(name))] * 4)
        codes = good.codes.copy()
        stride = codes.shape[1] // 3
        codes[2, stride], codes[3, 0] = byte, 0xFF
        for pair in ((Encoded(codes, good.scale, good.length), good), (good, Encoded(codes, good.scale, good.length))):
            with pytest.raises(EncodingError) as error:
                make(name).matmul(*pair)
            assert str(error.value) == f"mx: block 1 of row 2: 0x{byte:02x} is no scale of {name}"


@pytest.mark.parametrize("code", [0x7F, 0xFF])
def test_an_element_that_is_no_number_is_named_with_its_position(code):
    rows = [[0x38] * 40, [0x38] * 35 + [code] + [0x38] * 4]
    bad, good = packed("mxfp8", [127] * 2, rows), packed("mxfp8", [127] * 2, rows[:1])
    with pytest.raises(EncodingError) as error:
        make("mxfp8").matmul(good, bad)
    assert str(error.value) == f"mx: code 0x{code:02x} at position (1, 35) is no finite E4M3 number"


@pytest.mark.parametrize(
    ("options", "option", "message"),
    [
        (
            {"format": "mxfp8_e5m2"},
            "format",
            "Input should be 'mxfp8', 'mxfp6_e3m2', 'mxfp6_e2m3', 'mxfp4', 'mxint8' or 'nvfp4', found 'mxfp8_e5m2'",
        ),
        (
            {"weight": "mxfp3"},
            "weight",
            "Input should be 'mxfp8', 'mxfp6_e3m2', 'mxfp6_e2m3', 'mxfp4', 'mxint8' or 'nvfp4', found 'mxfp3'",
        ),
        (
            {"format": "mxfp8", "weight": "nvfp4"},
            "weight",
            "no PE multiplies mxfp8 by nvfp4; formats to mix: mxfp8, mxfp6_e3m2, mxfp6_e2m3, mxfp4",
        ),
        (
            {"format": "mxint8", "weight": "mxfp4"},
            "weight",
            "no PE multiplies mxint8 by mxfp4; formats to mix: mxfp8, mxfp6_e3m2, mxfp6_e2m3, mxfp4",
        ),
    ],
)
def test_wrong_options_say_what_is_allowed(options, option, message):
    with pytest.raises(OptionError) as error:
        datapath.create("mx", options)
    assert str(error.value) == message
    assert error.value.option == option


# Sums on the move


@pytest.mark.parametrize(
    ("options", "bits"),
    [
        ({"format": "mxfp4"}, 14),
        ({"format": "nvfp4"}, 13),
        ({"format": "mxfp6_e2m3"}, 18),
        ({"format": "mxint8"}, 21),
        ({"format": "mxfp6_e3m2"}, 24),
        ({"format": "mxfp8", "weight": "mxfp4"}, 28),
        ({"format": "mxfp8"}, 42),
    ],
    ids=str,
)
def test_both_registers_of_an_output_hop_and_are_kept(options, bits):
    """The block register's bits are those of the table in the datapath's description."""
    assert datapath.create("mx", options).unfinished_bits == 32 + bits


@pytest.mark.parametrize("dataflow", ["ws", "is"])
@pytest.mark.parametrize("overlap", ["none", "wave", "full"])
@pytest.mark.parametrize("name", ["mxfp4_systolic", "nvfp4_systolic"])
def test_blocks_that_end_in_a_later_fold_are_exact(name, overlap, dataflow):
    """Values and cycles are checked inside the run; 4 rows hold an eighth or a quarter of a block."""
    array = {"array.rows": 4, "array.cols": 3, "array.dataflow": dataflow, "array.fold_overlap": overlap}
    assert sim.simulate_gemm(sim.load_design(name, set=array), M=7, N=5, K=71, fidelity="pe_array").exact


def test_traffic_of_unfinished_outputs_by_hand():
    """7 x 9 outputs, 65 steps on 4 rows: 17 folds, all but the last leave 32 + 14 bits, the last one 32."""
    array = {"array.rows": 4, "array.cols": 4, "array.dataflow": "ws"}
    found = sim.simulate_gemm(sim.load_design("mxfp4_systolic", set=array), M=7, N=9, K=65)
    expected = 63 * (16 * 46 + 32) // 8
    assert found.bytes["out_buffer"] == {"read": expected, "write": expected}
