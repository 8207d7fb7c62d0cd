"""The Verilog behind the prices: every module against plain Python, through synthesis and the toggle simulation."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from hardware.boolean import truth_table
from hardware.liberty import read_library
from hardware.modules import MODULES, MX
from hardware.netlist import build, synthesise
from hardware.stimulus import CYCLES, flag
from hardware.toggles import simulate
from tests import naive_rtl

needs_yosys = pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")

GATE = """
 cell ({name}) {{
  area : {area}; cell_leakage_power : 2;
{inputs}
  pin (Y) {{ direction : output; function : "{function}"; {timing} }}
 }}"""
TABLE = '{kind} (t) {{ index_1 ("1, 100"); index_2 ("0, 100"); values ("{v}, {w}", "{v}, {w}"); }}'
KINDS = ("cell_rise", "cell_fall", "rise_transition", "fall_transition")


def arc(pin: str, sense: str, *values: int) -> str:
    tables = " ".join(TABLE.format(kind=kind, v=v, w=v + 2) for kind, v in zip(KINDS, values, strict=True))
    return f"timing () {{ related_pin : {pin}; timing_sense : {sense}; {tables} }}"


FLOP = (
    """
 cell (DFF) {
  area : 8; cell_leakage_power : 4;
  ff (IQ, IQN) { clocked_on : CK; next_state : D; }
  pin (CK) { direction : input; clock : true; capacitance : 2; }
  pin (D) { direction : input; capacitance : 2; }
  pin (Q) { direction : output; function : IQ; """
    + arc("CK", "non_unate", 3, 3, 1, 1)
    + " }\n }"
)


def gate(name: str, area: int, function: str, pins: str, rise: int, fall: int) -> str:
    inputs = "\n".join(f"  pin ({p}) {{ direction : input; capacitance : 1; }}" for p in pins)
    sense = {"^": "non_unate", "A": "positive_unate"}.get(function[-2:].strip("B"), "negative_unate")
    arcs = " ".join(arc(p, sense, rise + i, fall + i, 1, 1) for i, p in enumerate(pins))
    return GATE.format(name=name, area=area, function=function, inputs=inputs, timing=arcs)


LIBERTY = (
    """library (tiny) {
 delay_model : table_lookup; time_unit : "1ps"; voltage_unit : "1V"; leakage_power_unit : "1nW";
 capacitive_load_unit (1, ff); nom_voltage : 2;
 lu_table_template (t) { variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
  index_1 ("1, 100"); index_2 ("0, 100"); }
"""
    + gate("INV", 1, "!A", "A", 2, 1)
    + gate("BUF", 2, "A", "A", 3, 3)
    + gate("NAND", 2, "!(A*B)", "AB", 3, 2)
    + gate("NOR", 2, "!(A+B)", "AB", 4, 2)
    + gate("XOR", 4, "A^B", "AB", 5, 5)
    + FLOP
    + "\n}\n"
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("liberty") / "tiny.lib"
    path.write_text(LIBERTY, encoding="utf-8")
    return path


def words(bits: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << bits, CYCLES)


def wide_words(bits: int) -> np.ndarray:
    """Words of any width as Python integers, of all magnitudes."""
    rng = np.random.default_rng(1)
    magnitudes = [int(rng.integers(0, 1 << 60)) << 60 >> int(rng.integers(121 - bits, 121)) for _ in range(CYCLES)]
    return np.array([-m if i % 2 else m for i, m in enumerate(magnitudes)], object)


def floats(seed: int) -> np.ndarray:
    """float32 words of all magnitudes up to 2^40, near each other often enough to cancel."""
    rng = np.random.default_rng(seed)
    values = np.ldexp(rng.normal(size=CYCLES), rng.integers(-3, 4, CYCLES) * rng.integers(0, 14, CYCLES))
    return values.astype(np.float32).view(np.uint32).astype(np.int64)


def fusion() -> dict[str, np.ndarray]:
    """All nine pairs of widths in turn."""
    mode = np.arange(CYCLES) % 9
    return {"a": words(32, 1), "w": words(32, 2), "clear": flag(7), "a_bits": mode // 3, "w_bits": mode % 3}


def scales(name: str) -> dict[str, np.ndarray]:
    low, high = (1, 0x7F) if MX[name].e4m3_scales else (110, 145)
    rng = np.random.default_rng(3)
    return {p: rng.integers(low, high, CYCLES) for p in ("a_scale", "w_scale")}


def finite(name: str, seed: int) -> np.ndarray:
    """Element codes without those that stand for infinity or NaN."""
    mx = MX[name]
    code = np.random.default_rng(seed).integers(0, (mx.top if mx.exp else (1 << mx.man) - 1) + 1, CYCLES)
    return code | words(1, seed + 9) << (mx.exp + mx.man)


def fp8() -> dict[str, np.ndarray]:
    """All four pairs of formats in turn; finite codes."""
    mode = {"a_e5m2": np.arange(CYCLES) % 2, "w_e5m2": np.arange(CYCLES) // 2 % 2, "clear": flag(19)}
    return mode | {
        p: words(7, s) % np.where(mode[f"{p}_e5m2"], 0x7C, 0x7F) | words(1, s) << 7 for s, p in enumerate("aw")
    }


INTS = [{"AW": a, "WW": w, "ACC": n} for a, w, n in ((2, 2, 32), (5, 3, 16), (8, 8, 24), (16, 4, 32), (16, 16, 48))]
CASES = [
    *(("mac_int", p, {"a": words(p["AW"]), "w": words(p["WW"], 2), "clear": flag(19)}, "acc") for p in INTS),
    ("mac_af", {"ACC": 32}, {"a": words(8), "w": words(8, 2), "clear": flag(19)}, "acc"),
    ("mac_af", {"ACC": 40}, {"a": words(8), "w": words(8, 2), "clear": flag(19)}, "acc"),
    *(
        ("mac_bs", {"ACC": n}, {"a": words(7), "w": words(7, 2), "shift": words(4, 3) % 9, "clear": flag(19)}, "acc")
        for n in (32, 48)
    ),
    ("fusion_unit", {"ACC": 32}, fusion(), "acc"),
    ("fp_add", {"EXP": 8, "MAN": 23, "LZ": 5}, {"x": floats(1), "y": floats(2)}, "z"),
    ("mac_fp16", {}, MODULES["fp16"].operands(np.random.default_rng(4)), "acc"),
    ("mac_fp8", {}, fp8(), "acc"),
    *(
        ("mx_dot", {k: mx.parameters[k] for k in ("EXP", "MAN", "ACC")},
         {"a": finite(name, 1), "w": finite(name, 2), "first": flag(mx.block)}, "acc")
        for name, mx in MX.items()
    ),
    *(
        ("scale_add", {k: mx.parameters[k] for k in ("ACC", "UNIT", "SCALE")},
         {"dot": wide_words(mx.acc), "enable": words(1, 5), "clear": flag(19), **scales(name)}, "out")
        for name, mx in MX.items()
    ),
    *(
        ("pe_mx", mx.parameters,
         {"a": finite(name, 1), "w": finite(name, 2), "last": flag(mx.block, mx.block - 1), "clear": flag(130),
          **scales(name)}, "out")
        for name, mx in ((name, MX[name]) for name in ("nvfp4", "mxfp4", "mxint8"))
    ),
    ("gobo_lane", {"N": 8, "I": 3}, {"x": floats(1), "index": words(3), "clear": flag(40)}, "selected"),
    ("gobo_lane", {"N": 16, "I": 4}, {"x": floats(1), "index": words(4), "clear": flag(40)}, "selected"),
    ("dec_biscaled", {"B": 8}, {"first": flag(8), "any": words(1), "mask": words(8), "value": words(6, 2)}, "word"),
    ("dec_gobo", {"N": 16, "I": 4}, {"load": flag(3), "index": words(4), "is_outlier": flag(5),
                                            "outlier": words(16, 2)}, "value"),
    ("quantise_int8", {}, {"x": words(16) % 0x7C00 | words(1, 6) << 15, "factor": np.full(CYCLES, 0x42FE0000)}, "code"),
]  # fmt: skip


def cases():
    """The first case of each module; the others are slow."""
    tops = [case[0] for case in CASES]
    for i, case in enumerate(CASES):
        marks = [pytest.mark.slow] if case[0] in tops[:i] else []
        yield pytest.param(*case, id=f"{i}-{case[0]}", marks=marks)


def run(tiny, top, parameters, inputs):
    netlist = build(synthesise(top, parameters, tiny), read_library(tiny))
    return simulate(netlist, inputs).outputs


@needs_yosys
@pytest.mark.parametrize(("top", "parameters", "inputs", "output"), list(cases()))
def test_a_module_is_its_plain_python(tiny, top, parameters, inputs, output):
    expected = getattr(naive_rtl, top)(inputs, **({} if top == "fp_add" else parameters))
    found = [int(v) for v in run(tiny, top, parameters, inputs)[output]]
    assert found == [int(v) for v in expected]
    assert len(set(found)) > 10


@needs_yosys
def test_flint4_decodes_all_codes(tiny):
    inputs = {"code": np.arange(16)}
    shown = run(tiny, "dec_flint4", {"REG": 0}, inputs)
    words_ = [e << 4 | i for e, i in zip(shown["exponent"], shown["integer_part"], strict=True)]
    assert words_ == naive_rtl.dec_flint4(inputs)
    later = run(tiny, "dec_flint4", {"REG": 1}, inputs)
    assert [e << 4 | i for e, i in zip(later["exponent"], later["integer_part"], strict=True)][1:] == words_[:-1]


@needs_yosys
@pytest.mark.parametrize("depth", [4, 16])
def test_a_fifo_keeps_order(tiny, depth):
    rng, held, push, pop = np.random.default_rng(depth), 0, [], []
    for _ in range(CYCLES):
        out = held > 0 and rng.random() < 0.5
        into = held < depth and rng.random() < 0.6
        held += into - out
        push.append(int(into))
        pop.append(int(out))
    inputs = {"in": words(32), "push": np.array(push), "pop": np.array(pop), "reset": np.zeros(CYCLES, np.int64)}
    shown = run(tiny, "fifo", {"D": depth, "P": depth.bit_length() - 1, "W": 32}, inputs)
    expected = naive_rtl.fifo(inputs)
    assert max(shown["count"]) == depth
    assert [h for h, e in zip(shown["head"], expected, strict=True) if e is not None] == [
        e for e in expected if e is not None
    ]


@needs_yosys
def test_the_scan_lane_finds_outliers_and_the_largest_of_the_rest(tiny):
    inputs = {"x": words(16) % 0x7C00, "threshold": np.full(CYCLES, 0x4600), "clear": flag(19)}
    shown = run(tiny, "scan_fp16", {}, inputs)
    assert [o << 15 | m for o, m in zip(shown["outlier"], shown["largest"], strict=True)] == naive_rtl.scan_fp16(inputs)


@pytest.mark.slow
@needs_yosys
def test_fp_mul_rounds_to_nearest_even(tiny):
    inputs = {"x": floats(3), "y": floats(4)}
    assert list(run(tiny, "fp_mul", {"EXP": 8, "MAN": 23}, inputs)["z"]) == naive_rtl.fp_mul32(inputs)


def chain(*cells: tuple[str, str, dict[str, int]]) -> dict[str, object]:
    """yosys' JSON of a module by hand: input net 2, output net 9."""
    return {
        "ports": {"a": {"direction": "input", "bits": [2]}, "y": {"direction": "output", "bits": [9]}},
        "cells": {
            name: {"type": kind, "connections": {pin: [net] for pin, net in pins.items()}} for name, kind, pins in cells
        },
    }


def test_energy_and_glitches_by_hand(tiny):
    """y = a xor not not a: settles at 0 always, but pulses while the two inverters (2 ps up, 1 ps down) are late.

    A rising input reaches the second inverter's output after 3 ps, less than the xor's 5 ps: the pulse is swallowed.
    With two buffers (3 ps each) in place of inverters it is 6 ps wide and passes: two transitions of y per change of a.
    """
    library = read_library(tiny)
    slow = chain(
        ("b1", "BUF", {"A": 2, "Y": 3}), ("b2", "BUF", {"A": 3, "Y": 4}), ("x", "XOR", {"A": 2, "B": 4, "Y": 9})
    )
    fast = chain(
        ("i1", "INV", {"A": 2, "Y": 3}), ("i2", "INV", {"A": 3, "Y": 4}), ("x", "XOR", {"A": 2, "B": 4, "Y": 9})
    )
    stimulus = {"a": np.array([0, 1, 0, 1, 1])}
    for module, pulses in ((slow, 6), (fast, 0)):
        netlist = build(module, library)
        activity = simulate(netlist, stimulus, 1)
        assert activity.outputs["y"].tolist() == [0] * 5
        output = int(netlist.outputs["y"][0])
        assert (activity.toggles[output], activity.settled[output]) == (pulses, 0)
        # Loads: net a drives two pins of 1 fF, the two between one each, y none; 1/2 C V^2 at 2 V is 2 fJ per fF.
        assert activity.toggles @ netlist.net_fj == 3 * (2 * 2 + 2 + 2)
    assert netlist.area_um2 == 1 + 1 + 4
    assert netlist.leakage_nw == 6


@pytest.mark.parametrize(
    ("function", "inputs", "truth"),
    [("!A", "A", 0b01), ("A*B", "AB", 0b1000), ("!(A B)", "AB", 0b0111), ("A'+B", "AB", 0b1101), ("A^B^C", "ABC", 0x96),
     ("(A&!B)|(!A&B)", "AB", 0b0110), ("!((A * B) + C)", "ABC", 0x07), ("1", "A", 0b11)],
)  # fmt: skip
def test_truth_tables(function, inputs, truth):
    assert truth_table(function, list(inputs)) == truth


def test_a_liberty_file_is_read_in_its_units(tiny):
    library = read_library(tiny)
    assert library.voltage_v == 2
    flop = library.cells["DFF"]
    assert (flop.clock, flop.data, flop.area_um2, flop.leakage_nw) == ("CK", "D", 8, 4)
    assert library.cells["NAND"].outputs["Y"].arc("B", 1, 0) == (3, 4)
    assert library.cells["XOR"].input_ff == {"A": 1, "B": 1}
