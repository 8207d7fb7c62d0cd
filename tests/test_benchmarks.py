"""The benchmarks' own machinery, and recorded counts: what grows, and by how much. No time is asserted."""

from __future__ import annotations

import json
import sys
import tracemalloc

import numpy as np
import pytest

import benchmarks.__main__ as runner
from benchmarks import arrays, growth
from benchmarks.measure import Line, alternately, command, compared, machine, per_call
from simulator.engine import run_nest, run_pipeline
from simulator.engine.pe_array import ArrayRun
from simulator.kernels import compile_at_once
from simulator.mapping import ArrayShape, Blocking, nest_of, table_of
from simulator.study.building import build
from simulator.tiles import AT_A_TIME, TILE_DTYPE
from simulator.workload import Op

ALLOCATE = "x = bytearray({}); x[::4096] = b'1' * len(x[::4096])"


def test_a_ratio_is_how_much_better_ours_is():
    assert Line("rate", "MB/s", 30.0, "copy", 10.0).ratio == 3
    assert Line("cost", "CPU s", 2.0, "peer", 10.0, lower=True).ratio == 5
    pairs = compared("cost", "CPU s", [1.0, 2.0, 4.0], "peer", [10.0, 30.0, 20.0], lower=True, goal=11.0)
    assert (pairs.rate, pairs.yardstick_rate, pairs.pairs, pairs.ratio, pairs.met) == (2, 20, (10, 15, 5), 10, False)
    assert Line("start", "CPU s", 0.2, "python", 0.01, lower=True, limit=0.3).met
    assert Line("start", "CPU s", 0.2, "python", 0.01, lower=True).met is None


def test_sides_take_turns():
    seen = []
    found = alternately(3, lambda: seen.append("a") or 1, lambda: seen.append("b") or 2)
    assert ("".join(seen), found) == ("ababab", [[1, 1, 1], [2, 2, 2]])


def test_a_call_is_timed_over_many():
    calls = []
    assert per_call(lambda: calls.append(0), 0.001) > 0
    assert len(calls) > 1


def test_memory_and_time_are_those_of_the_command_alone():
    """Not of the process that measures, whatever it holds itself; and its children's are in it."""
    mine = np.ones(60 << 20, np.uint8)
    small, said = command([sys.executable, "-S", "-c", "print('first'); print('second')"])
    large, _ = command([sys.executable, "-S", "-c", ALLOCATE.format(50 << 20)])
    assert said == "first\nsecond\n" or said == "first\nsecond"
    assert small.peak_mb < mine.nbytes / (1 << 20)
    assert 45 < large.peak_mb - small.peak_mb < 60
    spin = "import time; s = time.process_time()\nwhile time.process_time() - s < 0.2: pass"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {spin!r}])"
    assert command([sys.executable, "-S", "-c", child])[0].cpu_s >= 0.2


def test_a_command_that_fails_ends_the_benchmark():
    with pytest.raises(SystemExit, match="boom"):
        command([sys.executable, "-S", "-c", "raise SystemExit('boom')"])


@pytest.fixture
def two_parts(monkeypatch):
    lines = [Line("tiles: 1 tiles", "CPU s", 1.0, "linear growth", 1.0, lower=True, size=1)]
    lines += [Line("tiles: 10 tiles", "CPU s", 5.0, "linear growth", 10.0, lower=True, size=10)]
    known = {"rtl": lambda rounds: [Line("array", "PE/s", 2e9, "RTL", 1e8, goal=10.0)], "growth": lambda rounds: lines}
    monkeypatch.setattr(runner, "parts", lambda kind: known if kind == "PARTS" else {"none": lambda rounds: []})


