"""Real models of every kind, against another implementation of each, layer by layer, and by what they can do.

The models and that implementation (torch) are the team's; where they are absent these tests are skipped and say so.
"""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from simulator.errors import TraceError
from simulator.tracing import Trace, open_trace
from simulator.tracing.extract import extract
from simulator.tracing.model import Model, open_model
from simulator.tracing.products import F32, Product, multiply
from simulator.tracing.tokens import tokenise
from simulator.workload import PASS_KINDS

SHARED = Path(__file__).parents[2] / "shared"
TEXT, STORIES = SHARED / "data" / "text_eval.txt", SHARED / "data" / "text_stories.txt"
DOG = SHARED / "data" / "images" / "dog_224.png"
MODELS = {
    "minilm-l6-v2": {"text": TEXT, "tokens": 40},
    "stories260k": {"text": STORIES, "tokens": 40},
    "deit-tiny": {"image": DOG},
    "resnet20-cifar10": {"image": DOG},
    "rwkv5-730k": {"text": TEXT, "tokens": 24},
    "rwkv6-3m": {"text": TEXT, "tokens": 24},
    "rwkv7-834k": {"text": TEXT, "tokens": 24},
    "dvmsr-mamba-sr": {"image": "small.png"},
    "rxnmapper-albert": {"text": "reaction.txt", "tokens": 40},
}


def shared_model(name: str) -> Path:
    folder = SHARED / "models" / name
    if not folder.is_dir():
        pytest.skip(f"absent: the model {name}")
    pytest.importorskip("tokenizers")
    return folder


def shared_input(name: str, tmp_path: Path) -> dict[str, Any]:
    given = dict(MODELS[name])
    if given.get("image") == "small.png":
        given["image"] = tmp_path / "small.png"
        Image.open(DOG).resize((12, 10)).save(given["image"])
    if given.get("text") == "reaction.txt":  # an esterification and a bromination
        given["text"] = tmp_path / "reaction.txt"
        given["text"].write_text("CC(=O)O.OCCc1ccccc1>>CC(=O)OCCc1ccccc1.O\nBrBr.C=CC[C@@H](N)C(=O)O>>BrCC(Br)C")
    return given


def input_of(model: Model, given: dict[str, Any]) -> np.ndarray:
    read = model.read_image(given["image"]) if "image" in given else model.read_text(given["text"], given["tokens"])
    return read.values


def run_recorded(model: Model, values: np.ndarray) -> tuple[F32, dict[str, tuple[Product, F32]]]:
    seen: dict[str, tuple[Product, F32]] = {}

    def record(product: Product) -> F32:
        assert product.op.name not in seen
        seen[product.op.name] = (product, multiply(product))
        return seen[product.op.name][1]

    return model.run(values, record), seen


@pytest.mark.parametrize("name", MODELS)
def test_replaying_a_trace_gives_the_models_own_products(name: str, tmp_path: Path) -> None:
    """Operands that come back from disk give what the model computed with, op by op; every op is there, in order."""
    folder, given = shared_model(name), shared_input(name, tmp_path)
    trace = extract(str(folder), tmp_path / "toy", dtype="float32", **given)
    model = open_model(folder)
    _, seen = run_recorded(model, input_of(model, given))
    assert [op.name for op in trace.ops] == list(seen) == model.op_names
    for op in trace.ops:
        a, w = trace.load(op.name)
        product, result = seen[op.name]
        assert op == product.op
        assert np.array_equal((a @ w.swapaxes(1, 2)).reshape(result.shape), result), op.name
    assert {step.kind for step in trace.steps if not hasattr(step, "macs")} <= set(PASS_KINDS)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files left open there
@pytest.mark.parametrize("name", MODELS)
def test_every_layer_equals_another_implementation(name: str, tmp_path: Path) -> None:
    """Outputs of every product and of the model, to 3e-4 of the largest; MACs as torch counts them."""
    torch = pytest.importorskip("torch")
    folder, given = shared_model(name), shared_input(name, tmp_path)
    trace = extract(str(folder), tmp_path / "toy", dtype="float32", **given)
    model = open_model(folder)
    values = input_of(model, given)
    output, _ = run_recorded(model, values)
    want, layers, macs = run_elsewhere(torch, name, values)
    close(output.reshape(want.shape), want, name)
    names = [op.name for op in trace.ops]
    assert set(layers) | {n for n in names if n.endswith("time_maa_w2")} == set(names)  # an einsum there
    for op_name, result in layers.items():
        close(with_bias(trace, model, op_name, result.shape), result, op_name)
    tokens = len(values)
    heads, width = recurrent_heads(model)
    assert sum(op.macs for op in trace.ops) + tokens * heads * width == macs


def close(got: np.ndarray, want: np.ndarray, name: str) -> None:
    assert got.shape == want.shape, name
    assert np.abs(got - want).max() <= 3e-4 * np.abs(want).max(), name


