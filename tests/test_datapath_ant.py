"""``ant``: all products of all codes of all types, int8 on four 4-bit PEs, overflow, wrong options."""

from __future__ import annotations

import numpy as np
import pytest

from simulator import datapath
from simulator.config import load_design
from simulator.datapath import OptionError
from simulator.errors import AccumulatorOverflowError
from simulator.formats import Encoded
from simulator.study.building import build
from simulator.study.simulate import simulate_op
from simulator.workload import Op
from tests import naive
from tests.datapaths import encoded_pair, fold, heavy_tailed, on_the_arrays, reference, same_bits, stored
from tests.naive_outlier import flint_signed, pot

pytestmark = pytest.mark.kernels

VALUE = {"int": lambda code: naive.twos_complement(code, 4), "flint": flint_signed, "pot": pot}
TYPES = ("int", "flint", "pot")


def ant(**options):
    return datapath.create("ant", options)


def every_nibble(kind):
    """Sixteen rows of one value, one row per code, of type ``kind`` of ``TYPES``, one type for all."""
    codes = (np.arange(16, dtype=np.uint8) << 4)[:, None]
    return Encoded(codes, np.ones((), np.float32), 1, {"types": np.array([TYPES.index(kind) << 6], np.uint8)})


@pytest.mark.parametrize("act", TYPES)
@pytest.mark.parametrize("weight", TYPES)
def test_all_products_of_all_codes_of_each_pair_of_types(act, weight):
    dp, pair = ant(), (every_nibble(act), every_nibble(weight))
    expected = np.array([[VALUE[act](a) * VALUE[weight](w) for w in range(16)] for a in range(16)])
    same_bits(dp.matmul(*pair), expected)
    same_bits(fold(dp.lanes(*pair, 4, 4)[0]), expected)
    same_bits(reference(dp, pair), expected)


def test_rows_of_different_types_and_both_nibbles():
    """Row r has type r % 3; two types to a nibble of the byte that stores them, the first in the high bits."""
    codes = np.tile(np.arange(256, dtype=np.uint8), (6, 1))
    operand = Encoded(codes, np.ones((6, 1), np.float32), 511, {"types": np.array([0b00011000, 0b01100000], np.uint8)})
    nibbles = [nibble for byte in range(256) for nibble in (byte >> 4, byte & 15)][:511]
    expected = [[VALUE[kind](nibble) for nibble in nibbles] for kind in ["int", "flint", "pot"] * 2]
    words = ant().edge_words(operand, "act")
    assert [[(word & 0xFF ^ 0x80) - 0x80 << (word >> 8) for word in row] for row in words.tolist()] == expected


@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [
        (0b0100, "flint", (4, 1)),
        (0b0101, "flint", (3, 1)),
        (0b0110, "flint", (1, 2)),
        (0b0111, "flint", (1, 3)),
        (0b0011, "flint", (0, 3)),
        (0b1111, "flint", (1, -3)),
        (0b1000, "flint", (0, 0)),
        (0b0111, "pot", (6, 1)),
        (0b1001, "pot", (0, -1)),
        (0b1000, "int", (0, -8)),
    ],
)
def test_what_the_decoders_make(code, kind, expected):
    """Exponents stay below 8: three bits, as the price of a hop has it."""
    word = int(ant().edge_words(every_nibble(kind), "act")[code, 0])
    assert (word >> 8, (word & 0xFF ^ 0x80) - 0x80) == expected


def test_all_65536_int8_products_on_four_4_bit_pes():
    dp, codes = ant(bits=8), np.arange(256, dtype=np.uint8)[:, None]
    values = [[naive.twos_complement(c, 8)] for c in range(256)]
    pair = (stored(codes, 1), stored(codes, 1))
    expected = np.array(naive.int_matmul(values, values))
    same_bits(dp.matmul(*pair), expected)
    same_bits(fold(dp.lanes(*pair, 4, 4)[0]), expected)


