"""The open RTL block of tests/rtl agrees with what ``olivine vectors`` exports: every value, every cycle.

Its decoder and product are tried on all inputs, its array on exported vectors; and a wrong bit, a late result and
mutants of the block are found, so that agreement means something.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulator import formats
from simulator.config import load_design
from simulator.datapath import TileCosts
from simulator.datapath.int_mac import IntMac
from simulator.errors import EncodingError
from simulator.study.hex_memory import hex_memory, twos_complement
from simulator.study.stimulus import Stimulus, drawn_stimulus, trace_stimulus
from simulator.study.vectors import write_vectors
from simulator.workload import Op
from tests import naive

RTL = Path(__file__).parent / "rtl"
PARTS = ["os_array", "pe", "column_drain", "delay", "product", "ovp4_decoder"]
INT_NORMALS = {"olive_systolic": {"datapath.normal": "int"}}
"""The block decodes int4 normals; the design takes the better of int4 and flint4."""
DUTS = {"olive_systolic": "dut_ovp4", "int8_systolic": "dut_int", "int4_systolic": "dut_int"}

pytestmark = pytest.mark.skipif(
    shutil.which("iverilog") is None or shutil.which("vvp") is None,
    reason="iverilog is absent, so no RTL is run (Debian: apt-get install iverilog)",
)

SHAPES = [
    (4, 4, 4, 4, 16),  # one full fold
    (4, 4, 9, 7, 33),  # several, ragged in both directions
    (4, 4, 9, 9, 1),  # K = 1: a fold is its own first and last step, and drains longer than it streams
    (4, 4, 13, 5, 3),  # K < rows
    (4, 4, 8, 8, 4),  # K = rows: drains follow each other without a gap
    (4, 4, 3, 2, 10),  # less than the array
    (1, 1, 3, 2, 5),
    (5, 3, 11, 7, 4),  # K < rows, more rows than columns
    (2, 6, 5, 13, 9),
]
"""rows, cols, M, N, K."""


def export(
    folder: Path,
    design_name: str,
    rows: int,
    cols: int,
    shape: tuple[int, int, int],
    overlap: str = "full",
    seed: int = 0,
) -> dict:
    changes = {"array.rows": rows, "array.cols": cols, "array.fold_overlap": overlap}
    design = load_design(design_name, set=changes | INT_NORMALS.get(design_name, {}))
    return write_vectors(design, drawn_stimulus(design, *shape, seed=seed), folder)


def simulate(folder: Path, sources: list[Path], top: str = "olivine_tb") -> tuple[int, str]:
    """Exit code and output of sources compiled and run where their memories lie."""
    program = folder / f"{top}.vvp"
    command = ["iverilog", "-g2012", "-s", top, "-o", str(program), *map(str, sources)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    ran = subprocess.run(["vvp", str(program)], capture_output=True, text=True, cwd=folder, check=False, timeout=300)
    return ran.returncode, ran.stdout


def sources(folder: Path, dut: str, **replaced: Path) -> list[Path]:
    parts = {name: RTL / f"{name}.sv" for name in [dut, *PARTS]}
    return [folder / "testbench.sv", *(parts | replaced).values()]


def edited(path: Path, into: Path, *changes: tuple[str, str]) -> Path:
    """A copy of a source with every change made, each of which must apply once."""
    text = path.read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (into / path.name).write_text(text)
    return into / path.name


# The decoder and the product


def test_the_decoder_on_all_bytes_and_all_products(tmp_path):
    ovp4 = formats.get("ovp4")
    legal, values = np.zeros(256, np.uint8), np.zeros((256, 2), np.int64)
    for byte in range(256):
        try:
            values[byte] = ovp4.decode(np.array([[byte]], np.uint8), 2)[0]
            legal[byte] = 1
        except EncodingError:
            continue
    assert legal.sum() == 253
    (tmp_path / "legal.hex").write_bytes(hex_memory(legal, 4))
    (tmp_path / "values.hex").write_bytes(hex_memory(twos_complement(values, 16), 16))
    bench = [RTL / "decoder_tb.sv", RTL / "ovp4_decoder.sv", RTL / "product.sv"]
    assert simulate(tmp_path, bench, "decoder_tb") == (0, f"PASS: 253 bytes, {(2 * 253) ** 2} products\n")
    values[0x8F, 1] += 1
    (tmp_path / "values.hex").write_bytes(hex_memory(twos_complement(values, 16), 16))
    _, out = simulate(tmp_path, bench, "decoder_tb")
    assert out.splitlines()[0] == "byte 8f: operand 1011101 is -96, the format says -95"
    nonzero = np.count_nonzero(values)
    assert out.splitlines()[-1] == f"FAIL: {2 * nonzero} errors", (
        "itself, and as either factor of every product but of 0"
    )


# The array on exported vectors


@pytest.mark.parametrize("design", DUTS)
@pytest.mark.parametrize("sides", SHAPES, ids=str)
def test_every_value_and_every_cycle(design, sides, tmp_path):
    rows, cols, *shape = sides
    record = export(tmp_path / "v", design, rows, cols, shape, seed=sum(sides))
    M, N, _ = shape
    code, out = simulate(tmp_path / "v", sources(tmp_path / "v", DUTS[design]))
    assert (code, out) == (0, f"PASS: {M * N} results, {record['cycles']['total']} cycles\n")


@pytest.mark.parametrize("overlap", ["none", "wave"])
def test_folds_may_follow_less_closely(overlap, tmp_path):
    record = export(tmp_path / "v", "olive_systolic", 4, 4, (9, 7, 5), overlap)
    code, out = simulate(tmp_path / "v", sources(tmp_path / "v", "dut_ovp4"))
    assert (code, out) == (0, f"PASS: 63 results, {record['cycles']['total']} cycles\n")


def test_real_tensors(tmp_path):
    design = load_design("olive_systolic", set={"array.rows": 4, "array.cols": 4, "datapath.normal": "int"})
    stimulus = trace_stimulus("minilm-l6-sample", "encoder.layer.0.attention.self.query", 9, 10)
    record = write_vectors(design, stimulus, tmp_path / "v")
    code, out = simulate(tmp_path / "v", sources(tmp_path / "v", "dut_ovp4"))
    assert (code, out) == (0, f"PASS: 90 results, {record['cycles']['total']} cycles\n")


def outlier_rich(folder: Path, M: int, N: int, K: int) -> dict:
    """Vectors of olive_systolic in which outliers of both signs, on both sides of a pair, meet each other."""
    changes = {"array.rows": 4, "array.cols": 4}
    changes |= {"quantisation.weights.granularity": "tensor", "quantisation.weights.calibration": "three_sigma"}
    changes |= {"quantisation.activations.calibration": "three_sigma"}
    rng = np.random.default_rng(0)
    tensors = []
    for shape in ((1, M, K), (1, N, K)):
        values = rng.standard_normal(shape, dtype=np.float32)
        outliers = values.reshape(-1)[::47]  # at each k in turn, and far enough from each other to stay outliers
        outliers[:] = rng.uniform(25, 45, outliers.size) * (1 - np.arange(outliers.size) // 4 % 2 * 2)
        tensors.append(values)
    stimulus = Stimulus(Op("outliers", M, N, K), *tensors, {"tensors": "one value in 47 is an outlier"})
    record = write_vectors(load_design("olive_systolic", set=changes | INT_NORMALS["olive_systolic"]), stimulus, folder)
    lines = [(folder / f"{side}.hex").read_text().splitlines() for side in ("act", "weight")]
    a, w = (np.array([naive.decode_ovp4(bytes.fromhex(row), K) for row in rows]) for rows in lines)
    for values in (a, w):
        for side in (values[:, 0::2], values[:, 1::2]):
            assert side.min() < -7
            assert side.max() > 7
    assert ((abs(a) > 7).astype(int) @ (abs(w) > 7).T).sum() >= 10
    return record


def test_outliers_that_meet_outliers(tmp_path):
    record = outlier_rich(tmp_path / "v", 30, 30, 40)
    code, out = simulate(tmp_path / "v", sources(tmp_path / "v", "dut_ovp4"))
    assert (code, out) == (0, f"PASS: 900 results, {record['cycles']['total']} cycles\n")


# The ports that the open block does not need


SECOND_CYCLE = """
  reg second = 0;
  always @(posedge clk) second <= valid & ~second;
  assign ready = 1'b1;
