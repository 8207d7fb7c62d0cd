"""Precision by layer: options of the datapath for the ops whose names match."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.config import load_design, load_study
from simulator.errors import ConfigError, MismatchError
from simulator.study import verify
from simulator.study.building import build
from simulator.study.simulate import simulate_op
from simulator.study.stimulus import drawn_stimulus, trace_stimulus
from simulator.study.vectors import write_vectors
from simulator.study.workloads import resolve_workload
from simulator.workload import Op
from tests.expanded import expand


def design(**changes):
    return load_design({"extends": "olive_systolic", "name": "mixed", **changes})


def test_the_first_pattern_that_fits_an_op_applies():
    layers = [
        {"ops": "*.fc1", "datapath": {"pair_rule": "left"}},
        {"ops": "layers.0.*", "datapath": {"pair_rule": "larger"}},
    ]
    hardware = build(design(layers=layers))
    rules = {name: hardware.for_op(Op(name, 4, 4, 4)).datapath.pair_rule for name in ("layers.0.fc1", "layers.0.fc2")}
    assert rules == {"layers.0.fc1": "left", "layers.0.fc2": "larger"}
    assert hardware.for_op(Op("head", 4, 4, 4)) is hardware
    assert [h.datapath.pair_rule for h in hardware.precisions] == ["larger", "left", "larger"]


def test_an_op_runs_at_the_precision_of_its_layer():
    rng = np.random.default_rng(0)
    a, w = (rng.standard_normal((1, rows, 64)) for rows in (30, 4))
    a[0, 1, 6:8] = 60, -70  # two outliers in one pair
    mixed = build(design(layers=[{"ops": "wide", "datapath": {"pair_rule": "left"}}]))
    pure = {rule: build(design(datapath={"name": "ovp", "pair_rule": rule})) for rule in ("larger", "left")}
    products = {rule: simulate_op(h, Op("any", 30, 4, 64), (a, w)).values[0] for rule, h in pure.items()}
    assert (products["larger"] != products["left"]).any()
    for name, rule in (("wide", "left"), ("other", "larger")):
        result = simulate_op(mixed, Op(name, 30, 4, 64), (a, w))
        assert result.quality.exact
        np.testing.assert_array_equal(result.values[0], products[rule])


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            {"ops": "*", "datapath": {"pair_rul": "left"}},
            "unknown option of datapath 'ovp'; did you mean 'pair_rule'?",
        ),
        ({"ops": "*", "datapath": {"pair_rule": 3}}, "Input should be 'larger' or 'left', found 3"),
    ],
)
def test_a_wrong_layer_is_named(layer, message):
    with pytest.raises(ConfigError) as error:
        build(design(layers=[layer]))
    assert "layers.0.datapath" in str(error.value).replace("[", ".").replace("]", "")
    assert str(error.value).endswith(message)


def test_a_layer_may_not_change_the_hardware():
    with pytest.raises(ConfigError, match="a layer may set how the array is used, not what it is made of"):
        build(
            load_design(
                {
                    "extends": "int8_systolic",
                    "name": "x",
                    "layers": [{"ops": "*", "datapath": {"act_bits": 4, "weight_bits": 4}}],
                }
            )
        )


def test_a_pattern_that_fits_no_op_is_a_slip():
    study = {
        "name": "x",
        "designs": [{"extends": "olive_systolic", "name": "m", "layers": [{"ops": "*.fc2", "datapath": {"bits": 8}}]}],
        "workloads": [{"name": "w", "gemms": [{"name": "layer.fc1", "M": 4, "N": 4, "K": 4}]}],
    }
    record, source = load_study(study)
    with pytest.raises(ConfigError, match=r"layers.*ops: '\*\.fc2' matches no op of any workload"):
        expand(record, source, {})
    study["workloads"].append({"name": "v", "gemms": [{"name": "layer.fc2", "M": 4, "N": 4, "K": 4}]})
    record, source = load_study(study)
    assert len(expand(record, source, {})) == 2


def test_a_layer_may_be_of_one_workload():
    fc = [{"name": "fc", "M": 4, "N": 4, "K": 4}]
    layers = [{"workload": "w*", "ops": "*", "datapath": {"pair_rule": "left"}}]
    study = {
        "name": "x",
        "designs": [{"extends": "olive_systolic", "name": "m", "layers": layers}],
        "workloads": [{"name": "w", "gemms": fc}, {"name": "v", "gemms": fc}],
    }
    record, source = load_study(study)
    rules = {
        p.workload.name: p.hardware.for_op(p.workload.ops[0]).datapath.pair_rule for p in expand(record, source, {})
    }
    assert rules == {"w": "left", "v": "larger"}
    layers[0]["workload"] = "wv"
    record, source = load_study(study)
    with pytest.raises(ConfigError, match=r"workload: 'wv' matches no workload; did you mean 'w'\?$"):
        expand(record, source, {})
    layers[0] |= {"workload": "w", "ops": "fv"}
    record, source = load_study(study)
    with pytest.raises(ConfigError, match="ops: 'fv' matches no op of 'w'"):
        expand(record, source, {})


OP = "encoder.layer.0.attention.self.query"


@pytest.mark.parametrize(("workload", "rule"), [("minilm*", "left"), ("another", "larger")])
def test_verify_runs_a_trace_with_the_layers_of_that_workload(monkeypatch, workload, rule):
    found = set()

    def simulated(hardware, op, tensors=None, **how):
        found.add(hardware.for_op(op).datapath.pair_rule)
        raise MismatchError("seen")

    monkeypatch.setattr(verify, "simulate_op", simulated)
    layers = [{"workload": workload, "ops": "*", "datapath": {"pair_rule": "left"}}]
    check = next(verify.verify_design(design(layers=layers), resolve_workload("minilm-l6-sample")))
    assert (check.complaint, found) == ("seen", {rule})


@pytest.mark.parametrize(
    ("layer", "bits"),
    [
        ({"workload": "minilm*", "ops": "*.query"}, 8),
        ({"ops": "*.query"}, 8),
        ({"workload": "another", "ops": "*.query"}, 4),
        ({"workload": "minilm*", "ops": "*.key"}, 4),
    ],
)
def test_vectors_of_an_op_are_at_the_precision_of_its_layer(tmp_path, layer, bits):
    mixed = load_design({"extends": "ant_systolic", "name": "mixed", "layers": [layer | {"datapath": {"bits": 8}}]},
                        overlays=[("--set", {"array.rows": 4, "array.cols": 4})])  # fmt: skip
    record = write_vectors(mixed, trace_stimulus("minilm-l6-sample", OP, 3, 5, 7), tmp_path / "v")
    assert record["datapath"]["bits"] == bits
    assert (record["act"]["value_bits"], record["weight"]["value_bits"]) == (bits, bits)
    assert (record["array"]["rows"], record["array"]["cols"]) == (16 // bits, 16 // bits)


def test_drawn_vectors_are_of_no_workload(tmp_path):
    layers = [{"workload": "minilm*", "ops": "*", "datapath": {"bits": 8}}]
    mixed = load_design({"extends": "ant_systolic", "name": "mixed", "layers": layers},
                        overlays=[("--set", {"array.rows": 4, "array.cols": 4})])  # fmt: skip
    assert write_vectors(mixed, drawn_stimulus(mixed, 3, 5, 7), tmp_path / "v")["act"]["value_bits"] == 4
