"""``olivine schema``: shipped YAML is right by it, wrong YAML wrong, and it refuses nothing that the loader takes."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from simulator import cli, datapath, formats
from simulator.config import load_cost, load_design, load_dram, load_kernels, load_study, read_yaml
from simulator.datapath import described_options
from simulator.errors import OlivineError
from simulator.study.schema import DOCUMENTS, document_schema
from simulator.workload import load_workload, steps_of

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "study": "configs/studies",
    "design": "configs/designs",
    "workload": "workloads",
    "cost": "configs/cost",
    "dram": "configs/dram",
    "kernels": "configs/kernels",
}
SHIPPED = [
    (kind, path)
    for kind, folder in FOLDERS.items()
    for path in sorted((ROOT / folder).glob("*.yaml"))
    if not path.stem.startswith("scaling_")  # factors between nodes, which no user writes
]
LOADERS = {
    "study": lambda data: load_study(data),
    "design": lambda data: _with_options(load_design(data)),
    "workload": lambda data: steps_of(load_workload(data)),
    "cost": lambda data: load_cost(data),
    "dram": lambda data: load_dram(data),
    "kernels": lambda data: load_kernels(data),
}


def _with_options(design):
    return datapath.create(design.datapath.name, design.datapath.options)


@cache
def schema_of(kind):
    return document_schema(kind)


@cache
def validator(kind) -> Draft202012Validator:
    return Draft202012Validator(schema_of(kind))


def complaints(kind, data) -> list[str]:
    """One line each; of a choice, what is wrong with every member."""
    left, lines = list(validator(kind).iter_errors(data)), []
    while left:
        error = left.pop()
        left += error.context
        lines.append(f"{error.json_path}: {error.message[:150]}")
    return lines


def refused_by_loader(kind, data) -> str:
    try:
        LOADERS[kind](copy.deepcopy(data))
    except OlivineError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_it_is_a_schema(kind):
    schema = schema_of(kind)
    Draft202012Validator.check_schema(schema)
    text = json.dumps(schema)
    for name in re.findall(r'"#/\$defs/([^"]*)"', text):
        assert name in schema["$defs"]


@pytest.mark.parametrize(("kind", "path"), SHIPPED, ids=[f"{kind}-{path.stem}" for kind, path in SHIPPED])
def test_shipped_yaml_is_right(kind, path):
    assert complaints(kind, read_yaml(path).data) == []


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_every_key_is_described(kind):
    for name, definition in schema_of(kind)["$defs"].items():
        for field, schema in definition.get("properties", {}).items():
            assert schema.get("description"), f"{name}: {field}"
            assert "\n" not in schema["description"]


@pytest.mark.parametrize("name", datapath.names())
def test_every_option_of_a_datapath_is_described(name):
    for option, schema in datapath.options(name).items():
        assert re.match("[A-Z0-9`].*[.]$", schema.get("description", ""), re.DOTALL), f"{name}.{option}"


@pytest.mark.parametrize("name", formats.names())
def test_every_option_of_a_format_is_described(name):
    for option, schema in described_options(type(formats.get(name))).items():
        assert re.match("[A-Z0-9`].*[.]$", schema.get("description", ""), re.DOTALL), f"{name}.{option}"


OLIVE = {"extends": "olive_systolic", "name": "mine"}
GEMMS = [{"name": "x", "M": 1, "N": 1, "K": 1}]
STUDY = {"name": "s", "designs": ["int8_systolic"], "workloads": [{"name": "p", "gemms": GEMMS}]}

WRONG = [
    ("design", OLIVE | {"array": {"rowz": 8}}, "rowz"),
    ("design", OLIVE | {"array": {"rows": 0}}, "0 is less than or equal to"),
    ("design", OLIVE | {"array": {"rows": True}}, "True is not of type"),
    ("design", OLIVE | {"array": {"dataflow": "rs"}}, "'rs' is not one of"),
    ("design", OLIVE | {"array": {"kind": "systolic", "sms": 8}}, "sms"),
    ("design", {"name": "x", "clock_mhz": 500, "array": {"rows": 8, "cols": 8}}, "'datapath' is a required"),
    ("design", {"extends": "a100", "array": {"kind": "tensor_core", "rows": 8}}, "rows"),
    ("design", OLIVE | {"datapath": {"name": "ovp", "bits": 5}}, "5 is not one of"),
    ("design", OLIVE | {"datapath": {"name": "fp16_mac", "bits": 4}}, "bits"),
    ("design", OLIVE | {"memory": {"dram": {"model": "banked", "bandwidth_gb_s": 64}}}, "bandwidth_gb_s"),
    ("design", OLIVE | {"memory": {"dram": {"model": "ideal", "part": "ddr4_3200"}}}, "part"),
    ("design", OLIVE | {"memory": {"dram": {"model": "fast"}}}, "'fast' is not one of"),
    ("design", OLIVE | {"layers": [{"datapath": {"bits": 8}}]}, "'ops' is a required"),
    ("design", OLIVE | {"vector_unit": {"fused": ["softmax"]}}, "'softmax' is not one of"),
    ("workload", {"name": "x"}, "is not valid under any"),
    ("workload", {"name": "x", "gemms": [{"name": "y", "M": 1, "N": 1}]}, "'K' is a required"),
    ("workload", {"name": "x", "gemms": GEMMS, "passes": [{"kind": "sofmax", "after": "x"}]}, "'sofmax' is not one of"),
    ("workload", {"extends": "llama_7b", "phase": "both"}, "'both' is not one of"),
    ("study", STUDY | {"sweep": {"array.rowz": [8]}}, "array.rowz"),
    ("study", STUDY | {"sweep": {"array.rows": [0]}}, "0 is less than or equal to"),
    ("study", STUDY | {"sweep": {"array.rows": {"from": 8, "too": 64}}}, "'to' is a required"),
    ("study", STUDY | {"sweep": {"array.rows": {"from": 8, "to": 64}}}, "is not valid under any"),
    (
        "study",
        STUDY | {"sweep": {"array.rows": {"from": 8, "to": 64, "factor": 2, "points": 4}}},
        "is valid under each",
    ),
    ("study", STUDY | {"set": {"array.dataflow": "rs"}}, "'rs' is not one of"),
    ("study", STUDY | {"designs": [{"extends": "int8_systolic", "clock": 500}]}, "is not valid under any"),
    ("study", STUDY | {"fidelity": "exact"}, "'exact' is not one of"),
    ("study", {"name": "s", "designs": ["int8_systolic"]}, "'workloads' is a required"),
    ("cost", {"extends": "open", "conventions": {"area": "none"}}, "'none' is not one of"),
    ("cost", {"extends": "open", "actions": {"mac_new": {"energy_pj": 1}}}, ""),
    ("dram", {"extends": "ddr4_3200", "channels": 0}, "0 is less than or equal to"),
    ("kernels", {"name": "x", "source": "y", "kernels": [{"name": "z", "add": 1}]}, "add"),
]


@pytest.mark.parametrize(("kind", "data", "complaint"), WRONG, ids=[f"{w[0]}-{i}" for i, w in enumerate(WRONG)])
def test_wrong_yaml_is_refused_by_schema_and_loader(kind, data, complaint, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    if complaint:
        assert any(complaint in found for found in complaints(kind, data)), complaints(kind, data)
    if kind == "study":
        path = tmp_path / "study.yaml"
        path.write_text(json.dumps(data), encoding="utf-8")  # JSON is YAML
        assert cli.main(["run", str(path), "--out", str(tmp_path / "out")]) == 2
    else:
        assert refused_by_loader(kind, data)


RIGHT = [
    ("design", OLIVE | {"array": {"rows": 8}}),
    ("design", {"extends": ["olive_systolic", "int8_systolic"], "name": "both"}),
    ("design", {"extends": "a100", "array": {"sms": 72}, "name": "x"}),
    ("design", OLIVE | {"memory": {"dram": {"model": "banked", "part": "ddr4_3200", "page_policy": "closed"}}}),
    ("design", OLIVE | {"memory": {"global_buffer": {"capacity_kib": 1024, "bandwidth_gb_s": 64}}}),
    ("design", OLIVE | {"memory": {"global_buffer": None}}),
    ("design", OLIVE | {"datapath": {"bits": 8}}),
    ("workload", {"extends": "llama3_8b", "phase": "decode"}),
    ("workload", {"name": "x", "model": {"model_type": "vit", "hidden_size": 768}, "image": 224}),
    ("study", STUDY | {"set": {"workload.batch": 4}, "sweep": {"memory.dram.part": ["ddr4_3200"]}}),
    ("study", STUDY | {"sweep": {"array.rows": {"from": 8, "to": 64, "factor": 2}}, "where": ["array.rows > 8"]}),
    ("study", STUDY | {"sweep": {"array.rows, array.cols": [[8, 8], [16, 16]]}}),
    ("cost", {"extends": "open", "name": "x", "parts": {"pe_int4x4_acc32": {"area_um2": 1}}}),
]


@pytest.mark.parametrize(("kind", "data"), RIGHT, ids=[f"{r[0]}-{i}" for i, r in enumerate(RIGHT)])
def test_right_yaml_is_not_refused(kind, data):
    assert complaints(kind, data) == []


def test_a_datapath_of_a_plugin_may_have_any_options():
    assert complaints("design", OLIVE | {"datapath": {"name": "somebody_elses", "level": 3}}) == []
    assert complaints("study", STUDY | {"sweep": {"datapath.level": [1, 2]}}) == []


# Both ways: mutations of shipped documents

BASES = {
    "design": ["olive_systolic", "a100", "gobo_array", "rtx2080ti_olive", "llm_int8_systolic"],
    "workload": ["bert_base", "alexnet", "llama_7b"],
    "dram": ["ddr4_3200", "hbm2e_3200"],
    "kernels": ["llm_int8"],
}
VALUES = [
    None,
    True,
    0,
    1,
    3,
    16,
    -1,
    2.5,
    1.5e-7,
    "",
    "x",
    "os",
    "ideal",
    "banked",
    [],
    [1],
    ["bias"],
    {},
    {"name": "x"},
]
ONLY_THE_LOADER = re.compile(
    "model|tokens: missing|power of two|whole (bytes|cycles|part)|fewer than|cannot hold|leave no time|must name each"
    "|missing; |more than capacity|leave one of them out|launches what|may need|goes with|follows from"
    "|matches no|names one pass|steps are named|give after or before|needs (block|rows)|makes no result|larger than"
    "|moves nothing|neither move|writes one|is one kernel|multiply all|reaches over"
    "|unknown (option|datapath|design|workload|DRAM|kernel list|cost library)|no such file|not among"
)
"""What complaints say that are about several fields, or about names, which files and plug-ins add to."""


def places(data, path=()):
    yield path
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for step, child in children:
        yield from places(child, (*path, step))


def at(data, path):
    for step in path:
        data = data[step]
    return data


@st.composite
def mutants(draw):
    kind = draw(st.sampled_from(sorted(BASES)))
    name = draw(st.sampled_from(BASES[kind]))
    data = copy.deepcopy(read_yaml(ROOT / FOLDERS[kind] / f"{name}.yaml").data)
    path = draw(st.sampled_from([p for p in places(data) if p and p != ("model",) and p[:1] != ("source",)]))
    parent, step = at(data, path[:-1]), path[-1]
    how = draw(st.sampled_from(["replace", "remove", "misspell", "add"]))
    if how == "replace" or not isinstance(parent, dict):
        parent[step] = draw(st.sampled_from(VALUES))
    elif how == "remove":
        del parent[step]
    elif how == "misspell":
        parent[f"{step}z"] = parent.pop(step)
    else:
        parent[draw(st.sampled_from(["rows", "name", "bits", "kind", "count", "other"]))] = draw(
            st.sampled_from(VALUES)
        )
    return kind, data


@settings(max_examples=300, deadline=None)
@given(mutants())
def test_schema_and_loader_agree(mutant):
    kind, data = mutant
    found, refused = complaints(kind, data), refused_by_loader(kind, data)
    if found:
        assert refused, f"the schema alone refuses: {found}"
    elif refused:
        assert ONLY_THE_LOADER.search(refused), f"the loader alone refuses it: {refused}"


# The command


def test_the_command_prints_and_writes(tmp_path, capsys):
    assert cli.main(["schema", "design"]) == 0
    assert json.loads(capsys.readouterr().out) == schema_of("design")
    assert cli.main(["schema", "--out", str(tmp_path / "study.json")]) == 0
    assert json.loads((tmp_path / "study.json").read_text()) == schema_of("study")
    assert cli.main(["schema", "all", "--out", str(tmp_path / "schemas")]) == 0
    assert sorted(p.name for p in (tmp_path / "schemas").iterdir()) == sorted(f"{k}.schema.json" for k in DOCUMENTS)
    assert "yaml-language-server: $schema=" in capsys.readouterr().out


def test_an_unknown_kind_is_one_line(capsys):
    assert cli.main(["schema", "desing"]) == 2
    assert "did you mean 'design'?" in capsys.readouterr().err


def test_a_misspelt_kind_of_list_names_the_nearest(capsys):
    assert cli.main(["list", "kernel"]) == 2
    assert "did you mean 'kernels'?" in capsys.readouterr().err
    assert cli.main(["list", "kernels"]) == 0
    assert "llm_int8" in capsys.readouterr().out
