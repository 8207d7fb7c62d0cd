"""Sizes that an ONNX model computes as it runs: worked out beforehand, where they follow from sizes that are known.

ONNX's own inference carries sizes through shape arithmetic, but not through all of it: an exported ``Pad`` or
``Reshape`` may be fed by slices, transposes and comparisons of shapes, and an ``If`` may ask for a size. Such nodes, of
few values each, are evaluated by ONNX's reference implementation, branches that are sure to be taken replace their
``If``, and inference starts again.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["MOST_VALUES", "infer_sizes"]

MOST_VALUES = 1024
"""Of a tensor that is worked out: shapes, axes, pads and masks have few."""
MOST_JOINED = 1 << 20

_ARITHMETIC = frozenset(
    {
        "Abs", "Add", "And", "Cast", "Ceil", "Concat", "Constant", "ConstantOfShape", "Div", "Equal", "Expand",
        "Flatten", "Floor", "Gather", "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "Min",
        "Mod", "Mul", "Neg", "Not", "Or", "Range", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape",
        "Round", "Size", "Slice", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze", "Where",
    }
)  # fmt: skip


def infer_sizes(onnx: Any, model: Any) -> Any:
    """The model with the sizes of its tensors; nodes that only compute sizes have become constants.

    Raises: what the library raises for a model that contradicts itself.
    """
    values, carried = _given(onnx, model.graph), _joins_few(model.graph)
    while True:
        found = onnx.shape_inference.infer_shapes(model, data_prop=carried)
        if not _fold(onnx, found.graph, values):
            return found
        model = found


def _joins_few(graph: Any) -> bool:
    """Whether nothing that ONNX's inference may carry as sizes grows beyond memory, as concatenation upon concatenation
    of a tensor with itself would; without it more rounds are needed.
    """
    values = {tensor.name: math.prod(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        given = [values.get(name, 1) for name in node.input] or [1]
        most = sum(given) if node.op_type == "Concat" else max(given)
        values |= dict.fromkeys(node.output, most)
        if node.op_type == "Concat" and most > MOST_JOINED:
            return False
    return True


def _given(onnx: Any, graph: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Values of the weights that could be shapes."""
    inside = onnx.TensorProto.DEFAULT
    small = [t for t in graph.initializer if math.prod(t.dims) <= MOST_VALUES and t.data_location == inside]
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in small}


def _fold(onnx: Any, graph: Any, values: dict[str, np.ndarray[Any, Any]]) -> bool:
    """Turns nodes into constants, and certain branches into nodes, in place; whether one was."""
    shapes = _known_shapes(graph)
    left, changed = [], False
    for node in graph.node:
        result = _value(onnx, node, shapes, values)
        if result is not None and result.size <= MOST_VALUES:
            values[node.output[0]] = result
            graph.initializer.append(onnx.numpy_helper.from_array(result, node.output[0]))
        elif node.op_type == "If" and node.input[0] in values:
            branch = _branch(node, bool(values[node.input[0]].any()))
            graph.initializer.extend(branch.initializer)
            left += branch.node
            for inner, outer in zip(branch.output, node.output, strict=False):
                left.append(onnx.helper.make_node("Identity", [inner.name], [outer]))
        else:
            left.append(node)
            continue
        changed = True
    if changed:
        del graph.node[:]
        graph.node.extend(left)
    return changed


def _branch(node: Any, taken: bool) -> Any:
    """The graph of an ``If`` that runs."""
    name = "then_branch" if taken else "else_branch"
    return next(attribute.g for attribute in node.attribute if attribute.name == name)


def _known_shapes(graph: Any) -> dict[str, tuple[int, ...]]:
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            shapes.setdefault(value.name, tuple(dim.dim_value for dim in dims))
    return shapes


def _value(
    onnx: Any, node: Any, shapes: dict[str, tuple[int, ...]], values: dict[str, np.ndarray[Any, Any]]
) -> np.ndarray[Any, Any] | None:
    """The one result of a node, if it follows."""
    if node.domain not in ("", "ai.onnx") or len(node.output) != 1:
        return None
    if node.op_type == "Shape" and node.input[0] in shapes:
        ends = {a.name: a.i for a in node.attribute}
        return np.array(shapes[node.input[0]][ends.get("start", 0) : ends.get("end")], np.int64)
    inputs = {name: values[name] for name in node.input if name in values}
    if node.op_type not in _ARITHMETIC or any(name and name not in inputs for name in node.input):
        return None
    if _grows(node, [inputs[name] for name in node.input if name]):
        return None
    try:
        (result,) = onnx.reference.ReferenceEvaluator(node).run(None, inputs)
    except Exception:  # the implementation's own errors: inference will name what is not known
        return None
    return np.asarray(result)


def _grows(node: Any, inputs: list[np.ndarray[Any, Any]]) -> bool:
    """Whether a node makes more values than it is given, and too many."""
    if node.op_type in ("ConstantOfShape", "Expand"):
        return math.prod(int(size) for size in inputs[-1].ravel()) > MOST_VALUES
    if node.op_type == "Range":
        start, end, step = (float(x) for x in inputs)
        return not step or (end - start) / step > MOST_VALUES
    return math.prod(x.size for x in inputs) > MOST_VALUES**2
