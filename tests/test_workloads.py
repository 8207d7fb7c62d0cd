"""Workloads: convolutions against loops, passes in their places, published totals, everything through a study."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator.config import load_design, load_workload
from simulator.errors import OlivineError, TraceError, WorkloadError
from simulator.resources import shipped_dir
from simulator.study.building import build
from simulator.study.simulate import simulate_op
from simulator.study.workloads import resolve_workload
from simulator.tracing import open_trace
from simulator.tracing.manifest import parse_manifest
from simulator.tracing.models import ARCHITECTURES
from simulator.tracing.passes import passes_around
from simulator.workload import Op, Pass, steps_of
from simulator.workload.convolution import Convolution, fold_result, im2col, weight_matrix
from tests.naive_conv import direct_conv, pair


@st.composite
def convolutions(draw):
    """Square or not, padded alike or on each side its own."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    kernel, dilation = draw(axes(1, 3)), draw(axes(1, 2))
    padding = draw(st.one_of(axes(0, 2), st.tuples(*[st.integers(0, 2)] * 4)))
    top, left, bottom, right = padding if isinstance(padding, tuple) and len(padding) == 4 else 2 * pair(padding)
    ends, reaches = (top + bottom, left + right), zip(pair(kernel), pair(dilation), strict=True)
    least = [max(1, apart * (size - 1) + 1 - pads) for (size, apart), pads in zip(reaches, ends, strict=True)]
    return Convolution(
        groups * draw(st.integers(1, 2)), *(draw(st.integers(size, size + 4)) for size in least),
        groups * draw(st.integers(1, 3)), kernel, draw(axes(1, 3)), padding, dilation, groups,
        draw(st.integers(1, 2)), draw(st.booleans()),
    )  # fmt: skip


def axes(least, most):
    return st.one_of(st.integers(least, most), st.tuples(st.integers(least, most), st.integers(least, most)))


@settings(max_examples=250, deadline=None)
@given(conv=convolutions(), seed=st.integers(0, 1000))
def test_im2col_is_the_convolution_value_for_value(conv, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-9, 10, (conv.batch, conv.in_channels, conv.height, conv.width))
    w = rng.integers(-9, 10, (conv.out_channels, conv.in_channels // conv.groups, *pair(conv.kernel)))
    expected, macs = direct_conv(x, w, conv.stride, conv.padding, conv.dilation, conv.groups, conv.ceil)
    a, weights, op = im2col(conv, x), weight_matrix(conv, w), conv.op("conv")
    assert a.shape == (op.count, op.M, op.K)
    assert weights.shape == (op.count, op.N, op.K)
    np.testing.assert_array_equal(fold_result(conv, a @ weights.transpose(0, 2, 1)), expected)
    assert op.macs == macs
    assert expected.shape[2:] == (conv.out_height, conv.out_width)


def test_a_depthwise_convolution_runs_with_its_values():
    """Through a datapath: 8-bit codes of small integers are exact, so the result is the convolution."""
    conv = Convolution(6, 8, 8, 6, 3, padding=1, groups=6)
    rng = np.random.default_rng(3)
    x, w = rng.integers(-7, 8, (1, 6, 8, 8)), rng.integers(-7, 8, (6, 1, 3, 3))
    design = load_design("fp16_systolic", set={"array.rows": 8, "array.cols": 8})
    op, tensors = conv.op("dw"), (im2col(conv, x), weight_matrix(conv, w))
    result = simulate_op(build(design), op, tuple(t.astype(np.float32) for t in tensors))
    assert (op.M, op.N, op.K, op.count) == (64, 1, 9, 6)
    assert result.quality.exact
    np.testing.assert_array_equal(fold_result(conv, np.stack(result.values)), direct_conv(x, w, 1, 1, 1, 6, False)[0])


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "down", "up"),
    [
        (224, 7, 2, 3, 112, 113),
        (227, 11, 4, 0, 55, 55),
        (224, 11, 4, 2, 55, 56),
        (55, 3, 2, 0, 27, 27),
        (56, 3, 2, 1, 28, 29),
    ],
)  # fmt: skip
def test_sizes_are_rounded_down_unless_asked(size, kernel, stride, padding, down, up):
    for ceil, out in ((False, down), (True, up)):
        assert Convolution(3, size, size, 8, kernel, stride, padding, ceil=ceil).out_height == out


