"""A TensorFlow Lite model opened to be run: its inputs, its matrix products, and the values of its tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import TraceError
from simulator.tracing.graph_inputs import Asked, Slot, read_given
from simulator.tracing.messages import one_line
from simulator.tracing.onnx_operands import geometry_of, op_of
from simulator.tracing.operands import Found, GraphProduct, Layout, Stored, Tensor, flat, stacked
from simulator.workload.convolution import im2col, weight_matrix
from simulator.workload.onnx_graph import Graph
from simulator.workload.onnx_products import Product
from simulator.workload.tflite_graph import TfliteTensor, open_tflite
from simulator.workload.tflite_model import notes_of_tflite, tflite_products

__all__ = ["TfliteRun"]

_TYPES = {"FLOAT32": "f4", "FLOAT16": "f2", "INT8": "i1", "UINT8": "u1", "INT16": "i2", "INT32": "i4", "INT64": "i8",
          "BOOL": "?"}  # fmt: skip
_CODES = ("INT8", "UINT8")


class TfliteRun:
    """A model with its inputs.

    Attributes:
        products: its matrix products; inputs: what it is run on; record: the same for a manifest.
        notes: products that are not seen.
        files: the file.

    Raises: TraceError or WorkloadError, one line.
    """

    def __init__(self, path: Path, asked: Asked) -> None:
        self._path, self.files = path, [path]
        opened = open_tflite(path)
        self._graph, self._tensors = opened.graph, opened.tensors
        slots = [self._slot(name) for name in opened.inputs]
        self.inputs, self.record = read_given(path, slots, asked).filled()
        self.products = [self._product(product) for product in tflite_products(self._graph)]
        self.notes = notes_of_tflite(self._graph)

    def values(self, rounds: Sequence[Sequence[str]]) -> Iterator[dict[str, NDArray[Any]]]:
        """Values of the tensors of each round by name, of one run in which LiteRT keeps them all.

        Raises: TraceError if LiteRT cannot run the model.
        """
        try:
            interpreter = self._invoked()
        except (RuntimeError, ValueError) as error:
            raise TraceError(f"{self._path}: LiteRT cannot run it: {one_line(error)}") from None
        for names in rounds:
            yield {name: interpreter.get_tensor(self._tensors[name].index) for name in names}

    def size_bytes(self, name: str) -> int:
        """Of a tensor, at most."""
        return 4 * math.prod(self._graph.shapes.get(name, ()))

    def _invoked(self) -> Any:
        from ai_edge_litert import interpreter as litert

        kinds = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # a delegate keeps its tensors to itself
        made = litert.Interpreter(
            str(self._path), experimental_op_resolver_type=kinds, experimental_preserve_all_tensors=True
        )
        made.allocate_tensors()
        for name, values in self.inputs.items():
            made.set_tensor(self._tensors[name].index, values)
        made.invoke()
        return made

    def _slot(self, name: str) -> Slot:
        tensor = self._tensors[name]
        if tensor.kind not in _TYPES:
            raise TraceError(f"{self._path}: input '{name}' is of a type that cannot be given: {tensor.kind}")
        scale, zero = (None if x is None else x.flat[0] for x in (tensor.scale, tensor.zero))
        real = None if scale is None else float(scale)
        return Slot(name, np.dtype(_TYPES[tensor.kind]), self._graph.shapes.get(name, ()), None, real, int(zero or 0))

    def _product(self, product: Product) -> GraphProduct:
        layouts = _LAYOUTS[product.node.kind](self._graph, product)
        names = (product.act, product.weight)

        def operands(found: Found) -> tuple[Stored, Stored]:
            a, w = (
                self._coded(name, found[name]).laid_out(layout) for name, layout in zip(names, layouts, strict=True)
            )
            return a, w

        return GraphProduct(op_of(product), *names, tuple(dict.fromkeys(names)), operands)

    def _coded(self, name: str, values: NDArray[Any]) -> Tensor:
        tensor = self._tensors[name]
        if values.dtype.kind == "f":
            return Tensor(values)
        if tensor.kind not in _CODES:
            raise TraceError(f"{self._path}: tensor '{name}' is {tensor.kind}, which no operand here can be")
        return Tensor(values, _along(tensor, tensor.scale, values), _along(tensor, tensor.zero, values))


def _along(tensor: TfliteTensor, numbers: NDArray[Any] | None, values: NDArray[Any]) -> NDArray[Any] | None:
    """Numbers such that they broadcast against the values."""
    if numbers is None or numbers.size == 1:
        return numbers
    shape = [1] * values.ndim
    shape[tensor.axis] = numbers.size
    return numbers.reshape(shape)


def _conv(graph: Graph, product: Product) -> tuple[Layout, Layout]:
    conv = geometry_of(product)
    order = (3, 0, 1, 2) if product.node.kind == "DEPTHWISE_CONV_2D" else (0, 3, 1, 2)

    def act(x: NDArray[Any]) -> NDArray[Any]:
        return flat(im2col(conv, x.transpose(0, 3, 1, 2)))

    def weight(w: NDArray[Any]) -> NDArray[Any]:
        return flat(weight_matrix(conv, w.transpose(order)))

    return act, weight


def _rows(graph: Graph, product: Product) -> tuple[Layout, Layout]:
    """K is the last axis of both."""
    K = product.record["K"]

    def rows(x: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(x.reshape(-1, K))

    return rows, rows


def _batch_matmul(graph: Graph, product: Product) -> tuple[Layout, Layout]:
    how = product.node.attributes
    stack = np.broadcast_shapes(*(graph.shape(product.node, name)[:-2] for name in product.node.inputs[:2]))

    def side(swapped: bool) -> Layout:
        return lambda x: np.swapaxes(x, -1, -2) if swapped else x

    return stacked((side(bool(how["AdjX"])), side(not how["AdjY"])), stack, product.record.get("count", 1))


_LAYOUTS: dict[str, Callable[[Graph, Product], tuple[Layout, Layout]]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _conv,
    "TRANSPOSE_CONV": _rows,
    "FULLY_CONNECTED": _rows,
    "BATCH_MATMUL": _batch_matmul,
}