"""


def test_a_design_of_two_cycles_a_step(tmp_path, monkeypatch):
    """The block again, told to multiply in the first cycle of a step and to add nothing in the second."""
    monkeypatch.setattr(IntMac, "cycles_per_step", lambda self: 2)
    record = export(tmp_path / "v", "int8_systolic", 4, 4, (9, 7, 5))
    dut = edited(
        RTL / "dut_int.sv",
        tmp_path,
        ("  assign ready = 1'b1;\n", SECOND_CYCLE),
        ("= unit >> (ACT_UNIT_VALUES", "= second ? 0 : unit >> (ACT_UNIT_VALUES"),
    )  # fmt: skip
    code, out = simulate(tmp_path / "v", sources(tmp_path / "v", "dut_int", dut_int=dut))
    assert (code, out) == (0, f"PASS: 63 results, {record['cycles']['total']} cycles\n")


STALL = """
  reg [31:0] cycle = 0;
  reg held = 0;
  wire stalled = cycle >= 20 && cycle < 27;
  always @(posedge clk) cycle <= rst ? 0 : cycle + 1;
  always @(negedge clk) held <= stalled;
  assign ready = ~stalled;
  wire array_clk = clk & ~held;
  wire [COLS-1:0] array_valid;
  assign out_valid = stalled ? 0 : array_valid;
