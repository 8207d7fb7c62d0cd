"""`olivine quantize`: a block of rows at a time, whatever the tensor's size; statistics against naive ones; files."""

from __future__ import annotations

import json
import math
import re
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from simulator import formats
from simulator.cli import main
from simulator.errors import OlivineError, OutputError, TraceError
from simulator.report.quantisation import format_table
from simulator.study import quantise, tensors
from simulator.study.codes import CodesFile, codes_path
from simulator.study.distortion import HISTOGRAM_SIGMAS, profile
from simulator.study.quantise import encode_tensor, quantise_to_folder
from simulator.study.tensors import NamedTensor, named_tensors
from simulator.tracing.stored import StoredTensor, stored_tensors

ROOT = Path(__file__).resolve().parent.parent
TRACE = "minilm-l6-sample"
NUMPY_CANNOT = {"BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2}


def write_raw(path: Path, arrays: dict[str, tuple[str, list[int], bytes]]) -> Path:
    """A safetensors file of (dtype, shape, bytes), by hand."""
    header, end = {}, 0
    for name, (dtype, shape, raw) in arrays.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(raw)]}
        end += len(raw)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(raw for _, _, raw in arrays.values()))
    return path


def outliers(seed, shape):
    rng = np.random.default_rng(seed)
    return np.asarray(rng.standard_normal(shape) * rng.choice([1, 1, 1, 1, 1, 9], shape), np.float32)


def one_tensor(tmp_path, x, name="w") -> NamedTensor:
    save_file({name: x}, tmp_path / "one.safetensors")
    return named_tensors(str(tmp_path / "one.safetensors"))[0]


