"""An ONNX file as a graph of nodes whose tensors have sizes: dimensions filled in, functions inlined, shapes inferred.

Weights that lie in files of their own are not read, and no file beside the model is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.errors import NoSuchFileError, WorkloadError, did_you_mean
from simulator.workload.onnx_fold import infer_sizes

__all__ = ["Graph", "Node", "first_words", "graph_of", "library", "load_model", "open_dims", "open_graph", "with_sizes"]

MOST = 2**31 - 1
MOST_NODES = 1_000_000
MOST_SHOWN = 200
"""Characters of another library's complaint."""


@dataclass(frozen=True)
class Node:
    """One node. ``inputs`` and ``outputs`` are names of tensors, empty where an optional one is left out."""

    name: str
    kind: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Graph:
    """A model.

    Attributes:
        nodes: in the order in which they run; those inside branches and loops are not among them.
        shapes: name of a tensor -> its sizes, of those that are known.
        constants: names of tensors that no input of the model changes: weights, and what is computed from them alone.
        hidden: kinds of nodes inside branches and loops, and how many.
    """

    path: Path
    nodes: list[Node]
    shapes: dict[str, tuple[int, ...]]
    constants: frozenset[str]
    hidden: dict[str, int]

    def shape(self, node: Node, tensor: str) -> tuple[int, ...]:
        """The sizes of a node's tensor. Raises: WorkloadError if they are not known."""
        if tensor not in self.shapes:
            what = f"the sizes of its tensor '{tensor}' do not follow from the model's inputs and weights"
            raise WorkloadError(f"{self.path}: node '{node.name}' ({node.kind}): {what}")
        return self.shapes[tensor]


def open_graph(path: Path, dims: Mapping[str, int]) -> Graph:
    """Reads a model.

    Args:
        dims: sizes of the dimensions that the model's inputs leave open, by name; one without a name is INPUT.AXIS.
    Raises: WorkloadError, one line, if it is no model, a size is missing or a name is not one of its own.
    """
    return graph_of(path, with_sizes(path, load_model(path), dims))


def load_model(path: Path) -> Any:
    """The file as a protocol buffer, without weights in files beside it. Raises: WorkloadError, one line."""
    return _loaded(library(path), path)


def with_sizes(path: Path, model: Any, dims: Mapping[str, int]) -> Any:
    """The same model, of which all sizes are known that follow from the inputs'; ``model`` is changed.

    Raises: WorkloadError, one line.
    """
    onnx = library(path)
    _fill(path, model.graph, dims)
    _require_few_nodes(path, model)
    try:
        model = onnx.inliner.inline_local_functions(model)
        del model.graph.value_info[:]  # sizes of another batch, perhaps
        for output in model.graph.output:
            output.type.tensor_type.ClearField("shape")
        return infer_sizes(onnx, model)
    except Exception as error:  # the library raises RuntimeError, ValueError and classes of its own
        raise WorkloadError(f"{path}: sizes cannot be inferred: {first_words(error)}") from None


def _require_few_nodes(path: Path, model: Any) -> None:
    """Functions may call functions, so that a small file is a large graph. Raises: WorkloadError."""
    bodies = {(function.domain, function.name): function.node for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def written_out(nodes: Any) -> int:
        return min(sum(sizes.get((node.domain, node.op_type), 1) for node in nodes), MOST_NODES + 1)

    for _ in bodies:
        known, sizes = sizes, sizes | {key: written_out(nodes) for key, nodes in bodies.items()}
        if sizes == known:
            break
    if written_out(model.graph.node) > MOST_NODES:
        raise WorkloadError(f"{path}: more than {MOST_NODES:,} nodes once its functions are written out")


def library(path: Path) -> Any:
    """The package onnx. Raises: WorkloadError if it is not there."""
    try:
        import onnx
        import onnx.inliner
        import onnx.reference
        import onnx.shape_inference
    except ImportError:
        raise WorkloadError(f"{path}: reading ONNX needs the package onnx: pip install 'olivine[onnx]'") from None
    return onnx


def _loaded(onnx: Any, path: Path) -> Any:
    try:
        model = onnx.load(path, load_external_data=False)
    except FileNotFoundError:
        raise NoSuchFileError(f"{path}: no such file") from None
    except OSError as error:
        raise WorkloadError(f"{path}: cannot read the file: {error.strerror}") from None
    except Exception as error:  # protobuf's DecodeError is a class of its own in each of its implementations
        raise WorkloadError(f"{path}: not an ONNX model: {first_words(error)}") from None
    if not model.graph.node:
        raise WorkloadError(f"{path}: not an ONNX model: it has no nodes")
    _require_text(path, model.graph)
    return model


def open_dims(graph: Any) -> Iterator[tuple[str, Any, int, Any]]:
    """Dimensions that a model's inputs leave open: name, input, axis, and the dimension itself."""
    weights = {tensor.name for tensor in graph.initializer}
    for value in graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim if value.name not in weights else ()):
            if not (dim.HasField("dim_value") and dim.dim_value > 0):
                yield dim.dim_param or f"{value.name}.{axis}", value, axis, dim


