"""Operands of the matrix products of an ONNX graph, from the values of its tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import TraceError
from simulator.tracing.operands import Found, GraphProduct, Layout, Stored, Tensor, flat, stacked
from simulator.workload import Op
from simulator.workload.convolution import Convolution, im2col, weight_matrix
from simulator.workload.onnx_graph import Graph, Node
from simulator.workload.onnx_products import Product, same_pads

__all__ = ["geometry_of", "graph_products", "op_of"]

_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})


@dataclass(frozen=True, slots=True)
class _Source:
    """Names of a tensor, of its scale and its zero; the axis that these run along, if they are more than one."""

    values: str
    scale: str = ""
    zero: str = ""
    axis: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in (self.values, self.scale, self.zero) if name)

    def tensor(self, found: Found) -> Tensor:
        values = found[self.values]
        return Tensor(values, *(self._along(values, found[name]) if name else None for name in (self.scale, self.zero)))

    def _along(self, values: NDArray[Any], numbers: NDArray[Any]) -> NDArray[Any]:
        """Numbers for all values, or one for each place of the axis."""
        if numbers.size == 1 or numbers.ndim > 1:
            return numbers
        shape = [1] * values.ndim
        shape[self.axis] = numbers.size
        return numbers.reshape(shape)


def graph_products(graph: Graph, products: list[Product]) -> list[GraphProduct]:
    """All products, in order; each step of a recurrent layer is one. Names that occur again end in ``#2``, ``#3``.

    Raises: TraceError for a product whose operands cannot be seen.
    """
    made_by = {name: node for node in graph.nodes for name in node.outputs if name}
    seen: dict[str, int] = {}
    found = []
    for product in products:
        for one in _parts(graph, product, made_by):
            seen[one.op.name] = times = seen.get(one.op.name, 0) + 1
            name = f"{one.op.name}#{times}" if times > 1 else one.op.name
            op = Op(name, one.op.M, one.op.N, one.op.K, one.op.count, one.op.kind)
            found.append(GraphProduct(op, one.act, one.weight, one.reads, one.operands))
    return found


def _parts(graph: Graph, product: Product, made_by: Mapping[str, Node]) -> Iterator[GraphProduct]:
    if product.node.kind in _RECURRENT and product.act == product.node.outputs[0]:
        yield from _steps(graph, product)
        return
    act, weight = _sources(product, made_by)
    layouts = _layouts(graph, product)

    def operands(found: Found) -> tuple[Stored, Stored]:
        return act.tensor(found).laid_out(layouts[0]), weight.tensor(found).laid_out(layouts[1])

    names = tuple(dict.fromkeys((*act.names, *weight.names)))
    yield GraphProduct(op_of(product), product.act, product.weight, names, operands)


def op_of(product: Product) -> Op:
    """Its shape and kind."""
    record = dict(product.record)
    name = record.pop("name")
    if product.field == "convs":
        return geometry_of(product).op(name)
    return Op(name, record["M"], record["N"], record["K"], record.get("count", 1), record.get("kind", "linear"))


def geometry_of(product: Product) -> Convolution:
    """Of a product that is a convolution."""
    items = product.record.items()
    record: dict[str, Any] = {key: tuple(x) if isinstance(x, list) else x for key, x in items if key != "name"}
    return Convolution(**record)


# Which tensors hold an operand


def _sources(product: Product, made_by: Mapping[str, Node]) -> tuple[_Source, _Source]:
    """Both operands as they are stored: the codes behind a ``DequantizeLinear``, or of a node that takes codes."""
    own = _OWN_CODES.get(product.node.kind)
    if own is None:
        return _behind(product.act, made_by), _behind(product.weight, made_by)
    names = dict(enumerate(product.node.inputs))
    sources = []
    for places, axis in own:
        values, scale, zero = ("" if i is None else names.get(i, "") for i in places)
        sources.append(_Source(values, scale, zero, axis))
    by_name = {source.values: source for source in reversed(sources)}
    return by_name[product.act], by_name[product.weight]


_OWN_CODES: dict[str, list[tuple[tuple[int | None, ...], int]]] = {
    "ConvInteger": [((0, None, 2), 0), ((1, None, 3), 0)],
    "MatMulInteger": [((0, None, 2), -2), ((1, None, 3), -1)],
    "QLinearConv": [((0, 1, 2), 0), ((3, 4, 5), 0)],
    "QLinearMatMul": [((0, 1, 2), -2), ((3, 4, 5), -1)],
}
"""Kind of node -> for both operands, which of its inputs are values, scale and zero, and the axis of these."""


def _behind(name: str, made_by: Mapping[str, Node]) -> _Source:
    node = made_by.get(name)
    if node is None or node.kind != "DequantizeLinear" or node.attributes.get("block_size"):
        return _Source(name)
    codes, scale, zero = (*node.inputs, "")[:3]
    return _Source(codes, scale, zero, node.attributes.get("axis", 1))


# How it becomes an operand


def _layouts(graph: Graph, product: Product) -> tuple[Layout, Layout]:
    return _LAYOUTS[product.node.kind](graph, product)


def _conv(graph: Graph, product: Product) -> tuple[Layout, Layout]:
    axes = len(graph.shape(product.node, product.weight)) - 2
    if axes == 3:
        return _volume(graph, product)
    conv = geometry_of(product)

    def act(x: NDArray[Any]) -> NDArray[Any]:
        return flat(im2col(conv, x if axes == 2 else x[:, :, None]))

    def weight(w: NDArray[Any]) -> NDArray[Any]:
        return flat(weight_matrix(conv, w if axes == 2 else w[:, :, None]))

    return act, weight


def _volume(graph: Graph, product: Product) -> tuple[Layout, Layout]:
    """A convolution in three dimensions: windows along the first one are further channels of one in two."""
    node = product.node
    shape, kernel = graph.shape(node, product.act), graph.shape(node, product.weight)
    steps, apart = (list(node.attributes.get(name, [1, 1, 1])) for name in ("strides", "dilations"))
    pads = _volume_pads(node, shape, kernel, steps, apart)
    depth = kernel[2]

    def windows(x: NDArray[Any]) -> NDArray[Any]:
        padded = np.pad(x, ((0, 0), (0, 0), *pads))
        reach = apart[0] * (depth - 1) + 1
        found = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=2)[:, :, :: steps[0], ..., :: apart[0]]
        moved = np.moveaxis(found, (2, 5), (1, 3))  # batch, depth, channel, depth of the kernel, height, width
        return moved.reshape(-1, moved.shape[2] * depth, *moved.shape[4:])

    def geometry(x: NDArray[Any]) -> Convolution:
        batch, channels, height, width = x.shape
        how = [(one[-2], one[-1]) for one in (kernel, steps, apart)]
        groups = node.attributes.get("group", 1)
        return Convolution(channels, height, width, kernel[0], how[0], how[1], 0, how[2], groups, batch)

    def act(x: NDArray[Any]) -> NDArray[Any]:
        maps = windows(x)
        return flat(im2col(geometry(maps), maps))

    def weight(w: NDArray[Any]) -> NDArray[Any]:
        groups = node.attributes.get("group", 1)
        return flat(w.reshape(groups, len(w) // groups, -1))

    return act, weight


def _volume_pads(
    node: Node, shape: tuple[int, ...], kernel: tuple[int, ...], steps: list[int], apart: list[int]
) -> list[tuple[int, int]]:
    """Zeros before and behind each axis that make the sizes of the result."""
    if node.attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", b""):
        pads = list(node.attributes.get("pads", [0] * 6))
        return list(zip(pads[:3], pads[3:], strict=True))
    if node.attributes["auto_pad"] == b"VALID":
        return [(0, 0)] * 3
    less, more = same_pads(shape[2:], kernel[2:], steps, apart)
    ends = (more, less) if node.attributes["auto_pad"] == b"SAME_LOWER" else (less, more)
    return list(zip(*ends, strict=True))


def _transposed(graph: Graph, product: Product) -> tuple[Layout, Layout]:
    groups = product.node.attributes.get("group", 1)

    def act(x: NDArray[Any]) -> NDArray[Any]:
        batch, channels = x.shape[:2]
        split = x.reshape(batch, groups, channels // groups, -1)
        return flat(split.transpose(1, 0, 3, 2).reshape(groups, -1, channels // groups))

    def weight(w: NDArray[Any]) -> NDArray[Any]:
        return flat(w.reshape(groups, len(w) // groups, -1).transpose(0, 2, 1))

    return act, weight


def _matmul(graph: Graph, product: Product) -> tuple[Layout, Layout]:
    """As numpy multiplies stacks of matrices; the result is that of ``_product`` in ``workload.onnx_products``."""
    node = product.node
    a, b = (node.inputs[i] for i in {"QLinearMatMul": (0, 3)}.get(node.kind, (0, 1)))
    stack = np.broadcast_shapes(*(graph.shape(node, name)[:-2] for name in (a, b)))

    def left(x: NDArray[Any]) -> NDArray[Any]:
        return x if x.ndim > 1 else x[None]

    def right(x: NDArray[Any]) -> NDArray[Any]:
        return np.swapaxes(x if x.ndim > 1 else x[:, None], -1, -2)

    sides = (left, right) if product.act == a else (right, left)
    return stacked(sides, stack, product.record.get("count", 1))


def _gemm(graph: Graph, product: Product) -> tuple[Layout, Layout]:
    node = product.node

    def rows_of_a(x: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(x.T if node.attributes.get("transA") else x)

    def rows_of_b(x: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(x if node.attributes.get("transB") else x.T)

    return (rows_of_a, rows_of_b) if product.act == node.inputs[0] else (rows_of_b, rows_of_a)


def _einsum(graph: Graph, product: Product) -> tuple[Layout, Layout]:
    """Axes in the order stack, rows, K."""
    node = product.node
    equation, _, result = node.attributes["equation"].decode().replace(" ", "").partition("->")
    labels = equation.split(",")
    if product.act != node.inputs[0]:
        labels.reverse()
    shared = [x for x in dict.fromkeys("".join(labels)) if all(x in side for side in labels)]
    stack, inner = ([x for x in shared if (x in result) == kept] for kept in (True, False))

    def laid(own: str) -> Layout:
        rows = [x for x in own if x not in shared]
        order = [own.index(x) for x in (*stack, *rows, *inner)]

        def layout(x: NDArray[Any]) -> NDArray[Any]:
            moved = x.transpose(order)
            ends = (len(stack), len(stack) + len(rows))
            sizes = (math.prod(moved.shape[a:b]) for a, b in ((0, ends[0]), ends, (ends[1], x.ndim)))
            return flat(moved.reshape(*sizes))

        return layout

    return laid(labels[0]), laid(labels[1])


def _inputs_of_steps(graph: Graph, product: Product) -> tuple[Layout, Layout]:
    """The inputs of all steps of a recurrent layer, for each direction."""
    directions = product.record["count"]

    def act(x: NDArray[Any]) -> NDArray[Any]:
        rows = (x.swapaxes(0, 1) if product.node.attributes.get("layout") else x).reshape(-1, x.shape[-1])
        return flat(np.broadcast_to(rows, (directions, *rows.shape)))

    return act, flat


def _steps(graph: Graph, product: Product) -> Iterator[GraphProduct]:
    """Each step's state times the weights, for each direction; the second runs backwards."""
    node = product.node
    inputs = dict(enumerate(node.inputs))
    lengths, initial = inputs.get(4, ""), inputs.get(5, "")
    record, directions = product.record, graph.shape(node, product.weight)[0]
    steps = record["count"] // directions
    reads = tuple(name for name in (product.act, product.weight, lengths, initial) if name)
    batched = bool(node.attributes.get("layout"))
    backwards = node.attributes.get("direction", b"forward") == b"reverse"
    for step in range(steps):
        op = Op(record["name"], record["M"], record["N"], record["K"], directions)

        def operands(found: Found, step: int = step) -> tuple[Stored, Stored]:
            if node.kind == "GRU" and not node.attributes.get("linear_before_reset"):
                raise TraceError(
                    f"{graph.path}: node '{node.name}' (GRU): with linear_before_reset 0 the state that its candidate "
                    "gate multiplies stays inside the node; leave it out with --layers"
                )
            if lengths and (found[lengths] != steps).any():
                raise TraceError(f"{graph.path}: node '{node.name}' ({node.kind}): sequences of unequal length")
            states = found[product.act]  # (steps, directions, batch, hidden), or batch first
            states = states.transpose(1, 2, 0, 3) if batched else states
            first = found[initial] if initial else np.zeros_like(states[0])
            first = first.swapaxes(0, 1) if initial and batched else first
            ways = [backwards] if directions == 1 else [False, True]
            before = [_state_before(states[:, way], first[way], step, reverse) for way, reverse in enumerate(ways)]
            return Stored(flat(np.stack(before))), Stored(flat(found[product.weight]))

        yield GraphProduct(op, f"{op.name}.a", product.weight, reads, operands)


def _state_before(states: NDArray[Any], first: NDArray[Any], step: int, reverse: bool) -> NDArray[Any]:
    """The state (batch, hidden) that a step starts from."""
    if step == 0:
        return first
    return np.asarray(states[len(states) - step] if reverse else states[step - 1])


_LAYOUTS: dict[str, Callable[[Graph, Product], tuple[Layout, Layout]]] = {
    "Conv": _conv,
    "ConvInteger": _conv,
    "QLinearConv": _conv,
    "ConvTranspose": _transposed,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
    **dict.fromkeys(_RECURRENT, _inputs_of_steps),
}