def ignore(nbytes):
    pass


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 8 rows, so that small tensors have several."""
    monkeypatch.setattr(tensors, "BLOCK_VALUES", 1)


# Reading


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
def test_rows_are_read_as_numpy_reads_them(tmp_path, dtype):
    x = np.random.default_rng(0).integers(0, 100, (3, 5, 7)).astype(dtype)
    save_file({"a": np.zeros(3, np.int8), "x": x, "z": np.ones(2, np.float32)}, tmp_path / "x.safetensors")
    found = stored_tensors(tmp_path / "x.safetensors")
    assert list(found) == ["a", "x", "z"]
    assert (found["x"].rows, found["x"].K) == (15, 7)
    for first, last in ((0, 15), (4, 11), (14, 15)):
        rows = found["x"].read(first, last)
        assert rows.dtype == np.float32
        assert rows.tolist() == x.reshape(15, 7)[first:last].astype(np.float32).tolist()


@pytest.mark.parametrize("dtype", sorted(NUMPY_CANNOT))
def test_types_that_numpy_lacks_are_read_exactly(tmp_path, dtype):
    x = np.random.default_rng(0).standard_normal((6, 5)).astype(NUMPY_CANNOT[dtype])
    path = write_raw(tmp_path / "x.safetensors", {"x": (dtype, [6, 5], x.tobytes())})
    assert stored_tensors(path)["x"].read(1, 5).tolist() == x[1:5].astype(np.float32).tolist()


@pytest.mark.parametrize(("shape", "rows"), [((), 1), ((4,), 1), ((3, 4), 3), ((2, 3, 4), 6)])
def test_all_axes_but_the_last_are_rows(tmp_path, shape, rows):
    x = outliers(0, shape)
    tensor = one_tensor(tmp_path, x)
    assert tensor.shape == (1, rows, x.size // rows)
    assert tensor.whole().reshape(-1).tolist() == x.reshape(-1).tolist()


def test_the_operands_of_a_trace_are_what_the_trace_loads():
    from simulator.study.workloads import resolve_workload

    trace = resolve_workload(TRACE).trace
    found = {tensor.name: tensor for tensor in named_tensors(TRACE)}
    assert len(found) == 2 * len(trace.ops)
    for op in trace.ops:
        for side, granularity, values in zip("aw", ("tensor", "row"), trace.load(op.name), strict=True):
            tensor = found[f"{op.name}.{side}"]
            assert (tensor.shape, tensor.granularity) == (values.shape, granularity)
            assert np.array_equal(tensor.whole(), values)


@pytest.mark.parametrize(("shape", "sizes"), [((30, 3), [8, 8, 8, 6]), ((8, 3), [8]), ((1, 3), [1])])
def test_blocks_are_whole_rows_in_order(tmp_path, small_blocks, shape, sizes):
    x = outliers(0, shape)
    blocks = list(one_tensor(tmp_path, x).blocks())
    assert [len(block.values) for block in blocks] == sizes
    assert np.array_equal(np.concatenate([block.values for block in blocks]), x)


def test_blocks_never_straddle_gemms(tmp_path, small_blocks):
    x = outliers(0, (3, 11, 4))
    stored = one_tensor(tmp_path, x).stored
    blocks = list(NamedTensor("x", stored, 3, "row").blocks())
    assert [(block.gemm, len(block.values)) for block in blocks] == [(0, 8), (0, 3), (1, 8), (1, 3), (2, 8), (2, 3)]


# Statistics


@pytest.mark.kernels
@pytest.mark.parametrize("K", [1, 4, 7])
def test_profile_is_the_naive_one(tmp_path, small_blocks, K):
    x = outliers(K, (37, K)) + np.float32(0.25)
    found = profile(one_tensor(tmp_path, x), ignore)
    values = [float(v) for v in x.reshape(-1)]
    mean = math.fsum(values) / len(values)
    sigma = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
    far = [[abs(float(v) - mean) > 3 * sigma for v in row] for row in x]
    kinds = [sum(row[k : k + 2]) for row in far for k in range(0, K, 2)]
    assert found.values == x.size
    assert found.sigma == pytest.approx(sigma, rel=1e-12)
    assert found.energy == pytest.approx(math.fsum(v * v for v in values), rel=1e-12)
    assert found.outliers == sum(map(sum, far))
    assert found.pairs == tuple(kinds.count(n) for n in (0, 1, 2))
    clipped = np.clip(x.astype(np.float64) / found.sigma, -8, 8)
    assert found.histogram.tolist() == np.histogram(clipped, HISTOGRAM_SIGMAS)[0].tolist()


def test_profile_of_a_constant(tmp_path):
    found = profile(one_tensor(tmp_path, np.full((3, 4), 2, np.float32)), ignore)
    assert (found.sigma, found.outliers, found.pairs, found.energy) == (1.0, 0, (6, 0, 0), 48.0)


@pytest.mark.kernels
@pytest.mark.parametrize("name", formats.names())
def test_statistics_are_the_naive_ones(tmp_path, small_blocks, name):
    """Of every format, in blocks or whole: against the operand encoded in one piece."""
    x = outliers(1, (21, 34))
    tensor = one_tensor(tmp_path, x)
    found = encode_tensor(tensor, profile(tensor, ignore), name, "absmax")
    encoding = formats.get(name)
    (operand,) = encoding.encode_operand(x[None], "row", "absmax")
    decoded = encoding.decode_operand(operand).astype(np.float64) * operand.value_scale
    error = x - decoded
    assert found.stored_bits == encoding.stored(operand).total_bits
    assert found.bits_per_value == found.stored_bits / x.size
    assert found.census == encoding.census(operand)
    assert found.victims == encoding.victims(operand, x)
    assert found.max_abs_error == np.abs(error).max()
    assert found.max_abs_error_sigma == found.max_abs_error / found.sigma
    power = (x.astype(np.float64) ** 2).sum()
    assert found.sqnr_db == pytest.approx(10 * math.log10(power / (error**2).sum()), abs=1e-9)
    assert sum(found.histogram) == sum(found.decoded_histogram) == x.size
    clipped = np.clip(decoded / found.sigma, -8, 8)
    differing = np.abs(np.histogram(clipped, HISTOGRAM_SIGMAS)[0] - found.decoded_histogram).sum()
    assert differing <= 4, "values on an edge may fall on either side"


def test_best_is_the_less_noisy_calibration(tmp_path):
    for x, method in ((outliers(0, (4, 64)), "mse"), (np.tile(np.float32([-7, 3, 7, 1]), (4, 16)), "absmax")):
        tensor = one_tensor(tmp_path, x)
        before = profile(tensor, ignore)
        each = {m: encode_tensor(tensor, before, "int4", m).sqnr_db for m in ("mse", "absmax")}
        best = encode_tensor(tensor, before, "int4", "best")
        assert (best.calibration, best.sqnr_db) == (method, max(each.values()))
        assert each["mse"] != each["absmax"]


def test_no_error_at_all_is_infinite_and_null(tmp_path):
    tensor = one_tensor(tmp_path, np.zeros((2, 4), np.float32))
    found = encode_tensor(tensor, profile(tensor, ignore), "int4")
    assert math.isinf(found.sqnr_db)
    assert found.to_dict()["sqnr_db"] is None
    json.dumps(found.to_dict(), allow_nan=False)


# Memory


def test_memory_is_bounded_by_a_block_not_by_the_tensor(tmp_path, monkeypatch):
    """16 MiB of bfloat16, 32 MiB as float32, in blocks of 256 KiB: the peak stays below a tenth of the tensor."""
    rows, K = 8192, 1024
    x = np.random.default_rng(0).standard_normal((rows, K), dtype=np.float32).astype(ml_dtypes.bfloat16)
    path = write_raw(tmp_path / "big.safetensors", {"w": ("BF16", [rows, K], x.tobytes())})
    del x
    (tensor,) = named_tensors(str(path))
    monkeypatch.setattr(tensors, "BLOCK_VALUES", 1 << 16)
    held, read = [], StoredTensor.read
    monkeypatch.setattr(StoredTensor, "read", lambda self, a, b: held.append(b - a) or read(self, a, b))
    before = profile(tensor, ignore)
    encode_tensor(tensor, before, "int4", "absmax")  # compiled, imported
    for name in ("int4", "ovp4", "mxfp4", "biscaled6"):
        tracemalloc.start()
        encode_tensor(tensor, before, name, "absmax", tmp_path / "out")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < tensor.nbytes / 10, name
    assert max(held) == 64
    assert sum(held) == rows * (2 + 1 + 4)


def test_a_tensor_that_must_be_held_whole_has_a_limit(tmp_path):
    save_file({"w": outliers(0, (512, 512))}, tmp_path / "w.safetensors")  # 1 MiB
    source = str(tmp_path / "w.safetensors")
    with pytest.raises(OlivineError) as refused:
        quantise_to_folder(source, "int4,gobo3,ovp4_auto", tmp_path / "out", whole_gib=0.0005)
    assert str(refused.value) == (
        "tensor 'w' takes 0.00 GiB as float32, and gobo3, ovp4_auto must hold it whole, which is allowed up to "
        "0.0005 GiB; leave the format out, choose --tensor, or raise --whole-gib"
    )
    assert not (tmp_path / "out").exists()
    quantise_to_folder(source, "int4", tmp_path / "out", whole_gib=0.0005)
    quantise_to_folder(source, "gobo3", tmp_path / "out", whole_gib=0.001)


# Files


@pytest.mark.parametrize("name", formats.names())
def test_bytes_on_disk_are_the_bits_claimed(tmp_path, small_blocks, name):
    """The data of the file, of every format, for an odd K, in blocks or whole; with the arrays of one piece."""
    x = outliers(2, (19, 33))
    tensor = one_tensor(tmp_path, x)
    found = encode_tensor(tensor, profile(tensor, ignore), name, "absmax", tmp_path)
    path = codes_path(tmp_path, name, "w")
    raw = path.read_bytes()
    header = 8 + int.from_bytes(raw[:8], "little")
    assert header % 8 == 0
    assert 8 * (len(raw) - header) == found.stored_bits
    encoding = formats.get(name)
    (operand,) = encoding.encode_operand(x[None], "row", "absmax")
    stored, expected = load_file(path), encoding.packed(operand)
    assert stored.keys() == expected.keys()
    for what, array in expected.items():
        assert (stored[what].dtype, stored[what].tolist()) == (array.dtype, array.tolist())
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == {
            "format": name,
            "count_rows_K": "1 19 33",
            "granularity": "row",
            "calibration": "absmax",
        }
    assert sorted(p.name for p in path.parent.iterdir()) == ["w.safetensors"], "no scratch is left"


def test_gemms_of_a_trace_are_stored_side_by_side(tmp_path):
    quantise_to_folder(TRACE, "ovp4", tmp_path, "*.layer.0.*qk.w", "absmax")
    (path,) = (tmp_path / "codes" / "ovp4").iterdir()
    (tensor,) = named_tensors(TRACE, "*.layer.0.*qk.w")
    stored = load_file(path)
    operands = formats.get("ovp4").encode_operand(tensor.whole(), "row", "absmax")
    assert len(operands) > 1
    assert len(stored) == 2 * len(operands)
    for gemm, operand in enumerate(operands):
        assert np.array_equal(stored[f"{gemm}.codes"], operand.codes)
        assert np.array_equal(stored[f"{gemm}.scale"], operand.scale)


@pytest.mark.parametrize("name", ["a/b", "../../up", "..", "dot.dash-1", "ä b"])
def test_any_name_of_a_tensor_is_a_file_name(tmp_path, name):
    save_file({name: outliers(0, (2, 4))}, tmp_path / "x.safetensors")
    quantise_to_folder(str(tmp_path / "x.safetensors"), "int4", tmp_path / "deep" / "er" / "out")
    (path,) = (tmp_path / "deep" / "er" / "out" / "codes" / "int4").iterdir()
    assert path.suffix == ".safetensors"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "x.safetensors"]


def test_codes_appear_whole_or_not_at_all(tmp_path):
    path = tmp_path / "codes.safetensors"
    with pytest.raises(KeyboardInterrupt), CodesFile(path, {}) as codes:  # noqa: PT012
        codes.append({"codes": np.ones((2, 3), np.uint8)})
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with CodesFile(path, {"a": "b"}) as codes:
        for rows in (1, 2, 3):
            codes.append({"codes": np.full((rows, 3), rows, np.uint8), "scale": np.full((rows, 1), rows, np.float32)})
            codes.append({"list": np.empty(0, np.float16)})
        codes.publish()
    stored = load_file(path)
    assert stored["codes"][:, 0].tolist() == stored["scale"][:, 0].tolist() == [1, 2, 2, 3, 3, 3]
    assert (stored["list"].shape, stored["list"].dtype) == ((0,), np.float16)
    assert list(tmp_path.iterdir()) == [path]


def test_codes_that_cannot_be_written(tmp_path):
    (tmp_path / "codes").write_text("a file, not a folder")
    save_file({"w": outliers(0, (2, 4))}, tmp_path / "x.safetensors")
    with pytest.raises(OutputError, match=r"w\.safetensors: cannot be written: Not a directory; choose another --out"):
        quantise_to_folder(str(tmp_path / "x.safetensors"), "int4", tmp_path)


def test_the_folder_and_its_tables(tmp_path):
    a, b = outliers(0, (9, 64)), outliers(1, (3, 4))
    a[:, 1] = 40
    save_file({"a": a, "b": b}, tmp_path / "x.safetensors")
    out = tmp_path / "out"
    table = quantise_to_folder(str(tmp_path / "x.safetensors"), "ovp4,int8", out)
    names = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    figures = [f"figures/{stem}.{kind}" for stem in ("histogram_int8", "histogram_ovp4", "sqnr_bits")
               for kind in ("png", "svg")]  # fmt: skip
    codes = [f"codes/{name}/{tensor}.safetensors" for name in ("int8", "ovp4") for tensor in "ab"]
    assert names == sorted(
        [*figures, *codes, "formats.csv", "formats.md", "statistics.json", "tables/formats.md", "tables/formats.tex"]
    )
    record = json.loads((out / "statistics.json").read_text())
    assert [(s["tensor"], s["format"]) for s in record["tensors"]] == [
        ("a", "ovp4"), ("a", "int8"), ("b", "ovp4"), ("b", "int8")
    ]  # fmt: skip
    ovp4 = [s for s in record["tensors"] if s["format"] == "ovp4"]
    assert table["bits_per_value"][0] == sum(s["stored_bits"] for s in ovp4) / 588
    assert table["victim_share"].tolist() == [sum(s["victims"] for s in ovp4) / 588, 0.0]
    assert table["victim_share"][0] > 0
    assert table["activations_sqnr_db"].isna().all()
    assert "Every row (all axes but the last) has a scale of its own" in (out / "formats.md").read_text()


def test_progress_counts_bytes_up_to_all_of_them(tmp_path, small_blocks):
    x = outliers(0, (20, 6))
    save_file({"w": x}, tmp_path / "x.safetensors")
    seen = []
    quantise_to_folder(
        str(tmp_path / "x.safetensors"), "int4,gobo3", tmp_path / "out", progress=lambda *step: seen.append(step)
    )
    done = [step[0] for step in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (8 * 6 * 4, seen[0][1])
    assert seen[0][1] == x.nbytes * (2 + 2 + 1), "two passes to look, two calibrations of int4, one of gobo3"
    assert {step[2] for step in seen} == {"w", "w in int4", "w in gobo3"}


# The command, and what users get wrong


def run(*arguments):
    return main(["quantize", *map(str, arguments)])


def test_the_command_prints_a_table_of_80_columns(tmp_path, capsys):
    assert run(TRACE, "--format", "ovp4,mxfp4", "--tensor", "*layer.0.output*", "--no-codes", "--out", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= max(80, len(f"statistics, tables and figures: {tmp_path}"))
    assert any(re.match(r" *ovp4 +4\.\d\d +\d\.\d\d +\d+\.\d", line) for line in lines)
    assert not (tmp_path / "codes").exists()


def test_json_is_one_object(tmp_path, capsys):
    save_file({"w": np.zeros((2, 4), np.float32)}, tmp_path / "x.safetensors")
    assert run(tmp_path / "x.safetensors", "--format", "int4", "--out", tmp_path / "out", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["formats"][0]["format"] == "int4"


def half_nan():
    x = np.ones((30, 4), np.float32)
    x[21, 2] = np.nan
    return x


def test_what_holds_no_real_numbers_is_skipped_by_name(tmp_path, capsys, small_blocks):
    arrays = {"w": np.ones((2, 2), np.float32), "ids": np.arange(4), "mask": np.ones(4, np.bool_)}
    save_file(arrays | {"none": np.ones((0, 2), np.float32)}, tmp_path / "x.safetensors")
    assert run(tmp_path / "x.safetensors", "--format", "int4", "--out", tmp_path / "out") == 0
    skipped = "skipped, because they hold no real numbers: ids (I64), mask (BOOL), none (empty)\n"
    assert capsys.readouterr().err == skipped
    assert [file.stem for file in (tmp_path / "out").glob("codes/int4/*")] == ["w"]
    assert run(tmp_path / "x.safetensors", "--format", "int8", "--tensor", "ids", "--out", tmp_path / "ids") == 0
    assert capsys.readouterr().err == ""
    assert [file.stem for file in (tmp_path / "ids").glob("codes/int8/*")] == ["ids"]


WRONG = {
    "nan": ({"a": np.ones((2, 2), np.float32), "w": half_nan()}, [], "{file}: tensor 'w' holds nan at [21, 2]; "
            "all values must be finite in float32"),
    "beyond float32": ({"w": np.array([[1.0, 1e300]])}, [], "{file}: tensor 'w' holds inf at [0, 1]; "
                       "all values must be finite in float32"),
    "bool": ({"w": np.ones((2, 2), np.bool_)}, [], "{file}: tensor 'w' is BOOL; known: F64, F32, F16, BF16, F8_E4M3, "
             "F8_E5M2, I8, I16, I32, I64, U8, U16, U32, U64"),
    "empty": ({"w": np.ones((0, 2), np.float32)}, [], "{file}: tensor 'w' of shape [0, 2] is empty"),
    "tensor": ({"weight": np.ones((2, 2), np.float32)}, ["--tensor", "wieght"], "unknown tensor 'wieght'; "
               "did you mean 'weight'?; known: weight"),
    "calibration": ({"w": np.ones((2, 2), np.float32)}, ["--calibration", "mes"], "unknown calibration 'mes'; "
                    "did you mean 'mse'?; known: absmax, best, mse, three_sigma"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_and_leaves_nothing(tmp_path, capsys, case, small_blocks):
    arrays, more, message = WRONG[case]
    path = tmp_path / "x.safetensors"
    save_file(arrays, path)
    assert run(path, "--format", "int4", *more, "--out", tmp_path / "out") == 2
    captured = capsys.readouterr()
    assert captured.err == f"olivine: {message.format(file=path)}\n"
    assert captured.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "{file}: no such file"), (b"not safetensors at all", "{file}: not a readable safetensors file: *")],
)
def test_a_wrong_file_is_one_line(tmp_path, capsys, content, message):
    path = tmp_path / "x.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert run(path, "--format", "int4", "--out", tmp_path / "out") == 2
    pattern = re.escape("olivine: " + message.format(file=path)).replace(r"\*", ".*")
    assert re.fullmatch(pattern + "\n", capsys.readouterr().err)


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    tensor = one_tensor(tmp_path, outliers(0, (4, 8)))
    path = tensor.stored.path
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(TraceError, match="tensor 'w': the file has become shorter while it was read"):
        tensor.whole()


# The checked-in page

PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
FAST = ["fp16", "bf16", "adaptivfloat8", "mxfp4", "nvfp4", "gobo4", "llm_int8", "ovp4"]


def rows_of(page):
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    assert lines[0][0] == "Format"
    return {line[0]: line for line in lines[2:]}


def test_the_page_has_every_format_and_its_command():
    assert sorted(rows_of(PAGE)) == formats.names()
    assert f"olivine quantize {TRACE} --format all" in PAGE
    assert "make formats" in (ROOT / "Makefile").read_text() or "formats:" in (ROOT / "Makefile").read_text()
    for picture in re.findall(r"\]\((.*?)\)", PAGE):
        assert (ROOT / "docs" / picture).is_file()


def remade(names, tmp_path, monkeypatch):
    """Rows of the page as the code makes them now; figures, which are not compared, are left out."""
    monkeypatch.setattr(quantise, "write_quantisation", lambda out, statistics, *rest: statistics)
    statistics = quantise_to_folder(TRACE, ",".join(names), tmp_path, write_codes=False)
    from simulator.report.quantisation import format_page

    return rows_of(format_page(format_table(statistics), TRACE, "", pictured=False))


def test_the_page_is_what_the_code_gives(tmp_path, monkeypatch):
    rows = remade(FAST, tmp_path, monkeypatch)
    assert {name: rows[name] for name in FAST} == {name: rows_of(PAGE)[name] for name in FAST}


@pytest.mark.slow
def test_the_whole_page_is_what_the_code_gives(tmp_path, monkeypatch):
    assert remade(["all"], tmp_path, monkeypatch) == rows_of(PAGE)
