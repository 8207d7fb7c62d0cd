"""ONNX models as workloads: the MACs that onnxruntime's own tensor sizes give, and one line for all that is wrong."""

from __future__ import annotations

import json
import os
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator.cli import main
from simulator.errors import ImportNote, OlivineError
from simulator.study.workloads import resolve_workload
from simulator.workload.onnx_graph import open_graph
from simulator.workload.onnx_products import products_of
from tests.naive_onnx import macs

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

FLOAT, INT8, UINT8 = TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8
RNG = np.random.default_rng(0)


def made(nodes, inputs, weights, outputs=("y",), kind=FLOAT):
    """A model of opset 17. ``inputs``: name -> shape, or (shape, type)."""
    values = [
        helper.make_tensor_value_info(name, *reversed(of)) if isinstance(of[0], list) else
        helper.make_tensor_value_info(name, kind, of) for name, of in inputs.items()
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", values, [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )  # fmt: skip
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=versions, ir_version=9)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def codes(*shape):
    return RNG.integers(0, 200, shape).astype(np.uint8)


def saved(folder, model, name="net.onnx"):
    onnx.save(model, folder / name)
    return folder / name


def check(folder, model, inputs, dims=None):
    """Both counts of all nodes; returns the workload's steps."""
    path = saved(folder, model)
    ref = {"name": "net", "extends": str(path), "dims": dims} if dims else path
    ops = resolve_workload(ref).ops
    found: dict[str, int] = {}
    for op in ops:
        name = op.name.removesuffix(".input").removesuffix(".state")
        found[name] = found.get(name, 0) + op.macs
    assert found == macs(model, inputs)
    return ops


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("onnx")


