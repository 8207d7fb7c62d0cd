"""A design: array, datapath, memories, quantisation and the price list that applies."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt, PrivateAttr, field_validator

from simulator.config.dram import DramPart
from simulator.config.load import Source
from simulator.config.pass_kinds import FusibleKind
from simulator.config.record import Record

__all__ = [
    "Array",
    "BankedDramSpec",
    "Cores",
    "DatapathSpec",
    "Design",
    "Dram",
    "GlobalBuffer",
    "Layer",
    "Memory",
    "OperandQuantisation",
    "OperandScratchpad",
    "Quantisation",
    "Scratchpad",
    "SystolicDesign",
    "Tiling",
    "VectorUnit",
]

Side = Annotated[int, Field(gt=0, le=65536)]


class Array(Record):
    """The PE array and its dataflow."""

    kind: Literal["systolic", "tensor_core"] = "systolic"
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

    ``ops`` and ``workload``, whose ops alone are meant, are patterns with shell wildcards; of several layers the first
    that matches an op applies to it.
    """

    ops: str = Field(min_length=1)
    workload: str = Field(default="*", min_length=1)
    datapath: dict[str, Any]


class Tiling(Record):
    """How a GEMM is cut into tiles. Block sizes and loop order that are given are not searched; of all tilings whose
    cycles are within ``tolerance`` of the least, the one of least DRAM traffic is taken: 0.01 trades a hundredth of the
    time for as little as a third of the traffic.
    """

    tolerance: Annotated[float, Field(ge=0, le=1)] = 0.0

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


class OperandScratchpad(Scratchpad):
    """A scratchpad of activations or weights. ``k_major``: a word holds neighbours along K of one row of A or column of
    W, ``line_major``: the same step of K of neighbouring ones.
    """

    layout: Literal["k_major", "line_major"] = "k_major"


class GlobalBuffer(Record):
    """SRAM between DRAM and the scratchpads of all cores: ``banks`` equal macros of ``word_bits``.

    For each GEMM it holds those of its two operands that fit whole and save most DRAM traffic. ``bandwidth_gb_s``: what
    its read port gives all cores together.
    """

    capacity_kib: Annotated[float, Field(gt=0, le=1e9)]
    word_bits: PositiveInt = 512
    banks: PositiveInt = 1
    bandwidth_gb_s: Annotated[float, Field(ge=1e-3, le=1e6)]


class Dram(Record):
    """Off-chip memory. ``none``: no memory limits, a GEMM's total is its compute time, outlier stalls and what the
    vector unit does apart. ``ideal``: a rate and a latency.

    ``sustained``: share of the bandwidth that long streams reach; what refresh, turnarounds and row misses leave of it.
    ``outstanding_bursts``: reads that a core's DMA may wait for at a time; null: no limit.
    ``standard``: which of the price list's ``drams`` is charged; null: the list's own ``dram``.
    """

    model: Literal["none", "ideal"] = "ideal"
    bandwidth_gb_s: Annotated[float, Field(ge=1e-3, le=1e6)] = 64.0
    latency_ns: Annotated[float, Field(ge=0, le=1e9)] = 100.0
    burst_bytes: Annotated[int, Field(gt=0, le=1 << 20)] = 64
    sustained: Annotated[float, Field(gt=0, le=1)] = 1.0
    outstanding_bursts: Annotated[int, Field(gt=0, le=1 << 20)] | None = None
    standard: str | None = None


class BankedDramSpec(Record):
    """Off-chip memory with banks and rows: a DRAM part by shipped name, path or mapping, and what its controller does
    otherwise than the part's file says.
    """

    model: Literal["banked"]
    part: str | DramPart
    address_map: str | None = None
    page_policy: Literal["open", "closed"] | None = None
    scheduler: Literal["in_order", "fr_fcfs"] | None = None
    queue_depth: PositiveInt | None = None
    age_cap: NonNegativeInt | None = None
    outstanding_bursts: PositiveInt | None = None

    @property
    def overrides(self) -> dict[str, Any]:
        """What is set of the controller, by dotted path into the part."""
        given = self.model_dump(exclude={"model", "part"}, exclude_none=True)
        return {f"controller.{name}": value for name, value in given.items()}


