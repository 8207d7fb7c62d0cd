"""The trace folder: what is written comes back, and every kind of damage is named in one line."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from simulator.errors import OutputError, TraceError, UnknownNameError, WorkloadError
from simulator.tracing import Trace, TraceWriter, describe, open_trace
from simulator.tracing.manifest import Created, InputRecord, ModelRecord
from simulator.workload import Op

MODEL = ModelRecord(name="toy", source="folder toy", licence="CC0", sha256="0" * 64)
INPUT = InputRecord(token_ids=(101, 7, 102), tokens=("[CLS]", "a", "[SEP]"))
CREATED = Created(command="olivine trace toy --out toy", olivine_version="0.1.0")
SHARD = "tensors-000.safetensors"


def writer(folder: Path, **options: Any) -> TraceWriter:
    return TraceWriter(folder, model=MODEL, input=INPUT, created=CREATED, **options)


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """Operands of q and k, which share x (3, 8), and of two heads of qk, 3 x 5 x 4."""
    rng = np.random.default_rng(seed)
    shapes = {"x": (3, 8), "wq": (6, 8), "wk": (6, 8), "qk.a": (2, 3, 4), "qk.w": (2, 5, 4)}
    return {name: rng.standard_normal(shape).astype(np.float16) for name, shape in shapes.items()}


def write(folder: Path, values: dict[str, np.ndarray] | None = None, **options: Any) -> Trace:
    with writer(folder, **options) as trace:
        for name, value in (values or tensors()).items():
            trace.add_tensor(name, value)
        trace.add_op(Op("q", 3, 6, 8), a="x", w="wq")
        trace.add_op(Op("k", 3, 6, 8), a="x", w="wk")
        trace.add_op(Op("qk", 3, 5, 4, 2, "bmm"), a="qk.a", w="qk.w")
    return open_trace(folder)


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def replace_shard(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Rewrite the only shard, keeping the manifest's size and checksum true."""
    values = load_file(folder / SHARD)
    change(values)
    save_file(values, folder / SHARD)
    repin(folder)


def repin(folder: Path) -> None:
    raw = (folder / SHARD).read_bytes()
    new = {"file": SHARD, "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    edit_manifest(folder, lambda m: m.update(shards=[new]))


def message(error: type[Exception], action: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        action()
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_round_trip(tmp_path: Path, seed: int, dtype: str) -> None:
    values = {name: value.astype(dtype) for name, value in tensors(seed).items()}
    trace = write(tmp_path / "toy", values)
    assert trace.name == "toy"
    assert trace.ops == (Op("q", 3, 6, 8), Op("k", 3, 6, 8), Op("qk", 3, 5, 4, 2, "bmm"))
    assert (trace.manifest.model, trace.manifest.input, trace.manifest.created) == (MODEL, INPUT, CREATED)
    a, w = trace.load("k")
    assert (a.dtype, w.dtype, a.shape, w.shape) == (np.float32, np.float32, (1, 3, 8), (1, 6, 8))
    assert np.array_equal(a[0], values["x"].astype(np.float32))
    assert np.array_equal(w[0], values["wk"].astype(np.float32))
    a, w = trace.load("qk")
    assert np.array_equal(a, values["qk.a"].astype(np.float32))
    assert np.array_equal(w, values["qk.w"].astype(np.float32))
    trace.verify_checksums()


def test_a_shared_tensor_is_stored_once(tmp_path: Path) -> None:
    trace = write(tmp_path / "toy")
    q, k = trace.manifest.ops[:2]
    assert q.a == k.a
    assert sorted(load_file(tmp_path / "toy" / SHARD)) == ["qk.a", "qk.w", "wk", "wq", "x"]


def test_shards_are_split_between_tensors(tmp_path: Path) -> None:
    trace = write(tmp_path / "toy", shard_bytes=150)  # bytes: x 48, wq 96, wk 96, qk.a 48, qk.w 80
    held = [sorted(load_file(tmp_path / "toy" / shard.file)) for shard in trace.manifest.shards]
    assert held == [["wq", "x"], ["qk.a", "wk"], ["qk.w"]]
    trace.verify_checksums()
    one_each = write(tmp_path / "small", shard_bytes=1)
    assert len(one_each.manifest.shards) == 5
    assert np.array_equal(one_each.load("qk")[1], trace.load("qk")[1])


def test_files_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write(tmp_path / "toy")
    finally:
        os.umask(old)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "toy").iterdir()}
    assert modes == {"manifest.json": 0o644, SHARD: 0o644}


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write(tmp_path / "one" / "toy")
    second = write(tmp_path / "two" / "toy")
    assert first.fingerprint == second.fingerprint
    assert (first.folder / SHARD).read_bytes() == (second.folder / SHARD).read_bytes()