@settings(max_examples=120, deadline=None)
@given(
    data=st.data(),
    axes=st.integers(1, 3),
    kind=st.sampled_from(["Conv", "ConvInteger", "QLinearConv", "ConvTranspose"]),
)
def test_convolutions(folder, data, axes, kind):
    """In one to three dimensions, grouped, dilated, padded on each side its own or by ``auto_pad``."""
    draw = data.draw
    groups = draw(st.sampled_from([1, 1, 2]))
    channels, filters = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    kernel = draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))
    attributes = {"group": groups, "strides": draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))}
    if kind in ("Conv", "ConvTranspose"):
        attributes["dilations"] = draw(st.lists(st.integers(1, 2), min_size=axes, max_size=axes))
    mode = draw(st.sampled_from(["pads", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if mode == "pads" or kind == "ConvTranspose":
        attributes["pads"] = draw(st.lists(st.integers(0, 2), min_size=2 * axes, max_size=2 * axes))
    else:
        attributes["auto_pad"] = mode
        if mode.startswith("SAME"):
            attributes["dilations"] = [1] * axes
    x = (draw(st.integers(1, 2)), channels, *(draw(st.integers(6, 9)) for _ in range(axes)))
    if kind == "ConvTranspose":
        weight, attributes["pads"] = floats(channels, filters // groups, *kernel), [0] * 2 * axes
    else:
        weight = floats(filters, channels // groups, *kernel)
    if kind in ("Conv", "ConvTranspose"):
        node = helper.make_node(kind, ["x", "w"], ["y"], **attributes)
        model, values = made([node], {"x": x}, {"w": weight}), {"x": floats(*x)}
    elif kind == "ConvInteger":
        node = helper.make_node(kind, ["x", "w"], ["y"], **attributes)
        model = made([node], {"x": x}, {"w": codes(*weight.shape)}, kind=UINT8)
        values = {"x": codes(*x)}
    else:
        names = ["x", "s", "z", "w", "s", "z", "s", "z"]
        node = helper.make_node(kind, names, ["y"], **attributes)
        own = {"w": codes(*weight.shape), "s": np.float32(0.1), "z": np.uint8(3)}
        model, values = made([node], {"x": x}, own, kind=UINT8), {"x": codes(*x)}
    check(folder, model, values)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), where=st.sampled_from(["act", "weight", "weight first", "integer", "quantised"]))
def test_products(folder, data, where):
    """Stacks of matrices that are repeated along one another, vectors, and weights on either side."""
    draw = data.draw
    K, M, N = (draw(st.integers(1, 5)) for _ in range(3))
    stack = draw(st.lists(st.integers(1, 3), max_size=2))
    left = [size if draw(st.booleans()) else 1 for size in stack][draw(st.integers(0, len(stack))) :]
    a, b = [*left, M, K], [*stack, K, N]
    if where in ("act", "weight") and draw(st.booleans()):
        a, b = ([K], b) if draw(st.booleans()) else (a, [K])
    if where == "integer":
        node, own = helper.make_node("MatMulInteger", ["a", "b"], ["y"]), {"b": codes(*b)}
        ops = check(folder, made([node], {"a": a}, own, kind=UINT8), {"a": codes(*a)})
    elif where == "quantised":
        node = helper.make_node("QLinearMatMul", ["a", "s", "z", "b", "s", "z", "s", "z"], ["y"])
        own = {"b": codes(*b), "s": np.float32(0.1), "z": np.uint8(3)}
        ops = check(folder, made([node], {"a": a}, own, kind=UINT8), {"a": codes(*a)})
    else:
        node = helper.make_node("MatMul", ["a", "b"], ["y"])
        values = {"a": floats(*a), "b": floats(*b)}
        fixed = {"act": (), "weight": ("b",), "weight first": ("a",)}[where]
        inputs = {name: value.shape for name, value in values.items() if name not in fixed}
        given_ = {name: value for name, value in values.items() if name not in fixed}
        ops = check(folder, made([node], inputs, {name: values[name] for name in fixed}), given_)
    (op,) = ops
    assert op.kind == ("bmm" if where == "act" else "linear")


def test_a_weight_on_the_left_is_still_the_weight(folder):
    node = helper.make_node("MatMul", ["w", "x"], ["y"])
    path = saved(folder, made([node], {"x": [2, 3, 5, 7]}, {"w": floats(11, 5)}))
    (op,) = resolve_workload(path).ops
    assert (op.M, op.N, op.K, op.count, op.kind) == (2 * 3 * 7, 11, 5, 1, "linear")
    (product,) = products_of(open_graph(path, {}))
    assert (product.act, product.weight) == ("x", "w")


@pytest.mark.parametrize("a_turned", [0, 1])
@pytest.mark.parametrize("b_turned", [0, 1])
def test_gemm(a_turned, b_turned, folder):
    node = helper.make_node("Gemm", ["x", "w", "c"], ["y"], transA=a_turned, transB=b_turned)
    x, w = ([5, 3] if a_turned else [3, 5]), ([7, 5] if b_turned else [5, 7])
    (op,) = check(folder, made([node], {"x": x}, {"w": floats(*w), "c": floats(7)}), {"x": floats(*x)})
    assert (op.M, op.N, op.K) == (3, 7, 5)


@pytest.mark.parametrize(
    ("equation", "a", "b", "weight", "expected"),
    [
        ("bhid,bhjd->bhij", (2, 3, 4, 5), (2, 3, 6, 5), False, (4, 6, 5, 6, "bmm")),
        ("bij, jk -> bik", (2, 3, 4), (4, 5), True, (6, 5, 4, 1, "linear")),
        ("ij,kl->ijkl", (2, 3), (4, 5), True, (6, 20, 1, 1, "linear")),
    ],
)
def test_einsum(equation, a, b, weight, expected, folder):
    """Against the number of values of all labels together."""
    node = helper.make_node("Einsum", ["a", "b"], ["y"], equation=equation)
    values = {"a": floats(*a), "b": floats(*b)}
    own = {"b": values["b"]} if weight else {}
    path = saved(folder, made([node], {n: v.shape for n, v in values.items() if n not in own}, own))
    (op,) = resolve_workload(path).ops
    assert (op.M, op.N, op.K, op.count, op.kind) == expected
    sizes = dict(zip(equation.replace(" ", "").partition("->")[0].replace(",", ""), (*a, *b), strict=True))
    assert op.macs == np.prod(list(sizes.values()))


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_layers(kind, gates, directions, folder):
    direction = "bidirectional" if directions == 2 else "forward"
    node = helper.make_node(kind, ["x", "w", "r"], ["y"], hidden_size=6, direction=direction)
    own = {"w": floats(directions, gates * 6, 5), "r": floats(directions, gates * 6, 6)}
    ops = check(folder, made([node], {"x": [7, 2, 5]}, own), {"x": floats(7, 2, 5)})
    assert [(op.M, op.N, op.K, op.count) for op in ops] == [
        (14, gates * 6, 5, directions), (2, gates * 6, 6, 7 * directions),
    ]  # fmt: skip


def qdq(nodes, name, shape, own):
    """Quantise and dequantise a tensor; returns its new name."""
    own |= {f"{name}_s": np.float32(0.1), f"{name}_z": np.int8(0)}
    scale = [f"{name}_s", f"{name}_z"]
    if name not in own:
        nodes.append(helper.make_node("QuantizeLinear", [name, *scale], [f"{name}_q"]))
    else:
        own[f"{name}_q"] = RNG.integers(-9, 9, shape).astype(np.int8)
        del own[name]
    nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", *scale], [f"{name}_d"]))
    return f"{name}_d"


def test_weights_behind_a_dequantisation_are_weights(folder):
    """QDQ: the convolution and the product see floats; the product's weight is turned, too."""
    nodes, own = [], {"w": None, "v": None}
    inputs = [qdq(nodes, "x", None, own), qdq(nodes, "w", (4, 3, 3, 3), own)]
    nodes.append(helper.make_node("Conv", inputs, ["c"], pads=[1, 1, 1, 1]))
    nodes.append(helper.make_node("Flatten", ["c"], ["f"]))
    turned = qdq(nodes, "v", (10, 4 * 36), own)
    nodes.append(helper.make_node("Transpose", [turned], ["vt"]))
    nodes.append(helper.make_node("MatMul", [qdq(nodes, "f", None, own), "vt"], ["y"]))
    ops = check(folder, made(nodes, {"x": [2, 3, 6, 6]}, own), {"x": floats(2, 3, 6, 6)})
    assert [op.kind for op in ops] == ["conv", "linear"]


def attention_block():
    """Self-attention over (batch, tokens, 8), two heads, whose reshapes compute their shapes from the input's."""
    own = {name: floats(8, 8) for name in ("wq", "wk", "wv", "wo")}
    own |= {
        "0": np.int64(0),
        "1": np.int64(1),
        "heads": np.array([2, 4]),
        "eight": np.array([8]),
        "axis": np.array([0]),
    }
    nodes = [helper.make_node("Shape", ["x"], ["shape"])]
    for which in "01":
        nodes.append(helper.make_node("Gather", ["shape", which], [f"d{which}"]))
        nodes.append(helper.make_node("Unsqueeze", [f"d{which}", "axis"], [f"u{which}"]))
    nodes.append(helper.make_node("Concat", ["u0", "u1", "heads"], ["split"], axis=0))
    nodes.append(helper.make_node("Concat", ["u0", "u1", "eight"], ["whole"], axis=0))
    for name, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes.append(helper.make_node("MatMul", ["x", f"w{name}"], [f"{name}1"]))
        nodes.append(helper.make_node("Reshape", [f"{name}1", "split"], [f"{name}2"]))
        nodes.append(helper.make_node("Transpose", [f"{name}2"], [f"{name}3"], perm=order))
    nodes.append(helper.make_node("MatMul", ["q3", "k3"], ["scores"]))
    nodes.append(helper.make_node("Softmax", ["scores"], ["p"]))
    nodes.append(helper.make_node("MatMul", ["p", "v3"], ["mixed"]))
    nodes.append(helper.make_node("Transpose", ["mixed"], ["back"], perm=[0, 2, 1, 3]))
    nodes.append(helper.make_node("Reshape", ["back", "whole"], ["joined"]))
    nodes.append(helper.make_node("MatMul", ["joined", "wo"], ["y"]))
    return made(nodes, {"x": ["batch", "tokens", 8]}, own)


def test_open_dimensions_get_their_sizes(folder):
    ops = check(folder, attention_block(), {"x": floats(3, 5, 8)}, {"batch": 3, "tokens": 5})
    assert [(op.M, op.N, op.K, op.count, op.kind) for op in ops] == [
        *[(15, 8, 8, 1, "linear")] * 3, (5, 5, 4, 6, "bmm"), (5, 4, 5, 6, "bmm"), (15, 8, 8, 1, "linear"),
    ]  # fmt: skip


def test_sizes_that_the_model_computes(folder):
    """Pads from a filled constant that is turned and sliced, and a branch that asks for a size, as exporters write."""
    node = helper.make_node
    one = numpy_helper.from_array(np.array([1]), "value")
    squeezed, same = (
        helper.make_graph([inner], name, [], [helper.make_tensor_value_info(name, FLOAT, None)])
        for name, inner in (
            ("s", node("Squeeze", ["padded", "last"], ["s"])),
            ("i", node("Identity", ["padded"], ["i"])),
        )
    )
    nodes = [
        node("ConstantOfShape", ["four"], ["ones"], value=one),
        node("Reshape", ["ones", "pair"], ["square"]),
        node("Transpose", ["square"], ["turned"]),
        node("Slice", ["turned", "zero", "one", "zero"], ["row"]),
        node("Reshape", ["row", "last"], ["flat"]),
        node("Slice", ["flat", "zero", "one", "zero"], ["behind"]),
        node("Concat", ["before", "behind", "zero"], ["pads"], axis=0),
        node("Pad", ["x", "pads"], ["padded"]),  # (n, 7, 1) becomes (n, 8, 1)
        node("Shape", ["padded"], ["shape"]),
        node("Gather", ["shape", "two"], ["size"], axis=0),
        node("Equal", ["size", "single"], ["is_single"]),
        node("If", ["is_single"], ["rows"], then_branch=squeezed, else_branch=same),
        node("MatMul", ["rows", "w"], ["y"]),
    ]
    shapes = {"four": [4], "pair": [2, 2], "zero": [0], "one": [1], "last": [-1], "before": [0] * 4}
    own = {name: np.array(value) for name, value in shapes.items()}
    own |= {"two": np.int64(2), "single": np.int64(1), "w": floats(8, 5)}
    (op,) = check(folder, made(nodes, {"x": ["n", 7, 1]}, own), {"x": floats(3, 7, 1)}, {"n": 3})
    assert (op.M, op.N, op.K) == (3, 5, 8)


LIGHT = Path(os.path.dirname(onnx.__file__)) / "backend" / "test" / "data" / "light"
PUBLISHED = {
    # GMACs ("GFLOPS" there) and convolutions and linear layers of torchvision's models of the same name
    "resnet50": (4.09, 54), "vgg19": (19.63, 19), "densenet121": (2.83, 121), "squeezenet": (0.35, 26),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_networks_that_come_with_onnx(name):
    path = LIGHT / f"light_{name}.onnx"
    if not path.exists():
        pytest.skip(f"this version of onnx has no {path.name}")
    ops = resolve_workload(path).ops
    assert (round(sum(op.macs for op in ops) / 1e9, 2), len(ops)) == PUBLISHED[name]


def test_what_is_not_read_is_said(folder):
    """Attention of onnxruntime's own, and products inside a branch."""
    inside = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["z"])], "b", [], [helper.make_tensor_value_info("z", FLOAT, None)]
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("MultiHeadAttention", ["x", "x", "x"], ["h"], domain="com.microsoft", num_heads=1),
        helper.make_node("If", ["c"], ["i"], then_branch=inside, else_branch=inside),
    ]
    model = made(nodes, {"x": [1, 3, 4], "c": ([1], TensorProto.BOOL)}, {"w": floats(4, 4)})
    path = saved(folder, model)
    with pytest.warns(ImportNote) as caught:
        assert len(sim.load_workload(path).gemms) == 1
    assert [str(warning.message) for warning in caught] == [
        f"{path}: products inside these nodes are ignored: 1 MultiHeadAttention",
        f"{path}: products inside branches and loops are ignored: 2 MatMul",
    ]


def product(kind="MatMul", shape=(2, 3), inputs=("x", "w"), **attributes):
    return made([helper.make_node(kind, list(inputs), ["y"], **attributes)], {"x": list(shape)}, {"w": floats(3, 4)})


WRONG = {
    "an open batch": (
        lambda: product(shape=("n", "k")),
        ": dimensions without a size: 'n' (axis 0 of input 'x'), 'k' (axis 1 of input 'x'); give each one: "
        "--dim n=1 --dim k=1, or dims: {n: 1, k: 1} beside extends",
    ),
    "an open axis without a name": (lambda: product(shape=(None, 3)), ": dimensions without a size: 'x.0' (axis 0 *"),
    "no product": (
        lambda: made([helper.make_node("Relu", ["x"], ["y"])], {"x": [2]}, {}),
        ": no matrix product in it is read; its nodes: Relu",
    ),
    "sizes that are data": (
        lambda: made(
            [helper.make_node("NonZero", ["x"], ["n"]), helper.make_node("Cast", ["n"], ["f"], to=FLOAT),
             helper.make_node("MatMul", ["w", "f"], ["y"])], {"x": [2, 3]}, {"w": floats(4, 2)},
        ),
        ": node 'y' (MatMul): the sizes of its tensor 'f' do not follow from the model's inputs and weights",
    ),
    "one operand": (lambda: product(inputs=("x",)), ": node 'y' (MatMul): its inputs and attributes are not *"),
    "a matrix as a map": (lambda: product("Conv"), ": node 'y' (Conv): its inputs and attributes are not *"),
    "inner sizes that differ": (
        lambda: product(shape=(2, 5)), ": node 'y' (MatMul): inner sizes 5 and 3 of its operands differ",
    ),
    "inner sizes that differ, transposed": (
        lambda: product("Gemm", shape=(3, 2), transA=1, transB=1),
        ": node 'y' (Gemm): inner sizes 3 and 4 of its operands differ",
    ),
    "channels that differ": (
        lambda: made(
            [helper.make_node("Conv", ["x", "w"], ["y"], group=2)], {"x": [1, 5, 4, 4]}, {"w": floats(4, 2, 1, 1)}
        ),
        ": node 'y' (Conv): inner sizes 5 and 4 of its operands differ",
    ),
    "stacks that do not go together": (
        lambda: made([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": [2, 3, 4]}, {"w": floats(3, 4, 5)}),
        ": *",
    ),
    "a label of two sizes": (
        lambda: product("Einsum", shape=(2, 5), equation="ij,jk->ik"), ": *inner sizes 5 and 3 of its operands differ",
    ),
    "an odd sum": (
        lambda: product("Einsum", equation="ii,jk->k"), ": node 'y' (Einsum): 'ii,jk->k' is not a product of two *",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line(case, folder):
    from fnmatch import fnmatchcase

    make, message = WRONG[case]
    path = saved(folder, make())
    with pytest.raises(OlivineError) as caught:
        sim.load_workload(path)
    assert fnmatchcase(str(caught.value), f"{path}{message}")


@pytest.mark.parametrize("content", [b"", b"name: x\n", b"\x08\x07\x12", b"\x00" * 99])
def test_no_model(content, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(OlivineError, match=r"net\.onnx: not an ONNX model: "):
        sim.load_workload(path)


WHOLE = attention_block().SerializeToString()


@settings(max_examples=300, deadline=None)
@given(
    cut=st.integers(0, len(WHOLE)),
    changes=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=4),
)
@pytest.mark.filterwarnings("ignore::simulator.errors.ImportNote")
def test_a_damaged_model_is_a_workload_or_one_line(folder, cut, changes):
    content = bytearray(WHOLE)
    for at, byte in changes:
        content[at] = byte
    path = folder / "damaged.onnx"
    path.write_bytes(content[: cut if not changes else None])
    try:
        found = resolve_workload({"name": "x", "extends": str(path), "dims": {"batch": 2, "tokens": 3}}).ops
        complaint = "" if all(op.macs > 0 for op in found) else "an op without a MAC"
    except OlivineError as error:
        complaint = str(error).replace(str(path), "", 1)
        complaint = "" if complaint != str(error) or "gemms" in complaint else complaint
    assert complaint == ""


def test_sizes_that_double_again_and_again_fill_no_memory(folder):
    """Forty concatenations of a shape with itself: 2^41 dimensions in a file of a kilobyte."""
    shapes = ["shape", *(f"twice{i}" for i in range(40))]
    nodes = [helper.make_node("Concat", [one, one], [two], axis=0) for one, two in pairwise(shapes)]
    nodes += [
        helper.make_node("Expand", ["x", shapes[-1]], ["large"]),
        helper.make_node("MatMul", ["large"] * 2, ["y"]),
    ]
    path = saved(folder, made(nodes, {"x": (4, 4)}, {"shape": np.ones(2, np.int64)}))
    with pytest.raises(OlivineError, match="the sizes of its tensor 'large' do not follow"):
        sim.load_workload(path)


def test_functions_that_call_each_other_twice_fill_no_memory(folder):
    """Thirty functions, each of which is the one before it twice: 2^30 nodes."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = []
    for i in range(30):
        kind, domain = (f"f{i - 1}", "own") if i else ("Relu", "")
        body = [helper.make_node(kind, [a], [b], domain=domain) for a, b in pairwise("abc")]
        functions.append(helper.make_function("own", f"f{i}", ["a"], ["c"], body, opsets))
    model = made([helper.make_node("f29", ["x"], ["y"], domain="own")], {"x": (4, 4)}, {})
    model.functions.extend(functions)
    model.opset_import.append(opsets[1])
    with pytest.raises(OlivineError, match=r"net\.onnx: more than 1,000,000 nodes once its functions are written out"):
        sim.load_workload(saved(folder, model))


def test_without_the_package_a_line_says_how_to_get_it(folder, monkeypatch, capsys):
    path = saved(folder, product())
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["import", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"olivine: {path}: reading ONNX needs the package onnx: pip install 'olivine[onnx]'\n"
    )


def test_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, attention_block(), "block.onnx")
    assert main(["import", "block.onnx", "--dim", "batch=2", "--dim", "token=4"]) == 2
    assert "without a size: 'tokens' (axis 1 of input 'x')" in capsys.readouterr().err
    assert main(["import", "block.onnx", "--dim", "batch=2", "--dim", "tokens=4", "--out", "mine"]) == 0
    assert capsys.readouterr().out.split() == ["workload", "mine/block.yaml"]
    Path("s.yaml").write_text(
        "name: s\ndesigns: [int8_systolic]\nworkloads:\n  - mine/block.yaml\n"
        "  - {extends: block.onnx, name: wide, dims: {batch: 2, tokens: 8}}\n"
    )
    assert main(["run", "s.yaml", "--out", "run", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    assert [row["macs"] for row in rows] == [4 * 2 * n * 64 + 2 * 2 * n * n * 8 for n in (4, 8)]
