"""A TensorFlow Lite model (``.tflite``) as a workload: the sizes of its matrix products.

Operands as LiteRT's kernels define them: maps are (batch, height, width, channels), weights (out, height, width, in),
of depthwise convolutions (1, height, width, out), of fully connected layers (N, K).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from simulator.config.foreign import Foreign
from simulator.config.yaml_nodes import Source
from simulator.errors import WorkloadError
from simulator.workload.onnx_graph import Graph, Node
from simulator.workload.onnx_model import listed_notes
from simulator.workload.onnx_products import (
    Product,
    conv_record,
    read_each,
    refused,
    require_equal,
    require_same_size,
    same_pads,
    short,
)
from simulator.workload.tflite_graph import open_tflite

__all__ = ["notes_of_tflite", "read_tflite", "tflite_products"]

_UNREAD = frozenset(
    {
        "BIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_RNN", "CONV_3D", "CONV_3D_TRANSPOSE", "CUSTOM", "LSTM",
        "RNN", "STABLEHLO_CONVOLUTION", "STABLEHLO_DOT_GENERAL", "SVDF", "UNIDIRECTIONAL_SEQUENCE_LSTM",
        "UNIDIRECTIONAL_SEQUENCE_RNN",
    }
)  # fmt: skip
"""Kinds of nodes that hold matrix products, or may, which are not read."""
_SAME = 0  # of LiteRT's schema: Padding.SAME; VALID is 1


def read_tflite(path: Path, dims: Mapping[str, int]) -> Foreign:
    """Reads a model; its sizes are fixed, so that ``dims`` must be empty. Raises: WorkloadError, one line."""
    graph = open_tflite(path).graph
    products, notes = tflite_products(graph), notes_of_tflite(graph)
    if dims:
        raise WorkloadError(
            f"{path}: dims: the sizes of a TensorFlow Lite model are fixed; remove '{next(iter(dims))}'"
        )
    if not products:
        kinds = ", ".join(sorted({node.kind for node in graph.nodes})[:8])
        raise WorkloadError("; ".join([f"{path}: no matrix product in it is read; its nodes: {kinds}", *notes]))
    data: dict[str, Any] = {"name": path.stem, "source": "; ".join([f"TensorFlow Lite model {path.name}", *notes])}
    for field in ("convs", "gemms"):
        records = [product.record for product in products if product.field == field]
        data |= {field: records} if records else {}
    return Foreign(Source(data, {}, str(path)), {}, tuple(notes))


def tflite_products(graph: Graph) -> list[Product]:
    """All of them, in the order of the nodes. Raises: WorkloadError naming the node."""
    return read_each(graph, _READERS, ("",))


def notes_of_tflite(graph: Graph) -> list[str]:
    """Products that are not read."""
    return listed_notes(graph, _UNREAD, frozenset(_READERS))


def _convolution(graph: Graph, node: Node) -> list[Product]:
    act, weight = node.inputs[:2]
    batch, height, width, channels = graph.shape(node, act)
    depthwise = node.kind == "DEPTHWISE_CONV_2D"
    first, *kernel, last = graph.shape(node, weight)
    filters, groups = (last, channels) if depthwise else (first, channels // last)
    if not groups or filters % groups or (not depthwise and groups * last != channels):
        raise refused(graph, node, f"{channels} channels do not go with a weight of {list(graph.shape(node, weight))}")
    how = node.attributes
    steps, apart = [how["StrideH"], how["StrideW"]], [how["DilationHFactor"], how["DilationWFactor"]]
    less, more = same_pads((height, width), kernel, steps, apart) if how["Padding"] == _SAME else ([0, 0], [0, 0])
    shape = (batch, channels, height, width)
    record = conv_record(node.name, shape, (filters, *kernel), (steps, [*less, *more], apart), groups)
    require_same_size(graph, node, record, graph.shape(node, node.outputs[0])[1:3])
    return [Product("convs", {key: short(value) for key, value in record.items()}, act, weight, node)]


def _transposed(graph: Graph, node: Node) -> list[Product]:
    """A transposed convolution: each value of the map times a whole kernel, whose results are then added up."""
    weight, act = node.inputs[1:3]
    *map_, channels = graph.shape(node, act)
    *rest, inner = graph.shape(node, weight)
    require_equal(graph, node, channels, inner)
    return [_gemm(graph, node, (math.prod(map_), math.prod(rest), channels), 1, act, weight)]


def _fully_connected(graph: Graph, node: Node) -> list[Product]:
    act, weight = node.inputs[:2]
    N, K = graph.shape(node, weight)
    size = math.prod(graph.shape(node, act))
    if size % K or node.attributes.get("WeightsFormat"):
        raise refused(graph, node, f"{size} values do not make rows of {K}, or its weights are shuffled")
    return [_gemm(graph, node, (size // K, N, K), 1, act, weight)]


def _batch_matmul(graph: Graph, node: Node) -> list[Product]:
    act, weight = node.inputs[:2]
    (*stack, M, K), (*others, inner, N) = graph.shape(node, act), graph.shape(node, weight)
    M, K = (K, M) if node.attributes["AdjX"] else (M, K)
    inner, N = (N, inner) if node.attributes["AdjY"] else (inner, N)
    require_equal(graph, node, K, inner)
    out = graph.shape(node, node.outputs[0])
    if math.prod(others) == 1:
        return [_gemm(graph, node, (M * math.prod(stack), N, K), 1, act, weight)]
    return [_gemm(graph, node, (M, N, K), math.prod(out[:-2]), act, weight)]


def _gemm(graph: Graph, node: Node, shape: tuple[int, int, int], count: int, act: str, weight: str) -> Product:
    record: dict[str, Any] = {"name": node.name, **dict(zip("MNK", shape, strict=True))}
    if count > 1:
        record["count"] = count
    if act not in graph.constants and weight not in graph.constants:
        record["kind"] = "bmm"
    return Product("gemms", record, act, weight, node)


_READERS: dict[str, Callable[[Graph, Node], list[Product]]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _batch_matmul,
}