class Memory(Record):
    """The memory system: DRAM, a global buffer if there is one, and three scratchpads of each core.

    ``output_bits``: width of a result written to DRAM. ``bank_conflicts``: whether the array waits for words whose bank
    is busy; if not, ports are as wide as the array's edge. ``dram.model: none`` lifts this limit too, and that of the
    global buffer's bandwidth.
    """

    dram: Annotated[Dram | BankedDramSpec, Field(discriminator="model")] = Dram()
    global_buffer: GlobalBuffer | None = None
    act_buffer: OperandScratchpad
    weight_buffer: OperandScratchpad
    out_buffer: Scratchpad
    bank_conflicts: bool = False
    output_bits: Literal[4, 8, 16, 32] = 16

    @field_validator("dram", mode="before")
    @classmethod
    def _ideal_unless_said(cls, dram: Any) -> Any:
        return {"model": Dram().model} | dram if isinstance(dram, dict) else dram


class Cores(Record):
    """Equal cores, each with an array and scratchpads of its own, that share DRAM.

    ``partition``: along which dimension a GEMM is cut into one part per core; ``auto``: the one of least cycles.
    Where K is cut, each core's vector unit adds its share of the partial sums.
    """

    count: Annotated[int, Field(gt=0, le=1024)] = 1
    partition: Literal["auto", "M", "N", "K"] = "auto"


class VectorUnit(Record):
    """FP32 lanes beside the array, for all that is no matrix product.

    ``lanes``: values that take one simple operation (add, multiply, compare) per cycle; 64 is assumed.
    ``special_cycles``: cycles in which the lanes take one special function (exponential, reciprocal, reciprocal square
    root, tanh) each; a quarter as many special units as lanes is an NVIDIA multiprocessor's ratio (CUDA C++ Programming
    Guide, arithmetic throughput, compute capability 8.0: 64 FP32 and 16 special results per cycle).
    ``fused``: passes that work on results on their way, so that these need no round trip to DRAM; assumed: factors and
    biases, at the array's foot.
    """

    lanes: Annotated[int, Field(gt=0, le=65536)] = 64
    special_cycles: Annotated[int, Field(gt=0, le=1024)] = 4
    fused: list[FusibleKind] = Field(default=["bias", "dequantise"])


class Design(Record):
    """Everything that decides cycles, energy, area and values of a run: what all kinds of array share.

    ``node_nm``: the technology node that prices are scaled to; null: the price list's own.
    """

    name: str = Field(min_length=1, max_length=100)
    description: str = ""
    clock_mhz: Annotated[float, Field(ge=1e-3, le=1e6)]
    datapath: DatapathSpec
    layers: list[Layer] = Field(default=[], max_length=1000)
    quantisation: Quantisation = Quantisation()
    node_nm: Annotated[float, Field(gt=0)] | None = None

    _source: Source | None = PrivateAttr(default=None)

    def for_op(self, workload: str, op: str) -> Design:
        """This design as the first of its layers that fits sets it for one op of a workload; without layers."""
        for layer in self.layers:
            if fnmatchcase(workload, layer.workload) and fnmatchcase(op, layer.ops):
                options = self.datapath.options | layer.datapath
                return self.model_copy(
                    update={"datapath": DatapathSpec(name=self.datapath.name, **options), "layers": []}
                )
        return self.model_copy(update={"layers": []})

    def where(self, *path: str | int) -> str:
        """Where a field was written (``file:line: dotted.path``), for messages."""
        return self._source.where(path) if self._source else ".".join(map(str, path))


class SystolicDesign(Design):
    """A systolic array with its scratchpads."""

    array: Array
    tiling: Tiling = Tiling()
    memory: Memory
    cores: Cores = Cores()
    vector_unit: VectorUnit = VectorUnit()
    cost: str = "open"
