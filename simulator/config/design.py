"""A design: array, datapath, memories, quantisation and the price list that applies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PositiveInt, PrivateAttr

from simulator.config.load import Source
from simulator.config.record import Record

__all__ = [
    "Array",
    "DatapathSpec",
    "Design",
    "Dram",
    "Layer",
    "Memory",
    "OperandQuantisation",
    "Quantisation",
    "Scratchpad",
    "Tiling",
]

Side = Annotated[int, Field(gt=0, le=65536)]


class Array(Record):
    """The PE array and its dataflow."""

    kind: Literal["systolic"] = "systolic"
    rows: Side
    cols: Side
    dataflow: Literal["os", "ws", "is"] = "os"
    fold_overlap: Literal["none", "wave", "full", "scalesim"] = "full"


class DatapathSpec(Record):
    """A datapath by name; every other key is an option of that datapath, checked against its own fields."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The datapath's options as given."""
        return dict(self.model_extra or {})


class Layer(Record):
    """Options of the datapath for the ops whose names match: 8 bits for a few layers, say.

    ``ops`` is a pattern with shell wildcards; of several layers the first that matches an op applies to it.
    """

    ops: str = Field(min_length=1)
    datapath: dict[str, Any]


class Tiling(Record):
    """How a GEMM is cut into tiles. Block sizes and loop order that are given are not searched; of all tilings whose
    cycles are within ``tolerance`` of the least, the one of least DRAM traffic is taken. Unless it is given it is 0 for
    ``os``, and 1 % for ``ws`` and ``is``, whose many tilings save a few cycles in a thousand for up to three times the
    DRAM traffic.
    """

    tolerance: Annotated[float, Field(ge=0, le=1)] | None = None

    m: PositiveInt | None = None
    n: PositiveInt | None = None
    k: PositiveInt | None = None
    order: Literal["mnk", "mkn", "nmk", "nkm", "kmn", "knm"] | None = None


class OperandQuantisation(Record):
    """Which elements share a scale, and how the scale is found."""

    granularity: Literal["tensor", "token", "channel"] = "tensor"
    calibration: Literal["mse", "absmax", "three_sigma"] = "mse"


class ActQuantisation(OperandQuantisation):
    """Activations: one scale per tensor, or per token (row of A)."""

    granularity: Literal["tensor", "token"] = "tensor"


class WeightQuantisation(OperandQuantisation):
    """Weights: one scale per tensor, or per output channel (column of W)."""

    granularity: Literal["tensor", "channel"] = "channel"


class Quantisation(Record):
    """Scales of both operands."""

    activations: ActQuantisation = ActQuantisation()
    weights: WeightQuantisation = WeightQuantisation()


class Scratchpad(Record):
    """One on-chip scratchpad: ``banks`` equal SRAM macros of ``word_bits``."""

    capacity_kib: Annotated[float, Field(gt=0, le=1e9)]
    word_bits: PositiveInt = 512
    banks: PositiveInt = 1
    double_buffer: bool = True


class Dram(Record):
    """Off-chip memory. ``none``: no memory limits, the total is the compute time. ``ideal``: a rate and a latency."""

    model: Literal["none", "ideal"] = "ideal"
    bandwidth_gb_s: Annotated[float, Field(ge=1e-3, le=1e6)] = 64.0
    latency_ns: Annotated[float, Field(ge=0, le=1e9)] = 100.0
    burst_bytes: Annotated[int, Field(gt=0, le=1 << 20)] = 64


class Memory(Record):
    """The memory system: DRAM and three scratchpads. ``output_bits``: width of a result written to DRAM."""

    dram: Dram = Dram()
    act_buffer: Scratchpad
    weight_buffer: Scratchpad
    out_buffer: Scratchpad
    output_bits: Literal[4, 8, 16, 32] = 16


class Design(Record):
    """Everything that decides cycles, energy, area and values of a run."""

    name: str = Field(min_length=1, max_length=100)
    description: str = ""
    clock_mhz: Annotated[float, Field(ge=1e-3, le=1e6)]
    array: Array
    datapath: DatapathSpec
    layers: list[Layer] = Field(default=[], max_length=1000)
    quantisation: Quantisation = Quantisation()
    tiling: Tiling = Tiling()
    memory: Memory
    cost: str = "open"

    _source: Source | None = PrivateAttr(default=None)

    def where(self, *path: str | int) -> str:
        """Where a field was written (``file:line: dotted.path``), for messages."""
        return self._source.where(path) if self._source else ".".join(map(str, path))