def test_a_gemv_just_works():
    design = load_design("int8_systolic")
    for fidelity in ("bound", "pipeline", "event"):
        result = sim.simulate_gemm(design, M=1, N=4096, K=4096, fidelity=fidelity)
        assert result.macs == 4096 * 4096
        assert result.bytes["dram"]["read"] >= 4096 * 4097
    rng = np.random.default_rng(0)
    small = sim.simulate_gemm(
        load_design("int8_systolic", set={"array.rows": 4, "array.cols": 4}),
        a=rng.standard_normal((1, 9)), w=rng.standard_normal((9, 7)), fidelity="pe_array",
    )  # fmt: skip
    assert small.exact


# Published totals: (parameters, MACs)

PUBLISHED = {
    # torchvision models.resnet18: 11,689,512 parameters, 9,600 of them batch normalisation, 1,000 biases;
    # 1.814 GMACs at 224 x 224, as torchvision's own table ("GFLOPS 1.81") and He et al., CVPR 2016, Table 1 (1.8e9)
    "resnet18": (11_689_512 - 9_600 - 1_000, 1_814_073_344, 1.81e9),
    # torchvision models.alexnet: 61,100,840 parameters, 10,344 of them biases; "GFLOPS 0.71"
    "alexnet": (61_100_840 - 10_344, 714_188_480, 0.71e9),
    # Devlin et al., NAACL 2019: 12 layers of 4 x 768^2 + 2 x 768 x 3072 weights
    "bert_base": (12 * (4 * 768**2 + 2 * 768 * 3072), 11_173_625_856, 11.17e9),
    # Same: 24 layers of hidden size 1024
    "bert_large": (24 * (4 * 1024**2 + 2 * 1024 * 4096), 39_460_012_032, 39.46e9),
    # Lewis et al., ACL 2020: an encoder layer as BERT-base's, a decoder layer with four projections more; 18 attentions
    "bart_base": (6 * 12 * 768**2 + 6 * 16 * 768**2, 128 * 99_090_432 + 18 * 2 * 128**2 * 768, 13.14e9),
    # Released gpt2-xl: 1,474,560,000 MACs per token without the head; attention of 1024 tokens
    "gpt2_xl": (1_474_560_000, 1024 * 1_474_560_000 + 48 * 2 * 1024**2 * 1600, 1671.01e9),
    # Released bloom-7b1: 6,039,797,760 MACs per token without the head; attention of 1024 tokens
    "bloom_7b1": (6_039_797_760, 1024 * 6_039_797_760 + 30 * 2 * 1024**2 * 4096, 6442.45e9),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_totals_are_the_published_ones(name):
    ops = resolve_workload(name).ops
    parameters, macs, rounded = PUBLISHED[name]
    assert sum(op.N * op.K * op.count for op in ops if op.kind != "bmm") == parameters
    assert sum(op.macs for op in ops) == macs
    assert macs == pytest.approx(rounded, abs=5e6)  # all digits of it


CHECKPOINTS = {
    # Parameters of the released checkpoint, and those of its embeddings (with their normalisation) and pooler
    "bert_base": (109_482_240, (30522 + 512 + 2 + 2) * 768 + 768**2 + 768),
    "bert_large": (335_141_888, (30522 + 512 + 2 + 2) * 1024 + 1024**2 + 1024),
    "bart_base": (139_420_416, (50265 + 2 * 1026 + 2 * 2) * 768),
    "gpt2_xl": (1_557_611_200, (50257 + 1024) * 1600),
    "bloom_7b1": (7_069_016_064, (250880 + 2) * 4096),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_weights_biases_and_gains_are_those_of_the_checkpoint(name):
    """Of every linear layer its weights, of every bias pass a value per column, of every normalisation two."""
    published, embeddings = CHECKPOINTS[name]
    workload = resolve_workload(name)
    weights = sum(op.N * op.K * op.count for op in workload.ops if op.kind != "bmm")
    passes = [step for step in workload.steps if isinstance(step, Pass)]
    biases = sum(p.cols * p.count for p in passes if p.kind == "bias" and p.name != "alibi")
    gains = sum(2 * p.cols * p.count for p in passes if p.kind == "layer_norm")
    assert weights + biases + gains + embeddings == published


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_every_operand_is_quantised_and_every_result_scaled_back(name):
    """Query, key and value share one input; a weight is quantised beforehand, a second activation is not."""
    steps = resolve_workload(name).steps
    made = {(p.gemm, p.operand) for p in steps if isinstance(p, Pass) and p.kind == "quantise"}
    scaled_back = {p.gemm for p in steps if isinstance(p, Pass) and p.kind == "dequantise"}
    shares_an_input = ("self.key", "self.value", "self_attn.k_proj", "self_attn.v_proj", "encoder_attn.v_proj")
    for op in (step for step in steps if isinstance(step, Op)):
        assert ((op.name, "act") in made) != op.name.endswith(shares_an_input), op.name
        assert ((op.name, "weight") in made) == (op.kind == "bmm"), op.name
        assert op.name in scaled_back


def test_a_batch_shares_weights_and_multiplies_the_rest():
    spec = {
        "passes": [
            {"kind": "softmax", "after": ["b"]},
            {"kind": "relu", "after": ["a"]},
            {"kind": "mean_pool", "after": ["a"], "name": "pool", "rows": 2, "cols": 6, "block": 2},
            {"kind": "layer_norm", "after": ["b"], "name": "last", "count": 1},
        ],
        "gemms": [GEMMS[0], GEMMS[1] | {"kind": "bmm"}],
        "convs": [CONV],
    }
    one, three = steps(**spec), steps(**spec, batch=3)
    conv, a, relu, pool, b, softmax, last = three
    assert [step.name for step in one] == [step.name for step in three]
    assert (conv.M, conv.count) == (3 * one[0].M, one[0].count)
    assert (a.M, a.count, relu.rows, relu.count) == (12, 2, 12, 2)
    assert (pool.rows, pool.count) == (6, 2)
    assert (b.M, b.count, softmax.rows, softmax.count) == (4, 3, 4, 3)
    assert (last.rows, last.count) == (4, 3)
    assert sum(step.macs for step in three) == 3 * sum(step.macs for step in one)


@pytest.mark.parametrize(
    ("which", "kept"), [("all", 8), ("products", 3), ("layers", 2)]
)  # fmt: skip
def test_a_study_may_run_less_than_all_of_a_workload(which, kept, tmp_path):
    workload = {
        "name": "w",
        "gemms": [GEMMS[0], {"name": "qk", "M": 4, "N": 4, "K": 8, "kind": "bmm"}, GEMMS[1]],
        "passes": [{"kind": "softmax", "after": ["qk"]}, {"kind": "dequantise", "after": ["*"]},
                   {"kind": "quantise", "before": ["a"]}],
    }  # fmt: skip
    sim.run_study({"name": "s", "designs": ["int8_systolic"], "workloads": [workload], "steps": which}, out=tmp_path)
    layers = pd.read_parquet(tmp_path / "layers.parquet")
    assert len(layers) == kept
    assert set(layers["op"]) >= {"a", "b"}
    said = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["assumptions"]
    assert any(text.startswith("Left out of this study") for text in said) == (which != "all")
    if which == "layers":
        only = {"name": "w", "gemms": workload["gemms"][1:2]}
        with pytest.raises(OlivineError, match=r"w: has no product with weights; say steps: products$"):
            sim.run_study({"name": "s", "designs": ["int8_systolic"], "workloads": [only], "steps": which})


# Passes in their places


GEMMS = [{"name": "a", "M": 4, "N": 6, "K": 8, "count": 2}, {"name": "b", "M": 4, "N": 3, "K": 6}]
CONV = {"name": "c", "in_channels": 4, "height": 5, "width": 6, "out_channels": 8, "kernel": 3, "groups": 2}


def steps(**spec):
    return steps_of(load_workload({"name": "w", "gemms": GEMMS} | spec))


def test_passes_stand_where_they_are_written():
    found = steps(
        passes=[
            {"kind": "dequantise", "after": ["*"]},
            {"kind": "gelu", "after": ["a"]},
            {"kind": "quantise", "before": ["a"]},
            {"kind": "quantise", "before": ["a"], "operand": "weight"},
            {"kind": "residual", "after": ["b"], "name": "sum", "rows": 5, "cols": 7, "count": 9},
            {"kind": "hadamard", "before": ["b"], "block": 2},
        ]
    )
    assert found == (
        Pass("a.quantise", "quantise", 4, 8, 2, "a", True),
        Pass("a.weight.quantise", "quantise", 6, 8, 2, "a", True, "weight"),
        Op("a", 4, 6, 8, 2),
        Pass("a.dequantise", "dequantise", 4, 6, 2, "a"),
        Pass("a.gelu", "gelu", 4, 6, 2, "a"),
        Pass("b.hadamard", "hadamard", 4, 6, 1, "b", True, block=2),
        Op("b", 4, 3, 6),
        Pass("b.dequantise", "dequantise", 4, 3, 1, "b"),
        Pass("sum", "residual", 5, 7, 9, "b"),
    )


def test_convolutions_come_before_gemms():
    work = {"kind": "max_pool", "after": ["c"], "rows": 9, "block": 4}
    found = steps(convs=[CONV | {"batch": 3, "count": 2}], passes=[work])
    assert found[:2] == (Op("c", 36, 4, 18, 4, "conv"), Pass("c.max_pool", "max_pool", 9, 4, 4, "c", block=4))
    assert [step.name for step in found[2:]] == ["a", "b"]


def gelu(**more):
    return {"passes": [{"kind": "gelu"} | more]}


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"gemms": []}, "gemms: must have at least 1 item, found []"),
        (gelu(), "passes[0]: give after or before, names of GEMMs or convolutions, and not both"),
        (gelu(after=["a"], before=["a"]), "passes[0]: give after or before, *"),
        (gelu(after=3), "passes[0].after: expected text or a list, found number 3"),
        (gelu(after="aa"), "passes[0].after: 'aa' matches no op; did you mean 'a'?"),
        (gelu(after=["a"], kind="gleu"), "found 'gleu'; allowed: *; did you mean 'gelu'?"),
        (gelu(after=["aa", "b"]), "passes[0].after[0]: 'aa' matches no op; did you mean 'a'?"),
        (gelu(after=["*"], name="x"), "passes[0].name: names one pass, but this one is at 2 ops; leave it out"),
        ({"passes": [{"kind": "mean_pool", "after": "a", "rows": 1}]}, "passes[0]: a mean_pool needs block: *"),
        ({"passes": [{"kind": "max_pool", "after": "a", "block": 4}]}, "passes[0]: a max_pool needs rows: *"),
        (gelu(after=["a"], operand="weight"), "passes[0].operand: goes with before: *"),
        ({"convs": [CONV | {"groups": 3}]}, "convs[0].in_channels: must be a multiple of groups, 3; found 4"),
        (
            {"convs": [CONV | {"kernel": 6}]},
            "convs[0].kernel: reaches over 6 values, but height with its *",
        ),
        (
            {"passes": [{"kind": "gelu", "after": ["a"]}, {"kind": "gelu", "after": ["a"]}]},
            "w: 2 steps are named 'a.gelu'; give passes names of their own",
        ),
        (
            {"passes": [{"kind": "hadamard", "before": ["b"]}]},
            "pass 'b.hadamard': a hadamard mixes a power of two of values that divides its columns; found 6 of 6; *",
        ),
    ],
)
def test_what_is_wrong_is_named(spec, complaint):
    with pytest.raises(OlivineError) as error:
        steps(**spec)
    text = str(error.value)
    assert len(text.splitlines()) == 1
    start, _, end = complaint.partition("*")
    assert start in text
    assert end in text


