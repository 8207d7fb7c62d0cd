"""Every column of a real run is described, and every description is of a column of some run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from simulator import run_study
from simulator.engine import STALL_CAUSES
from simulator.report.columns import COLUMNS, described_column
from simulator.study.rows import CONTRACT_COLUMNS

ROOT = Path(__file__).resolve().parents[1]
GEMMS = [{"name": "fc", "M": 8, "N": 16, "K": 32}, {"name": "qk", "M": 8, "N": 8, "K": 16, "kind": "bmm", "count": 2}]
STUDIES = {
    "systolic": {
        "designs": ["olive_systolic", "gobo_array"],
        "workloads": [{"name": "p", "gemms": GEMMS}],
        "sweep": {"memory.dram.bandwidth_gb_s": [16, 64], "memory.act_buffer.capacity_kib": [256, 0.01]},
        "set": {"memory.bank_conflicts": True},
    },
    "banked": {
        "designs": ["int8_systolic"],
        "workloads": [{"extends": "llama_7b", "name": "small", "model": {"num_hidden_layers": 1, "hidden_size": 256,
                      "intermediate_size": 512, "num_attention_heads": 4, "num_key_value_heads": 4}, "tokens": 8}],
        "set": {"memory.dram.model": "banked", "memory.dram.part": "ddr4_3200"},
    },
    "gpu": {
        "designs": ["a100"],
        "workloads": [{"name": "p", "gemms": GEMMS}],
        "measured": {"source": "a table", "times": [{"workload": "p", "op": "fc", "time_us": 20}]},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Table -> columns of all runs."""
    found = {"results": {}, "layers": {}}
    for name, study in STUDIES.items():
        out = tmp_path_factory.mktemp(name)
        found["results"] |= dict.fromkeys(run_study({"name": name} | study, out=out).columns)
        found["layers"] |= dict.fromkeys(pd.read_parquet(out / "layers.parquet").columns)
    for sample in (ROOT / "reports").glob("sample-*/results.csv"):
        found["results"] |= dict.fromkeys(pd.read_csv(sample, nrows=1).columns)
    return found


@pytest.mark.parametrize("table", ["results", "layers"])
def test_every_column_of_a_run_is_described(tables, table):
    assert [name for name in tables[table] if described_column(name, table) is None] == []


def test_every_description_is_of_a_column(tables):
    unseen = [
        (column.name, table)
        for column in COLUMNS
        for table in column.tables
        if not any(described_column(name, table) is column for name in tables[table])
    ]
    elsewhere = ("accuracy_<metric>", "search_round")  # need a model and a search; tests of those see them
    assert [(name, table) for name, table in unseen if name not in elsewhere] == []


def test_the_contracts_columns_and_all_stalls_are_described():
    for name in (*CONTRACT_COLUMNS, *(f"{cause}_cycles" for cause in STALL_CAUSES)):
        assert described_column(name)


def test_nothing_is_described_twice():
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    assert described_column("no_such_column") is None
    assert described_column("energy_part_mac_pj").name == "energy_part_<component>_pj"


@pytest.mark.parametrize("column", COLUMNS, ids=lambda c: c.name)
def test_units_are_those_of_the_name(column):
    endings = {
        "_pj": "pJ",
        "_um2": "um2",
        "_db": "dB",
        "_cycles": "cycles",
        "_bytes": "bytes",
        "_us": "us",
        "_mhz": "MHz",
    }
    for ending, unit in endings.items():
        if column.name.endswith(ending):
            assert column.unit == unit
    assert column.meaning.endswith(".")
