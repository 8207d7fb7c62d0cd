"""The matrix products of an ONNX graph: which nodes hold some, of which sizes, and of which tensors.

``A[M,K] x W[K,N]``, W being what no input changes; where neither or both are such, the node's second operand. Each is a
record of a workload, with the names of the tensors, so that their values can be taken from a run of the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.config.conv_geometry import ConvGeometry, ShapeError
from simulator.errors import WorkloadError
from simulator.workload.onnx_graph import Graph, Node

__all__ = [
    "READ",
    "UNREAD",
    "Product",
    "conv_record",
    "products_of",
    "read_each",
    "refused",
    "require_equal",
    "require_same_size",
    "same_pads",
    "short",
]

UNREAD = frozenset(
    {
        "Attention", "DecoderMaskedMultiHeadAttention", "DecoderMaskedSelfAttention", "DeformConv",
        "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "FusedConv", "FusedGemm", "FusedMatMul",
        "FusedMatMulActivation", "GroupQueryAttention", "LongformerAttention", "MatMulBnb4", "MatMulFpQ4",
        "MatMulIntegerToFloat", "MatMulNBits", "MoE", "MultiHeadAttention", "NhwcConv", "PackedAttention",
        "PackedMultiHeadAttention", "QAttention", "QGemm", "QMoE", "QOrderedMatMul", "QuantizeAttention",
        "SparseAttention", "TransposeMatMul",
    }
)  # fmt: skip
"""Kinds of nodes, of ONNX and of onnxruntime's own, that hold matrix products which are not read."""


@dataclass(frozen=True)
class Product:
    """One entry of a workload's ``convs`` or ``gemms``, and the tensors that it multiplies.

    Attributes:
        field: ``convs`` or ``gemms``.
        record: the entry.
        act, weight: names of the tensors that A and W are made of.
        node: which holds it.
    """

    field: str
    record: dict[str, Any]
    act: str
    weight: str
    node: Node


def products_of(graph: Graph) -> list[Product]:
    """All of them, in the order of the nodes. Raises: WorkloadError naming the node."""
    return read_each(graph, _READERS, ("", "ai.onnx", "com.microsoft"))


ReaderOfNode = Callable[[Graph, Node], list["Product"]]


def read_each(graph: Graph, readers: Mapping[str, ReaderOfNode], domains: Sequence[str]) -> list[Product]:
    """What the reader of its kind makes of each node, in order. Raises: WorkloadError naming the node."""
    known = (node for node in graph.nodes if node.kind in readers and node.domain in domains)
    return [product for node in known for product in _read(graph, node, readers[node.kind])]


def _read(graph: Graph, node: Node, reader: ReaderOfNode) -> list[Product]:
    """The products of one node, whose inputs and attributes may be anything at all."""
    try:
        return reader(graph, node)
    except ShapeError as error:
        complaint = str(error)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        complaint = "its inputs and attributes are not those of such a node"
    raise refused(graph, node, complaint)


def _conv(weight_at: int) -> Callable[[Graph, Node], list[Product]]:
    return lambda graph, node: _convolution(graph, node, node.inputs[weight_at])