def test_four_pes_make_one_8_bit_mac_and_the_hardware_is_the_same():
    four, eight = ant(), ant(bits=8)
    assert four.logical_array(64, 64) == (64, 64)
    assert eight.logical_array(64, 64) == (32, 32)
    bill = {"pe_ei4_acc32": 4096, "decoder_flint4": 128, "merge_adder32": 1024}  # SPARK, HPCA 2024, Table VII
    assert four.area_bill(64, 64) == eight.area_bill(64, 64) == ant(types="int").area_bill(64, 64) == bill
    assert eight.actions_per_mac()["mac_ei4_acc32"] == 4 * four.actions_per_mac()["mac_ei4_acc32"]
    assert eight.actions_per_operand("act") == {}


@pytest.mark.parametrize("type_per", ["scale", "operand"])
@pytest.mark.parametrize("types", ["int", "flint-int", "pot-flint-int"])
def test_encoded_operands_of_any_choice_of_types(types, type_per):
    dp, rng = ant(types=types, type_per=type_per), np.random.default_rng(3)
    rows = np.stack([rng.uniform(-7, 7, 17), heavy_tailed(rng, 17), np.exp2(rng.integers(0, 7, 17))]).astype(np.float32)
    pair = encoded_pair(dp, rows, rows[::-1].copy(), "mse")
    same_bits(dp.matmul(*pair), reference(dp, pair))
    same_bits(on_the_arrays(dp, pair, 2, 2, "full"), reference(dp, pair))


@pytest.mark.parametrize(("bits", "byte", "per_byte", "product"), [(4, 0x77, 2, 2 * 64 * 64), (8, 0x80, 1, 128 * 128)])
def test_the_longest_reduction_that_fits(bits, byte, per_byte, product):
    """+-64 of pot4, and -128 of int8."""
    dp, extras = ant(bits=bits), {"types": np.array([2 << 6], np.uint8)}
    steps = (2**31 - 1) // product

    def operand(count):
        return Encoded(np.full((1, count), byte, np.uint8), np.ones((), np.float32), count * per_byte, extras)

    assert dp.matmul(operand(steps), operand(steps)).tolist() == [[steps * product]]
    with pytest.raises(AccumulatorOverflowError) as error:
        dp.matmul(operand(steps + 1), operand(steps + 1))
    assert str(error.value) == "ant: a partial sum of output (0, 0) leaves the 32-bit accumulator"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 6}, "Input should be 4 or 8, found 6"),
        ({"types": "int-flit"}, "unknown ANT type 'flit'; did you mean 'flint'?; known: flint, int, pot"),
        ({"types": "int-int"}, "ant4: each of the types 'int-int' may be named once"),
        ({"type_per": "row"}, "Input should be 'scale' or 'operand', found 'row'"),
    ],
)
def test_wrong_options_say_what_is_allowed(options, message):
    with pytest.raises(OptionError) as error:
        ant(**options)
    assert str(error.value) == message
    assert error.value.option == next(iter(options))


def test_layers_mix_4_and_8_bits_on_the_same_hardware():
    """The example in the design's comment: n x m PEs are n/2 x m/2 for the ops that are named."""
    design = load_design("ant_systolic", set={"layers": [{"ops": "*intermediate.dense", "datapath": {"bits": 8}}]})
    hardware = build(design)
    wide, narrow = (
        simulate_op(hardware, Op(name, 256, 256, 512))
        for name in ("layer.0.intermediate.dense", "layer.0.output.dense")
    )
    assert wide.timing.compute_cycles == 63 * 512 + 512 + 2 * 32 + 32 - 2
    assert narrow.timing.compute_cycles == 15 * 512 + 512 + 2 * 64 + 64 - 2
    assert wide.counts.actions["mac_ei4_acc32"] == 4 * narrow.counts.actions["mac_ei4_acc32"]
    assert "decode_flint4" not in wide.counts.actions
