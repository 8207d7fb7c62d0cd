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
        if e["ph"] == "X" and names[e["pid"]].startswith(process) and TRACKS[e["tid"] - 1000 * e["pid"]] == track
    )


@pytest.mark.parametrize("design", ["gobo_array", "ws", "banks"])
@pytest.mark.parametrize("track", TRACKS)
def test_a_track_never_overlaps_itself(run, design, track):
    found = intervals(run[1], design, track)
    assert found or track in ("waiting", "vector unit", "repeated")
    for (_, end, _), (start, _, _) in pairwise(found):
        assert start >= end - 1e-6


@pytest.mark.parametrize("design", ["gobo_array", "ws", "banks"])
def test_waiting_sums_to_the_stalls_and_all_ends_with_the_run(run, design):
    table, trace = run
    row = table[table["design"] == design].iloc[0]
    waiting = intervals(trace, design, "waiting")
    for cause in ("stall_dram_read", "stall_dram_write", "stall_bank", "stall_outlier"):
        us = sum(end - start for start, end, name in waiting if name == cause)
        assert us * row["clock_mhz"] == pytest.approx(row[f"{cause}_cycles"], abs=0.01), cause
    assert (row["stall_bank_cycles"] > 0) == (design == "banks")
    last = max(end for track in TRACKS for _, end, _ in intervals(trace, design, track))
    assert last == pytest.approx(row["latency_s"] * 1e6, abs=1e-3)


def test_a_bound_has_no_timeline(tmp_path):
    with pytest.raises(OlivineError, match="a timeline needs fidelity pipeline or event"):
        sim.run_study(STUDY | {"fidelity": "bound"}, out=tmp_path / "run", timeline=True)
    assert not (tmp_path / "run").exists()


def test_passes_are_on_the_vector_units_track_and_no_thread_id_is_special(tmp_path):
    study = {
        "name": "passes",
        "designs": ["int8_systolic"],
        "workloads": [
            {
                "name": "w",
                "gemms": [{"name": "up", "M": 90, "N": 130, "K": 200}],
                "passes": [{"kind": "gelu", "after": "up"}],
            }
        ],
    }
    table = sim.run_study(study, out=tmp_path / "run", timeline=True)
    trace = json.loads((tmp_path / "run" / "timeline.json").read_text(encoding="utf-8"))
    found = intervals(trace, "int8", "vector unit")
    assert {name for _, _, name in found} == {"up.gelu"}
    us = sum(end - start for start, end, _ in found)
    assert us * table["clock_mhz"].iloc[0] == pytest.approx(table["stall_vector_cycles"].iloc[0], abs=0.01)
    ids = {(e["pid"], e["tid"]) for e in trace["traceEvents"] if "tid" in e}
    assert all(tid != 0 for _, tid in ids)
    assert not {pid for pid, _ in ids} & {tid for _, tid in ids}


def test_touching_intervals_touch_in_whole_nanoseconds(run):
    """As viewers read them: both times cut to whole nanoseconds."""
    for design in ("gobo_array", "ws", "banks"):
        for track in TRACKS:
            found = [(int(start * 1e3), int(start * 1e3) + round((end - start) * 1e3)) for start, end, _ in
                     intervals(run[1], design, track)]  # fmt: skip
            assert all(end <= start for (_, end), (start, _) in pairwise(found))


def test_repetitions_are_one_interval(tmp_path):
    work = {"name": "w", "gemms": [{"name": "qk", "M": 60, "N": 60, "K": 64, "count": 5}]}
    study = {"name": "heads", "designs": ["int8_systolic"], "workloads": [work]}
    table = sim.run_study(study, out=tmp_path / "run", timeline=True)
    trace = json.loads((tmp_path / "run" / "timeline.json").read_text(encoding="utf-8"))
    ((start, end, name),) = intervals(trace, "int8", "repeated")
    us = table["latency_s"].iloc[0] * 1e6
    assert name == "qk, 4 more"
    assert (start, end) == (pytest.approx(us / 5, abs=1e-3), pytest.approx(us, abs=1e-3))