def _convolution(graph: Graph, node: Node, weight: str) -> list[Product]:
    """A convolution in one or two dimensions as one; in three, as the GEMMs of its groups."""
    act = node.inputs[0]
    batch, channels, *sizes = graph.shape(node, act)
    filters, per_group, *kernel = graph.shape(node, weight)
    if not sizes or len(kernel) != len(sizes):
        raise ValueError("not a map and a kernel of as many axes")
    groups = node.attributes.get("group", 1)
    require_equal(graph, node, channels, groups * per_group)
    out = graph.shape(node, node.outputs[0])
    if len(sizes) > 2:
        each = channels // groups * math.prod(kernel)
        gemm = {"name": node.name, "M": batch * math.prod(out[2:]), "N": filters // groups, "K": each, "count": groups}
        return [Product("gemms", gemm, act, weight, node)]
    steps, apart = (_attribute(node, name, len(sizes)) for name in ("strides", "dilations"))
    pads = _pads(node, sizes, kernel, steps, apart)
    flat = [1] * (2 - len(sizes))
    sizes, kernel, steps, apart = ([*flat, *each] for each in (sizes, kernel, steps, apart))
    pads = [*(0 for _ in flat), *pads[: len(pads) // 2], *(0 for _ in flat), *pads[len(pads) // 2 :]]
    record = conv_record(node.name, (batch, channels, *sizes), (filters, *kernel), (steps, pads, apart), groups)
    require_same_size(graph, node, record, (*flat, *out[2:]))
    return [Product("convs", {key: short(value) for key, value in record.items()}, act, weight, node)]


def conv_record(
    name: str,
    act: Sequence[int],
    weight: Sequence[int],
    how: tuple[Sequence[int], Sequence[int], Sequence[int]],
    groups: int,
) -> dict[str, Any]:
    """An entry of ``convs``.

    Args:
        act: batch, channels, height, width; weight: filters, height, width.
        how: steps of both axes; zeros before both, then behind both; dilation of both.
    """
    steps, pads, apart = map(list, how)
    return {
        "name": name,
        "in_channels": act[1],
        "height": act[2],
        "width": act[3],
        "out_channels": weight[0],
        "kernel": list(weight[1:]),
        "stride": steps,
        "padding": pads,
        "dilation": apart,
        "groups": groups,
        "batch": act[0],
    }


def require_same_size(graph: Graph, node: Node, record: dict[str, Any], out: tuple[int, ...]) -> None:
    """What ONNX says of the result's sizes, and what this program makes of the same attributes."""
    sizes: dict[str, Any] = {key: tuple(x) if isinstance(x, list) else x for key, x in record.items() if key != "name"}
    geometry = ConvGeometry(**sizes)
    if (geometry.out_height, geometry.out_width) != out:
        made = f"{geometry.out_height} x {geometry.out_width}, and not {' x '.join(map(str, out))}"
        raise refused(graph, node, f"its attributes give a result of {made}")


def _attribute(node: Node, name: str, axes: int) -> list[int]:
    return list(node.attributes.get(name, [1] * axes))


def _pads(node: Node, sizes: list[int], kernel: list[int], steps: list[int], apart: list[int]) -> list[int]:
    """Zeros before each axis, then behind each; ``SAME`` makes as many results as steps fit into the map."""
    mode = node.attributes.get("auto_pad", b"NOTSET").decode()
    if mode in ("NOTSET", ""):
        return list(node.attributes.get("pads", [0] * 2 * len(sizes)))
    if mode == "VALID":
        return [0] * 2 * len(sizes)
    less, more = same_pads(sizes, kernel, steps, apart)
    return less + more if mode == "SAME_UPPER" else more + less


def same_pads(
    sizes: Sequence[int], kernel: Sequence[int], steps: Sequence[int], apart: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Zeros before and behind each axis for as many results as steps fit into it, the odd one behind."""
    axes = zip(sizes, kernel, steps, apart, strict=True)
    missing = [
        max(0, (-(-size // step) - 1) * step + dilation * (reach - 1) + 1 - size)
        for size, reach, step, dilation in axes
    ]
    return [n // 2 for n in missing], [n - n // 2 for n in missing]


def short(value: Any) -> Any:
    """One number for a list of equal ones; of padding alike at both ends, one per axis."""
    if isinstance(value, list) and len(set(value)) == 1:
        return value[0]
    return value[:2] if isinstance(value, list) and len(value) == 4 and value[:2] == value[2:] else value


def _transposed(graph: Graph, node: Node) -> list[Product]:
    """A transposed convolution: each value of the map times a whole kernel, whose results are then added up."""
    act, weight = node.inputs[:2]
    batch, channels, *sizes = graph.shape(node, act)
    inner, per_group, *kernel = graph.shape(node, weight)
    require_equal(graph, node, channels, inner)
    groups = node.attributes.get("group", 1)
    M, N, K = batch * math.prod(sizes), per_group * math.prod(kernel), channels // groups
    gemm = {"name": node.name, "M": M, "N": N, "K": K, "count": groups}
    return [Product("gemms", gemm, act, weight, node)]


def _matmul(b_at: int) -> Callable[[Graph, Node], list[Product]]:
    return lambda graph, node: _product(graph, node, node.inputs[0], node.inputs[b_at])


def _product(graph: Graph, node: Node, a: str, b: str) -> list[Product]:
    """A product of stacks of matrices as numpy's: vectors get a side of 1, leading axes are repeated where they are 1.

    Where W has no leading axes, all of A's are rows of one GEMM.
    """
    left, right = graph.shape(node, a), graph.shape(node, b)
    left, right = (left if len(left) > 1 else (1, *left)), (right if len(right) > 1 else (*right, 1))
    (*stack, M, K), (*others, inner, N) = left, right
    require_equal(graph, node, K, inner)
    if a in graph.constants and b not in graph.constants:  # W x A = (A^T x W^T)^T
        a, b, M, N, stack, others = b, a, N, M, others, stack
    if math.prod(others) == 1:
        M, count = M * math.prod(stack), 1
    else:
        count = math.prod(_broadcast(graph, node, stack, others))
    return [_gemm(graph, node, (M, N, K), count, a, b)]


def _broadcast(graph: Graph, node: Node, one: list[int], other: list[int]) -> list[int]:
    width = max(len(one), len(other))
    pairs = list(zip([1] * (width - len(one)) + one, [1] * (width - len(other)) + other, strict=True))
    if any(x != y and 1 not in (x, y) for x, y in pairs):
        raise refused(graph, node, f"stacks of {one} and {other} matrices do not go together")
    return [y if x == 1 else x for x, y in pairs]


def require_equal(graph: Graph, node: Node, one: int, other: int) -> None:
    """Inner sizes of a product. Raises: WorkloadError."""
    if one != other:
        raise refused(graph, node, f"inner sizes {one} and {other} of its operands differ")


def refused(graph: Graph, node: Node, complaint: str) -> WorkloadError:
    """A complaint about a node, on one line."""
    return WorkloadError(f"{graph.path}: node '{node.name}' ({node.kind}): {complaint}")


def _gemm_node(graph: Graph, node: Node) -> list[Product]:
    a, b = node.inputs[:2]
    left, right = graph.shape(node, a), graph.shape(node, b)
    M, K = left[::-1] if node.attributes.get("transA") else left
    N, inner = right if node.attributes.get("transB") else right[::-1]
    require_equal(graph, node, K, inner)
    if a in graph.constants and b not in graph.constants:
        a, b, M, N = b, a, N, M
    return [_gemm(graph, node, (M, N, K), 1, a, b)]


def _gemm(graph: Graph, node: Node, shape: tuple[int, int, int], count: int, act: str, weight: str) -> Product:
    """A product; of two activations, unless one of them is constant."""
    record = {"name": node.name, **dict(zip("MNK", shape, strict=True))}
    if count > 1:
        record["count"] = count
    if act not in graph.constants and weight not in graph.constants:
        record["kind"] = "bmm"
    return Product("gemms", record, act, weight, node)


def _einsum(graph: Graph, node: Node) -> list[Product]:
    """A sum over two operands: labels of both and of the result are a stack, of one and the result M or N, else K."""
    equation = node.attributes["equation"].decode().replace(" ", "")
    operands, _, result = equation.partition("->")
    labels = operands.split(",")
    if len(labels) != 2 or not result or any(len(set(x)) != len(x) or not x.isalpha() for x in (*labels, result)):
        raise refused(graph, node, f"'{equation}' is not a product of two operands")
    a, b = node.inputs
    sizes = [dict(zip(x, graph.shape(node, name), strict=True)) for x, name in zip(labels, (a, b), strict=True)]
    if a in graph.constants and b not in graph.constants:
        a, b, labels, sizes = b, a, labels[::-1], sizes[::-1]
    size = {**sizes[0], **sizes[1]}
    kept = {x: x in result for x in size}
    shared = [x for x in size if x in labels[0] and x in labels[1]]
    for x in shared:
        require_equal(graph, node, sizes[0][x], sizes[1][x])

    def count(chosen: list[str]) -> int:
        return math.prod(size[x] for x in chosen)

    stack, K = count([x for x in shared if kept[x]]), count([x for x in shared if not kept[x]])
    M, N = (count([x for x in own if x not in shared]) for own in labels)
    return [_gemm(graph, node, (M, N, K), stack, a, b)]


def _recurrent(gates: int) -> Callable[[Graph, Node], list[Product]]:
    return lambda graph, node: _recurrence(graph, node, gates)


def _recurrence(graph: Graph, node: Node, gates: int) -> list[Product]:
    """Inputs of all steps at once; the state step by step."""
    x, w, r = node.inputs[:3]
    first, second, size = graph.shape(node, x)
    directions, _, hidden = graph.shape(node, r)
    require_equal(graph, node, size, graph.shape(node, w)[2])
    steps, batch = (second, first) if node.attributes.get("layout") else (first, second)
    whole = {"name": f"{node.name}.input", "M": steps * batch, "N": gates * hidden, "K": size, "count": directions}
    state = {"name": f"{node.name}.state", "M": batch, "N": gates * hidden, "K": hidden, "count": directions * steps}
    return [Product("gemms", whole, x, w, node), Product("gemms", state, node.outputs[0], r, node)]


_READERS: dict[str, Callable[[Graph, Node], list[Product]]] = {
    "Conv": _conv(1),
    "ConvInteger": _conv(1),
    "QLinearConv": _conv(3),
    "ConvTranspose": _transposed,
    "MatMul": _matmul(1),
    "MatMulInteger": _matmul(1),
    "QLinearMatMul": _matmul(3),
    "Gemm": _gemm_node,
    "Einsum": _einsum,
    "LSTM": _recurrent(4),
    "GRU": _recurrent(3),
    "RNN": _recurrent(1),
}

READ = frozenset(_READERS)
"""Kinds of nodes whose products are read."""
