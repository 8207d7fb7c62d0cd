"""Traces of ONNX models: every product replayed equals what onnxruntime itself gives; ops, MACs, inputs, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.cli import main
from simulator.errors import OlivineError
from simulator.study.tensors import named_tensors
from simulator.study.workloads import resolve_workload
from simulator.tracing import Trace, graph_trace, open_trace
from simulator.tracing.graph_inputs import Asked
from simulator.tracing.graph_trace import trace_graph
from tests.naive_onnx import macs

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

FLOAT = TensorProto.FLOAT


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(" "), outputs.split(" "), name=outputs.split(" ")[0], **attributes)


def saved(folder: Path, nodes: list[Any], inputs: dict[str, Any], weights: dict[str, Any], outputs: str) -> Path:
    """A model file of opset 17. ``inputs``: name -> shape, or (type, shape)."""
    values = [
        helper.make_tensor_value_info(name, *(of if isinstance(of, tuple) else (FLOAT, of)))
        for name, of in inputs.items()
    ]
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    given = [onnx.ValueInfoProto(name=name) for name in outputs.split(" ")]
    graph = helper.make_graph(nodes, "g", values, given, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "net.onnx")
    return folder / "net.onnx"


def run_elsewhere(path: Path, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    """All tensors of the model, by onnxruntime, from the file as it is."""
    model = onnx.load(path)
    named = [name for one in model.graph.node for name in one.output if name]
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in named if name not in known)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


def traced(path: Path, out: Path, **options: Any) -> Trace:
    return trace_graph(path, out / "toy", options.pop("asked", Asked()), dtype="float32", force=True, **options)


def product(trace: Trace, op: str) -> np.ndarray:
    """(count, M, N) in float64, from what came back from disk."""
    a, w = (x.astype(np.float64) for x in trace.load(op))
    return a @ w.swapaxes(1, 2)


def close(got: np.ndarray, want: np.ndarray, what: str) -> None:
    got = got.reshape(want.shape)
    assert np.abs(got - want).max() <= 1e-5 * max(1.0, np.abs(want).max()), what


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def encoder(folder: Path) -> Path:
    """Two heads of width 4 over token ids, as PyTorch exports them, with open batch and length; tied head."""
    d, heads, vocab = 8, 2, 11
    nodes = [
        node("Gather", "table ids", "x"),
        node("MatMul", "x wq", "q"),
        node("MatMul", "x wk", "k"),
        node("MatMul", "x wv", "v"),
    ]
    for one, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes += [node("Reshape", f"{one} heads", f"{one}s"), node("Transpose", f"{one}s", f"{one}h", perm=order)]
    nodes += [
        node("MatMul", "qh kh", "scores"),
        node("Mul", "scores factor", "scaled"),
        node("Cast", "attention_mask", "seen", to=FLOAT),
        node("Mul", "scaled seen", "masked"),
        node("Softmax", "masked", "probs", axis=-1),
        node("MatMul", "probs vh", "context"),
        node("Transpose", "context", "moved", perm=[0, 2, 1, 3]),
        node("Reshape", "moved back", "merged"),
        node("MatMul", "merged wo", "out"),
        node("Reshape", "out flat", "rows"),
        node("Gemm", "rows wf bf", "up", transB=1, alpha=0.5, beta=2.0),
        node("Einsum", "up table", "logits", equation="td,vd->tv"),
    ]
    weights = {f"w{one}": floats(d, d, seed=i) for i, one in enumerate("qkvo")}
    weights |= {"table": floats(vocab, d), "wf": floats(d, d, seed=9), "bf": floats(d), "factor": np.float32(0.5)}
    weights |= {"heads": np.array([0, 0, heads, 4]), "back": np.array([0, 0, d]), "flat": np.array([-1, d])}
    ids = (TensorProto.INT64, ["batch", "tokens"])
    mask = (TensorProto.INT64, ["batch", 1, 1, "tokens"])
    return saved(folder, nodes, {"ids": ids, "attention_mask": mask}, weights, "logits")


def test_an_encoder_with_open_sizes(tmp_path: Path) -> None:
    """Tokens drawn below the table's rows, masks of ones; both products of attention; each product as onnxruntime's."""
    path = encoder(tmp_path)
    asked = Asked(dims={"batch": 2, "tokens": 5}, seed=3)
    trace = traced(path, tmp_path, asked=asked)
    ids = np.random.default_rng(3).integers(0, 11, (2, 5))
    inputs = {"ids": ids, "attention_mask": np.ones((2, 1, 1, 5), np.int64)}
    values = run_elsewhere(path, inputs)
    names = ["q", "k", "v", "scores", "context", "out", "up", "logits"]
    assert [op.name for op in trace.ops] == names
    for name in names:
        want = (values[name] - 2 * floats(8)) / 0.5 if name == "up" else values[name]
        close(product(trace, name), want, name)
    workload = resolve_workload({"name": "net", "extends": str(path), "dims": dict(asked.dims)})
    assert list(trace.ops) == list(workload.ops)
    counted = macs(onnx.load(path), inputs) | {"logits": 10 * 11 * 8}  # the other count has no Einsum
    assert {op.name: op.macs for op in trace.ops} == counted
    assert {trace.record(name).a.tensor for name in "qkv"} == {"x"}, "stored once"
    assert trace.record("logits").w.tensor == "table"
    assert trace.manifest.input.note == (
        "ids int64 [2, 5]: drawn below 11; attention_mask int64 [2, 1, 1, 5]: ones; seed 3; the activations are those "
        "of no real input"
    )
    assert trace.manifest.model.source == "ONNX model net.onnx"
    assert trace.manifest.created.command == (
        "olivine trace net.onnx --out toy --dim batch=2 --dim tokens=5 --seed 3 --dtype float32"
    )


CONVS = {
    "plain": ([2, 4, 9, 8], [6, 4, 3, 2], {"strides": [2, 1], "pads": [1, 0, 1, 1], "dilations": [1, 2]}),
    "groups": ([1, 4, 7, 7], [6, 2, 3, 3], {"group": 2, "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "depthwise": ([2, 5, 6, 6], [5, 1, 3, 3], {"group": 5, "auto_pad": "SAME_LOWER"}),
    "one axis": ([2, 4, 9], [6, 4, 3], {"pads": [2, 1], "strides": [2]}),
    "three axes": ([2, 4, 5, 6, 7], [6, 2, 3, 2, 2],
                   {"group": 2, "pads": [1, 0, 1, 0, 1, 1], "strides": [2, 1, 1], "dilations": [1, 2, 1]}),
    "three axes, same": ([1, 2, 5, 5, 4], [3, 2, 2, 3, 2], {"auto_pad": "SAME_LOWER", "strides": [2, 1, 2]}),
    "three axes, valid": ([1, 2, 5, 5, 4], [3, 2, 2, 3, 2], {"auto_pad": "VALID", "dilations": [2, 1, 1]}),
}  # fmt: skip


@pytest.mark.parametrize("case", CONVS)
def test_convolutions(case: str, tmp_path: Path) -> None:
    x, w, attributes = CONVS[case]
    path = saved(
        tmp_path, [node("Conv", "x w b", "y", **attributes)], {"x": x}, {"w": floats(*w), "b": floats(w[0])}, "y"
    )
    np.save(tmp_path / "x.npy", floats(*x))
    trace = traced(path, tmp_path, asked=Asked(files={"": tmp_path / "x.npy"}))
    want = run_elsewhere(path, {"x": floats(*x)})["y"] - floats(w[0]).reshape(-1, *[1] * (len(x) - 2))
    groups, batch = attributes.get("group", 1), x[0]
    got = product(trace, "y").reshape(groups, batch, -1, w[0] // groups)  # groups, batch, places, filters
    close(got.transpose(1, 0, 3, 2), want, case)
    assert list(trace.ops) == list(resolve_workload(path).ops)
    assert trace.manifest.input.note == "x from x.npy"


def test_transposed_convolution(tmp_path: Path) -> None:
    """Each value's kernel added where it belongs."""
    w = floats(4, 3, 2, 3)
    path = saved(
        tmp_path, [node("ConvTranspose", "x w", "y", group=2, strides=[2, 1])], {"x": [2, 4, 3, 5]}, {"w": w}, "y"
    )
    np.save(tmp_path / "x.npy", floats(2, 4, 3, 5))
    trace = traced(path, tmp_path, asked=Asked(files={"x": tmp_path / "x.npy"}))
    want = run_elsewhere(path, {"x": floats(2, 4, 3, 5)})["y"]
    parts = product(trace, "y").reshape(2, 2, 3, 5, 3, 2, 3)  # group, batch, y, x, filter, ky, kx
    got = np.zeros(want.shape)
    for y in range(3):
        for x in range(5):
            got[:, :, 2 * y : 2 * y + 2, x : x + 3] += parts[:, :, y, x].transpose(1, 0, 2, 3, 4).reshape(2, 6, 2, 3)
    close(got, want, "ConvTranspose")


