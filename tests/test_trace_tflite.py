"""TensorFlow Lite models: sizes, and traces of which every product equals what LiteRT itself gives.

Models are made here; ten trained ones are the team's, and where they are absent their tests are skipped and say so.
"""

from __future__ import annotations

import json
import math
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simulator as sim
from simulator.errors import OlivineError
from simulator.study.workloads import resolve_workload
from simulator.tracing import Trace
from simulator.tracing.graph_inputs import Asked
from simulator.tracing.graph_trace import trace_graph
from simulator.workload.tflite_graph import open_tflite

SHARED = Path(__file__).parents[2] / "shared"


def test_litert_is_an_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    (tmp_path / "net.tflite").write_bytes(b"    TFL3")
    with pytest.raises(OlivineError) as caught:
        sim.load_workload(tmp_path / "net.tflite")
    assert str(caught.value) == (
        f"{tmp_path / 'net.tflite'}: reading TensorFlow Lite needs LiteRT: pip install 'olivine[tflite]', or convert "
        "it to ONNX"
    )


litert = pytest.importorskip("ai_edge_litert.interpreter", reason="absent: LiteRT (pip install 'olivine[tflite]')")
from ai_edge_litert import schema_py_generated as schema  # noqa: E402


def traced(path: Path, out: Path, **options: Any) -> Trace:
    return trace_graph(path, out / "toy", options.pop("asked", Asked()), dtype="float32", force=True, **options)


class Made:
    """A model, tensor by tensor and node by node."""

    def __init__(self) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs = 3, [self.graph]
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.graph.tensors, self.graph.operators, self.graph.inputs, self.graph.outputs = [], [], [], []

    def tensor(self, name: str, shape: Any, values: Any = None) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name, list(shape), 0
        made.type = schema.TensorType.INT32 if values is not None and values.dtype == np.int32 else 0
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            made.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def node(self, kind: str, inputs: list[int], output: int, options: str, **fields: Any) -> None:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        self.model.operatorCodes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = len(self.model.operatorCodes) - 1, inputs, [output]
        made.builtinOptionsType, made.builtinOptions = (
            getattr(schema.BuiltinOptions, options), getattr(schema, f"{options}T")(),
        )  # fmt: skip
        for name, value in fields.items():
            assert hasattr(made.builtinOptions, name)
            setattr(made.builtinOptions, name, value)
        self.graph.operators.append(made)

    def saved(self, path: Path, inputs: list[int], outputs: list[int]) -> Path:
        import flatbuffers

        self.graph.inputs, self.graph.outputs = inputs, outputs
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(list(shape)).standard_normal(shape).astype(np.float32)


def of_every_kind(folder: Path) -> Path:
    """A convolution in two groups, a depthwise and a transposed one, a product of two activations, a layer."""
    made = Made()
    x = made.tensor("x", (2, 7, 6, 4))

    def weight(name: str, *shape: int) -> int:
        return made.tensor(name, shape, floats(*shape))

    conv, wide, large = (made.tensor(*of) for of in (("c", (2, 4, 6, 6)), ("d", (2, 2, 3, 12)), ("t", (2, 5, 7, 2))))
    steps = {"strideH": 2, "strideW": 1}
    made.node("CONV_2D", [x, weight("wc", 6, 3, 2, 2), weight("bc", 6)], conv, "Conv2DOptions", padding=0, **steps)
    made.node("DEPTHWISE_CONV_2D", [conv, weight("wd", 1, 3, 2, 12), weight("bd", 12)], wide, "DepthwiseConv2DOptions",
              padding=1, strideH=1, strideW=2, depthMultiplier=2)  # fmt: skip
    sizes = made.tensor("sizes", (4,), np.array([2, 5, 7, 2], np.int32))
    made.node("TRANSPOSE_CONV", [sizes, weight("wt", 2, 3, 3, 12), wide], large, "TransposeConvOptions", padding=1,
              strideH=2, strideW=2)  # fmt: skip
    square, last = made.tensor("s", (2, 5, 7, 7)), made.tensor("y", (70, 3))
    made.node("BATCH_MATMUL", [large, large], square, "BatchMatMulOptions", adjY=True)
    made.node("FULLY_CONNECTED", [square, weight("wf", 3, 7), weight("bf", 3)], last, "FullyConnectedOptions")
    return made.saved(folder / "net.tflite", [x], [last])


