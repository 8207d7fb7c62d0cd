"""What SCALE-Sim 3.0.0 reported (tests/data, recorded by ``make bench-peers RECORD=1``) is what we report."""

import csv
from pathlib import Path

import pytest

import simulator as sim

RECORDED = Path(__file__).parent / "data" / "scalesim_3_0_0.csv"
SETS = ("gemms", "partial_windows", "alexnet", "resnet18")


def recorded():
    """Rows of the recording as dictionaries, numbers where they are numbers."""
    with RECORDED.open() as lines:
        assert "SCALE-Sim 3.0.0" in next(lines)
        for row in csv.DictReader(lines):
            texts = {name: row.pop(name) for name in ("set", "layer", "dataflow")}
            floats = {name: float(row.pop(name)) for name in ("overall_util", "mapping_eff")}
            yield texts | floats | {name: int(value) for name, value in row.items()}


ROWS = list(recorded())


def test_the_recording_holds_what_it_should():
    layers = {name: {row["layer"] for row in ROWS if row["set"] == name} for name in SETS}
    assert {name: len(found) for name, found in layers.items()} == dict(zip(SETS, (50, 3, 5, 11), strict=True))
    assert all(sum(row["layer"] == layer for row in ROWS if row["set"] == name) == 3
               for name in SETS for layer in layers[name])  # fmt: skip
    whole = {name: sum(row["count"] for row in ROWS if row["set"] == name) // 3 for name in SETS}
    assert whole["alexnet"] == 8  # five convolutions, three of them in two halves
    assert whole["resnet18"] == 20  # 17 convolutions and three projections


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
@pytest.mark.parametrize("name", SETS)
def test_scalesim_reports_the_same(name, dataflow):
    for row in ROWS:
        if (row["set"], row["dataflow"]) == (name, dataflow):
            check(row)


def check(row):
    array = {"rows": row["rows"], "cols": row["cols"], "dataflow": row["dataflow"], "fold_overlap": "scalesim"}
    changes = {f"array.{field}": value for field, value in array.items()} | {"memory.dram.model": "none"}
    found = sim.simulate_gemm(sim.load_design("int8_systolic", set=changes), row["M"], row["N"], row["K"])
    context = f"{row['set']} {row['layer']} {row['dataflow']}"
    assert found.cycles["total"] == found.cycles["compute"] == row["total_cycles"], context
    assert found.bytes["act_buffer"]["read"] == row["ifmap_reads"], context
    assert found.bytes["weight_buffer"]["read"] == row["filter_reads"], context
    assert found.bytes["out_buffer"]["write"] == 4 * row["ofmap_writes"], context  # sums of 32 bits
    assert 100 * found.compute_util == pytest.approx(row["overall_util"], rel=1e-9), context
    assert 100 * found.mapping_util == pytest.approx(row["mapping_eff"], rel=1e-9), context