MATMULS = {
    "a weight": ([2, 3, 4], [4, 5], "b"),
    "a weight on the left": ([3, 4], [2, 4, 5], "a"),
    "stacks": ([2, 1, 3, 4], [5, 4, 6], ""),
    "a stack of weights": ([3, 4], [5, 4, 6], "b"),
    "a vector": ([4], [2, 4, 5], ""),
    "a vector behind": ([2, 3, 4], [4], "b"),
}


@pytest.mark.parametrize("case", MATMULS)
def test_products_of_stacks(case: str, tmp_path: Path) -> None:
    a, b, fixed = MATMULS[case]
    values = {"a": floats(*a, seed=1), "b": floats(*b, seed=2)}
    inputs = {name: list(x.shape) for name, x in values.items() if name not in fixed}
    path = saved(tmp_path, [node("MatMul", "a b", "y")], inputs, {n: values[n] for n in fixed}, "y")
    for name in inputs:
        np.save(tmp_path / f"{name}.npy", values[name])
    trace = traced(path, tmp_path, asked=Asked(files={name: tmp_path / f"{name}.npy" for name in inputs}))
    got = product(trace, "y")
    if fixed == "a":
        got = got.reshape(2, 5, 3).swapaxes(1, 2)
    close(got, values["a"] @ values["b"], case)
    assert list(trace.ops) == list(resolve_workload(path).ops)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers(kind: str, direction: str, tmp_path: Path) -> None:
    """Inputs of all steps, and each step's state: together they make the next state, by the formulas of ONNX."""
    gates, d = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind], 2 if direction == "bidirectional" else 1
    own = {"w": floats(d, gates * 3, 4), "r": floats(d, gates * 3, 3), "h": floats(d, 2, 3)}
    more = {"linear_before_reset": 1} if kind == "GRU" else {}
    made = node(kind, "x w r   h", " last", hidden_size=3, direction=direction, **more)
    made.name = "net"
    path = saved(tmp_path, [made], {"x": [5, 2, 4]}, own, "last")
    trace = traced(path, tmp_path)
    x = np.random.default_rng(0).standard_normal((5, 2, 4), np.float32)
    close(product(trace, "net.input"), np.einsum("tbi,dgi->dtbg", x, own["w"]).reshape(d, 10, -1), kind)
    states = ["net.state", *(f"net.state#{i}" for i in range(2, 6))]
    assert [op.name for op in trace.ops] == ["net.input", *states]
    assert {trace.record(name).w.tensor for name in states} == {"r"}
    last = run_elsewhere(path, {"x": x})["last"]
    inputs = product(trace, "net.input").reshape(d, 5, 2, -1)
    for way in range(d):
        step = 0 if direction == "reverse" or way else 4  # the last one that ran
        state = product(trace, states[-1])[way]
        a = trace.load(states[-1])[0][way]
        assert np.array_equal(trace.load(states[0])[0][way], own["h"][way])
        if kind == "RNN":
            close(np.tanh(inputs[way, step] + state), last[way], kind)
        if kind == "GRU":
            (xz, xr, xh), (hz, hr, hh) = (np.split(z, 3, 1) for z in (inputs[way, step], state))
            z, r = (1 / (1 + np.exp(-v)) for v in (xz + hz, xr + hr))
            close((1 - z) * np.tanh(xh + r * hh) + z * a, last[way], kind)


