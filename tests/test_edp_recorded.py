"""What MMA-Sim 2.1.1 gives (tests/data, recorded by ``python -m benchmarks.mma_sim``) is what our tensor cores give."""

import csv
from pathlib import Path

import numpy as np
import pytest

from simulator import datapath
from simulator.datapath.edp import EdpOrder, EdpRun
from tests.datapaths import same_bits, stored

RECORDED = Path(__file__).parent / "data" / "mma_sim_2_1_1.csv"
DATAPATHS = {
    "fp16": ("fp16_mac", {}),
    "fp8_e4m3": ("fp8_mac", {"act": "e4m3", "weight": "e4m3"}),
    "fp8_e5m2": ("fp8_mac", {"act": "e5m2", "weight": "e5m2"}),
    **{name: ("mx", {"format": name}) for name in ("mxfp8", "mxfp6_e3m2", "mxfp4", "nvfp4")},
}


def recorded():
    with RECORDED.open() as lines:
        assert "MMA-Sim 2.1.1" in next(lines)
        return [
            {name: text if name in ("format", "act", "weight", "result") else int(text) for name, text in row.items()}
            for row in csv.DictReader(lines)
        ]


ROWS = recorded()


def test_the_recording_holds_every_generation():
    found = {(row["format"], row["group"], row["extra_bits"], row["fraction_bits"], row["exact"]) for row in ROWS}
    assert len(ROWS) == 4 * len(found)
    assert found == {
        *(("fp16", group, extra, 23, 1) for group, extra in ((4, 0), (8, 1), (16, 2))),
        *((name, 32, -10, 13, 1) for name in ("fp8_e4m3", "fp8_e5m2")),
        *((name, 32, 2, 23, 1) for name in ("mxfp8", "mxfp6_e3m2")),
        *((name, 64, 12, 23, 16) for name in ("mxfp4", "nvfp4")),
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['format']}-group{row['group']}-K{row['K']}")
def test_the_recorded_bits_are_ours(row):
    same_bits(ours(row), expected(row))


@pytest.mark.parametrize("name", DATAPATHS)
def test_the_recording_tells_orders_apart(name):
    """Each parameter of an order changes a recorded number of its format; of 12 extra bits it takes a few."""
    rows = [row for row in ROWS if row["format"] == name]
    group, extra, fraction, exact = (rows[0][field] for field in ("group", "extra_bits", "fraction_bits", "exact"))
    bits = [extra - 8] if exact > 1 else [extra - 1, extra + 1]
    others = [{"group": group // 2}, {"fraction_bits": fraction - 1}, *({"extra_bits": other} for other in bits)]
    for other in others:
        assert any((ours(row | other) != expected(row)).any() for row in rows), other


def ours(row):
    name, options = DATAPATHS[row["format"]]
    dp = datapath.create(name, options)
    pair = [stored(codes(row[side]).reshape(3, -1), row["K"]) for side in ("act", "weight")]
    order = EdpOrder(row["group"], row["extra_bits"], "zero", row["fraction_bits"], row["exact"])
    return dp.edp_matmul(*pair, EdpRun({dp.edp_widths[0]: order}))


def expected(row):
    return codes(row["result"]).view("<f4").reshape(3, 3).astype(np.float32)


def codes(text):
    return np.frombuffer(bytes.fromhex(text), np.uint8)