def _fill(path: Path, graph: Any, dims: Mapping[str, int]) -> None:
    """Put sizes into the inputs' open dimensions."""
    known: dict[str, str] = {}
    for name, value, axis, dim in open_dims(graph):
        known.setdefault(name, f"'{name}' (axis {axis} of input '{value.name}')")
        if name in dims:
            dim.dim_value = dims[name]
    missing = [name for name in known if name not in dims]
    if missing:
        what = ", ".join(known[name] for name in missing)
        options, keys = (
            how.join(f"{name}{mark}1" for name in missing) for how, mark in ((" --dim ", "="), (", ", ": "))
        )
        give = f"give each one: --dim {options}, or dims: {{{keys}}} beside extends"
        raise WorkloadError(f"{path}: dimensions without a size: {what}; {give}{did_you_mean(missing[0], dims)}")
    unknown = next((name for name in dims if name not in known), None)
    if unknown is not None:
        names = ", ".join(known) or "none"
        near = did_you_mean(unknown, known)
        raise WorkloadError(f"{path}: dims: no dimension is named '{unknown}'{near}; open dimensions: {names}")


def graph_of(path: Path, model: Any) -> Graph:
    """A model with sizes as a graph."""
    onnx, graph = library(path), model.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    shapes |= {tensor.values.name: tuple(tensor.dims) for tensor in graph.sparse_initializer}
    constants = set(shapes)
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if value.type.HasField("tensor_type") and kind.HasField("shape"):
            sizes = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim)
            if all(0 <= size <= MOST for size in sizes):
                shapes.setdefault(value.name, sizes)
    nodes, hidden = [], dict[str, int]()
    for i, proto in enumerate(graph.node):
        node = _node(onnx, proto, i)
        nodes.append(node)
        inner = [a.g for a in proto.attribute if a.type == onnx.AttributeProto.GRAPH]
        if not inner and "Random" not in node.kind and all(name in constants for name in node.inputs if name):
            constants |= {name for name in node.outputs if name}
        _count_hidden(onnx, inner, hidden)
    return Graph(path, nodes, shapes, frozenset(constants), hidden)


def _node(onnx: Any, proto: Any, index: int) -> Node:
    numbers = (onnx.AttributeProto.INT, onnx.AttributeProto.INTS, onnx.AttributeProto.STRING)
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute if a.type in numbers}
    name = proto.name or next((output for output in proto.output if output), f"node {index}")
    return Node(name, proto.op_type, proto.domain, tuple(proto.input), tuple(proto.output), attributes)


def _require_text(path: Path, graph: Any) -> None:
    """Protobuf hands over names that are not UTF-8 as bytes. Raises: WorkloadError."""
    names = [name for node in graph.node for name in (node.name, node.op_type, node.domain, *node.input, *node.output)]
    values = [*graph.input, *graph.output, *graph.initializer]
    names += [value.name for value in values]
    names += [dim.dim_param for value in graph.input for dim in value.type.tensor_type.shape.dim]
    names += [attribute.name for node in graph.node for attribute in node.attribute]
    odd = next((name for name in names if not isinstance(name, str)), None)
    if odd is not None:
        raise WorkloadError(f"{path}: not an ONNX model: the name {bytes(odd)[:40]!r} is not UTF-8 text")


def _count_hidden(onnx: Any, graphs: list[Any], hidden: dict[str, int]) -> None:
    """Kinds of all nodes of subgraphs, however deep."""
    while graphs:
        for proto in graphs.pop().node:
            hidden[proto.op_type] = hidden.get(proto.op_type, 0) + 1
            graphs += [a.g for a in proto.attribute if a.type == onnx.AttributeProto.GRAPH]


def first_words(error: Exception) -> str:
    """Another library's complaint, cut to a line."""
    return " ".join(str(error).split())[:MOST_SHOWN] or type(error).__name__
