"""SCALE-Sim configurations as designs, its recorded cycles from its own kind of files, and ``olivine import``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator.cli import main
from simulator.config import read_yaml
from simulator.config.load import from_mapping
from simulator.config.write_yaml import to_yaml
from simulator.errors import ImportNote, OlivineError
from simulator.study.workloads import resolve_workload
from tests.naive_scalesim import total_cycles

BENCHMARKS = Path(__file__).parents[1] / "benchmarks" / "data"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "scalesim"
BARE = """[architecture_presets]
ArrayHeight:    8
ArrayWidth:     16
IfmapSramSzkB:   64
FilterSramSzkB:  32
OfmapSramSzkB:   16
Dataflow : ws
"""
LAYOUT = """
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 20
IfmapSRAMBankNum: 10
FilterCustomLayout: False
FilterSRAMBankBandwidth: 30
"""
USER = "Bandwidth : 10\n[run_presets]\nInterfaceBandwidth: USER \n"


def written(folder, text, name="edge.cfg"):
    path = folder / name
    path.write_bytes(text.encode())
    return path


@pytest.fixture(scope="module")
def recorded():
    with (Path(__file__).parent / "data" / "scalesim_3_0_0.csv").open() as lines:
        next(lines)
        return list(csv.DictReader(lines))


def config(rows, cols, dataflow):
    lines = BARE.splitlines()
    lines[1:3], lines[6] = [f"ArrayHeight: {rows}", f"ArrayWidth: {cols}"], f"Dataflow: {dataflow}"
    return "\n".join(["[general]", "run_name = x", *lines, "[run_presets]", "InterfaceBandwidth: CALC"])


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
@pytest.mark.parametrize("network", ["alexnet", "resnet18", "partial_windows"])
def test_its_total_cycles_come_out_of_its_files(network, dataflow, recorded, tmp_path):
    rows = [row for row in recorded if (row["set"], row["dataflow"]) == (network, dataflow)]
    design = sim.load_design(written(tmp_path, config(128, 128, dataflow)))
    ops = resolve_workload(BENCHMARKS / f"{network}.csv").ops
    found = [sim.simulate_gemm(design, op.M, op.N, op.K).cycles["total"] * op.count for op in ops]
    assert sum(found) == sum(int(row["total_cycles"]) * int(row["count"]) for row in rows) > 0


def test_its_gemms_too(recorded, tmp_path):
    gemms = [row for row in recorded if row["set"] == "gemms"]
    for rows, cols, dataflow in sorted({(r["rows"], r["cols"], r["dataflow"]) for r in gemms}):
        own = [r for r in gemms if (r["rows"], r["cols"], r["dataflow"]) == (rows, cols, dataflow)]
        lines = [f"{r['layer']}, {r['M']}, {r['N']}, {r['K']}," for r in own]
        ops = resolve_workload(written(tmp_path, "Layer, M, N, K,\n" + "\n".join(lines), "gemms.csv")).ops
        design = sim.load_design(written(tmp_path, config(rows, cols, dataflow)))
        found = [sim.simulate_gemm(design, op.M, op.N, op.K).cycles["total"] for op in ops]
        assert found == [int(r["total_cycles"]) for r in own]


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 40), cols=st.integers(1, 40), dataflow=st.sampled_from(["os", "ws", "is"]),
    shape=st.tuples(*[st.integers(1, 200)] * 3),
)  # fmt: skip
def test_any_array_counts_as_scalesim_does(rows, cols, dataflow, shape, tmp_path_factory):
    design = sim.load_design(written(tmp_path_factory.mktemp("cfg"), config(rows, cols, dataflow)))
    assert sim.simulate_gemm(design, *shape).cycles["total"] == total_cycles(*shape, rows, cols, dataflow)


def test_every_value_of_the_file_is_in_the_design(tmp_path):
    design = sim.load_design(written(tmp_path, "[general]\nrun_name = mine\n" + BARE + LAYOUT + USER))
    array, memory = design.array, design.memory
    assert (array.rows, array.cols, array.dataflow, array.fold_overlap) == (8, 16, "ws", "scalesim")
    sizes = [getattr(memory, name).capacity_kib for name in ("act_buffer", "weight_buffer", "out_buffer")]
    assert sizes == [64, 32, 16]
    assert (memory.dram.model, memory.dram.bandwidth_gb_s * 1000 / design.clock_mhz) == ("ideal", 60)  # 20 + 30 + 10
    assert (memory.dram.latency_ns, memory.dram.burst_bytes, memory.output_bits) == (0, 1, 8)
    assert (design.datapath.name, design.datapath.options["act_bits"]) == ("int_mac", 8)
    assert (design.name, design.description) == ("edge", "SCALE-Sim configuration edge.cfg (mine)")


def test_a_slow_memory_makes_it_wait(tmp_path):
    slow = sim.load_design(written(tmp_path, BARE + USER.replace("10", "1")))
    free = sim.load_design(written(tmp_path, BARE, "free.cfg"))
    waits, runs = (sim.simulate_gemm(design, 64, 64, 64).cycles for design in (slow, free))
    assert waits["total"] > runs["total"] == runs["compute"]


def test_sizes_that_no_macro_has(tmp_path):
    """Larger ones are made of equal banks; smaller ones become the smallest, and say so."""
    path = written(
        tmp_path, BARE.replace("64", "6144").replace("32", "16384").replace("OfmapSramSzkB:   16", "OfmapSramSzkB:   4")
    )
    design = noted(path, ["OfmapSramSzkB 4: 8 KiB are taken, the least that has a price"])
    pads = design.memory.act_buffer, design.memory.weight_buffer, design.memory.out_buffer
    assert [(pad.capacity_kib, pad.banks) for pad in pads] == [(6144, 2), (16384, 4), (8, 1)]
    assert sim.simulate_gemm(design, 64, 64, 64).area_um2["total"] > 0


FORMS = {  # text, notes, dataflow, words per cycle (None: no limit)
    "version 1": (BARE.replace("kB", "").replace("Dataflow : ws", 'Dataflow: "is"'), [], "is", None),
    "the first of all": (
        BARE.replace("Dataflow : ws\n", "") + '[network_presets]\nTopologyCsvLoc: "./topologies/yolo_tiny.csv"\n',
        ["no Dataflow: os*", "TopologyCsvLoc ./topologies/yolo_tiny.csv is ignored*"], "os", None,
    ),
    "version 2": (BARE + USER, [], "ws", 30),
    "layout keys among the others": (
        BARE + "IfmapCustomLayout: True\nIfmapSRAMBankBandwidth: 64\nFilterSRAMBankBandwidth: 640\n" + USER,
        ["IfmapCustomLayout is ignored*"], "ws", 714,
    ),
    "version 3": (BARE + "MemoryBanks: 1\nReadRequestBuffer: 32\n" + LAYOUT + USER, [], "ws", 60),
    "comments": ("# one\n; two: 3\n" + BARE.replace("8\n", "8   # rows\n", 1), [], "ws", None),
    "keys of one case, CRLF, BOM": ("\\ufeff" + BARE.lower().replace("\n", "\r\n"), [], "ws", None),
    "equals signs": (BARE.replace(":", " = "), [], "ws", None),
    "several bandwidths": (
        BARE + USER.replace("10", "10, 20,30"), ["of Bandwidth 10, 20,30 the first counts*"], "ws", 30,
    ),
    "an upper-case dataflow": (
        BARE.replace("ws", "WS"), ["Dataflow 'WS' is read as ws; SCALE-Sim runs os where it is not lower case"],
        "ws", None,
    ),
    "sparsity": (BARE + "[sparsity]\nSparsitySupport : true\n", ["SparsitySupport is ignored*"], "ws", None),
    "sparsity off": (BARE + "[sparsity]\nSparsitySupport : false\nSparseRep : csr\n", [], "ws", None),
    "Ramulator": (BARE + "[run_presets]\nUseRamulatorTrace: True\n", ["UseRamulatorTrace is ignored*"], "ws", None),
    "keys of a fork": (
        BARE + "[run_presets]\nTimeLinearModel: TPUv4\n[gpu]\nTensorCores: 32\n",
        ["TimeLinearModel TPUv4 is ignored*", "unknown key ignored: TensorCores"], "ws", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_its_own_files(form, tmp_path):
    text, notes, dataflow, words = FORMS[form]
    path = written(tmp_path, text.replace("\\ufeff", "\ufeff"))
    design = noted(path, notes)
    assert (design.array.rows, design.array.cols, design.array.dataflow) == (8, 16, dataflow)
    assert design.memory.act_buffer.capacity_kib == 64
    if words is None:
        assert design.memory.dram.model == "none"
    else:
        assert design.memory.dram.bandwidth_gb_s * 1000 / design.clock_mhz == words
    for note in notes:
        assert note.rstrip("*") in design.description


def noted(path, notes):
    if not notes:
        return sim.load_design(path)  # a warning is an error in tests
    with pytest.warns(ImportNote) as caught:
        design = sim.load_design(path)
    assert len(caught) == len(notes)
    assert all(note.rstrip("*") in str(warning.message) for warning, note in zip(caught, notes, strict=True))
    return design


@pytest.mark.filterwarnings("ignore::simulator.errors.ImportNote")
@pytest.mark.parametrize("name", ["eyeriss", "google", "scale", "sparsity"])
def test_the_samples(name):
    path = SHARED / f"{name}.cfg"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    expected = {"eyeriss": (12, 14, "ws"), "google": (256, 256, "os"), "scale": (32, 32, "ws")}
    array = sim.load_design(path).array
    assert (array.rows, array.cols, array.dataflow) == expected.get(name, (128, 128, "ws"))


WRONG = {
    "letters": (BARE.replace("8\n", "eight\n", 1), ":2: ArrayHeight: found 'eight', expected a whole number from 1*"),
    "zero": (BARE.replace("64", "0"), ":4: IfmapSramSzkB: found '0', expected a whole number from 1*"),
    "no value": (BARE.replace("16\n", "\n", 1), ":3: ArrayWidth: found nothing, expected a whole number*"),
    "a side too long": (BARE.replace("8\n", "70000\n", 1), ":2: array.rows: must be less than or equal to 65536*"),
    "a dataflow": (BARE.replace("ws", "rs"), ":7: Dataflow: found 'rs', expected one of os, ws, is*"),
    "a mode": (
        BARE + "[run_presets]\nInterfaceBandwidth: CALK\n",
        ":9: InterfaceBandwidth: found 'CALK', expected one of CALC, USER; did you mean 'CALC'?",
    ),
    "user without a rate": (
        BARE + "[run_presets]\nInterfaceBandwidth: USER\n", ": Bandwidth: missing from this SCALE-Sim configuration*",
    ),
    "a misspelt key": (
        BARE.replace("ArrayHeight", "ArrayHieght"), ": ArrayHeight: missing*; did you mean 'arrayhieght'?",
    ),
    "twice": (BARE + "dataflow: os\n", ":8: dataflow: given twice; the first is on line 7"),
    "neither": (BARE + "what is this\n", ":8: expected KEY: VALUE or [[]section], found 'what is this'"),
    "another tool's": ("standard = DDR3\nchannels = 1\n", ": ArrayHeight: missing from this SCALE-Sim configuration"),
    "nothing": ("", ": ArrayHeight: missing from this SCALE-Sim configuration"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line_with_its_place(case, tmp_path):
    from fnmatch import fnmatchcase

    text, message = WRONG[case]
    path = written(tmp_path, text)
    with pytest.raises(OlivineError) as caught:
        sim.load_design(path)
    assert fnmatchcase(str(caught.value), f"{path}{message}")


@settings(max_examples=200, deadline=None)
@given(
    text=st.one_of(
        st.text(max_size=60),
        st.text("aA1:=#[]\n\r ,;", max_size=60).map(lambda tail: BARE + tail),
        st.tuples(st.sampled_from(BARE.splitlines()), st.text(max_size=12)).map(
            lambda change: BARE.replace(change[0], change[0] + change[1])
        ),
    )
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::simulator.errors.ImportNote")
def test_any_text_is_a_design_or_one_line(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "fuzz.cfg"
    path.write_bytes(text.encode(errors="surrogatepass"))
    try:
        assert sim.load_design(path).array.rows >= 1
    except OlivineError as error:
        complaint = str(error)
    else:
        complaint = str(path)
    assert complaint.startswith(str(path))
    assert len(complaint.splitlines()) == 1


# YAML and the command line


@settings(max_examples=200, deadline=None)
@given(
    name=st.text(min_size=1, max_size=12),
    value=st.one_of(st.text(max_size=12), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.none()),
)
def test_what_is_written_is_read_back(name, value, tmp_path_factory):
    try:
        data = from_mapping({"a": {"b": value}, "rows": [{"name": name, "K": [1, 2]}], "empty": [], "no": {}}).data
    except OlivineError:
        return  # text that is not valid Unicode
    path = tmp_path_factory.getbasetemp() / "written.yaml"
    path.write_text(to_yaml(data, {("a", "b"): "x.cfg:1, A", ("rows", 0): "x.csv:2"}, "head\nof it"), encoding="utf-8")
    assert read_yaml(path).data == data


def test_import_writes_what_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, BARE + "[sparsity]\nSparsitySupport : true\n")
    written(tmp_path, "Layer,M,N,K,\nqk,B,4,5,\n", "edge.csv")
    assert main(["import", "edge.cfg", "edge.csv", "--dim", "B=7", "--out", "mine"]) == 0
    out, err = capsys.readouterr()
    assert [line.split() for line in out.splitlines()] == [
        ["design", "mine/edge.design.yaml"], ["workload", "mine/edge.workload.yaml"], ["study", "mine/study.yaml"],
    ]  # fmt: skip
    assert err.startswith("olivine: note: edge: SparsitySupport is ignored")
    assert "rows: 8  # edge.cfg:2, ArrayHeight" in Path("mine/edge.design.yaml").read_text()
    assert "# edge.csv:2" in Path("mine/edge.workload.yaml").read_text()
    assert main(["run", "mine/study.yaml", "--out", "run", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert (row["total_cycles"], row["macs"]) == (total_cycles(7, 4, 5, 8, 16, "ws"), 7 * 4 * 5)
    before = {path: path.read_bytes() for path in Path("mine").iterdir()}
    assert main(["import", "edge.cfg", "edge.csv", "--dim", "B=8", "--out", "mine"]) == 2
    assert "already exists; choose another --out, or replace it with --force" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path("mine").iterdir()} == before
    assert main(["import", "edge.csv", "--dim", "B=8", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["imported"]
    assert (record["kind"], record["file"], record["notes"]) == ("workload", None, [])
    assert "M: 8" in record["yaml"]


def test_a_path_will_do_wherever_a_name_does(tmp_path, monkeypatch, capsys):
    """In the study's own folder, as designs and workloads of a study, in ``extends``, ``gemm`` and ``show``."""
    (tmp_path / "studies").mkdir()
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "studies", BARE + USER + "UseRamulatorTrace: True\n")
    written(tmp_path / "studies", "Layer,M,N,K,Sparsity,\nqk,6,4,5,2:4,\n", "net.csv")
    study = "name: s\ndesigns: [edge.cfg, {extends: edge.cfg, name: fast, memory: {dram: {model: none}}}]\n"
    Path("studies/s.yaml").write_text(study + "workloads: [net.csv]\nsweep: {array.rows: [4, 8]}\n")
    assert main(["run", "studies/s.yaml", "--out", "run", "--json"]) == 0
    out, err = capsys.readouterr()
    rows = json.loads(out)["results"]
    assert [row["total_cycles"] for row in rows[2:]] == [total_cycles(6, 4, 5, n, 16, "ws") for n in (4, 8)]
    assert sorted(line.partition("ignored")[0] for line in err.splitlines()) == [
        "olivine: note: studies/edge.cfg: UseRamulatorTrace is ", "olivine: note: studies/net.csv: sparsity is ",
    ]  # fmt: skip
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert "sparsity is ignored (qk 2:4)" in manifest["workloads"][0]["provenance"]["source"]
    assert main(["gemm", "studies/edge.cfg", "-m", "6", "-n", "4", "-k", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["design"] == "edge"
    assert main(["show", "studies/edge.cfg"]) == 0
    assert "8 x 16" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["import", "edge.txt"], "edge.txt: nothing reads files that end like this; allowed: .cfg *"),
        (["import", "net.csv", "--kind", "cnv"], "--kind: found 'cnv'; allowed: conv, gemm; did you mean 'conv'?"),
        (["import", "net.csv", "--dim", "B"], "--dim: expected NAME=VALUE with a whole number, as in batch=1, *"),
        (["import", "net.csv", "--dim", "C=2"], "net.csv: dims: no size is named 'C'; named sizes: none"),
        (["import", "net.csv", "./net.csv"], "./net.csv: a second workload named 'net'; import one at a time"),
        (["import", "nte.csv"], "nte.csv: no such file; did you mean 'net.csv'?"),
        (["gemm", "net.csv", "-m", "1", "-n", "1", "-k", "1"], "net.csv: a SCALE-Sim topology is a workload, not *"),
        (["run", "edge.cfg"], "edge.cfg: a SCALE-Sim configuration is a design, not a study"),
        (["gemm", "nte.cfg", "-m", "1", "-n", "1", "-k", "1"], "nte.cfg: no such file; *"),
    ],
)
def test_wrong_arguments_are_one_line(args, message, tmp_path, monkeypatch, capsys):
    from fnmatch import fnmatchcase

    monkeypatch.chdir(tmp_path)
    written(tmp_path, BARE)
    written(tmp_path, "Layer,M,N,K,\nqk,6,4,5,\n", "net.csv")
    before = sorted(tmp_path.iterdir())
    assert main(args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert fnmatchcase(line, f"olivine: {message}")
    assert sorted(tmp_path.iterdir()) == before