def test_statistics_are_those_of_the_stored_values(tmp_path: Path) -> None:
    values = tensors()
    values["x"][:] = 1
    values["x"][0, 0] = 100
    trace = write(tmp_path / "toy", values)
    stats = trace.manifest.ops[0].stats.a
    assert stats.mean == pytest.approx(123 / 24, rel=1e-5)
    assert stats.sigma == pytest.approx(99 * np.sqrt(23) / 24, rel=1e-5)
    assert (stats.absmax, stats.share_3sigma) == (100.0, pytest.approx(1 / 24, rel=1e-5))


def test_describe_has_a_row_per_op(tmp_path: Path) -> None:
    rows = describe(write(tmp_path / "toy"))
    assert [row["name"] for row in rows] == ["q", "k", "qk"]
    qk = rows[2]
    assert {key: qk[key] for key in ("kind", "M", "N", "K", "count", "macs", "bytes", "a_bytes", "w_bytes")} == {
        "kind": "bmm", "M": 3, "N": 5, "K": 4, "count": 2, "macs": 120, "bytes": 128, "a_bytes": 48, "w_bytes": 80,
    }  # fmt: skip
    assert qk["a_max_over_sigma"] == qk["a_absmax"] / qk["a_sigma"]


def test_the_fingerprint_is_the_manifests(tmp_path: Path) -> None:
    trace = write(tmp_path / "toy")
    path = tmp_path / "toy" / "manifest.json"
    raw = path.read_bytes()
    assert trace.fingerprint == hashlib.sha256(raw).hexdigest()
    path.write_bytes(raw.replace(b"CC0", b"CC1"))
    assert open_trace(tmp_path / "toy").fingerprint != trace.fingerprint


