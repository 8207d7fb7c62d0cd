"""Counts per level and operand: those printed in docs/counts.md, and random ones, against loops over every value."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator import datapath
from simulator.cli import main
from simulator.datapath import Width
from simulator.mapping import ORDERS, ArrayShape, Blocking, OperandBits, table_of
from simulator.mapping.accesses import pad_accesses
from simulator.mapping.counting import count
from simulator.mapping.scratchpads import Memories, Pad
from simulator.workload import Op
from tests import naive_counts

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "counts.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```sh\n(olivine gemm [^\n]*)\n```\n\n```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
FIELDS = ("reads", "writes", "read_bytes", "write_bytes")


def by_place(records):
    return {(r["level"], r["operand"]): [r[field] for field in FIELDS] for r in records}


def test_the_page_works_all_three_dataflows():
    assert [re.search(r"array\.dataflow=(\w+)", command)[1] for command, _ in EXAMPLES] == ["os", "ws", "is"]


@pytest.mark.parametrize(("command", "printed"), EXAMPLES, ids=["os", "ws", "is"])
def test_the_page_prints_what_the_command_prints_and_loops_count(command, printed, capsys):
    arguments = shlex.split(command)[1:]
    assert main(arguments) == 0
    assert capsys.readouterr().out == printed
    settings = dict(pair.split("=") for pair in arguments if "=" in pair)
    block = [int(settings[f"tiling.{d}"]) for d in "mnk"]
    expected = naive_counts.counts(
        (5, 6, 7), block, settings["tiling.order"], 4, 4, settings["array.dataflow"], (64, 64, 64), 64
    )
    lines = [line.replace(",", "").split() for line in printed.splitlines()]
    assert lines[0] == ["level", "operand", *FIELDS]
    found = {(level, operand): [int(n) for n in numbers] for level, operand, *numbers in lines[1:]}
    assert found == expected


@st.composite
def cases(draw):
    dataflow = draw(st.sampled_from(["os", "ws", "is"]))
    rows, cols = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    M, N, K = (draw(st.integers(1, 11)) for _ in range(3))
    order = draw(st.sampled_from(ORDERS))
    k = min(K, rows * draw(st.integers(1, 3)))
    m, n = (draw(st.integers(1, 3)) * rows, draw(st.integers(1, 3)) * cols)
    if dataflow == "os":
        k = K if order[-1] != "k" or m > rows or n > cols else k
    elif dataflow == "ws":
        m = draw(st.integers(1, 6))
    else:
        m, n = draw(st.integers(1, 3)) * cols, draw(st.integers(1, 6))
    block = min(m, M), min(n, N), k
    pads = [draw(st.sampled_from([8, 16, 24, 64])) for _ in range(2)], draw(st.sampled_from([32, 48, 64]))
    layouts = draw(st.tuples(*[st.sampled_from(["k_major", "line_major"])] * 2))
    return Op("op", M, N, K), block, order, ArrayShape(rows, cols, "full", dataflow=dataflow), pads, layouts


@settings(max_examples=300, deadline=None)
@given(cases(), st.sampled_from([1, 16, 64]))
def test_every_count_is_what_loops_over_every_value_count(case, burst):
    op, block, order, array, ((act, weight), out), layouts = case
    bits = OperandBits(Width(1, 8, 8), Width(1, 8, 8), 32, 16)
    memories = Memories(Pad(act, 1, layouts[0]), Pad(weight, 1, layouts[1]), Pad(out), burst)
    table = table_of(op, array, bits, Blocking(*block, order))
    pads = pad_accesses(op, table, array, bits, memories)
    found = count(op, table, array, bits, datapath.create("int_mac", {}), 1, pads, burst)
    expected = naive_counts.counts(
        (op.M, op.N, op.K), block, order, array.rows, array.cols, array.dataflow, (act, weight, out), burst, layouts
    )
    assert {place: n for place, n in by_place(found.records()).items() if any(n)} == {
        place: n for place, n in expected.items() if any(n)
    }


@pytest.mark.parametrize(
    "design", ["int8_systolic", "olive_systolic", "gobo_array", "mxfp4_systolic", "bitfusion_systolic"]
)
def test_levels_sum_to_the_bytes_of_the_run_and_what_moves_takes_accesses(design):
    result = sim.simulate_gemm(design, M=70, N=90, K=130)
    for level, moved in result.bytes.items():
        own = [r for r in result.counts if r["level"] == level]
        assert sum(r["read_bytes"] for r in own) == moved["read"]
        assert sum(r["write_bytes"] for r in own) == moved["write"]
        assert all(r["reads"] > 0 for r in own if r["read_bytes"])
        assert all(r["writes"] > 0 for r in own if r["write_bytes"])
    assert by_place(result.counts)["pe", "mac"] == [result.macs, result.macs, 0, 0]


def test_accesses_hold_what_they_move():
    """A word is never credited with more than its bits, nor a burst with more than its bytes."""
    design = sim.load_design("olive_systolic", set={"memory.dram.burst_bytes": 32})
    for record in sim.simulate_gemm(design, M=70, N=90, K=130).counts:
        size = {"dram": 32, "act_buffer": 64, "weight_buffer": 64, "out_buffer": 64}.get(record["level"])
        if size:
            assert record["read_bytes"] <= record["reads"] * size
            assert record["write_bytes"] <= record["writes"] * size


def test_json_always_has_them_and_equal_gemms_count_times(capsys, tmp_path):
    assert main(["gemm", "int8_systolic", "-m", "30", "-n", "20", "-k", "10", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["counts"]
    assert printed == sim.simulate_gemm("int8_systolic", M=30, N=20, K=10).counts
    workload = {"name": "w", "gemms": [{"name": "g", "M": 30, "N": 20, "K": 10, "count": 3}]}
    assert set(printed[0]) == {"level", "operand", *FIELDS}
    sim.run_study({"name": "s", "designs": ["int8_systolic"], "workloads": [workload]}, out=tmp_path / "run")
    layers = pd.read_parquet(tmp_path / "run" / "layers.parquet").iloc[0].to_dict()
    for record in printed[:-1]:
        for field in FIELDS:
            column = f"count_{record['level']}_{record['operand']}_{field}"
            assert layers.get(column, 0) == 3 * record[field]