def test_a_state_that_is_hidden_is_an_error(tmp_path: Path) -> None:
    own = {"w": floats(1, 9, 4), "r": floats(1, 9, 3)}
    path = saved(tmp_path, [node("GRU", "x w r", "y", hidden_size=3)], {"x": [5, 2, 4]}, own, "y")
    assert "(GRU): with linear_before_reset 0 the state" in complaint(lambda: traced(path, tmp_path))
    assert [op.name for op in traced(path, tmp_path, layers="*.input").ops] == ["y.input"]


def complaint(call: Any) -> str:
    with pytest.raises(OlivineError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Integers


def test_quantise_dequantise_is_stored_as_integers(tmp_path: Path) -> None:
    """uint8 activations, int8 weights with a scale per filter: int8 with scales, from which the floats come back."""
    nodes = [
        node("QuantizeLinear", "x sx zx", "xq"),
        node("DequantizeLinear", "xq sx zx", "xd"),
        node("DequantizeLinear", "wq sw zw", "wd", axis=0),
        node("Conv", "xd wd", "y", pads=[1, 1, 1, 1]),
        node("GlobalAveragePool", "y", "p"),
        node("Flatten", "p", "f"),
        node("QuantizeLinear", "f sx zx", "fq"),
        node("DequantizeLinear", "fq sx zx", "fd"),
        node("DequantizeLinear", "vq sv", "vd"),
        node("MatMul", "fd vd", "z"),
    ]
    codes = np.random.default_rng(0)
    own = {
        "sx": np.float32(0.03), "zx": np.uint8(113), "wq": codes.integers(-127, 128, (6, 3, 3, 3)).astype(np.int8),
        "sw": (0.01 + codes.random(6) / 50).astype(np.float32), "zw": np.zeros(6, np.int8),
        "vq": codes.integers(-127, 128, (6, 4)).astype(np.int8), "sv": np.float32(0.02),
    }  # fmt: skip
    path = saved(tmp_path, nodes, {"x": [1, 3, 8, 8]}, own, "z")
    trace = traced(path, tmp_path)
    values = run_elsewhere(path, {"x": np.random.default_rng(0).standard_normal((1, 3, 8, 8), np.float32)})
    close(product(trace, "y")[0].T, values["y"], "Conv")
    close(product(trace, "z"), values["z"], "MatMul")
    conv, last = trace.record("y"), trace.record("z")
    assert (conv.a.dtype, conv.a.zero, conv.w.dtype, conv.w.zero) == ("int8", 113 - 128, "int8", None)
    assert np.array_equal(trace.stored("y", "w"), own["wq"].reshape(6, 27))
    assert np.array_equal(trace.load("y")[1][0], values["wd"].reshape(6, 27))
    assert np.array_equal(trace.load("z")[1][0], values["vd"].T)
    assert (trace.load("y")[0][0, 0].reshape(3, 3, 3)[:, 0] == 0).all(), "padding stands for zero"
    assert last.w.scale == "vd#scale"
    assert trace.stats("y", "w").absmax == pytest.approx(np.abs(values["wd"]).max())
    assert open_trace(tmp_path / "toy").fingerprint == trace.fingerprint
    for tensor in named_tensors(str(tmp_path / "toy")):  # what `olivine quantize` reads
        op, _, side = tensor.name.rpartition(".")
        assert np.array_equal(tensor.whole(), trace.load(op)[side == "w"]), tensor.name
        assert np.array_equal(np.concatenate([b.values for b in tensor.blocks()]), tensor.whole()[0])


def test_scales_that_rows_do_not_have_become_floats(tmp_path: Path) -> None:
    """A scale per value of K, and zeros that differ."""
    own = {"wq": np.arange(12, dtype=np.uint8).reshape(3, 4), "s": np.array([1, 2, 3], np.float32),
           "z": np.array([1, 2, 3], np.uint8), "t": np.array([1, 2, 3, 4], np.float32),
           "y": np.array([1, 2, 3, 4], np.uint8)}  # fmt: skip
    nodes = [
        node("DequantizeLinear", "wq s z", "wd", axis=0), node("MatMul", "x wd", "one"),
        node("DequantizeLinear", "wq t y", "vd", axis=1), node("MatMul", "x vd", "two"),
    ]  # fmt: skip
    path = saved(tmp_path, nodes, {"x": [2, 3]}, own, "one two")
    trace = traced(path, tmp_path)
    values = run_elsewhere(path, {"x": np.zeros((2, 3), np.float32)})
    for op, name in (("one", "wd"), ("two", "vd")):
        assert np.array_equal(trace.load(op)[1][0].T, values[name])
    assert (trace.record("one").w.dtype, trace.record("two").w.dtype) == ("float32", "int8")


@pytest.mark.parametrize("kind", ["MatMulInteger", "QLinearMatMul", "ConvInteger", "QLinearConv"])
def test_products_of_integers(kind: str, tmp_path: Path) -> None:
    """Sums of integers are exact; a result that is rounded to codes is within half a step."""
    codes = np.random.default_rng(1)
    conv, linear = "Conv" in kind, kind.startswith("QLinear")
    x = codes.integers(0, 256, (2, 4, 5, 5) if conv else (2, 3, 4)).astype(np.uint8)
    w = codes.integers(-128, 128, (6, 4, 3, 3) if conv else (4, 6)).astype(np.int8)
    own = {"w": w, "zx": np.uint8(7), "zw": np.int8(0), "sx": np.float32(0.1), "zy": np.uint8(128), "sy": np.float32(9)}
    own["sw"] = np.linspace(0.1, 0.6, 6).astype(np.float32) if kind == "QLinearConv" else np.float32(0.2)
    names = "x sx zx w sw zw sy zy" if linear else "x w zx zw"
    path = saved(tmp_path, [node(kind, names, "y", **({"pads": [1] * 4} if conv else {}))],
                 {"x": (TensorProto.UINT8, list(x.shape))}, own, "y")  # fmt: skip
    np.save(tmp_path / "x.npy", x)
    trace = traced(path, tmp_path, asked=Asked(files={"x": tmp_path / "x.npy"}))
    want = run_elsewhere(path, {"x": x})["y"]
    got = product(trace, "y")
    got = got[0].reshape(2, 25, 6).transpose(0, 2, 1).reshape(want.shape) if conv else got.reshape(want.shape)
    if linear:
        got = np.clip(np.rint(got / 9) + 128, 0, 255)
        assert np.abs(got - want).max() <= 1
        assert (got == want).mean() > 0.95
    else:
        assert np.array_equal(got, want)
    assert (trace.record("y").a.dtype, trace.record("y").a.zero) == ("int8", 7 - 128)


# Inputs, and what is wrong


def test_rounds_and_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor at a time gives the same trace; a sample of rows holds the first, and statistics of all."""
    path, asked = encoder(tmp_path), Asked(dims={"batch": 1, "tokens": 4})
    whole = traced(path, tmp_path / "whole", asked=asked)
    monkeypatch.setattr(graph_trace, "ROUND_BYTES", 1)
    parts = traced(path, tmp_path / "parts", asked=asked)
    assert parts.fingerprint == whole.fingerprint
    some = traced(path, tmp_path / "some", asked=asked, rows=2, layers="q,sc*")
    assert [op.name for op in some.ops] == ["q", "scores"]
    assert some.record("q").a.rows_kept == 2
    assert some.record("scores").a.rows_kept is None
    assert some.stats("q", "a") == whole.stats("q", "a")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = encoder(tmp_path)
    arguments = ["trace", str(path), "--out", str(tmp_path / "t"), "--dim", "batch=1", "--tokens", "6", "--json"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["ops"] == 8
    assert open_trace(tmp_path / "t").ops[0].M == 6
    assert main(["trace", str(tmp_path / "t"), "--info", "--checksums"]) == 0


def test_text_through_the_tokeniser_beside_it(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = ["[UNK]", "the", "cat", "sat", "on", "mat"]
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "text.txt").write_text("the cat sat on the mat")
    path = encoder(tmp_path)
    trace = traced(path, tmp_path, asked=Asked(text=tmp_path / "text.txt", tokens=5))
    assert trace.manifest.input.token_ids == (1, 2, 3, 4, 1)
    assert np.array_equal(trace.load("q")[0][0], floats(11, 8)[[1, 2, 3, 4, 1]])
    assert trace.manifest.input.note == "attention_mask int64 [1, 1, 1, 5]: ones"


@pytest.mark.parametrize(("pixels", "low", "high"), [("unit", 0, 1), ("signed", -1, 1), ("byte", 0, 255)])
def test_images(pixels: str, low: float, high: float, tmp_path: Path) -> None:
    from PIL import Image

    image = np.zeros((8, 8, 3), np.uint8)
    image[:, 4:] = 255
    Image.fromarray(image).save(tmp_path / "i.png")
    path = saved(tmp_path, [node("Conv", "x w", "y")], {"x": [1, 3, 8, 8]}, {"w": floats(2, 3, 1, 1)}, "y")
    trace = traced(path, tmp_path, asked=Asked(image=tmp_path / "i.png", pixels=pixels))
    assert np.allclose(trace.load("y")[0][0].reshape(8, 8, 3)[0, :, 0], [low] * 4 + [high] * 4)
    assert trace.manifest.input.image_file == "i.png"


def test_weights_beside_the_model(tmp_path: Path) -> None:
    path = encoder(tmp_path)
    asked = Asked(dims={"batch": 1, "tokens": 4})
    whole = traced(path, tmp_path / "whole", asked=asked)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    parts = traced(path, tmp_path / "parts", asked=asked)
    for op in whole.ops:
        for one, other in zip(whole.load(op.name), parts.load(op.name), strict=True):
            assert np.array_equal(one, other)
    (tmp_path / "weights.bin").rename(tmp_path / "moved.bin")
    assert complaint(lambda: traced(path, tmp_path)) == (
        f"{tmp_path / 'weights.bin'}: no such file; it holds weights of net.onnx"
    )
    hostile = onnx.load(path, load_external_data=False)
    for tensor in hostile.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../moved.bin" if entry.key == "location" else entry.value
    onnx.save(hostile, path)
    assert "'../moved.bin', which is no file beside the model" in complaint(lambda: traced(path, tmp_path))
    assert not (tmp_path / "toy").exists()


SIZES = {"dims": {"batch": 1, "tokens": 4}}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "open": ({}, "dimensions without a size: 'batch' (axis 0 of input 'ids'), 'tokens' (axis 1 of input 'ids'); give"),
    "unknown size": ({"dims": {"batch": 1, "tokens": 4, "n": 3}}, "dims: no dimension is named 'n'"),
    "unknown input": ({"files": {"idz": "i.npy"}}, "unknown input 'idz'; did you mean 'ids'?"),
    "which input": ({"files": {"": "i.npy"}}, "has 2 inputs; write --input NAME=FILE: ids int64 [batch, tokens], "),
    "rank": (SIZES | {"files": {"ids": "cube.npy"}}, "input 'ids' is [batch = 1, tokens = 4], but what is given is "),
    "type": (SIZES | {"files": {"ids": "f.npy"}}, "holds float64, input 'ids' takes int64"),
    "no array": (SIZES | {"files": {"ids": "text.npy"}}, "not a readable .npy file of numbers"),
    "no file": (SIZES | {"files": {"ids": "none.npy"}}, "not a readable .npy file of numbers: No such file"),
    "no image": (SIZES | {"image": "i.png"}, "no input takes an image of three colours; its inputs: ids int64 "),
    "no tokeniser": (
        SIZES | {"text": "t.txt"},
        "no tokenizer.json beside it to read a text with; give --input ids=FILE",
    ),
    "out of the table": (SIZES | {"files": {"ids": "big.npy"}}, "onnxruntime cannot run it: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line(case: str, tmp_path: Path) -> None:
    path = encoder(tmp_path)
    for name, values in {"i": np.zeros((1, 4), int), "cube": np.zeros((1, 4, 1), int), "f": np.zeros((1, 4)),
                         "big": np.full((1, 4), 99)}.items():  # fmt: skip
        np.save(tmp_path / f"{name}.npy", values)
    (tmp_path / "text.npy").write_text("no")
    given, message = WRONG[case]
    asked = dict(given)
    if "files" in asked:
        asked["files"] = {name: tmp_path / file for name, file in given["files"].items()}
    for key in ("image", "text"):
        if key in asked:
            asked[key] = tmp_path / given[key]
    assert message in complaint(lambda: traced(path, tmp_path, asked=Asked(**asked)))
    assert not (tmp_path / "toy").exists()


def test_foreign_options_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in (["--pixels", "unit"], ["--dim", "n=1"], ["--input", "x=x.npy"]):
        assert main(["trace", "some-folder", "--out", str(tmp_path / "t"), *options]) == 2
        assert f"{options[0]}: is for a .onnx or .tflite file" in capsys.readouterr().err
    assert main(["trace", str(tmp_path / "none.onnx"), "--out", str(tmp_path / "t")]) == 2
    assert capsys.readouterr().err.strip() == f"olivine: {tmp_path / 'none.onnx'}: no such file"