def test_results_become_a_page(two_parts, tmp_path):
    where = ["--results", str(tmp_path / "results"), "--page", str(tmp_path / "docs" / "performance.md")]
    runner.main([*where, "--rounds", "2"])
    record = json.loads((tmp_path / "results" / "rtl.json").read_text())
    assert (record["rounds"], record["machine"]) == (2, machine() | {"load": record["machine"]["load"]})
    assert record["lines"][0]["ratio"] == 20
    page = (tmp_path / "docs" / "performance.md").read_text()
    assert "| array, PE/s, over RTL | 10× | 20× | yes |" in page
    assert "| tiles: 10 tiles | CPU s | 5 | linear growth | 10 | 2× |" in page
    assert "<svg" in (tmp_path / "docs" / "figures" / "growth.svg").read_text()
    runner.main([*where, "growth"])
    assert (tmp_path / "docs" / "performance.md").read_text().count("array, PE/s"), "results of other parts stay"
    runner.main([*where, "--peers"])
    assert not (tmp_path / "results" / "none.json").exists(), "an absent peer writes nothing"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["speed"], "unknown part 'speed'; known: rtl, growth, none"),
        (["--rounds", "0"], "--rounds: found 0; allowed: 1"),
    ],
)
def test_bad_arguments(given, message, two_parts, capsys):
    with pytest.raises(SystemExit) as error:
        runner.main(given)
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_parts_have_names_of_their_own():
    parts, peers = runner.parts("PARTS"), runner.parts("PEERS")
    assert {"startup", "registers", "growth", "encoding"} <= set(parts)
    assert {"rtl", "scalesim_warm", "scalesim_commands", "zigzag"} <= set(peers)
    assert not set(parts) & set(peers)


def test_the_rtl_must_agree():
    run = ArrayRun(np.arange(4).reshape(2, 2), 7, 28)
    arrays.check(run, 7, run.values, "RTL")
    for cycles, values in ((8, run.values), (7, run.values + 1)):
        with pytest.raises(SystemExit, match=r"^RTL took [78] cycles, we 7, or values differ$"):
            arrays.check(run, cycles, values, "RTL")


# What grows


@pytest.mark.parametrize("scale", [1, 10, 100, 1000])
def test_tiles_of_a_table_grow_as_the_gemm(scale):
    hardware = build(growth.design())
    op = Op("gemm", growth.SIDE * scale, growth.SIDE * 10, growth.DEPTH)
    table = table_of(op, hardware.array, hardware.bits, Blocking(56, 56, 256, "mnk"), hardware.depths)
    assert len(table) == 10 * scale
    assert table.compute_cycles == ArrayShape(56, 56, "full").total(op.M, op.N, op.K)


BYTES_PER_TILE = 6 * 8 + 6 * 8 + 8 + 3
"""What a run keeps of each tile: durations, times, a place in the out scratchpad, flags."""


@pytest.mark.parametrize("scale", [100, 1000, 10_000])
def test_memory_of_a_table_grows_as_its_rows(scale):
    """Making and running a table takes no temporary columns: a row, and what a run keeps of each tile."""
    hardware = build(growth.design())
    op = Op("gemm", growth.SIDE * scale, growth.SIDE * 10, growth.DEPTH)
    case = op, hardware.array, hardware.bits, Blocking(56, 56, 256, "mnk"), hardware.depths
    compile_at_once()
    made, table = peak_bytes(lambda: table_of(*case))
    ran, timing = peak_bytes(lambda: run_pipeline(table, hardware.dram))
    assert timing.total_cycles == run_nest(nest_of(*case), hardware.dram).total_cycles
    working = AT_A_TIME * TILE_DTYPE.itemsize
    assert len(table) * TILE_DTYPE.itemsize <= made < len(table) * TILE_DTYPE.itemsize + working
    assert ran < len(table) * BYTES_PER_TILE + working


def peak_bytes(work):
    """What a call holds at most beyond what there was, and its result; kernels have been compiled before."""
    work()
    tracemalloc.start()
    try:
        result = work()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


def test_growth_is_from_the_cheapest_smaller_size(monkeypatch):
    """A fixed cost of the small sizes does not excuse what a large one takes more than the one before it."""
    monkeypatch.setattr(growth, "per_call", lambda work: work())
    cost = {1: 9.0, 10: 10.0, 100: 20.0, 1000: 200.0, 10_000: 3000.0}
    lines = growth.series("work", "tiles", lambda n: cost[n], list(cost), 1)
    assert [line.goal is not None for line in lines] == [False, False, True, True, True]
    assert [line.met for line in lines[2:]] == [True, True, False]


@pytest.mark.parametrize("folds", [1, 4, 16, 64])
def test_pe_cycles_grow_as_the_folds(folds):
    """Of an array whose folds follow each other without a gap: a period each, and once fill and drain."""
    act, weight = arrays.operands(8 * folds, 8, 20)
    assert arrays.ours(act, weight, 8).pe_cycles == 64 * (20 * folds + 2 * 8 + 8 - 2)
