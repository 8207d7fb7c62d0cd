"""Designs on banked DRAM and of several cores, as users write them: YAML, study, timeline, store."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

import simulator as sim
from simulator.config import load_design, load_dram
from simulator.errors import ConfigError
from simulator.report.timeline import TRACKS
from simulator.resources import shipped_dir
from simulator.study.building import build
from simulator.study.describe import describe_design, list_names
from simulator.study.verify import verify_design
from simulator.study.workloads import resolve_workload
from simulator.workload import Op

DDR4 = {"memory.dram.model": "banked", "memory.dram.part": "ddr4_3200"}
FILE = shipped_dir("configs/dram") / "ddr4_3200.yaml"


def gemm(fidelity="pipeline", **changes):
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    return sim.simulate_gemm(load_design("int8_systolic", set=DDR4 | changes), 200, 170, 300, fidelity=fidelity)


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("scheduler", ["in_order", "fr_fcfs"])
@pytest.mark.parametrize("dataflow", ["os", "ws"])
def test_the_ladder_holds_on_banked_dram(cores, scheduler, dataflow):
    how = {"cores__count": cores, "memory__dram__scheduler": scheduler, "array__dataflow": dataflow}
    bound, pipeline, event = (gemm(fidelity, **how) for fidelity in ("bound", "pipeline", "event"))
    assert pipeline.cycles == event.cycles
    assert pipeline.dram == event.dram
    assert bound.cycles["total"] <= pipeline.cycles["total"]
    assert 64 * pipeline.dram["read_bursts"] >= pipeline.bytes["dram"]["read"]
    assert 64 * pipeline.dram["write_bursts"] >= pipeline.bytes["dram"]["write"]
    assert not bound.dram


def test_banked_is_slower_than_ideal_of_the_same_peak():
    peak = {"memory.dram.bandwidth_gb_s": 25.6, "memory.dram.latency_ns": 0.0}
    tiling = {"tiling.m": 56, "tiling.n": 56}
    banked, ideal = (
        sim.simulate_gemm(load_design("int8_systolic", set=tiling | changes), 200, 170, 300) for changes in (DDR4, peak)
    )
    assert banked.tiles == ideal.tiles
    assert banked.bytes == ideal.bytes
    assert banked.cycles["total"] > ideal.cycles["total"]


def test_few_bursts_under_way_cost_cycles_and_none_more_do():
    for given in (DDR4, {}):
        cycles = [
            sim.simulate_gemm(
                load_design("int8_systolic", set=given | {"memory.dram.outstanding_bursts": n}), 200, 170, 300
            ).cycles["total"]
            for n in (1, 8, 64, 1024)
        ]
        assert cycles == sorted(cycles, reverse=True)
        assert cycles[0] > 2 * cycles[-1]


def test_another_model_drops_the_fields_of_the_one_it_replaces():
    banked = load_design("int8_systolic", set=DDR4 | {"memory.dram.queue_depth": 32})
    assert banked.memory.dram.overrides == {"controller.queue_depth": 32}
    ideal = load_design({"extends": "int8_systolic", "name": "x", "memory": {"dram": {"bandwidth_gb_s": 8.0}}})
    assert (ideal.memory.dram.bandwidth_gb_s, ideal.memory.dram.latency_ns) == (8.0, 100)
    inline = load_design(
        {"extends": "int8_systolic", "name": "x", "memory": {"dram": {"model": "banked", "part": "gddr6_14"}}}
    )
    assert build(inline).dram.channels == 16
    again = load_design(inline.model_dump(), set={"memory.dram.model": "ideal"})
    assert again.memory.dram.latency_ns == 100


def test_a_part_by_path_or_mapping_is_the_shipped_one(tmp_path):
    (tmp_path / "mine.yaml").write_text(FILE.read_text(encoding="utf-8"), encoding="utf-8")
    shipped = build(load_design("int8_systolic", set=DDR4)).dram
    for part in (str(tmp_path / "mine.yaml"), load_dram("ddr4_3200").model_dump(mode="json")):
        assert build(load_design("int8_systolic", set=DDR4 | {"memory.dram.part": part})).dram == shipped


def test_a_part_is_found_beside_the_design_and_a_change_of_it_runs_again(tmp_path):
    text = FILE.read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    design = "extends: int8_systolic\nname: d\nmemory: {dram: {model: banked, part: ./mine.yaml}}\n"
    (tmp_path / "design.yaml").write_text(design, encoding="utf-8")
    study = {
        "name": "s",
        "designs": [str(tmp_path / "design.yaml")],
        "workloads": [{"name": "w", "gemms": [{"name": "g", "M": 64, "N": 64, "K": 640}]}],
    }
    before = sim.run_study(study, out=tmp_path / "run")["total_cycles"][0]
    (tmp_path / "mine.yaml").write_text(text.replace("tRCD: 22 ", "tRCD: 220 "), encoding="utf-8")
    assert sim.run_study(study, out=tmp_path / "run")["total_cycles"][0] > before


WRONG = {
    "bandwidth_gb_s": (3.0, "memory.dram.bandwidth_gb_s: unknown key; allowed: model, part, address_map, *"),
    "schedular": ("x", "memory.dram.schedular: unknown key; did you mean 'scheduler'?"),
    "part": ("ddr4_320", "memory.dram.part: unknown DRAM 'ddr4_320'; did you mean 'ddr4_3200'?; known: *"),
    "queue_depth": (48, "memory.dram.queue_depth: 48 is not a power of two"),
    "model": ("banket", "memory.dram.model: found 'banket'; allowed: none, ideal, banked; did you mean 'banked'?"),
}


@pytest.mark.parametrize("field", WRONG)
def test_what_is_wrong_is_one_line(field):
    value, message = WRONG[field]
    with pytest.raises(ConfigError) as caught:
        build(load_design("int8_systolic", set=DDR4 | {f"memory.dram.{field}": value}))
    assert str(caught.value).startswith("set: " + message.removesuffix("*"))
    assert "\n" not in str(caught.value)


def test_fields_of_banked_dram_are_refused_for_ideal():
    with pytest.raises(ConfigError, match=r"memory\.dram\.part: unknown key; allowed: model, bandwidth_gb_s, "):
        load_design("int8_systolic", set={"memory.dram.part": "ddr4_3200"})


def test_show_and_list_say_what_is_used():
    shown = describe_design("int8_systolic", DDR4 | {"cores.count": 4, "memory.dram.scheduler": "fr_fcfs"})
    assert shown["cores"]["count"] == 4
    assert (shown["memory"]["dram"], shown["memory"]["dram_scheduler"]) == ("banked, ddr4_3200", "fr_fcfs")
    assert shown["memory"]["dram_bandwidth_gb_s"] == pytest.approx(25.6)
    assert shown["peak"]["dram_bytes_per_cycle"] == pytest.approx(51.2)
    assert shown["peak"]["macs_per_cycle"] == 4 * 56 * 56
    assert not any("no design uses it" in entry["description"] for entry in list_names("drams"))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("memory") / "run"
    table = sim.run_study("memory", out=out, timeline=True)
    return table, json.loads((out / "timeline.json").read_text(encoding="utf-8"))


def test_the_memory_study_is_what_it_says(study):
    table, _ = study
    assert list(table["cores"]) == [1] * 3 + [4] * 3
    assert table["macs"].nunique() == 1
    assert (table["dram_read_bursts"] * 16 > 0).all()
    for _, rows in table.groupby("design"):
        assert list(rows["total_cycles"]) == sorted(rows["total_cycles"], reverse=True), "faster memory helps"


def test_a_pass_that_is_nothing_opens_no_rows(tmp_path):
    passes = [{"kind": "quantise", "before": "g"}, {"kind": "relu", "after": "g"}]
    workload = {"name": "w", "gemms": [{"name": "g", "M": 64, "N": 64, "K": 64}], "passes": passes}
    study = {"name": "s", "designs": ["fp16_systolic"], "workloads": [workload], "set": DDR4}
    row = sim.run_study(study, out=tmp_path).iloc[0]
    part = build(load_design("fp16_systolic", set=DDR4)).bill.dram
    moved = row["dram_read_bytes"] * 8 * part.read_pj_per_bit + row["dram_write_bytes"] * 8 * part.write_pj_per_bit
    assert row["energy_dram_pj"] == pytest.approx(moved + row["dram_activates"] * part.activate_pj)


def test_verify_finds_a_part_beside_the_design(tmp_path):
    (tmp_path / "part.yaml").write_text(FILE.read_text())
    text = (shipped_dir("configs/designs") / "int8_systolic.yaml").read_text()
    before, _, after = text.partition("  dram:\n")
    rest = after[after.index("  act_buffer:") :]
    path = tmp_path / "design.yaml"
    path.write_text(f"{before}  dram: {{model: banked, part: ./part.yaml}}\n{rest}")
    workload = resolve_workload("minilm-l6-sample")
    first = next(i for i, step in enumerate(workload.steps) if isinstance(step, Op))
    checks = verify_design(load_design(path), replace(workload, steps=workload.steps[first : first + 1]))
    assert [check.complaint for check in checks] == [""] * 4


def tracks(trace, process):
    """Intervals of each track of a group."""
    pid = next(e["pid"] for e in trace["traceEvents"] if e["name"] == "process_name" and e["args"]["name"] == process)
    events = [e for e in trace["traceEvents"] if e["ph"] == "X" and e["pid"] == pid]
    return [
        sorted((e["ts"], e["ts"] + e["dur"], e["name"]) for e in events if e["tid"] == 1000 * pid + t)
        for t in range(len(TRACKS))
    ]


def test_a_timeline_has_a_group_of_tracks_per_core(study):
    table, trace = study
    names = [e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "process_name"]
    assert len(names) == 3 + 3 * 4
    ends = {}
    for name in names:
        found = tracks(trace, name)
        used = {track: t for track, t in zip(TRACKS, found, strict=True) if t}
        assert {"DMA in", "array", "waiting", "DMA out"} <= used.keys(), name
        for track in found:
            assert all(b[0] >= a[1] - 1e-6 for a, b in pairwise(track)), f"{name}: a track overlaps itself"
        ends[name] = max(track[-1][1] for track in used.values())
    for i, row in table.iterrows():
        mine = [
            end for name, end in ends.items() if name.startswith(row["design"]) and row["axis:memory.dram.part"] in name
        ]
        assert len(mine) == row["cores"]
        assert max(mine) <= row["latency_s"] * 1e6 + 1e-3, i
