"""``olivine vectors``: what it writes is what the format stores and what a naive product of it is."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import simulator as sim
from simulator import cli, formats
from simulator.config import kind_of
from simulator.datapath import TileCosts
from simulator.datapath.int_mac import IntMac
from simulator.errors import ConfigError, DatapathError, EncodingError
from simulator.formats import Format
from simulator.resources import shipped_names
from simulator.study import vectors
from simulator.study.hex_memory import hex_memory, named_words, twos_complement
from simulator.study.simulate import simulate_op
from simulator.study.stimulus import drawn_stimulus, planted_tensors
from simulator.study.vectors import operand_record, write_vectors
from tests import naive

DECODERS = {"ovp4": naive.decode_ovp4, "int8": naive.decode_int8, "int4": naive.decode_int4}
OP = "encoder.layer.0.attention.self.query"
SMALL = ("--set", "array.rows=4", "--set", "array.cols=3")
INT = ("--set", "datapath.normal=int")
LISTED = ["act.hex", "act_scale.hex", "weight.hex", "weight_scale.hex", "result.hex", "testbench.sv"]


def olivine(*args: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(a) for a in args])
    return code, out.getvalue(), err.getvalue()


def export(folder: Path, design: str, *args: object) -> dict:
    """The record of vectors for a 4 x 3 array, which the command prints and writes."""
    code, out, err = olivine("vectors", design, "--out", folder, *SMALL, *args, "--json")
    assert (code, err) == (0, "")
    record = json.loads((folder / "vectors.json").read_text())
    assert json.loads(out) == {"out": str(folder)} | record
    return record


def words(folder: Path, memory: dict) -> np.ndarray:
    """A memory as ``$readmemh`` reads it: numbers in the order in which they are written."""
    text = (folder / memory["file"]).read_text()
    assert all(len(word) == -(-memory["bits"] // 4) for word in text.split())
    lines = [line.split() for line in text.splitlines()]
    assert len(memory["shape"]) == 1 or [len(line) for line in lines] == [memory["shape"][-1]] * len(lines)
    return np.array([int(w, 16) for line in lines for w in line], np.uint64).reshape(memory["shape"])


def decoded(folder: Path, operand: dict, length: int) -> list[list[float]]:
    rows = words(folder, operand).tolist()
    if operand["format"] == "fp16":
        return [[naive.decode_fp16(lo | hi << 8) for lo, hi in zip(r[::2], r[1::2], strict=True)] for r in rows]
    return [DECODERS[operand["format"]](row, length) for row in rows]


SYSTOLIC = [name for name in shipped_names("configs/designs") if kind_of(sim.load_design(name)) == "systolic"]


@pytest.mark.parametrize("design", SYSTOLIC)
@pytest.mark.parametrize("shape", [(9, 7, 5), (1, 1, 1), (4, 3, 2)], ids=str)
def test_results_are_the_product_of_the_stored_codes(design, shape, tmp_path):
    M, N, K = shape
    record = export(tmp_path / "v", design, "-m", M, "-n", N, "-k", K)
    formats_used = {record[side]["format"] for side in ("act", "weight")}
    if unknown := formats_used - {*DECODERS, "fp16"}:
        pytest.skip(f"no naive decoder of {', '.join(unknown)}")
    a, w = (decoded(tmp_path / "v", record[side], K) for side in ("act", "weight"))
    found = words(tmp_path / "v", record["result"])
    if record["result"]["kind"] == "float32":
        assert np.array_equal(found.astype(np.uint32), naive.float_matmul(a, w).view(np.uint32))
    else:
        bits = record["result"]["bits"]
        expected = naive.int_matmul(a, w)
        assert [[naive.twos_complement(int(x), bits) for x in row] for row in found] == expected


def test_the_record_of_ovp(tmp_path):
    record = export(tmp_path / "v", "olive_systolic", *INT, "-m", 9, "-n", 7, "-k", 33, "--seed", 5)
    assert record["gemm"] == {"M": 9, "N": 7, "K": 33}
    assert record["array"] == {
        "rows": 4, "cols": 3, "dataflow": "os", "fold_overlap": "full", "cycles_per_step": 1,
    }  # fmt: skip
    cycles = record["cycles"]
    assert (cycles["folds"], cycles["col_folds"], cycles["fold_period"], cycles["stalls"]) == (9, 3, 33, 0)
    assert cycles["total"] == cycles["closed_form"] == naive.os_cycles(9, 7, 33, 4, 3, "full")
    assert record["source"]["seed"] == 5
    assert record["datapath"] == {"name": "ovp", "bits": 4, "normal": "int", "pair_rule": "larger"}
    for side, rows in (("act", 9), ("weight", 7)):
        operand = record[side]
        assert (operand["format"], operand["value_bits"], operand["shape"]) == ("ovp4", 4, [rows, 17])
        assert (operand["row_bytes"], operand["unit_values"], operand["unit_bytes"]) == (17, 2, 1)
        scale = words(tmp_path / "v", operand["scale"]).astype(np.uint32).view(np.float32)
        assert scale.tolist() == operand["scale"]["values"]
    assert record["act"]["scale"]["shape"] == [1]
    assert record["weight"]["scale"]["shape"] == [7, 1]
    assert list(record["files"]) == LISTED
    for name, digest in record["files"].items():
        assert sha256((tmp_path / "v" / name).read_bytes()).hexdigest() == digest
    assert {p.name for p in (tmp_path / "v").iterdir()} == {*LISTED, "vectors.json"}
    assert [p.name for p in tmp_path.iterdir()] == ["v"]


def test_the_last_result_leaves_in_the_last_cycle(tmp_path):
    """The rule of exits and the total say the same, for every overlap that is hardware."""
    for overlap in ("none", "wave", "full"):
        for M, N, K in ((9, 7, 2), (4, 3, 8), (1, 1, 1)):
            folder = tmp_path / f"{overlap}{M}"
            cycles = export(
                folder, "int8_systolic", "-m", M, "-n", N, "-k", K, "--set", f"array.fold_overlap={overlap}"
            )["cycles"]
            last = (cycles["folds"] - 1) * cycles["fold_period"] + cycles["first_exit"] + (3 - 1) - 0
            assert last + 1 == cycles["total"] == naive.os_cycles(M, N, K, 4, 3, overlap)


def test_the_default_shape_has_ragged_folds_and_every_path_of_the_decoder(tmp_path):
    code, _, err = olivine("vectors", "olive_systolic", "--out", tmp_path / "v")
    assert (code, err) == (0, "")
    record = json.loads((tmp_path / "v" / "vectors.json").read_text())
    assert record["gemm"] == {"M": 96, "N": 96, "K": 65}
    for side in ("act", "weight"):
        codes = words(tmp_path / "v", record[side]).reshape(-1)
        left, right = codes >> np.uint64(4), codes & np.uint64(15)
        assert {*left[right != 8].tolist(), *right[left != 8].tolist()} == {*range(16)}, "all normals, and victims"
        for outliers in (left[right == 8], right[left == 8]):
            assert len(outliers) > 10
            assert min(outliers) < 8 < max(outliers), "of both signs"


def test_seeds_differ_and_are_kept(tmp_path):
    records = [
        export(tmp_path / name, "olive_systolic", "--seed", seed)["files"]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert records[0] == records[1]
    assert records[0]["act.hex"] != records[2]["act.hex"]


@pytest.mark.parametrize("shape", [(1, 1, 1), (6, 6, 65), (40, 30, 64)], ids=str)
def test_drawn_tensors_hold_outliers(shape):
    M, N, K = shape
    drawn = planted_tensors(M, N, K, seed=3)
    assert [x.shape for x in drawn] == [(1, M, K), (1, N, K)]
    for values in drawn:
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        assert (np.abs(values) >= 4).sum() >= -(-values.size // 128)
        assert np.abs(values).max() < 64


def test_tensors_of_a_trace(tmp_path):
    record = export(tmp_path / "v", "int8_systolic", "--trace", "minilm-l6-sample", "--op", OP, "-m", 5, "-n", 4)
    assert record["gemm"] == {"M": 5, "N": 4, "K": 384}
    assert (record["source"]["trace"], record["source"]["op"]) == ("minilm-l6-sample", OP)
    assert (record["source"]["gemm"], record["source"]["gemms"]) == (0, 1)
    trace = sim.open_trace(sim.resources.shipped_dir("traces") / "minilm-l6-sample")
    act, weight = trace.load(OP)
    int8 = formats.get("int8")
    for side, values in (("act", act[0, :5]), ("weight", weight[0, :4])):
        codes = int8.encode(values, np.array(record[side]["scale"]["values"], np.float32))
        assert np.array_equal(words(tmp_path / "v", record[side]), codes)


def test_the_first_head_of_a_batch(tmp_path):
    trace = sim.open_trace(sim.resources.shipped_dir("traces") / "minilm-l6-sample")
    batch = next(op for op in trace.ops if op.count > 1)
    record = export(tmp_path / "v", "fp16_systolic", "--trace", trace.name, "--op", batch.name)
    assert (record["source"]["gemm"], record["source"]["gemms"]) == (0, batch.count)
    assert record["gemm"] == {"M": batch.M, "N": batch.N, "K": batch.K}
    a, _ = trace.load(batch.name)
    stored = words(tmp_path / "v", record["act"]).astype(np.uint8)
    assert np.array_equal(stored.view("<f2"), a[0].astype(np.float16))


def test_plain_output(tmp_path):
    code, out, err = olivine("vectors", "int4_systolic", "--out", tmp_path / "v", *SMALL)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "6 x 5 x 65 on int4_systolic: 4 folds, 269 cycles",
        f"7 files in {tmp_path / 'v'}; the head of {tmp_path / 'v' / 'testbench.sv'} says how to run it",
    ]
    bench = (tmp_path / "v" / "testbench.sv").read_text()
    assert "localparam M = 6, N = 5, K = 65;" in bench
    assert "{{" not in bench
    assert not re.search(r"[ \t]$", bench, re.MULTILINE)


def test_a_name_cannot_leave_its_comment(tmp_path):
    design = (sim.resources.shipped_dir("configs/designs") / "int8_systolic.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(design.replace("name: int8_systolic", 'name: "a\\nmodule b"', 1))
    export(tmp_path / "v", str(tmp_path / "mine.yaml"))
    bench = (tmp_path / "v" / "testbench.sv").read_text()
    assert '"a\\nmodule b"' in bench
    assert "\nmodule b" not in bench


def _waiting(self, job):
    return replace(TileCosts.none(job.tiles), outlier_cycles=np.full(len(job.tiles), 5, np.int64))


def test_stalls_are_in_the_total_and_no_rule_is_claimed(tmp_path, monkeypatch):
    monkeypatch.setattr(IntMac, "tile_costs", _waiting)
    cycles = export(tmp_path / "v", "int8_systolic", "-m", 9, "-n", 7, "-k", 5)["cycles"]
    assert (cycles["total"], cycles["stalls"], cycles["exit_rule"]) == (cycles["closed_form"] + 5, 5, None)


def test_a_step_of_two_cycles(tmp_path, monkeypatch):
    monkeypatch.setattr(IntMac, "cycles_per_step", lambda self: 2)
    record = export(tmp_path / "v", "int8_systolic", "-m", 9, "-n", 7, "-k", 5)
    assert record["array"]["cycles_per_step"] == 2
    assert record["cycles"]["total"] == naive.os_cycles(9, 7, 10, 4, 3, "full")
    assert record["cycles"]["first_exit"] == 10 + 2 * 4 - 2


def test_a_wrong_datapath_gives_no_vectors(tmp_path, monkeypatch):
    right = IntMac.matmul
    monkeypatch.setattr(IntMac, "matmul", lambda self, act, weight: right(self, act, weight) + 1)
    code, out, err = olivine("vectors", "int8_systolic", "--out", tmp_path / "v")
    assert (code, out) == (1, "")
    assert re.fullmatch(
        r"olivine: drawn: output \(0, 0\): datapath 'int_mac' gave -?\d+, the exact reference is .*\n", err
    )
    assert list(tmp_path.iterdir()) == []


# Every format: the memories are what it stores


@pytest.mark.parametrize("name", formats.names())
@pytest.mark.parametrize("length", [1, 37, 64])
def test_memories_of_every_format_are_what_it_stores(name, length, tmp_path):
    encoding = formats.get(name)
    values = planted_tensors(5, 3, length, seed=1)[0]
    (encoded,) = encoding.encode_operand(values, "row", "absmax")
    files: dict[str, bytes] = {}
    record = operand_record("act", encoding, encoded, files)
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    assert np.array_equal(words(tmp_path, record), encoded.codes)
    scale = words(tmp_path, record["scale"]).astype(np.uint32).view(np.float32)
    assert np.array_equal(scale, np.atleast_1d(encoded.scale))
    stored = {m["file"]: words(tmp_path, m).astype(f"u{m['bits'] // 8}").tobytes() for m in record["extras"]}
    fields = {
        f"act_{extra}{field and f'_{field}'}.hex": array[field].tobytes() if field else array.tobytes()
        for extra, array in encoded.extras.items()
        for field in (array.dtype.names or [""])
    }
    assert stored == fields
    assert set(files) == {"act.hex", "act_scale.hex", *fields}


@pytest.mark.parametrize("name", [n for n in formats.names() if isinstance(formats.get(n), Format)])
@pytest.mark.parametrize("length", [1, 37, 64])
def test_a_unit_decodes_alone(name, length):
    """What the testbench puts on the ports is enough to know the values in it."""
    encoding = formats.get(name)
    (encoded,) = encoding.encode_operand(planted_tensors(5, 3, length, seed=1)[0], "row", "absmax")
    record = operand_record("act", encoding, encoded, {})
    size, per = record["unit_bytes"], record["unit_values"]
    whole = encoding.decode(encoded.codes, length)
    for u in range(-(-length // per)):
        unit = np.ascontiguousarray(encoded.codes[:, u * size : (u + 1) * size])
        part = whole[:, u * per : (u + 1) * per]
        assert np.array_equal(encoding.decode(unit, part.shape[1]), part)


def test_hex_of_odd_widths():
    assert hex_memory(np.array([[0x12345, 0xFFFFF], [0, 1]], np.uint64), 20) == b"12345 fffff\n00000 00001\n"
    assert hex_memory(np.array([5, 0xAB], np.uint8), 8) == b"05\nab\n"
    assert hex_memory(np.zeros((3, 0), np.uint8), 8) == b""


def test_twos_complement():
    assert twos_complement(np.array([-1, 7, -8]), 4).tolist() == [15, 7, 8]
    assert twos_complement(np.array([-1]), 64).tolist() == [2**64 - 1]
    for wrong in (8, -9):
        with pytest.raises(DatapathError, match=f"a result between {wrong} and {wrong} does not fit 4 bits"):
            twos_complement(np.array([wrong]), 4)


def test_words_of_any_dtype():
    pairs = np.array([(1, -2.0), (3, 0.5)], [("place", "<u4"), ("value", "<f4")])
    assert {name: w.tolist() for name, w in named_words("x", pairs)} == {
        "x_place": [1, 3],
        "x_value": [0xC0000000, 0x3F000000],
    }
    assert [w.tolist() for _, w in named_words("x", np.array([1.0], ml_dtypes.bfloat16))] == [[0x3F80]]
    assert [w.tolist() for _, w in named_words("x", np.array([True, False]))] == [[1, 0]]
    assert [w.tolist() for _, w in named_words("x", np.float64(1))] == [[0x3FF0000000000000]]
    for wrong in (np.array([1j]), np.array([None])):
        with pytest.raises(EncodingError, match=r"x: elements of .* are no memory words of 8, 16, 32 or 64 bits"):
            list(named_words("x", wrong))


# The folder


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_vectors_are_replaced_by_force_alone_and_nothing_else_is(tmp_path):
    folder = tmp_path / "v"
    folder.mkdir()  # an empty folder is as good as none
    export(folder, "olive_systolic", *INT)
    (folder / "my_dut.sv").write_text("mine")
    (folder / "waves").mkdir()
    (folder / "waves" / "a.vcd").write_text("mine")
    before = tree(folder)
    code, out, err = olivine("vectors", "int8_systolic", "--out", folder)
    assert (code, out) == (2, "")
    assert err == f"olivine: {folder}: already exists; choose another --out, or replace it with --force\n"
    assert tree(folder) == before
    export(folder, "int8_systolic", "--force")
    after = tree(folder)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] == before[name]} == {"my_dut.sv", "waves/a.vcd"}
    assert [p.name for p in tmp_path.iterdir()] == ["v"]


def test_a_foreign_folder_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "vectors.json").write_text("[1]")
    (tmp_path / "file").write_text("")
    export(tmp_path / "v", "olive_systolic")
    (tmp_path / "link").symlink_to(tmp_path / "v")
    before = tree(tmp_path)
    for name in ("thesis", "odd", "file", "link"):
        for force in ((), ("--force",)):
            code, _, err = olivine("vectors", "int8_systolic", "--out", tmp_path / name, *force)
            assert code == 2
            assert err == f"olivine: {tmp_path / name}: exists and holds something else; choose another --out\n"
    assert tree(tmp_path) == before


@pytest.mark.parametrize("fails", [1, 2])
def test_a_failed_move_leaves_the_old_vectors(tmp_path, monkeypatch, fails):
    folder = tmp_path / "v"
    export(folder, "olive_systolic")
    before, move, calls = tree(tmp_path), os.replace, []

    def fail(source, target):
        calls.append(target)
        if len(calls) == fails:
            raise OSError(28, "No space left on device")
        move(source, target)

    monkeypatch.setattr(os, "replace", fail)
    code, _, err = olivine("vectors", "int8_systolic", "--out", folder, "--force")
    assert code == 2
    assert err == f"olivine: {folder}: cannot be written: No space left on device; choose another --out\n"
    assert tree(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["v"]


OVERLAP = (
    "vectors are written for output-stationary systolic arrays that are hardware (fold_overlap none, wave or full)"
)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["olive_systolc"], r"unknown design 'olive_systolc'; did you mean 'olive_systolic'\?; known: .*"),
        (["int8_systolic", "-m", "0"], "-m: must be at least 1, found 0"),
        (["int8_systolic", "-k", "-3"], "-k: must be at least 1, found -3"),
        (["int8_systolic", "--seed", "-1"], "--seed: must be at least 0, found -1"),
        (["int8_systolic", "--trace", "minilm-l6-sample"], "--trace and --op go together: .*"),
        (["int8_systolic", "--op", OP], "--trace and --op go together: .*"),
        (
            ["int8_systolic", "--trace", "bert_base", "--op", "x"],
            "bert_base: a workload of shapes has no tensors; `olivine list traces` names traces",
        ),
        (
            ["int8_systolic", "--trace", "minilm-l6-sample", "--op", OP.replace("query", "querry")],
            rf"unknown op '{OP.replace('query', 'querry')}'; did you mean '{OP}'\?; known: .*",
        ),
        (
            ["int8_systolic", "--trace", "minilm-l6-sample", "--op", OP, "-m", "119"],
            f"op '{OP}' of minilm-l6-sample has M=118, 119 was asked for",
        ),
        (
            ["int8_systolic", "-m", "9999", "-n", "9999"],
            "9999 x 9999 x 65: a memory of more than 16777216 words; give smaller -m, -n, -k",
        ),
        (
            ["int8_systolic", *SMALL, "-m", "4000", "-n", "4000", "-k", "4000"],
            "5336000009 cycles; at most 2147483647 are written; give smaller -m, -n, -k",
        ),
        (
            ["int8_systolic", "--set", "array.fold_overlap=scalesim"],
            re.escape(f"--set: array.fold_overlap: {OVERLAP}, found systolic, os, scalesim"),
        ),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_nothing_is_written(args, message, tmp_path):
    code, out, err = olivine("vectors", *args, "--out", tmp_path / "v")
    assert (code, out) == (2, "")
    assert re.fullmatch(f"olivine: {message}\n", err), err
    assert list(tmp_path.iterdir()) == []


def test_another_dataflow_is_refused(tmp_path):
    design = sim.load_design("int8_systolic")
    other = design.model_copy(update={"array": design.array.model_copy(update={"dataflow": "ws"})})
    with pytest.raises(ConfigError, match=re.escape(f"array.dataflow: {OVERLAP}, found systolic, ws, full")):
        write_vectors(other, drawn_stimulus(other, 2, 2, 2), tmp_path / "v")
    assert list(tmp_path.iterdir()) == []


def test_results_that_are_neither_integers_nor_float32_are_refused(tmp_path, monkeypatch):
    def in_double(*args):
        result = simulate_op(*args)
        return replace(result, values=[result.values[0].astype(np.float64)])

    monkeypatch.setattr(vectors, "simulate_op", in_double)
    design = sim.load_design("int8_systolic")
    with pytest.raises(DatapathError, match="datapath 'int_mac' gives float64; vectors hold integers or float32"):
        write_vectors(design, drawn_stimulus(design, 2, 2, 2), tmp_path / "v")
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = olivine("vectors", "int8_systolic", "--out", tmp_path / "file" / "v")
    assert (code, err) == (
        2,
        f"olivine: {tmp_path / 'file' / 'v'}: cannot be written: Not a directory; choose another --out\n",
    )
    code, _, err = olivine("vectors", "int8_systolic", "--out", ".")
    assert (code, err) == (2, "olivine: .: not a folder's name; give a new folder to --out\n")