"""


def waiting(cycles):
    """``tile_costs`` of a datapath that waits that long in every tile."""
    return lambda self, job: replace(
        TileCosts.none(job.tiles), outlier_cycles=np.full(len(job.tiles), cycles, np.int64)
    )


@pytest.mark.parametrize(("stalls", "verdict"), [(7, "PASS: 63 results, {total} cycles"), (6, "FAIL: 1 wrong")])
def test_a_design_that_stalls(stalls, verdict, tmp_path, monkeypatch):
    """The block again, its clock stopped for seven cycles: only values and the last cycle are compared."""
    monkeypatch.setattr(IntMac, "tile_costs", waiting(stalls))
    record = export(tmp_path / "v", "int8_systolic", 4, 4, (9, 7, 5))
    dut = edited(
        RTL / "dut_int.sv",
        tmp_path,
        ("  assign ready = 1'b1;\n", STALL),
        (".clk(clk)", ".clk(array_clk)"),
        (".out_valid(out_valid)", ".out_valid(array_valid)"),
    )  # fmt: skip
    _, out = simulate(tmp_path / "v", sources(tmp_path / "v", "dut_int", dut_int=dut))
    assert verdict.format(total=record["cycles"]["total"]) in out.splitlines()


# What must be found


def test_a_flipped_bit_of_an_expected_value_is_found(tmp_path):
    """Every bit of one value in turn, and one bit of every value."""
    folder = tmp_path / "v"
    record = export(folder, "olive_systolic", 2, 2, (3, 3, 5))
    program = sources(folder, "dut_ovp4")
    right = [line.split() for line in (folder / "result.hex").read_text().splitlines()]
    places = [(1, 2, bit) for bit in range(record["result"]["bits"])] + [(m, n, 0) for m in range(3) for n in range(3)]
    assert simulate(folder, program)[0] == 0
    for m, n, bit in places:
        wrong = [list(row) for row in right]
        wrong[m][n] = f"{int(right[m][n], 16) ^ 1 << bit:08x}"
        (folder / "result.hex").write_text("\n".join(map(" ".join, wrong)))
        ran = subprocess.run(["vvp", "olivine_tb.vvp"], capture_output=True, text=True, cwd=folder, check=False)
        shown, verdict = ran.stdout.splitlines()[:2]
        assert (ran.returncode, verdict) == (1, "FAIL: 1 wrong")
        assert shown.endswith(f"output ({m}, {n}) is {right[m][n]}, expected {wrong[m][n]}")


LATE = (
    ("output wire [            COLS-1:0] out_valid", "output reg  [            COLS-1:0] out_valid"),
    ("output wire [   COLS*ACC_BITS-1:0] out\n", "output reg  [   COLS*ACC_BITS-1:0] out\n"),
    (".active(out_valid[c])", ".active(done[c])"),
    ("assign out[c*", "assign results[c*"),
    ("  genvar r, c;", "  wire [COLS-1:0] done;\n  wire [COLS*ACC_BITS-1:0] results;\n"
     "  always @(posedge clk) {out_valid, out} <= {done & {COLS{~rst}}, results};\n  genvar r, c;"),
)  # fmt: skip


def test_results_one_cycle_late_are_found(tmp_path):
    export(tmp_path / "v", "olive_systolic", 4, 4, (4, 4, 8))
    late = edited(RTL / "os_array.sv", tmp_path, *LATE)
    code, out = simulate(tmp_path / "v", sources(tmp_path / "v", "dut_ovp4", os_array=late))
    assert code == 1
    assert out.splitlines()[0] == "cycle 12: fold 0, PE (3, 0): the result is expected in cycle 11"
    assert "FAIL: 17 wrong" in out, "16 results, and the total"


@pytest.mark.parametrize(
    ("constant", "complaint"),
    [
        ("FIRST_EXIT", "cycle 11: fold 0, PE (3, 0): the result is expected in cycle 12"),
        ("TOTAL_CYCLES", "the last result came in cycle 25, expected in 26"),
    ],
)
def test_an_expected_cycle_moved_by_one_is_found(constant, complaint, tmp_path):
    folder = tmp_path / "v"
    cycles = export(folder, "olive_systolic", 4, 4, (5, 4, 8))["cycles"]
    value = {"FIRST_EXIT": cycles["first_exit"], "TOTAL_CYCLES": cycles["total"]}[constant]
    bench = edited(
        folder / "testbench.sv",
        tmp_path,
        (f"localparam {constant} = {value};", f"localparam {constant} = {value + 1};"),
    )
    code, out = simulate(folder, [bench, *sources(folder, "dut_ovp4")[1:]])
    assert code == 1
    assert complaint in out


MUTANTS = {
    "the mantissa of outliers": ("ovp4_decoder", "1'b1, code[0]", "1'b1, 1'b0"),
    "the bias of outliers": ("ovp4_decoder", "3'd2 + {", "3'd1 + {"),
    "the sign of outliers": ("ovp4_decoder", "code[3] ? -magnitude : magnitude", "magnitude"),
    "the victim": ("ovp4_decoder", "operand = 7'd0", "operand = 7'd1"),
    "left and right": ("dut_ovp4", "act_index[0] ? right : left", "act_index[0] ? left : right"),
    "the sum of exponents": ("product", "{1'b0, act[6:4]} + {1'b0, weight[6:4]}", "act[6:4] | weight[6:4]"),
    "the accumulator's start": ("pe", "(first ? {ACC_BITS{1'b0}} : accumulator)", "accumulator"),
    "double buffering": ("pe", "if (valid & last) result <= sum;", "if (valid) result <= sum;"),
    "the gate of the drain": ("column_drain", "active && r + left > ROWS", "active"),
    "a shift too few": ("column_drain", "left <= ROWS;", "left <= ROWS - 1;"),
    "skew": ("os_array", ".BITS(WEIGHT_BITS), .CYCLES(c)", ".BITS(WEIGHT_BITS), .CYCLES(0)"),
}


@pytest.mark.parametrize("what", MUTANTS)
def test_a_mutant_of_the_block_is_found(what, tmp_path):
    """K = rows, several folds: drains are back to back, and every path of the decoder is taken."""
    outlier_rich(tmp_path / "v", 100, 100, 4)
    part, *change = MUTANTS[what]
    mutant = edited(RTL / f"{part}.sv", tmp_path, tuple(change))
    code, out = simulate(tmp_path / "v", sources(tmp_path / "v", "dut_ovp4", **{part: mutant}))
    assert code == 1
    assert "FAIL: " in out
    assert "PASS" not in out


def test_outputs_that_never_come_are_found(tmp_path):
    """A testbench of floating point compiles; an empty design does not pass it."""
    folder = tmp_path / "v"
    record = export(folder, "fp16_systolic", 2, 2, (3, 3, 5))
    assert json.loads((folder / "vectors.json").read_text())["result"]["kind"] == record["result"]["kind"] == "float32"
    empty = edited(RTL / "dut_int.sv", tmp_path)
    text = empty.read_text()
    empty.write_text(
        text[: text.index("  localparam")] + "  assign {ready, out_valid} = {1'b1, {COLS{1'b0}}};\nendmodule\n"
    )
    code, out = simulate(folder, [folder / "testbench.sv", empty])
    assert code == 1
    assert "column 0 gave 0 of 8 results" in out
    assert "FAIL: 4 wrong" in out
