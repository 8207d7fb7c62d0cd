"""An ONNX model (``.onnx``) as a workload: the sizes of its matrix products."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from simulator.config.foreign import Foreign
from simulator.config.yaml_nodes import Source
from simulator.errors import WorkloadError
from simulator.workload.onnx_graph import Graph, open_graph
from simulator.workload.onnx_products import READ, UNREAD, Product, products_of

__all__ = ["listed_notes", "notes_of", "read_onnx"]


def read_onnx(path: Path, dims: Mapping[str, int]) -> Foreign:
    """Reads a model.

    Args:
        dims: sizes of the dimensions that its inputs leave open, by name, such as a batch or a sequence.
    Raises: WorkloadError, one line.
    """
    graph = open_graph(path, dims)
    products = products_of(graph)
    notes = notes_of(graph)
    if not products:
        kinds = ", ".join(sorted({node.kind for node in graph.nodes})[:8])
        raise WorkloadError("; ".join([f"{path}: no matrix product in it is read; its nodes: {kinds}", *notes]))
    data = {
        "name": path.stem,
        "source": "; ".join([f"ONNX model {path.name}" + _sizes(dims), *notes]),
        **{field: records for field in ("convs", "gemms") if (records := _records(products, field))},
    }
    return Foreign(Source(data, {}, str(path)), {}, tuple(notes))


def _records(products: list[Product], field: str) -> list[dict[str, object]]:
    return [product.record for product in products if product.field == field]


def _sizes(dims: Mapping[str, int]) -> str:
    return f" with {', '.join(f'{name} {size}' for name, size in dims.items())}" if dims else ""


def notes_of(graph: Graph) -> list[str]:
    """Products that are not read."""
    return listed_notes(graph, UNREAD, READ)


def listed_notes(graph: Graph, unread_kinds: frozenset[str], read_kinds: frozenset[str]) -> list[str]:
    """Nodes of kinds that are not read, and what is inside loops and branches, of any kind that holds products."""
    unread = Counter(node.kind for node in graph.nodes if node.kind in unread_kinds)
    inside = {kind: n for kind, n in graph.hidden.items() if kind in unread_kinds | read_kinds}
    notes = []
    if unread:
        notes.append(f"products inside these nodes are ignored: {_listed(unread)}")
    if inside:
        notes.append(f"products inside branches and loops are ignored: {_listed(inside)}")
    return notes


def _listed(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in kinds.items())
