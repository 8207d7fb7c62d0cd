"""``run --timeline``: a Chrome trace in which no track overlaps itself and waiting sums to the stalls."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

import simulator as sim
from simulator.errors import OlivineError
from simulator.report.timeline import TRACKS

STUDY = {
    "name": "t",
    "designs": [
        "gobo_array",
        {"extends": "int8_systolic", "name": "ws", "array": {"dataflow": "ws"}},
        {"extends": "int8_systolic", "name": "banks", "memory": {"bank_conflicts": True, "act_buffer": {"banks": 2}}},
    ],
    "workloads": [{"name": "w", "gemms": [{"name": n, "M": 90, "N": 130, "K": 200} for n in ("one", "two")]}],
    "set": {"memory.dram.bandwidth_gb_s": 2.0},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("timeline") / "run"
    table = sim.run_study(STUDY, out=out, timeline=True)
    return table, json.loads((out / "timeline.json").read_text(encoding="utf-8"))


def intervals(trace, process, track):
    names = {e["pid"]: e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "process_name"}
    return sorted(
        (e["ts"], e["ts"] + e["dur"], e["name"])
        for e in trace["traceEvents"]
        if e["ph"] == "X" and names[e["pid"]].startswith(process) and TRACKS[e["tid"]] == track
    )


@pytest.mark.parametrize("design", ["gobo_array", "ws", "banks"])
@pytest.mark.parametrize("track", TRACKS)
def test_a_track_never_overlaps_itself(run, design, track):
    found = intervals(run[1], design, track)
    assert found or track == "waiting"
    for (_, end, _), (start, _, _) in pairwise(found):
        assert start >= end - 1e-6


@pytest.mark.parametrize("design", ["gobo_array", "ws", "banks"])
def test_waiting_sums_to_the_stalls_and_all_ends_with_the_run(run, design):
    table, trace = run
    row = table[table["design"] == design].iloc[0]
    waiting = intervals(trace, design, "waiting")
    for cause in ("stall_dram_read", "stall_dram_write", "stall_bank", "stall_outlier", "stall_vector"):
        us = sum(end - start for start, end, name in waiting if name == cause)
        assert us * row["clock_mhz"] == pytest.approx(row[f"{cause}_cycles"], abs=0.01), cause
    assert (row["stall_bank_cycles"] > 0) == (design == "banks")
    last = max(end for track in TRACKS for _, end, _ in intervals(trace, design, track))
    assert last == pytest.approx(row["latency_s"] * 1e6)


def test_a_bound_has_no_timeline(tmp_path):
    with pytest.raises(OlivineError, match="a timeline needs fidelity pipeline or event"):
        sim.run_study(STUDY | {"fidelity": "bound"}, out=tmp_path / "run", timeline=True)
    assert not (tmp_path / "run").exists()
