"""A TensorFlow Lite model (``.tflite``) as a graph of nodes whose tensors have sizes.

The file is a flat buffer whose layout comes with LiteRT's Python package; nothing is run. Sizes are those in the file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import NoSuchFileError, WorkloadError
from simulator.workload.onnx_graph import MOST, Graph, Node

__all__ = ["TfliteGraph", "TfliteTensor", "open_tflite"]

_IDENTIFIER = b"TFL3"
_MOST_BYTES = 2**31 - 1
"""Of a flat buffer, by its format."""
_NAME = 120
_OPTIONS = {
    "CONV_2D": ("Conv2DOptions", "Padding StrideH StrideW DilationHFactor DilationWFactor"),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", "Padding StrideH StrideW DilationHFactor DilationWFactor"),
    "TRANSPOSE_CONV": ("TransposeConvOptions", "Padding StrideH StrideW"),
    "FULLY_CONNECTED": ("FullyConnectedOptions", "WeightsFormat KeepNumDims"),
    "BATCH_MATMUL": ("BatchMatMulOptions", "AdjX AdjY"),
}
"""Kind of node -> its record of options in LiteRT's schema, and what is read of it."""


@dataclass(frozen=True)
class TfliteTensor:
    """One tensor: its number in the file, and what its integers stand for, if they are codes.

    Attributes:
        scale, zero: of each place along ``axis``, or one for all; none of other tensors.
    """

    index: int
    kind: str
    scale: NDArray[np.float32] | None
    zero: NDArray[np.int64] | None
    axis: int


@dataclass(frozen=True)
class TfliteGraph:
    """A model: its graph, its tensors by name, the names of its inputs."""

    graph: Graph
    tensors: dict[str, TfliteTensor]
    inputs: tuple[str, ...]


def open_tflite(path: Path) -> TfliteGraph:
    """Reads a model's first graph. Raises: WorkloadError, one line."""
    schema = _schema(path)
    try:
        content = path.read_bytes() if path.stat().st_size <= _MOST_BYTES else b""
    except FileNotFoundError:
        raise NoSuchFileError(f"{path}: no such file") from None
    except OSError as error:
        raise WorkloadError(f"{path}: cannot read the file: {error.strerror}") from None
    if content[4:8] != _IDENTIFIER:
        raise WorkloadError(f"{path}: not a TensorFlow Lite model: it does not begin as one")
    try:
        return _read(path, schema, schema.Model.GetRootAsModel(content, 0), len(content))
    except (struct.error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, MemoryError):
        raise WorkloadError(f"{path}: not a TensorFlow Lite model: it is cut short or damaged") from None


def _schema(path: Path) -> Any:
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError:
        raise WorkloadError(
            f"{path}: reading TensorFlow Lite needs LiteRT: pip install 'olivine[tflite]', or convert it to ONNX"
        ) from None
    return schema_py_generated


def _read(path: Path, schema: Any, model: Any, size: int) -> TfliteGraph:
    graph = model.Subgraphs(0)
    names = _names(graph, size)
    shapes = {names[i]: tuple(map(int, graph.Tensors(i).ShapeAsNumpy())) for i in range(len(names)) if _sized(graph, i)}
    if any(not 0 <= length <= MOST for shape in shapes.values() for length in shape):
        raise ValueError("a size that no tensor has")
    kinds = _words(schema.TensorType)
    tensors = {name: _tensor(graph.Tensors(i), i, kinds) for i, name in enumerate(names)}
    holds = [model.Buffers(graph.Tensors(i).Buffer()).DataLength() > 0 for i in range(len(names))]
    constants = {name for name, held in zip(names, holds, strict=True) if held}
    nodes = [_node(schema, model, graph, i, names) for i in range(_counted(graph.OperatorsLength(), size))]
    for node in nodes:
        if all(name in constants for name in node.inputs if name):
            constants |= {name for name in node.outputs if name}
    inputs = tuple(names[i] for i in graph.InputsAsNumpy())
    hidden = _hidden(schema, model, size)
    return TfliteGraph(Graph(path, nodes, shapes, frozenset(constants - set(inputs)), hidden), tensors, inputs)


def _counted(length: int, size: int) -> int:
    """A vector's length, which the file must have room for."""
    if length * 4 > size:
        raise ValueError("a vector longer than the file")
    return length


def _sized(graph: Any, i: int) -> bool:
    return graph.Tensors(i).ShapeLength() > 0


def _names(graph: Any, size: int) -> list[str]:
    """A name for each tensor: its own, made of printable letters, cut, and told from others of the same."""
    names: list[str] = []
    taken: set[str] = set()
    for i in range(_counted(graph.TensorsLength(), size)):
        own = (graph.Tensors(i).Name() or b"").decode("utf-8", "replace").split(";")[0][:_NAME]
        name = "".join(c if c.isprintable() else "_" for c in own) or f"tensor {i}"
        name = f"{name}#{i}" if name in taken else name
        taken.add(name)
        names.append(name)
    return names


def _tensor(tensor: Any, index: int, kinds: dict[int, str]) -> TfliteTensor:
    how, kind = tensor.Quantization(), kinds.get(tensor.Type(), "unknown")
    if how is None or not how.ScaleLength():
        return TfliteTensor(index, kind, None, None, 0)
    scale = np.array(how.ScaleAsNumpy(), np.float32)
    zero = np.array(how.ZeroPointAsNumpy() if how.ZeroPointLength() else [0], np.int64)
    return TfliteTensor(index, kind, scale, zero, int(how.QuantizedDimension()))


def _words(enum: Any) -> dict[int, str]:
    return {value: word for word, value in vars(enum).items() if isinstance(value, int)}


def _kind(schema: Any, model: Any, operator: Any, words: dict[int, str]) -> str:
    code = model.OperatorCodes(operator.OpcodeIndex())
    return words.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "unknown")


def _node(schema: Any, model: Any, graph: Any, index: int, names: list[str]) -> Node:
    operator = graph.Operators(index)
    kind = _kind(schema, model, operator, _words(schema.BuiltinOperator))
    inputs, outputs = (
        tuple(names[i] if i >= 0 else "" for i in ids)
        for ids in (_ids(operator.InputsAsNumpy), _ids(operator.OutputsAsNumpy))
    )
    return Node(f"op{index:03}.{kind.lower()}", kind, "", inputs, outputs, _attributes(schema, operator, kind))


def _ids(read: Callable[[], Any]) -> Iterable[int]:
    found = read()
    return () if isinstance(found, int) else map(int, found)  # 0 for no vector


def _attributes(schema: Any, operator: Any, kind: str) -> dict[str, Any]:
    if kind not in _OPTIONS:
        return {}
    word, fields = _OPTIONS[kind]
    table = operator.BuiltinOptions()
    if table is None:
        return {}
    options = getattr(schema, word)()
    options.Init(table.Bytes, table.Pos)
    return {field: int(getattr(options, field)()) for field in fields.split()}


def _hidden(schema: Any, model: Any, size: int) -> dict[str, int]:
    """Kinds of nodes of further graphs: bodies of loops and branches."""
    hidden: dict[str, int] = {}
    words = _words(schema.BuiltinOperator)
    for i in range(1, _counted(model.SubgraphsLength(), size)):
        graph = model.Subgraphs(i)
        for j in range(_counted(graph.OperatorsLength(), size)):
            kind = _kind(schema, model, graph.Operators(j), words)
            hidden[kind] = hidden.get(kind, 0) + 1
    return hidden
