"""A SCALE-Sim topology (``.csv``, convolutions or GEMMs) as a workload.

What a row means is SCALE-Sim's: the map includes its padding, and its result has ``ceil((size - filter) / stride) + 1``
rows, a last window over zeros where the stride does not fit. A convolution with ``DP`` in its name is depthwise: as
many convolutions of one channel as the row has channels. GEMMs are M, N, K in that order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulator.config.foreign import Foreign
from simulator.config.text_file import read_text
from simulator.config.yaml_nodes import Source, Steps
from simulator.errors import WorkloadError, did_you_mean
from simulator.workload.scalesim_rows import COLUMNS, Row, Table, Topology, complaint

__all__ = ["read_topology"]

_RATIO = re.compile(r"([0-9]{1,9})\s*:\s*([0-9]{1,9})")


def read_topology(path: Path, dims: Mapping[str, int], kind: str | None = None) -> Foreign:
    """Reads a topology.

    Args:
        dims: values of names that stand for numbers, as in templates of LSTMs (``B``, ``H``, ``D``).
        kind: ``conv`` or ``gemm``; None: what the header or the number of columns says.
    Raises: WorkloadError or ConfigError with file, line and column.
    """
    table = Table(path, read_text(path, "a SCALE-Sim topology"), dims)
    return _Layers(path, table.topology(kind)).workload(dims)


class _Layers:
    """The rows of a topology on their way to records."""

    def __init__(self, path: Path, topology: Topology) -> None:
        self.path = path
        self.topology = topology
        self.sparse: list[str] = []
        self.ignored: dict[str, int] = {}

    def workload(self, dims: Mapping[str, int]) -> Foreign:
        """The whole."""
        unknown = next((name for name in dims if name not in self.topology.open_names), None)
        if unknown is not None:
            known = ", ".join(sorted(self.topology.open_names)) or "none"
            near = did_you_mean(unknown, self.topology.open_names)
            raise WorkloadError(f"{self.path}: dims: no size is named '{unknown}'{near}; named sizes: {known}")
        field, make = ("convs", self.conv) if self.topology.kind == "conv" else ("gemms", self.gemm)
        records = [make(row) for row in self.topology.rows]
        notes = self.notes()
        head = {"name": self.path.stem, "source": "; ".join([f"SCALE-Sim topology {self.path.name}", *notes])}
        places: dict[Steps, int] = {(field, i): row.line for i, row in enumerate(self.topology.rows)}
        origins = {place: f"{self.path.name}:{line}" for place, line in places.items()}
        source = Source({**head, field: records}, {(): 1, **places}, str(self.path))
        return Foreign(source, origins, tuple(notes))

    def conv(self, row: Row) -> dict[str, Any]:
        """A convolution."""
        height, width, high, wide, channels, filters, stride = (row.sizes[name] for name in COLUMNS["conv"])
        for axis, size, reach in (("Height", height, high), ("Width", width, wide)):
            if reach > size:
                what = f"Filter {axis}: {reach} is more than IFMAP {axis}, {size}, which has to include the padding"
                raise complaint(self.path, row.line, what)
        given = self.further(row)
        across = given.get("stride", stride)
        depthwise = "DP" in row.layer
        return {
            "name": row.name,
            "in_channels": 1 if depthwise else channels,
            "height": height,
            "width": width,
            "out_channels": filters,
            "kernel": high if high == wide else [high, wide],
            "stride": stride if stride == across else [stride, across],
            **({"batch": given["batch"]} if "batch" in given else {}),
            **({"count": channels} if depthwise else {}),
            "ceil": True,
        }

    def gemm(self, row: Row) -> dict[str, Any]:
        """A GEMM; a batch of them is one of products of two activations, such as attention heads."""
        batch = self.further(row).get("batch", 1)
        shape = {"name": row.name, **{name: row.sizes[name] for name in COLUMNS["gemm"]}}
        return {**shape, "count": batch, "kind": "bmm"} if batch > 1 else shape

    def further(self, row: Row) -> dict[str, int]:
        """What the cells behind the sizes mean: ``stride`` along the width, ``batch``; sparsity is noted."""
        meaning: dict[str, int] = {}
        for position, cell in row.further.items():
            role = self.role(position, cell)
            if role == "sparsity":
                self.sparsity(row, cell)
            elif role:
                meaning[role] = self.count(row, position, cell)
            else:
                label = self.topology.labels.get(position) or f"number {position + 1}"
                self.ignored[label] = self.ignored.get(label, 0) + 1
        return meaning

    def role(self, position: int, cell: str) -> str:
        """By the header's word, else as SCALE-Sim reads it: 2 the other stride, 3 a ratio, and a GEMM's batch."""
        label = self.topology.labels.get(position, "").lower()
        words = {"sparsity": "sparsity", "n:m": "sparsity", "batch": "batch", "stride": "stride"}
        named = next((role for word, role in words.items() if word in label), "")
        if named == "stride" and self.topology.kind == "gemm":
            return ""
        if named or label or not re.fullmatch("[0-9: ]+", cell):
            return named or ("sparsity" if _RATIO.fullmatch(cell) else "")
        first = len(COLUMNS[self.topology.kind]) + 1
        if ":" in cell:
            return "sparsity"
        if self.topology.kind == "conv":
            return "stride" if position == first else ""
        return "batch" if position in (first, first + 1) else ""

    def count(self, row: Row, position: int, cell: str) -> int:
        """A stride or a batch."""
        if not (re.fullmatch("[0-9]{1,10}", cell) and 1 <= int(cell) < 2**31):
            label = self.topology.labels.get(position) or f"column {position + 1}"
            raise complaint(self.path, row.line, f"{label}: found {cell[:60]!r}, expected a whole number of at least 1")
        return int(cell)

    def sparsity(self, row: Row, cell: str) -> None:
        """``N:M``, N weights of M that are not zero; ``1`` alone is dense."""
        match = _RATIO.fullmatch("1:1" if cell == "1" else cell)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            what = f"Sparsity: found {cell[:60]!r}, expected N:M, at least 1 and at most M of M weights, as in 2:4"
            raise complaint(self.path, row.line, what)
        if match[1] != match[2]:
            self.sparse.append(f"{row.name} {match[1]}:{match[2]}")

    def notes(self) -> list[str]:
        """All notes about the file."""
        notes = list(self.topology.notes)
        if self.sparse:
            shown = ", ".join(self.sparse[:3]) + (f" and {len(self.sparse) - 3} more" if len(self.sparse) > 3 else "")
            notes.append(f"sparsity is ignored ({shown}): no datapath here skips zeros, these layers run dense")
        if self.ignored:
            columns = ", ".join(f"{label} ({n} {'row' if n == 1 else 'rows'})" for label, n in self.ignored.items())
            notes.append(f"unknown columns are ignored: {columns}")
        return notes