def with_bias(trace: Trace, model: Model, op_name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A product replayed from the trace with the bias of the model, in the other implementation's shape."""
    a, w = trace.load(op_name)
    c = (a @ w.swapaxes(1, 2)).astype(np.float64)
    bias = f"{trace.record(op_name).w.tensor.removesuffix('.weight')}.bias"
    if trace.record(op_name).kind != "bmm" and model.weights().has(bias):
        c = c + model.weights().flat(bias, c.shape[2] * (len(c) if c.shape[2] == 1 else 1)).reshape(-1, 1, c.shape[2])
    if trace.record(op_name).kind != "conv":
        return c.reshape(shape)
    return c.transpose(0, 2, 1).reshape(shape)


def recurrent_heads(model: Model) -> tuple[int, int]:
    """What torch counts of RWKV's recurrence, which is no product here: heads and MACs of a head for each token."""
    weights, config = model.weights(), model.config
    if model.source.model_type != "rwkv":
        return 0, 0
    if config.version < 7:
        heads, width, *_ = weights.shape("blocks.0.att.time_decay")
        return config.layers * heads, 2 * width**2  # the outer product k v, and r times the state
    heads, width = weights.shape("blocks.0.att.r_k")
    return config.layers * heads, 4 * width**2  # state times kk, two outer products, state times r


def run_elsewhere(torch: Any, name: str, values: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
    """Outputs of the model and of each of its layers by name, and MACs, by the team's own forward passes in torch."""
    from torch.utils.flop_counter import FlopCounterMode

    spec = importlib.util.spec_from_file_location("reference_models", SHARED / "models" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    model, layers = reference.load(name), {}
    if values.dtype == np.float64:
        model.w = {key: value.double() for key, value in model.w.items()}

    def recorded(layer: Any) -> Any:
        def run(op_name: str, *args: Any, **options: Any) -> Any:
            result = layer(op_name, *args, **options)
            layers[op_name.removesuffix(".weight")] = result.numpy()
            return result

        return run

    for kind in ("lin", "mm", "conv"):
        setattr(model, kind, recorded(getattr(model, kind)))
    given = torch.from_numpy(values)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        output = model(given[None] if given.ndim == 1 else given)
    if name == "dvmsr-mamba-sr":
        layers |= causal_convs(torch, reference.load(name), given)
    return output[0].numpy(), layers, counter.get_total_flops() // 2


def causal_convs(torch: Any, model: Any, given: Any) -> dict[str, np.ndarray]:
    """Outputs of the convolutions along the scan, which are no layers of their own there."""
    found, plain = [], torch.nn.functional.conv1d

    def recorded(*args: Any, **options: Any) -> Any:
        found.append(plain(*args, **options))
        return found[-1]

    torch.nn.functional.conv1d = recorded
    try:
        model(given)
    finally:
        torch.nn.functional.conv1d = plain
    stages, blocks = model.cfg["stages"], model.cfg["blocks_per_stage"]
    names = [f"layers.{s}.residual_group.blocks.{b}.mixer.conv1d" for s in range(stages) for b in range(blocks)]
    return {name: result.numpy() for name, result in zip(names, found, strict=True)}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files left open there
def test_what_is_between_products_is_right_to_float32() -> None:
    """DeiT amplifies rounding: a relative change of 1e-6 of the image makes 1e-4 in its middle blocks, in float64, too.

    With products that do not round, softmax, LayerNorm and GELU leave every product within 1e-5 of float64's.
    """
    torch = pytest.importorskip("torch")
    model = open_model(shared_model("deit-tiny"))
    values, seen = model.read_image(DOG).values, {}

    def in_float64(product: Product) -> F32:
        exact = product.a.astype(np.float64) @ product.w.astype(np.float64).swapaxes(-1, -2)
        seen[product.op.name] = exact
        return exact.astype(np.float32)

    model.run(values, in_float64)
    _, layers, _ = run_elsewhere(torch, "deit-tiny", values.astype(np.float64))
    for name, want in layers.items():
        bias = f"{name}.bias"
        if name.startswith("blocks") and model.weights().has(bias):
            want = want - model.weights().flat(bias, want.shape[-1])
        if name.startswith("blocks"):
            assert np.abs(seen[name].reshape(want.shape) - want).max() <= 1e-5 * np.abs(want).max(), name


# What the models are known to do, from the notes beside them.


def test_the_decoders_perplexity_is_the_one_measured_elsewhere() -> None:
    """4.60 over the whole text, in windows of 256 tokens."""
    model = open_model(shared_model("stories260k"))
    losses = []
    for ids in np.array_split(whole_text(model), 6):
        logits = model.run(ids).astype(np.float64)
        losses.append(np.log(np.exp(logits[:-1]).sum(axis=1)) - logits[np.arange(len(ids) - 1), ids[1:]])
    assert math.exp(np.concatenate(losses).mean()) == pytest.approx(4.60, abs=0.05)


def whole_text(model: Model) -> np.ndarray:
    return np.array(tokenise(model.source.folder / "tokenizer.json", STORIES.read_text(), 1561, 1561).ids)


def test_the_vision_models_see_what_is_there() -> None:
    folder = shared_model("deit-tiny")
    model = open_model(folder)
    names = (folder / "synset_words.txt").read_text().splitlines()
    assert "Samoyed" in names[int(model.run(model.read_image(DOG).values).argmax())]
    model = open_model(shared_model("resnet20-cifar10"))
    assert model.source.config["classes"][int(model.run(model.read_image(DOG).values).argmax())] == "dog"


def test_a_trace_runs_again_from_its_folder(tmp_path: Path) -> None:
    folder, given = shared_model("resnet20-cifar10"), shared_input("resnet20-cifar10", tmp_path)
    made = extract(str(folder), tmp_path / "toy", rows=50, layers="conv1,1,linear", **given)
    trace = open_trace(tmp_path / "toy")
    assert trace.fingerprint == made.fingerprint
    assert [op.name for op in trace.ops] == [
        "conv1",
        *(f"layer1.{i}.conv{j}" for i in range(3) for j in (1, 2)),
        "linear",
    ]
    assert trace.load("conv1")[0].shape == (1, 1024, 27)
    assert trace.stored("conv1", "a").shape == (1, 50, 27)


def test_a_folder_whose_model_is_a_graph_names_the_graph(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "tflite"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "net.tflite").write_bytes(b"")
    with pytest.raises(TraceError, match=r"model_type 'tflite' is not supported; trace its graph, .*/net\.tflite$"):
        open_model(tmp_path)
