"""An ONNX model opened to be run: its inputs, its matrix products, and the values of any of its tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import TraceError
from simulator.tracing.files import plain_file
from simulator.tracing.graph_inputs import Asked, Slot, read_given
from simulator.tracing.onnx_operands import graph_products
from simulator.tracing.operands import GraphProduct
from simulator.workload.onnx_fold import MOST_VALUES
from simulator.workload.onnx_graph import first_words, graph_of, library, load_model, open_dims, with_sizes
from simulator.workload.onnx_model import notes_of
from simulator.workload.onnx_products import products_of

__all__ = ["OnnxRun"]

_RECURRENT = ("LSTM", "GRU", "RNN")
_LOOKUPS = ("Cast", "Reshape", "Squeeze", "Unsqueeze", "Identity")
_SILENT = 4  # onnxruntime's own messages would break into ours


class OnnxRun:
    """A model with all sizes known.

    Attributes:
        products: its matrix products; inputs: what it is run on; record: the same for a manifest.
        notes: products that are not seen.
        files: all files that it consists of.

    Raises: TraceError or WorkloadError, one line.
    """

    def __init__(self, path: Path, asked: Asked) -> None:
        self._path, self._onnx = path, library(path)
        model = load_model(path)
        self.files = [path, *_files_beside(path, model.graph)]
        self._bring_in_shapes(model.graph)
        given = read_given(path, _slots(self._onnx, path, model.graph), asked)
        _name_states(model.graph)
        self._model = with_sizes(path, model, given.dims)
        self._model.ir_version = max(self._model.ir_version, 4)  # before it, constants had to be inputs
        self._graph = graph_of(path, self._model)
        self.products: list[GraphProduct] = graph_products(self._graph, products_of(self._graph))
        self.notes = notes_of(self._graph)
        self.inputs, self.record = given.filled()
        self._weights = {tensor.name: tensor for tensor in self._model.graph.initializer}

    def values(self, rounds: Sequence[Sequence[str]]) -> Iterator[dict[str, NDArray[Any]]]:
        """Values of the tensors of each round by name; each round runs what of the model they need.

        Raises: TraceError if onnxruntime is missing, or cannot run the model.
        """
        wanted = dict.fromkeys(name for names in rounds for name in names if self._is_made(name))
        session = self._session(list(wanted)) if wanted else None
        feeds = {one.name: self.inputs[one.name] for one in session.get_inputs()} if session else {}
        for names in rounds:
            made = [name for name in names if self._is_made(name)]
            found = {name: self._constant(name) for name in names if name not in made}
            try:
                results = session.run(made, feeds) if session and made else []
            except Exception as error:  # onnxruntime's errors have no common class
                raise self._cannot_run(error) from None
            yield found | dict(zip(made, results, strict=True))

    def size_bytes(self, name: str) -> int:
        """Of a tensor, at most; 4 bytes a value are assumed."""
        return 4 * math.prod(self._graph.shapes.get(name, ()))

    def _bring_in_shapes(self, graph: Any) -> None:
        """Constants of few values that lie in other files may be sizes, and are read."""
        for tensor in graph.initializer:
            if tensor.data_location and math.prod(tensor.dims) <= MOST_VALUES:
                values = self._read(tensor)
                tensor.CopyFrom(self._onnx.numpy_helper.from_array(values, tensor.name))

    def _read(self, tensor: Any) -> NDArray[Any]:
        try:
            return np.asarray(self._onnx.numpy_helper.to_array(tensor, str(self._path.parent)))
        except Exception as error:  # of protobuf, onnx and numpy
            raise TraceError(f"{self._path}: tensor '{tensor.name}': cannot read it: {first_words(error)}") from None

    def _is_made(self, name: str) -> bool:
        return name not in self._weights and name not in self.inputs

    def _constant(self, name: str) -> NDArray[Any]:
        return self.inputs[name] if name in self.inputs else self._read(self._weights[name])

    def _session(self, wanted: list[str]) -> Any:
        """The model as it is written, node by node, giving those tensors."""
        try:
            import onnxruntime
        except ImportError:
            raise TraceError(f"{self._path}: running it needs onnxruntime: pip install 'olivine[onnx]'") from None
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = _SILENT
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(self._path.resolve().parent)
        )
        del self._model.graph.output[:]
        self._model.graph.output.extend(self._onnx.ValueInfoProto(name=name) for name in wanted)
        try:
            return onnxruntime.InferenceSession(
                self._model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise self._cannot_run(error) from None

    def _cannot_run(self, error: Exception) -> TraceError:
        return TraceError(f"{self._path}: onnxruntime cannot run it: {first_words(error)}")


def _slots(onnx: Any, path: Path, graph: Any) -> list[Slot]:
    """Inputs that are no weights."""
    names = {(value.name, axis): name for name, value, axis, _ in open_dims(graph)}
    weights = {tensor.name for tensor in graph.initializer}
    slots = []
    for value in graph.input:
        if value.name in weights:
            continue
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type") or not kind.elem_type:
            raise TraceError(f"{path}: input '{value.name}' is no tensor")
        shape = tuple(names.get((value.name, axis), dim.dim_value) for axis, dim in enumerate(kind.shape.dim))
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        if dtype.kind not in "fiub":
            raise TraceError(f"{path}: input '{value.name}' is of a type that cannot be given: {dtype}")
        slots.append(Slot(value.name, dtype, shape, _table_rows(graph, value.name)))
    return slots


def _table_rows(graph: Any, name: str) -> int | None:
    """Rows of the constant table that an input is looked up in."""
    tables = {tensor.name: tensor.dims[0] for tensor in graph.initializer if tensor.dims}
    names = {name}
    for node in graph.node:
        if node.op_type in _LOOKUPS and node.input and node.input[0] in names:
            names |= set(node.output)
        if node.op_type == "Gather" and len(node.input) == 2 and node.input[1] in names and node.input[0] in tables:
            return int(tables[node.input[0]])
    return None


def _name_states(graph: Any) -> None:
    """A recurrent layer's states of all steps get a name where nothing else reads them."""
    for i, node in enumerate(graph.node):
        if node.op_type in _RECURRENT and not (node.output and node.output[0]):
            states = f"{node.name or i}.states"
            node.output[:] = [states, *list(node.output)[1:]]


def _files_beside(path: Path, graph: Any) -> list[Path]:
    """Files that hold weights; none of them may lie outside the model's folder. Raises: TraceError."""
    found: dict[str, Path] = {}
    for tensor in graph.initializer:
        entries: Mapping[str, str] = {entry.key: entry.value for entry in tensor.external_data}
        name = entries.get("location")
        if tensor.data_location == 0 or name in found:
            continue
        if not name or Path(name).is_absolute() or ".." in Path(name).parts:
            raise TraceError(f"{path}: tensor '{tensor.name}' lies in {name!r}, which is no file beside the model")
        found[name] = plain_file(path.parent, name)
        if not found[name].is_file():
            raise TraceError(f"{found[name]}: no such file; it holds weights of {path.name}")
    return list(found.values())