def test_a_workload_without_ops_is_named():
    with pytest.raises(
        OlivineError, match="gemms: missing key 'gemms'; a workload has gemms, convs or both, or a model"
    ):
        load_workload({"name": "w"})


def test_a_convolution_refuses_tensors_of_another_shape():
    conv = Convolution(2, 4, 4, 2, 3)
    with pytest.raises(WorkloadError, match=r"map must have shape \[1, 2, 4, 4\], got \[2, 4, 4\]"):
        im2col(conv, np.zeros((2, 4, 4)))
    with pytest.raises(WorkloadError, match="out_channels must be a multiple of groups, 2; found 3"):
        Convolution(2, 4, 4, 3, 3, groups=2)
    with pytest.raises(WorkloadError, match="kernel reaches over 5 values, but height with its padding has 4"):
        Convolution(2, 4, 4, 2, 3, dilation=2)


# BERT: the shipped workload and the extractor, written apart, tell of the same layer


def test_the_extractor_and_the_workload_agree_on_a_layer():
    shipped = resolve_workload("bert_base").steps
    layer = "encoder.layer.3."
    told = []
    for op in (step for step in shipped if isinstance(step, Op)):
        one = Op(layer + op.name, op.M, op.N, op.K, op.count // 12, op.kind)
        around = bert_passes(one)
        told += [*(p for p in around if p.makes_operand), one, *(p for p in around if not p.makes_operand)]

    def key(step, prefix="", layers=1):
        shape = (step.M, step.N, step.K) if isinstance(step, Op) else (step.rows, step.cols, step.operand)
        return step.name.removeprefix(prefix), step.kind, shape, step.count // layers

    assert sorted(key(step, layer) for step in told) == sorted(key(step, layers=12) for step in shipped)
    order = [step.name for step in shipped]
    assert [step.name.removeprefix(layer) for step in told] == order


def test_the_sample_trace_holds_its_passes():
    trace = open_trace(shipped_dir("traces") / "minilm-l6-sample")
    passes = [step for step in trace.steps if isinstance(step, Pass)]
    assert passes == [p for step in trace.steps if isinstance(step, Op) for p in _in_order(step)]
    assert len(passes) == 2 * 28
    assert [step for step in trace.steps if isinstance(step, Op)] == list(trace.ops)


def bert_passes(op):
    behind = ARCHITECTURES["bert"].behind(SimpleNamespace(activation="gelu"))
    first = not op.name.endswith(("self.key", "self.value"))  # the query comes before them
    return passes_around(op, behind, first=first, bias=op.kind == "linear")


def _in_order(op):
    around = bert_passes(op)
    return [*(p for p in around if p.makes_operand), *(p for p in around if not p.makes_operand)]


def test_a_pass_of_a_trace_is_checked(tmp_path):
    source = shipped_dir("traces") / "minilm-l6-sample" / "manifest.json"
    for change, complaint in (
        ({"gemm": "nowhere"}, "pass 'encoder.layer.0.attention.self.query.quantise': no op is named 'nowhere'"),
        ({"kind": "hadamard"}, "a hadamard mixes a power of two of values that divides its columns; found 384 of 384"),
        ({"name": "encoder.layer.0.attention.self.key"}, "'encoder.layer.0.attention.self.key' occurs 2 times"),
        ({"rows": 0}, "passes.0.rows: Input should be greater than 0"),
    ):
        data = json.loads(source.read_bytes())
        data["passes"][0] |= change
        with pytest.raises(TraceError) as error:
            parse_manifest(json.dumps(data).encode(), tmp_path / "manifest.json")
        assert complaint in str(error.value)


# Through a study


def test_a_study_of_passes(tmp_path):
    gemms = [{"name": "a", "M": 40, "N": 64, "K": 32, "count": 2}]
    passes = [
        {"kind": "quantise", "before": ["a"]},
        {"kind": "bias", "after": ["a"]},
        {"kind": "softmax", "after": ["a"]},
    ]
    study = {
        "name": "s",
        "designs": ["int8_systolic", "fp16_systolic"],
        "workloads": [{"name": "with", "gemms": gemms, "passes": passes}, {"name": "without", "gemms": gemms}],
        "baseline": "fp16_systolic",
    }
    results = sim.run_study(study, out=tmp_path, timeline=True)
    layers = pd.read_parquet(tmp_path / "layers.parquet")
    chosen = layers[(layers["design"] == "int8_systolic") & (layers["workload"] == "with")].set_index("op")
    assert list(chosen["kind"]) == ["quantise", "linear", "bias", "softmax"]
    assert chosen.loc["a", ["M", "N", "K"]].tolist() == [40, 64, 32]
    assert chosen.loc["a.softmax", ["rows", "cols", "count"]].tolist() == [40, 64, 2]
    assert chosen.loc["a.softmax", ["M", "N", "K", "mapping_util", "compute_util"]].isna().all()
    assert chosen.loc["a", ["rows", "cols"]].isna().all()
    row = results.set_index(["design", "workload"]).loc[("int8_systolic", "with")]
    bare = results.set_index(["design", "workload"]).loc[("int8_systolic", "without")]
    assert row["total_cycles"] == chosen["total_cycles"].sum() > bare["total_cycles"]
    assert row["energy_total_pj"] == pytest.approx(chosen["energy_total_pj"].sum())
    assert row["dram_read_bytes"] == chosen["dram_read_bytes"].sum()
    assert (row["macs"], row["mapping_util"]) == (bare["macs"], bare["mapping_util"])
    assert row["compute_util"] < bare["compute_util"]
    assert row["act_bits_per_value"] == bare["act_bits_per_value"]
    assert row["energy_part_vector_pj"] > 0
    free = layers[(layers["design"] == "fp16_systolic") & (layers["op"] == "a.quantise")].iloc[0]
    assert (free["total_cycles"], free["energy_total_pj"], free["tiles"]) == (0, 0, 0)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "a.softmax" in page
    assert "<td>softmax</td>" in page
    events = json.loads((tmp_path / "timeline.json").read_text(encoding="utf-8"))["traceEvents"]
    names = {e["name"] for e in events if e["ph"] == "X"}
    assert {"a", "a.softmax", "a.quantise"} <= names
    assert math.isnan(bare["sqnr_db"])
