"""Traces that somebody else made: truncated, corrupted, foreign and hostile ones are refused in one line, at once."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator import cli
from simulator.errors import TraceError
from simulator.tracing import open_trace
from simulator.tracing.manifest import MANIFEST_BYTES
from simulator.tracing.weights import weight_files
from tests.test_trace_store import SHARD, edit_manifest, message, repin, tensors, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "toy")
    return tmp_path / "toy"


def refusal(folder: Path) -> str:
    """What opening says, by the library and by the command, which ends with 2 and prints nothing else."""
    complaint = message(TraceError, lambda: open_trace(folder))
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        assert cli.main(["trace", str(folder), "--info"]) == 2
    assert (out.getvalue(), err.getvalue().count("\n")) == ("", 1)
    return complaint


def with_header(folder: Path, header: Any, data: bytes = b"\0" * 368, length: int | None = None) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / SHARD).write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    repin(folder)


def header_of(folder: Path) -> dict[str, Any]:
    raw = (folder / SHARD).read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + size])


def changed(name: str, **fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda header: header | {name: header[name] | fields}


HEADERS = {
    "a header of 8 EiB": lambda header: (b"{}", 2**63 - 1),
    "a header longer than the file": lambda header: (b"{}", 10_000),
    "an empty header": lambda header: (b"", 0),
    "no JSON": lambda header: (b"\xff" * 64, None),
    "deep nesting": lambda header: (b'{"x":' * 50_000, None),
    "no object": lambda header: ([1, 2], None),
    "negative shape": lambda header: (changed("x", shape=[-3, -8])(header), None),
    "fractional shape": lambda header: (changed("x", shape=[1.5, 16])(header), None),
    "a shape whose product overflows": lambda header: (changed("x", shape=[2**62, 2**62])(header), None),
    "offsets that overlap": lambda header: (changed("x", data_offsets=[8, 56])(header), None),
    "offsets beyond the end": lambda header: (changed("x", data_offsets=[2**40, 2**40 + 48])(header), None),
    "offsets in the wrong order": lambda header: (changed("x", data_offsets=[48, 0])(header), None),
    "an unknown type": lambda header: (changed("x", dtype="OBJECT")(header), None),
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_shard_whose_header_lies(folder: Path, what: str) -> None:
    header, length = HEADERS[what](header_of(folder))
    with_header(folder, header, length=length)
    complaint = message(TraceError, lambda: open_trace(folder))
    assert complaint.startswith(f"{folder / SHARD}: not a readable safetensors file: ")


def test_every_truncation_is_refused(folder: Path) -> None:
    """Wherever a shard is cut, with a manifest that pins the shorter file."""
    raw = (folder / SHARD).read_bytes()
    for size in [*range(0, 64), *range(64, len(raw), 41)]:
        (folder / SHARD).write_bytes(raw[:size])
        repin(folder)
        assert str(folder / SHARD) in message(TraceError, lambda: open_trace(folder))
    manifest = (folder / "manifest.json").read_bytes()
    for size in range(0, len(manifest) - 1, 97):
        (folder / "manifest.json").write_bytes(manifest[:size])
        assert message(TraceError, lambda: open_trace(folder)).startswith(f"{folder / 'manifest.json'}: not JSON")


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\x80\x02}q\x00.", b"\x80\x04\x95"])
def test_a_pickle_is_named_and_never_opened(folder: Path, start: bytes) -> None:
    (folder / SHARD).write_bytes(start + bytes(100))
    repin(folder)
    assert refusal(folder) == (
        f"{folder / SHARD}: not a readable safetensors file: it begins like a pickle (.pt, .pth), which can run code "
        "and is never opened; convert it to safetensors"
    )


class Bomb:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def test_nothing_unpickles(folder: Path, tmp_path: Path) -> None:
    """A pickle as shard, as manifest, as weight file and as image, none of which is run."""
    import pickle

    bomb = pickle.dumps(Bomb(tmp_path / "boom"))
    np.save(tmp_path / "image.npy", np.array([Bomb(tmp_path / "boom")], object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("archive/data.pkl", bomb)
    for path in (folder / SHARD, folder / "manifest.json"):
        path.write_bytes(bomb)
        message(TraceError, lambda: open_trace(folder))
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "bert"}')
    (model / "pytorch_model.bin").write_bytes(bomb)
    for arguments in (
        ["trace", str(model), "--out", str(tmp_path / "x")],
        ["trace", str(tmp_path / "model.pt"), "--info"],
        ["trace", str(tmp_path / "model.pt"), "--out", str(tmp_path / "x")],
    ):
        assert cli.main(arguments) == 2
    from simulator.tracing.images import read_image

    with pytest.raises(TraceError, match=r"not a readable \.npy file of numbers"):
        read_image(tmp_path / "image.npy", None, (0.0,) * 3, (1.0,) * 3)
    assert not (tmp_path / "boom").exists()


def test_weights_that_are_pickles_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")
    from simulator.tracing.source import find_model

    assert message(TraceError, lambda: find_model(str(tmp_path))) == (
        f"{tmp_path}: not a model folder: model.safetensors missing; pytorch_model.bin may be a pickle, which is never "
        "opened: convert it to safetensors"
    )


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", ".hidden", 7, None])
def test_an_index_of_weights_stays_in_its_folder(tmp_path: Path, name: Any) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": name}}))
    assert message(TraceError, lambda: weight_files(tmp_path)) == (
        f"{index}: weight_map names {name!r}, which is no safetensors file of this folder"
    )


@pytest.mark.parametrize("name", ["manifest.json", SHARD])
def test_links_out_of_the_folder_are_not_followed(folder: Path, tmp_path: Path, name: str) -> None:
    moved = tmp_path / "elsewhere"
    (folder / name).rename(moved)
    (folder / name).symlink_to(moved)
    assert refusal(folder) == (
        f"{folder / name}: is a link to outside the trace's folder, which is not followed; copy the file there"
    )
    (folder / name).unlink()
    (folder / name).symlink_to(folder / "here")
    moved.rename(folder / "here")
    open_trace(folder).verify_checksums()


def test_a_link_to_the_folder_itself_is_a_name_for_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(folder)
    assert open_trace(tmp_path / "alias").load("q")[0].shape == (1, 3, 8)


@pytest.mark.parametrize("name", ["manifest.json", SHARD])
def test_pipes_and_folders_are_no_files(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert refusal(folder) == f"{folder / name}: is no plain file"
    (folder / name).unlink()
    (folder / name).mkdir()
    assert refusal(folder) == f"{folder / name}: is no plain file"


def test_a_link_that_is_made_after_opening(folder: Path, tmp_path: Path) -> None:
    trace = open_trace(folder)
    (folder / SHARD).rename(tmp_path / "elsewhere")
    (folder / SHARD).symlink_to(tmp_path / "elsewhere")
    for action in (lambda: trace.load("q"), trace.verify_checksums, lambda: trace.stored("q", "w")):
        assert "is a link to outside the trace's folder" in message(TraceError, action)


def test_a_manifest_of_any_size_is_not_read(folder: Path) -> None:
    with (folder / "manifest.json").open("r+b") as file:
        file.truncate(10 * MANIFEST_BYTES)
    assert refusal(folder) == (
        f"{folder / 'manifest.json'}: is larger than {MANIFEST_BYTES} bytes, which no manifest is"
    )


RAW_MANIFESTS = {
    "deep nesting": b"[" * 200_000,
    "a number of 5,000 digits": b'{"version": ' + b"9" * 5000 + b"}",
    "not UTF-8": b'{"format": "\xff"}',
    "zeros": bytes(1000),
}


@pytest.mark.parametrize("what", RAW_MANIFESTS)
def test_a_manifest_that_is_not_json(folder: Path, what: str) -> None:
    (folder / "manifest.json").write_bytes(RAW_MANIFESTS[what])
    assert message(TraceError, lambda: open_trace(folder)).startswith(f"{folder / 'manifest.json'}: ")


TRICKS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda m: m["shards"][0].update(file="../toy/tensors-000.safetensors"), "shards.0.file: String should match"),
    (lambda m: m["shards"][0].update(file="/etc/passwd"), "shards.0.file: String should match"),
    (lambda m: m["shards"][0].update(file="a\x00b"), "shards.0.file: String should match"),
    (lambda m: m["shards"].append(m["shards"][0]), f"shard '{SHARD}' is listed 2 times"),
    (lambda m: m["ops"][0].update(name="\x1b[2J"), "ops.0.name: String should match"),
    (lambda m: m["ops"][0].update(name="q\nolivine: all is well"), "ops.0.name: String should match"),
    (lambda m: m["ops"][0].update(name="q" * 1001), "ops.0.name: String should have at most 1000 characters"),
    (lambda m: m["ops"][0]["a"].update(tensor="\x07"), "ops.0.a.tensor: String should match"),
    (lambda m: m["ops"][0].update(M=-3), "ops.0.M: Input should be greater than 0"),
    (lambda m: m["ops"][0].update(M=True), "ops.0.M: Input should be a valid integer"),
    (lambda m: m["ops"][0].update(M=10**30), f"tensor 'x': shape is [3, 8], but a of op 'q' is [M,K] = [{10**30}, 8]"),
    (lambda m: m["ops"][0]["stats"]["a"].update(sigma=float("nan")), "ops.0.stats.a.sigma: Input should be a finite"),
    (lambda m: m["ops"][0]["stats"]["a"].update(pairs=[1, -1, 0]), "ops.0.stats.a.pairs.1: Input should be greater"),
    (lambda m: m["ops"][0]["a"].update(rows_kept=4), "op 'q': 4 rows of a kept, it has 3"),
    (lambda m: m["ops"][0]["a"].update(rows_kept=2), "tensor 'x': shape is [3, 8], but a of op 'q' is [M,K] = [2, 8]"),
    (lambda m: m["ops"][0]["a"].update(dtype="object"), "ops.0.a.dtype: Input should be 'float16'"),
    (lambda m: m["shards"][0].update(bytes=-1), "shards.0.bytes: Input should be greater than or equal to 0"),
    (lambda m: m["shards"][0].update(sha256="0" * 63 + "g"), "shards.0.sha256: String should match"),
]


@pytest.mark.parametrize(("change", "complaint"), TRICKS, ids=[text[:40] for _, text in TRICKS])
def test_a_manifest_with_tricks(folder: Path, change: Callable[[dict[str, Any]], object], complaint: str) -> None:
    edit_manifest(folder, change)
    assert complaint in message(TraceError, lambda: open_trace(folder))


def test_foreign_files_and_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("a text")
    (tmp_path / "weights.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    for name in ("empty", "text.txt", "weights.safetensors", "absent"):
        assert cli.main(["trace", str(tmp_path / name), "--info"]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert name in err


def test_a_bit_that_flips_anywhere_is_found(folder: Path) -> None:
    raw = (folder / SHARD).read_bytes()
    for at in range(0, len(raw), 29):
        damaged = bytearray(raw)
        damaged[at] ^= 4
        (folder / SHARD).write_bytes(damaged)
        with pytest.raises(TraceError):
            open_trace(folder).verify_checksums()


def test_many_ops_open_in_no_time(tmp_path: Path) -> None:
    """Checks are linear: 20,000 ops that share a tensor, where a quadratic one would take minutes."""
    write(tmp_path / "toy", tensors())
    edit_manifest(tmp_path / "toy", lambda m: m.update(ops=[m["ops"][0] | {"name": f"q{i}"} for i in range(20_000)]))
    trace = open_trace(tmp_path / "toy")
    assert len(trace.steps) == 20_000


PEAK = """
import resource, sys
import numpy as np
from pathlib import Path
from tests.test_trace_store import writer
from simulator.tracing import open_trace
from simulator.workload import Op
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
out = Path(sys.argv[1])
one = np.ones((500, 4000), np.float16)  # 4 MB
with writer(out.parent / "warm", shard_bytes=8_000_000) as trace:
    trace.add_tensor("x", one)
    trace.add_op(Op("x", 500, 500, 4000), a="x", w="x")
open_trace(out.parent / "warm").load("x")
before = peak()
with writer(out, shard_bytes=8_000_000) as trace:
    for i in range(30):
        trace.add_tensor(f"{i}", one)
        trace.add_op(Op(f"{i}", 500, 500, 4000), a=f"{i}", w=f"{i}")
opened = open_trace(out)
for op in opened.ops:
    opened.load(op.name)
opened.verify_checksums()
print(sum(shard.bytes for shard in opened.manifest.shards) >> 20, peak() - before)
"""


def test_memory_holds_a_shard_and_never_the_trace(tmp_path: Path) -> None:
    """120 MB out and in: the peak grows by less than a third of it. (13.4 GB took 0.85 GiB out and 0.62 GiB in.)"""
    run = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "big")], capture_output=True, text=True, check=True
    )
    stored, grown = map(int, run.stdout.split())
    assert stored > 110
    assert grown < 40