def test_opening_reads_no_tensor_and_checksums_do(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    pinned = write(folder).manifest.shards[0].sha256
    raw = bytearray((folder / SHARD).read_bytes())
    raw[-1] ^= 1
    (folder / SHARD).write_bytes(raw)
    trace = open_trace(folder)
    found = hashlib.sha256(raw).hexdigest()
    assert message(TraceError, trace.verify_checksums) == (
        f"{folder / SHARD}: sha256 is {found}, the manifest says {pinned}"
    )


def test_a_truncated_shard(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    size = write(folder).manifest.shards[0].bytes
    raw = (folder / SHARD).read_bytes()
    (folder / SHARD).write_bytes(raw[:-10])
    assert message(TraceError, lambda: open_trace(folder)) == (
        f"{folder / SHARD}: the file has {size - 10} bytes, the manifest says {size}; copy it again"
    )
    repin(folder)
    assert message(TraceError, lambda: open_trace(folder)).startswith(
        f"{folder / SHARD}: not a readable safetensors file: "
    )


def test_a_shard_damaged_after_opening(tmp_path: Path) -> None:
    trace = write(tmp_path / "toy")
    (tmp_path / "toy" / SHARD).write_bytes(b"no tensors")
    where = f"{tmp_path / 'toy' / SHARD}: tensor 'x': cannot read it: "
    assert message(TraceError, lambda: trace.load("q")).startswith(where)


def test_a_missing_shard(tmp_path: Path) -> None:
    trace = write(tmp_path / "toy")
    (tmp_path / "toy" / SHARD).unlink()
    expected = f"{tmp_path / 'toy' / SHARD}: cannot read the shard: No such file or directory"
    assert message(TraceError, lambda: open_trace(tmp_path / "toy")) == expected
    assert message(TraceError, trace.verify_checksums) == expected


def test_a_missing_tensor(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    write(folder)
    replace_shard(folder, lambda values: values.pop("wk"))
    assert message(TraceError, lambda: open_trace(folder)) == f"{folder / SHARD}: tensor 'wk' of op 'k' is missing"


def test_a_wrong_shape(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    write(folder)
    replace_shard(folder, lambda values: values.update(wk=values["wk"].T.copy()))
    assert message(TraceError, lambda: open_trace(folder)) == (
        f"{folder / SHARD}: tensor 'wk': shape is [8, 6], but w of op 'k' is [N,K] = [6, 8]"
    )


def test_a_wrong_dtype(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    write(folder)
    replace_shard(folder, lambda values: values.update(wk=values["wk"].astype(np.float32)))
    assert message(TraceError, lambda: open_trace(folder)) == (
        f"{folder / SHARD}: tensor 'wk': dtype is F32, the manifest says float16 (F16)"
    )


@pytest.mark.parametrize(("value", "word"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_a_value_that_is_no_number(tmp_path: Path, value: float, word: str) -> None:
    folder = tmp_path / "toy"
    write(folder)

    def spoil(values: dict[str, np.ndarray]) -> None:
        values["qk.w"][1, 2, 3] = value
        values["qk.w"][1, 4, 0] = np.nan

    replace_shard(folder, spoil)
    trace = open_trace(folder)
    trace.load("q")
    assert message(TraceError, lambda: trace.load("qk")) == (
        f"{folder}: op 'qk': tensor 'qk.w' holds {word} at (count, row, k) = [1, 2, 3]"
    )


def test_an_unknown_op(tmp_path: Path) -> None:
    trace = write(tmp_path / "toy")
    assert message(UnknownNameError, lambda: trace.load("qkk")) == (
        "unknown op 'qkk'; did you mean 'qk'?; known: k, q, qk"
    )


MANIFEST_DAMAGE = [
    (lambda m: m.update(version=3), "trace version 3 is not readable; readable versions: 1, 2"),
    (lambda m: m.update(format="zip"), "format is 'zip', expected 'olivine-trace'"),
    (lambda m: m.pop("model"), "model: Field required"),
    (lambda m: m.update(extra=1), "extra: Extra inputs are not permitted"),
    (lambda m: m["ops"][1].update(K="8"), "ops.1.K: Input should be a valid integer"),
    (lambda m: m["ops"][1].update(M=0), "ops.1.M: Input should be greater than 0"),
    (lambda m: m["ops"][1].update(name="q"), "op 'q' occurs 2 times; names must be unique"),
    (
        lambda m: m["ops"][0].update(count=2),
        "op 'q': layout of a is [M,K] with count 2; allowed: [count,M,K]",
    ),
    (
        lambda m: m["ops"][0]["w"].update(layout="[M,K]"),
        "op 'q': layout of w is [M,K] with count 1; allowed: [N,K] or [count,N,K]",
    ),
    (lambda m: m["ops"][0]["w"].update(shard="other"), "op 'q': shard 'other' is not in the list of shards"),
    (
        lambda m: m["shards"][0].update(file="../secret"),
        r"shards.0.file: String should match pattern '^[A-Za-z0-9_][A-Za-z0-9_.-]*$'",
    ),
]


@pytest.mark.parametrize(("change", "complaint"), MANIFEST_DAMAGE, ids=[text[:30] for _, text in MANIFEST_DAMAGE])
def test_a_damaged_manifest(tmp_path: Path, change: Callable[[dict[str, Any]], object], complaint: str) -> None:
    folder = tmp_path / "toy"
    write(folder)
    edit_manifest(folder, change)
    assert message(TraceError, lambda: open_trace(folder)) == f"{folder / 'manifest.json'}: {complaint}"


def test_a_manifest_that_is_no_manifest(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    assert message(TraceError, lambda: open_trace(tmp_path)) == (
        f"{path}: cannot read the manifest: No such file or directory"
    )
    path.write_text("{")
    assert message(TraceError, lambda: open_trace(tmp_path)) == (
        f"{path}: not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    )
    path.write_text("[]")
    assert message(TraceError, lambda: open_trace(tmp_path)) == f"{path}: expected a JSON object, found list"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_an_interrupted_write_leaves_nothing(tmp_path: Path, stop: type[BaseException]) -> None:
    def interrupted() -> None:
        with writer(tmp_path / "toy", shard_bytes=1) as trace:
            for name, value in tensors().items():
                trace.add_tensor(name, value)
            raise stop

    with pytest.raises(stop):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_replacement_keeps_the_old_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = write(tmp_path / "toy")
    replace, calls = os.replace, []

    def fail_second(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_second)
    assert message(OutputError, lambda: write(tmp_path / "toy", tensors(1), force=True)) == (
        f"{tmp_path / 'toy'}: cannot write the trace: No space left on device"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]
    again = open_trace(tmp_path / "toy")
    again.verify_checksums()
    assert again.fingerprint == old.fingerprint


def test_overwriting_needs_force_and_keeps_what_is_not_the_traces(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    old = write(folder, shard_bytes=1)
    (folder / "PROVENANCE.md").write_text("mine")
    assert message(OutputError, lambda: write(folder)) == (
        f"{folder}: already exists; choose another name, or force (--force) replacing the trace in it"
    )
    assert open_trace(folder).fingerprint == old.fingerprint
    write(folder, tensors(1), force=True).verify_checksums()
    assert sorted(path.name for path in folder.iterdir()) == ["PROVENANCE.md", "manifest.json", SHARD]
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_force_never_replaces_what_is_no_trace(tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.tex").write_text("years of work")
    assert message(OutputError, lambda: write(folder, force=True)) == (
        f"{folder}: exists and is not a trace, so it is not replaced; choose another name"
    )
    assert (folder / "chapter1.tex").read_text() == "years of work"


def test_an_unwritable_destination(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "toy"
    assert message(OutputError, lambda: write(folder)) == f"{folder}: cannot write the trace: Not a directory"
    assert message(OutputError, lambda: write(Path("."))) == (
        ".: not a folder name for a trace; give a new folder such as traces/NAME"
    )


BAD_OPS = [
    ({"x": (3, 7)}, "op 'q': tensor 'x' has shape [3, 7], a needs [1, 3, 8]"),
    ({"qk.w": (2, 4, 5)}, "op 'qk': tensor 'qk.w' has shape [2, 4, 5], w needs [2, 5, 4]"),
    ({"x": (24,)}, "tensor 'x': shape is [24], need (count,) rows and K"),
]


@pytest.mark.parametrize(("shapes", "complaint"), BAD_OPS)
def test_the_writer_refuses_shapes_that_are_not_the_ops(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], complaint: str
) -> None:
    values = tensors() | {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    assert message(TraceError, lambda: write(tmp_path / "toy", values)) == f"{tmp_path / 'toy'}: {complaint}"
    assert list(tmp_path.iterdir()) == []


def test_the_writer_refuses_what_is_no_float_or_no_number(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    values = tensors()
    values["x"][2, 1] = np.inf
    assert message(TraceError, lambda: write(folder, values)) == f"{folder}: tensor 'x' holds inf at [2, 1]"
    values["x"] = np.ones((3, 8))
    assert message(TraceError, lambda: write(folder, values)) == (
        f"{folder}: tensor 'x': dtype is float64, allowed: float16, bfloat16, float32, int8"
    )


def test_the_writer_refuses_unknown_and_repeated_names(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    with writer(folder) as trace:
        trace.add_tensor("x", np.ones((3, 8), np.float32))
        assert message(TraceError, lambda: trace.add_op(Op("q", 3, 6, 8), a="x", w="wq")) == (
            f"{folder}: op 'q': w is tensor 'wq', which was not added"
        )
        assert message(TraceError, lambda: trace.add_tensor("x", np.ones((3, 8), np.float32))) == (
            f"{folder}: tensor 'x' is added twice; share it by name instead"
        )
        trace.add_op(Op("xx", 3, 3, 8), a="x", w="x")
        assert message(TraceError, lambda: trace.add_op(Op("xx", 3, 3, 8), a="x", w="x")) == (
            f"{folder}: op 'xx' is added twice"
        )
    assert open_trace(folder).ops == (Op("xx", 3, 3, 8),)


BAD_SHAPES = [
    ({"K": 0}, "op 'q': K must be a positive integer, got 0"),
    ({"M": 2.0}, "op 'q': M must be a positive integer, got 2.0"),
    ({"N": True}, "op 'q': N must be a positive integer, got True"),
    ({"count": -1}, "op 'q': count must be a positive integer, got -1"),
    ({"kind": "gemv"}, "op 'q': kind must be one of linear, bmm, conv, got 'gemv'"),
    ({"name": ""}, "an op's name must be a non-empty string, got ''"),
]


@pytest.mark.parametrize(("fields", "complaint"), BAD_SHAPES)
def test_an_op_is_checked(fields: dict[str, Any], complaint: str) -> None:
    good = {"name": "q", "M": 3, "N": 6, "K": 8}
    assert message(WorkloadError, lambda: Op(**(good | fields))) == complaint


def test_macs() -> None:
    assert Op("qk", 3, 5, 4, 2, "bmm").macs == 120