def run_elsewhere(path: Path, trace: Trace, inputs: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Each node's result, bias and kind by LiteRT's own account, real values; by the names that are given here."""
    kinds = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    run = litert.Interpreter(str(path), experimental_op_resolver_type=kinds, experimental_preserve_all_tensors=True)
    run.allocate_tensors()
    for detail in run.get_input_details():
        run.set_tensor(detail["index"], inputs[detail["name"]])
    run.invoke()
    details = {detail["index"]: detail for detail in run.get_tensor_details()}

    def real(index: int) -> np.ndarray:
        values, how = run.get_tensor(index).astype(np.float64), details[index]["quantization_parameters"]
        if not len(how["scales"]):
            return values
        shape = [1] * values.ndim
        if len(how["scales"]) > 1:
            shape[how["quantized_dimension"]] = -1
        return (values - how["zero_points"].reshape(shape)) * how["scales"].astype(np.float64).reshape(shape)

    found = {}
    for node in run._get_ops_details():
        out = details[node["outputs"][0]]
        name = f"op{node['index']:03}.{node['op_name'].lower()}"
        biased = "CONV_2D" in node["op_name"] or node["op_name"] == "FULLY_CONNECTED"
        bias = node["inputs"][2] if biased and len(node["inputs"]) > 2 and node["inputs"][2] >= 0 else None
        scales = out["quantization_parameters"]["scales"]
        found[name] = {"kind": node["op_name"], "result": real(node["outputs"][0]),
                       "bias": 0 if bias is None else real(bias), "step": scales[0] if len(scales) else 0,
                       "shapes": [tuple(details[i]["shape"]) for i in node["inputs"] if i >= 0]}  # fmt: skip
    return found


def check(path: Path, trace: Trace, inputs: dict[str, np.ndarray]) -> None:
    """All products: values, shapes, and multiply-accumulates from LiteRT's sizes."""
    found = {name: node for name, node in run_elsewhere(path, trace, inputs).items() if node["kind"] in COUNTS}
    assert [op.name for op in trace.ops] == list(found)
    for op in trace.ops:
        node = found[op.name]
        want, step = node["result"], node["step"]
        assert op.macs == COUNTS[node["kind"]](node), op.name
        a, w = (x.astype(np.float64) for x in trace.load(op.name))
        got = a @ w.swapaxes(1, 2)
        if node["kind"] == "TRANSPOSE_CONV":
            got = spread(got, want.shape, node["shapes"][1], node["shapes"][2])
        elif "CONV" in node["kind"]:
            got = got.transpose(1, 0, 2).reshape(want.shape)  # places, groups, filters
        got = got.reshape(want.shape) + node["bias"]
        got = np.clip(got, want.min(), want.max())  # ReLU, and what codes can hold
        error, largest = np.abs(got - want), np.abs(want).max()
        if step:  # rounded to codes: half a step, and now and then one more, as LiteRT's factors have 31 bits
            assert error.max() <= 1.01 * step, op.name
            assert error.mean() <= 0.27 * step, op.name
        else:  # with integers for weights LiteRT rounds floats to 8 bits on its way
            assert error.max() <= (0.02 if trace.record(op.name).w.dtype == "int8" else 1e-5) * largest, op.name
    assert sorted(map(str, trace.ops)) == sorted(map(str, resolve_workload(path).ops))


COUNTS = {
    "CONV_2D": lambda n: n["result"].size * math.prod(n["shapes"][1][1:]),
    "DEPTHWISE_CONV_2D": lambda n: n["result"].size * math.prod(n["shapes"][1][1:3]),
    "TRANSPOSE_CONV": lambda n: math.prod(n["shapes"][2]) * math.prod(n["shapes"][1][:3]),
    "FULLY_CONNECTED": lambda n: n["result"].size * n["shapes"][1][1],
    "BATCH_MATMUL": lambda n: n["result"].size * n["shapes"][0][-1],
}


def spread(parts: np.ndarray, shape: tuple[int, ...], weight: tuple[int, ...], given: tuple[int, ...]) -> np.ndarray:
    """Kernels added where they belong, two steps apart."""
    out = np.zeros(shape)
    each = parts.reshape(*given[:3], *weight[:3])  # batch, y, x, filter, ky, kx
    for y in range(given[1]):
        for x in range(given[2]):
            out[:, 2 * y : 2 * y + weight[1], 2 * x : 2 * x + weight[2]] += each[:, y, x].transpose(0, 2, 3, 1)
    return out


def test_every_kind_of_node(tmp_path: Path) -> None:
    path = of_every_kind(tmp_path)
    np.save(tmp_path / "x.npy", floats(2, 7, 6, 4))
    trace = traced(path, tmp_path, asked=Asked(files={"x": tmp_path / "x.npy"}))
    check(path, trace, {"x": floats(2, 7, 6, 4)})
    assert [op.kind for op in trace.ops] == ["conv", "conv", "linear", "bmm", "linear"]
    assert trace.manifest.model.source == "TensorFlow Lite model net.tflite"
    assert trace.manifest.input.note == "x from x.npy"


MODELS = [
    "kwt1/kwt1", *(f"mlperf-tiny-{name}/{kind}" for kind in ("float", "int8")
                   for name in ("ad-autoencoder", "dscnn-kws", "resnet8", "vww-mobilenet")),
    "mobilenetv2-int8/mobilenetv2_int8",
]  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_trained_models(name: str, tmp_path: Path) -> None:
    """Products as LiteRT's, and operands' sizes as the team's list of them has it."""
    path = SHARED / "models" / f"{name}.tflite"
    if not path.is_file():
        pytest.skip(f"absent: the model {name}")
    asked = Asked(seed=5)
    if name == "kwt1/kwt1":
        with wave.open(str(SHARED / "data" / "audio" / "yes_1000ms.wav")) as sound:
            samples = np.frombuffer(sound.readframes(16000), np.int16)
        np.save(tmp_path / "x.npy", (samples / 32768).astype(np.float32)[None])
        asked = Asked(files={"": tmp_path / "x.npy"})
    elif "resnet8" in name or "vww" in name or "mobilenetv2" in name:
        asked = Asked(image=SHARED / "data" / "images" / "dog_224.png", pixels=PIXELS[name.split("/")[0]])
    trace = traced(path, tmp_path, asked=asked)
    (slot,) = litert.Interpreter(str(path)).get_input_details()
    given = inputs_of(path, asked)
    check(path, trace, {slot["name"]: given})
    layers = json.loads((path.parent / "config.json").read_text())["layers"]
    kinds = [layer["op"].lower() for layer in layers]
    assert kinds == [op.name.partition(".")[2] for op in trace.ops]
    for layer, op in zip(layers, trace.ops, strict=True):
        if layer["op"] == "DEPTHWISE_CONV_2D":
            assert (op.count, op.M * op.count * op.N) == (layer["w_shape"][3], math.prod(layer["out_shape"]))
        else:
            assert (layer["w_shape"][0], math.prod(layer["w_shape"][1:])) == (op.N, op.K)
            assert math.prod(layer["out_shape"]) == op.M * op.N
    types = {trace.record(op.name).w.dtype for op in trace.ops}
    assert types == {"int8"} if "int8" in name else types == {"float32"} | ({"int8"} if HYBRID in name else set())


HYBRID = "dscnn-kws"  # floats; its larger weights have 8 bits
PIXELS = {"mlperf-tiny-resnet8": "byte", "mlperf-tiny-vww-mobilenet": "unit", "mobilenetv2-int8": "imagenet"}


def inputs_of(path: Path, asked: Asked) -> np.ndarray:
    from simulator.tracing.tflite_run import TfliteRun

    (values,) = TfliteRun(path, asked).inputs.values()
    return values


def test_a_trained_network_sees_what_is_there(tmp_path: Path) -> None:
    """The image as this program gives it: LiteRT says Samoyed."""
    path = SHARED / "models" / "mobilenetv2-int8" / "mobilenetv2_int8.tflite"
    if not path.is_file():
        pytest.skip("absent: the model mobilenetv2-int8")
    run = litert.Interpreter(str(path))
    run.allocate_tensors()
    image = inputs_of(path, Asked(image=SHARED / "data" / "images" / "dog_224.png"))
    run.set_tensor(run.get_input_details()[0]["index"], image)
    run.invoke()
    assert run.get_tensor(run.get_output_details()[0]["index"]).argmax() == 258


def complaint(call: Any) -> str:
    with pytest.raises(OlivineError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_damaged_files_are_refused_or_read(tmp_path: Path) -> None:
    """Cut anywhere, or with bytes changed: one line, or a graph; never another exception, and nothing is run."""
    good = of_every_kind(tmp_path).read_bytes()
    rng, refused = np.random.default_rng(0), []
    path = tmp_path / "bad.tflite"
    for trial in range(300):
        bad = bytearray(good)
        if trial % 2:
            bad = bad[: int(rng.integers(8, len(bad)))]
        else:
            for at in rng.integers(8, len(bad), 4):
                bad[at] = int(rng.integers(256))
        path.write_bytes(bad)
        try:
            sim.load_workload(path)
        except OlivineError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert not any("\n" in message for message in refused)
    for content in (b"", b"\x80\x04pickle", b"name: x"):
        path.write_bytes(content)
        assert complaint(lambda: open_tflite(path)) == (
            f"{path}: not a TensorFlow Lite model: it does not begin as one"
        )


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    path = of_every_kind(tmp_path)
    assert complaint(lambda: resolve_workload({"name": "n", "extends": str(path), "dims": {"batch": 2}})) == (
        f"{path}: dims: the sizes of a TensorFlow Lite model are fixed; remove 'batch'"
    )
    np.save(tmp_path / "x.npy", floats(2, 7, 6, 5))
    assert complaint(lambda: traced(path, tmp_path, asked=Asked(files={"x": tmp_path / "x.npy"}))) == (
        f"{path}: input 'x' is [2, 7, 6, 4], but what is given is [2, 7, 6, 5]"
    )
    assert "layers 'op9*' matches no op" in complaint(lambda: traced(path, tmp_path, layers="op9*"))
    made = Made()
    x, y = made.tensor("x", (2, 3)), made.tensor("y", (2, 4))
    made.node("FULLY_CONNECTED", [x, made.tensor("w", (4, 5), floats(4, 5)), -1], y, "FullyConnectedOptions")
    made.saved(path, [x], [y])
    assert complaint(lambda: sim.load_workload(path)) == (
        f"{path}: node 'op000.fully_connected' (FULLY_CONNECTED): 6 values do not make rows of 5, or its weights are "
        "shuffled"
    )
    assert not (tmp_path / "toy").exists()
