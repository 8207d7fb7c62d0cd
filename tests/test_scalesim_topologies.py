"""SCALE-Sim topologies as workloads: its rules, every form its own files have, wrong rows, and any text at all."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator.errors import ImportNote, OlivineError
from simulator.study.workloads import resolve_workload
from tests.naive_scalesim import conv_gemms

CONV = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"
GEMM = "Layer, M, N, K,"
BENCHMARKS = Path(__file__).parents[1] / "benchmarks" / "data"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "scalesim"
NAMES = st.text("abcDPxyz_/'019 -", min_size=1, max_size=8).filter(
    lambda name: name.strip() and not name.strip().isdigit()
)
SIZES = st.integers(1, 300)


@st.composite
def conv_rows(draw):
    reach = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    size = [draw(st.integers(least, least + 40)) for least in reach]
    return [draw(NAMES).strip(), *size, *reach, draw(SIZES), draw(SIZES), draw(st.integers(1, 5))]


@st.composite
def texts(draw, header, rows):
    """A topology as SCALE-Sim reads it, or in a form that only its own files have."""
    mark = draw(st.sampled_from([",", ",", "\t", ";"]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines = [mark.join(cell.strip() for cell in header.rstrip(",").split(",")) + draw(st.sampled_from(["", mark]))]
    for row in rows:
        lines += draw(st.lists(st.sampled_from(["", mark * 8, "  ", "# 1,2,3"]), max_size=2))
        pad, before = draw(st.sampled_from(["", " "])), draw(st.sampled_from(["", " ", "\t" if mark == "," else " "]))
        after = draw(st.sampled_from(["", mark, mark + " ", mark + "#dw", mark * 3]))
        lines.append(before + (pad + mark + pad).join(map(str, row)) + after)
    return draw(st.sampled_from(["", "\ufeff"])) + end.join(lines) + draw(st.sampled_from(["", end]))


def written(folder, text, name="net.csv"):
    path = folder / name
    path.write_bytes(text.encode())
    return path


def shapes(path):
    return [(op.name, op.M, op.N, op.K, op.count) for op in resolve_workload(path).ops]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("topologies")


@settings(max_examples=150, deadline=None)
@given(data=st.data(), rows=st.lists(conv_rows(), min_size=1, max_size=4))
def test_convolutions_mean_what_scalesim_means(folder, data, rows):
    found = shapes(written(folder, data.draw(texts(CONV, rows))))
    expected = []
    for row in rows:
        gemms = conv_gemms(*row, row[-1])
        expected.append((row[0], *gemms[0], len(gemms)))
    assert found == expected


@settings(max_examples=100, deadline=None)
@given(data=st.data(), rows=st.lists(st.tuples(NAMES.map(str.strip), SIZES, SIZES, SIZES), min_size=1, max_size=4))
def test_gemms_are_m_n_k(folder, data, rows):
    header = data.draw(st.sampled_from([GEMM, "Layer Name,M,N,K", "layer,m,n,k,", "Whatever,"]))
    found = shapes(written(folder, data.draw(texts(header, rows))))
    assert found == [(*row, 1) for row in rows]


@pytest.mark.parametrize("network", ["alexnet", "resnet18", "partial_windows"])
def test_a_file_that_scalesim_ran_has_the_shapes_that_it_ran(network):
    recorded = [row for row in recorded_rows() if row["set"] == network and row["dataflow"] == "os"]
    expected = {tuple(int(row[field]) for field in "MNK"): 0 for row in recorded}
    for row in recorded:
        expected[tuple(int(row[field]) for field in "MNK")] += int(row["count"])
    found = dict.fromkeys(expected, 0)
    for _, *shape, count in shapes(BENCHMARKS / f"{network}.csv"):
        found[tuple(shape)] += count
    assert found == expected


def recorded_rows():
    with (Path(__file__).parent / "data" / "scalesim_3_0_0.csv").open() as lines:
        next(lines)
        return list(csv.DictReader(lines))


FORMS = {  # what files of SCALE-Sim's repositories hold, each in a few made-up rows: text, notes, shapes
    "no last comma": (f"{CONV}\na,6,6,3,3,2,4,1\n", [], [("a", 16, 4, 18, 1)]),
    "header without last comma": (f"{CONV[:-1]}\na,6,6,3,3,2,4,1", [], [("a", 16, 4, 18, 1)]),
    "partial last window": (f"{CONV}\na,6,7,3,3,2,4,2,\n", [], [("a", 9, 4, 18, 1)]),
    "not square": (f"{CONV}\na,20,9,5,3,1,4,2,\n", [], [("a", 36, 4, 15, 1)]),
    "titles": (
        f"{CONV}\n\nNet A (one),\nfc,1,1,1,1,8,3,1,\n\nNet B\nfc,1,1,1,1,9,3,1,\n",
        ["line 3, 'Net A (one)', has no numbers*", "line 6, 'Net B', has no numbers*"],
        [("Net A (one)/fc", 1, 3, 8, 1), ("Net B/fc", 1, 3, 9, 1)],
    ),
    "columns of a spreadsheet": (
        f"{CONV},,Eh,Ew,e2\n,,,,,,,,,,,,\na,8,8,1,1,2,4,1,,,8,8,64\nb,8,8,1,1,2,4,1,,,,,\n",
        ["unknown columns are ignored: Eh (1 row), Ew (1 row), e2 (1 row)"],
        [("a", 64, 4, 2, 1), ("b", 64, 4, 2, 1)],
    ),
    "a target per layer": (
        f"{CONV} Target\na,4,4,1,1,2,4,1, NPU\n",
        ["unknown columns are ignored: Target (1 row)"],
        [("a", 16, 4, 2, 1)],
    ),
    "text without a header": (
        f"{CONV}, Target\na,4,4,1,1,2,4,1, NPU\n",
        ["unknown columns are ignored: number 9 (1 row)"],
        [("a", 16, 4, 2, 1)],
    ),
    "comments": (f"{CONV}\na,4,4,1,1,2,4,1,#dw\n# b\n", [], [("a", 16, 4, 2, 1)]),
    "depthwise": (f"{CONV}\naDP1,4,4,3,3,5,1,1,\n", [], [("aDP1", 4, 1, 9, 5)]),
    "a batch": (f"{CONV[:-1]}, Batch Size,\na,4,4,1,1,2,4,1,3,\n", [], [("a", 48, 4, 2, 1)]),
    "a batch column without values": (f"{CONV[:-1]},batch size,\na,4,4,1,1,2,4,1,\n", [], [("a", 16, 4, 2, 1)]),
    "two strides by header": (
        f"{CONV.replace('Strides', 'Stride height,Stride width')}\na,5,5,1,1,2,4,1,2,\n", [], [("a", 15, 4, 2, 1)],
    ),
    "two strides as in version 2": (f"{CONV}\na,5,5,1,1,2,4,1,2,\n", [], [("a", 15, 4, 2, 1)]),
    "sparse": (
        f"{CONV[:-1]},Sparsity\na,4,4,1,1,2,4,1,1:4,\nb,4,4,1,1,2,4,1,4:4\nc,4,4,1,1,2,4,1,1\n",
        ["sparsity is ignored (a 1:4): no datapath here skips zeros, these layers run dense"],
        [("a", 16, 4, 2, 1), ("b", 16, 4, 2, 1), ("c", 16, 4, 2, 1)],
    ),
    "sparse GEMMs": (
        f"{GEMM}Sparsity,\na,3,5,16,3:4,\na,1,5,16,\n",
        ["sparsity is ignored (a 3:4): no datapath here skips zeros, these layers run dense"],
        [("a", 3, 5, 16, 1), ("a", 1, 5, 16, 1)],
    ),
    "batched GEMMs": (f"{GEMM}\nqk,3,5,16,12,\npv,3,5,16,4:4,8\n", [], [("qk", 3, 5, 16, 12), ("pv", 3, 5, 16, 8)]),
    "a column named like a layer": ("Layer,M,N,K,FFN_up,\nFFN_up,3,5,16,\n", [], [("FFN_up", 3, 5, 16, 1)]),
    "numbers as names": ("Layer,M,N,K\n1,3,5,16\n", [], [("1", 3, 5, 16, 1)]),
    "no name": (f"{GEMM}\n,3,5,16,\n", [], [("line 2", 3, 5, 16, 1)]),
    "odd header": (
        "Layer, IFMAP Width, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
        "a,755,512,1,512,1,883,1,\n", [], [("a", 755, 883, 512, 1)],
    ),
    "lower-case header": (
        "Layer name,Ifmap height,ifmap width,filter height,filter width,channels,num filters,strides,\n"
        "Embedding/Pooling,128,16,1,16,1,24,1,\n", [], [("Embedding/Pooling", 128, 24, 16, 1)],
    ),
    "two files in one": (f"{GEMM}\na,1,2,3,\n{GEMM}\nb,1,2,3,\n", [], [("a", 1, 2, 3, 1), ("b", 1, 2, 3, 1)]),
    "no header": (
        "a,1,2,3\nb,4,5,6\n",
        ["line 1 is a layer, not a header: it is read, SCALE-Sim skips it"],
        [("a", 1, 2, 3, 1), ("b", 4, 5, 6, 1)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_its_own_files(form, tmp_path):
    text, notes, expected = FORMS[form]
    assert noted(written(tmp_path, text), notes) == expected


def noted(path, notes):
    """Shapes of a file that gives these notes and no others."""
    if not notes:
        return shapes(path)  # a warning is an error in tests
    with pytest.warns(ImportNote) as caught:
        found = shapes(path)
    assert len(caught) == len(notes)
    for warning, note in zip(caught, notes, strict=True):
        text = str(warning.message)
        assert text.startswith(f"{path}: ")
        assert note.rstrip("*") in text
    return found


WRONG = {  # text, complaint behind the file's name
    "letters": (f"{CONV}\n\na,6,6,3,3,x y,4,1,\n", ":3: Channels: found 'x y', expected a whole number"),
    "empty cell": (f"{CONV}\na,6,6,3,,2,4,1,\n", ":2: Filter Width: missing"),
    "cells that slipped": (f"{CONV}\nFC, 1, 1, 1, ,1 2, 2, 1,\n", ":2: Filter Width: missing"),
    "too few": (f"{CONV}\na,6,6,3,3,2,\n", ":2: Num Filter: missing"),
    "zero": (f"{CONV}\na,6,6,3,3,2,0,1,\n", ":2: Num Filter: must be from 1 to 2147483647, found 0"),
    "negative": (f"{GEMM}\na,-6,6,3,\n", ":2: M: found '-6', expected a whole number"),
    "a fraction": (f"{GEMM}\na,6.5,6,3,\n", ":2: M: found '6.5', expected a whole number"),
    "huge": (f"{GEMM}\na,99999999999,6,3,\n", ":2: M: must be from 1 to 2147483647, found 99999999999"),
    "beyond the map": (
        f"{CONV}\na,6,6,7,3,2,4,1,\n",
        ":2: Filter Height: 7 is more than IFMAP Height, 6, which has to include the padding",
    ),
    "a template": (
        f"{CONV}\nLSTM_igate_h, 1, B, 1, 1, H, H, 1,\n",
        ":2: IFMAP Width: 'B' is no number; give it one: olivine import --dim B=1, or dims: {B: 1} beside extends",
    ),
    "ratio": (
        f"{GEMM}Sparsity\na,1,2,3,4:2\n",
        ":2: Sparsity: found '4:2', expected N:M, at least 1 and at most M of M weights, as in 2:4",
    ),
    "a batch in words": (
        f"{GEMM}Batch\na,1,2,3,four\n", ":2: Batch: found 'four', expected a whole number of at least 1",
    ),
    "another order": (
        "Layer,M,K,N\na,1,2,3\n",
        ":1: the header says M, K, N, but SCALE-Sim reads the columns as M, N, K; put them in that order",
    ),
    "a column before them": (
        "Layer,Batch,M,N,K\na,4,1,2,3\n",
        ":1: the header says Batch, M, N, K, but SCALE-Sim reads the columns as M, N, K; put them in that order",
    ),
    "a layout": (
        "Layer name, IFMAP Height Intraline Factor, IFMAP Width Intraline Factor,\na,2,2,1,1,\n",
        ":1: a SCALE-Sim layout, not a topology; layouts have no counterpart here",
    ),
    "spaces alone": (f"{GEMM}\na 1 2 3\n", ":2: no commas; a row is: name, M, N, K"),
    "nothing": ("\n \n,,,\n", ": the file is empty"),
    "a header alone": (f"{GEMM}\n\n", ": no layers; a row is: name, M, N, K"),
    "a report of its": (
        "LayerID, Total Cycles, Stall Cycles, Overall Util %,\n0, 1251.0, 0.0, 91.3,\n",
        ":2: M: found '1251.0', expected a whole number",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line_with_its_place(case, tmp_path):
    text, message = WRONG[case]
    path = written(tmp_path, text)
    with pytest.raises(OlivineError) as caught:
        sim.load_workload(path)
    assert str(caught.value) == f"{path}{message}"


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "net.csv"
    path.write_bytes(f"{GEMM}\na\xff,1,2,3\n".encode("latin-1"))
    with pytest.raises(OlivineError, match=r"net\.csv:2: not UTF-8 text"):
        sim.load_workload(path)


@settings(max_examples=300, deadline=None)
@given(
    text=st.one_of(
        st.text(max_size=80),
        st.text("a1,:\n\t #;\r\"-.", max_size=80).map(lambda tail: f"{CONV}\n{tail}"),
        st.text("a1,:\n", max_size=40).map(lambda tail: f"{GEMM}\na,{tail}"),
        st.lists(st.sampled_from(["1", "3", "a", "", "2:4", "0", "1e9", "#x", "DP", "²"]), max_size=12).map(
            lambda cells: f"{CONV}\nx,{','.join(cells)}\n"
        ),
    )
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::simulator.errors.ImportNote")
def test_any_text_is_a_workload_or_one_line(folder, text):
    path = folder / "fuzz.csv"
    path.write_bytes(text.encode(errors="surrogatepass"))
    try:
        assert all(op.macs > 0 for op in resolve_workload(path).ops)
    except OlivineError as error:
        complaint = str(error)
    else:
        complaint = str(path)
    assert complaint.startswith(str(path))
    assert len(complaint.splitlines()) == 1


def test_names_that_stand_for_numbers_get_them(tmp_path):
    path = written(tmp_path, f"{CONV}\ngate, 1, B, 1, 1, H, H, 1,\n")
    spec = {"name": "lstm", "extends": str(path)}
    (op,) = resolve_workload(spec | {"dims": {"B": 4, "H": 256}}).ops
    assert (op.M, op.N, op.K) == (4, 256, 256)
    for dims, message in [
        ({"B": 4}, r"net\.csv:2: Channels: 'H' is no number"),
        ({"B": 4, "H": 2, "D": 3}, r"net\.csv: dims: no size is named 'D'; named sizes: B, H"),
        ({"B": 0}, r"<workload>: dims\.B: must be a whole number from 1 to 2147483647, found number 0"),
        ({"B": 10**25}, r"<workload>: dims\.B: must be a whole number from 1 to 2147483647, found number 10+"),
        ([3], r"<workload>: dims: expected a mapping of names to numbers, found list \[3\]"),
    ]:
        with pytest.raises(OlivineError, match=message):
            resolve_workload(spec | {"dims": dims})
    with pytest.raises(OlivineError, match="dims: goes with extends: a file whose sizes have names"):
        resolve_workload({"name": "x", "extends": "bert_base", "dims": {"B": 4}})


@pytest.mark.filterwarnings("ignore::simulator.errors.ImportNote")
@pytest.mark.parametrize("name", ["Resnet50", "UNet_maestro", "alexnet", "gpt2", "llama3b", "mobilenet"])
def test_the_samples(name):
    path = SHARED / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    rows = [re.split("[,\t]", line) for line in path.read_text().splitlines()[1:] if re.search("[0-9]", line)]
    sizes = [[int(cell) for cell in row[1 : 4 if name == "gpt2" else 8]] for row in rows]
    gemms = [tuple(row) if name == "gpt2" else conv_gemms("", *row, row[-1])[0] for row in sizes]
    assert [op[1:4] for op in shapes(path)] == gemms
    assert (
        len(gemms)
        == {"Resnet50": 54, "UNet_maestro": 23, "alexnet": 5, "gpt2": 6, "llama3b": 51, "mobilenet": 27}[name]
    )
