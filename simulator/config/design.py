"""A design: array, datapath, memories, quantisation and the price list that applies."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt, PrivateAttr, field_validator

from simulator.config.dram import DramPart
from simulator.config.pass_kinds import FusibleKind
from simulator.config.quantisation import Quantisation
from simulator.config.record import Record
from simulator.config.yaml_nodes import Origins

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
    "OperandScratchpad",
    "Scratchpad",
    "SystolicDesign",
    "Tiling",
    "VectorUnit",
]

Side = Annotated[int, Field(gt=0, le=65536)]


class Array(Record):
    """The PE array and its dataflow."""

    kind: Literal["systolic", "tensor_core"] = "systolic"
    """What kind of array this is."""
    rows: Side
    """PEs from top to bottom."""
    cols: Side
    """PEs from left to right."""
    dataflow: Literal["os", "ws", "is"] = "os"
    """What stays in the PEs: outputs (`os`), weights (`ws`) or inputs (`is`)."""
    fold_overlap: Literal["none", "wave", "full", "scalesim"] = "full"
    """How folds follow each other: each alone (`none`), behind the wavefront (`wave`), double-buffered (`full`); or
    SCALE-Sim's count (`scalesim`).
    """


class DatapathSpec(Record):
    """A datapath by name; every other key is an option of that datapath, checked against its own fields."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    name: str
    """Which datapath: `olivine list datapaths`."""

    @property
    def options(self) -> dict[str, Any]:
        """The datapath's options as given."""
        return dict(self.model_extra or {})


class Layer(Record):
    """Options of the datapath for the ops whose names match: 8 bits for a few layers, say. Of several layers the first
    that matches an op applies to it.
    """

    ops: str = Field(min_length=1)
    """Pattern of op names, with shell wildcards."""
    workload: str = Field(default="*", min_length=1)
    """Pattern of names of the workloads whose ops are meant."""
    datapath: dict[str, Any]
    """Options of the datapath for these ops."""


class Tiling(Record):
    """How a GEMM is cut into tiles. Block sizes and loop order that are given are not searched."""

    tolerance: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of all tilings whose cycles are within this fraction of the least, the one of least DRAM traffic is taken: 0.01
    trades a hundredth of the time for as little as a third of the traffic.
    """

    m: PositiveInt | None = None
    """Rows of a tile; null: searched."""
    n: PositiveInt | None = None
    """Columns of a tile; null: searched."""
    k: PositiveInt | None = None
    """Steps of K of a tile; null: searched."""
    order: Literal["mnk", "mkn", "nmk", "nkm", "kmn", "knm"] | None = None
    """Loops over tiles from the outermost to the innermost; null: searched."""


class Scratchpad(Record):
    """One on-chip scratchpad of equal SRAM macros."""

    capacity_kib: Annotated[float, Field(gt=0, le=1e9)]
    """Size [KiB]."""
    word_bits: PositiveInt = 512
    """Width of a word [bits]."""
    banks: PositiveInt = 1
    """Equal SRAM macros that it is made of."""
    double_buffer: bool = True
    """Whether it holds two tiles, so that one is filled while the other is used."""


class OperandScratchpad(Scratchpad):
    """A scratchpad of activations or weights."""

    layout: Literal["k_major", "line_major"] = "k_major"
    """What a word holds: neighbours along K of one row of A or column of W (`k_major`), or the same step of K of
    neighbouring ones (`line_major`).
    """


class GlobalBuffer(Record):
    """SRAM between DRAM and the scratchpads of all cores.

    For each GEMM it holds those of its two operands that fit whole and save most DRAM traffic.
    """

    capacity_kib: Annotated[float, Field(gt=0, le=1e9)]
    """Size [KiB]."""
    word_bits: PositiveInt = 512
    """Width of a word [bits]."""
    banks: PositiveInt = 1
    """Equal SRAM macros that it is made of."""
    bandwidth_gb_s: Annotated[float, Field(ge=1e-3, le=1e6)]
    """What its read port gives all cores together [10^9 bytes/s]."""


class Dram(Record):
    """Off-chip memory, as a rate and a latency, or without limits."""

    model: Literal["none", "ideal"] = "ideal"
    """`none`: no memory limits, a GEMM's total is its compute time, outlier stalls and what the vector unit does apart.
    `ideal`: a rate and a latency.
    """
    bandwidth_gb_s: Annotated[float, Field(ge=1e-3, le=1e6)] = 64.0
    """Peak [10^9 bytes/s]."""
    latency_ns: Annotated[float, Field(ge=0, le=1e9)] = 100.0
    """From asking until the first bytes are there [ns]."""
    burst_bytes: Annotated[int, Field(gt=0, le=1 << 20)] = 64
    """Transfers are rounded up to whole bursts [bytes]."""
    sustained: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the bandwidth that long streams reach; what refresh, turnarounds and row misses leave of it."""
    outstanding_bursts: Annotated[int, Field(gt=0, le=1 << 20)] | None = None
    """Reads that a core's DMA may wait for at a time; null: no limit."""
    standard: str | None = None
    """Which of the price list's `drams` is charged; null: the list's own `dram`."""


class BankedDramSpec(Record):
    """Off-chip memory with banks and rows: a DRAM part, and what its controller does otherwise than the part's file
    says.
    """

    model: Literal["banked"]
    """`banked`: channels, banks, rows and refresh of a part."""
    part: str | DramPart
    """A DRAM part: shipped name, path or mapping."""
    address_map: str | None = None
    """Fields of an address, as `controller.address_map` of the part; null: as the part's file says."""
    page_policy: Literal["open", "closed"] | None = None
    """Whether rows stay open; null: as the part's file says."""
    scheduler: Literal["in_order", "fr_fcfs"] | None = None
    """Which burst is next; null: as the part's file says."""
    queue_depth: PositiveInt | None = None
    """Bursts that wait per channel; null: as the part's file says."""
    age_cap: NonNegativeInt | None = None
    """How often the oldest burst may be overtaken; null: as the part's file says."""
    outstanding_bursts: PositiveInt | None = None
    """Bursts under way at most; null: as the part's file says."""

    @property
    def overrides(self) -> dict[str, Any]:
        """What is set of the controller, by dotted path into the part."""
        given = self.model_dump(exclude={"model", "part"}, exclude_none=True)
        return {f"controller.{name}": value for name, value in given.items()}


class Memory(Record):
    """The memory system: DRAM, a global buffer if there is one, and three scratchpads of each core."""

    dram: Annotated[Dram | BankedDramSpec, Field(discriminator="model")] = Dram()
    """Off-chip memory. `model: none` also lifts `bank_conflicts` and the global buffer's bandwidth."""
    global_buffer: GlobalBuffer | None = None
    """SRAM that all cores share; null: there is none."""
    act_buffer: OperandScratchpad
    """Scratchpad of activations, of each core."""
    weight_buffer: OperandScratchpad
    """Scratchpad of weights, of each core."""
    out_buffer: Scratchpad
    """Scratchpad of sums and results, of each core."""
    bank_conflicts: bool = False
    """Whether the array waits for words whose bank is busy; if not, ports are as wide as the array's edge."""
    output_bits: Literal[4, 8, 16, 32] = 16
    """Width of a result written to DRAM [bits]."""

    @field_validator("dram", mode="before")
    @classmethod
    def _ideal_unless_said(cls, dram: Any) -> Any:
        return {"model": Dram().model} | dram if isinstance(dram, dict) else dram


class Cores(Record):
    """Equal cores, each with an array and scratchpads of its own, that share DRAM."""

    count: Annotated[int, Field(gt=0, le=1024)] = 1
    """How many."""
    partition: Literal["auto", "M", "N", "K"] = "auto"
    """Along which dimension a GEMM is cut into one part per core; `auto`: the one of least cycles. Where K is cut, each
    core's vector unit adds its share of the partial sums.
    """


class VectorUnit(Record):
    """FP32 lanes beside the array, for all that is no matrix product.

    Defaults: 64 lanes are assumed; a quarter as many special units as lanes is an NVIDIA multiprocessor's ratio (CUDA
    C++ Programming Guide, arithmetic throughput, compute capability 8.0: 64 FP32 and 16 special results per cycle).
    """

    lanes: Annotated[int, Field(gt=0, le=65536)] = 64
    """Values that take one simple operation (add, multiply, compare) per cycle."""
    special_cycles: Annotated[int, Field(gt=0, le=1024)] = 4
    """In which the lanes take one special function (exponential, reciprocal, reciprocal square root, tanh) each
    [cycles].
    """
    fused: list[FusibleKind] = Field(default=["bias", "dequantise"])
    """Passes that work on results on their way, so that these need no round trip to DRAM; assumed: factors and biases,
    at the array's foot.
    """


class Design(Record):
    """Everything that decides cycles, energy, area and values of a run: what all kinds of array share."""

    name: str = Field(min_length=1, max_length=100)
    """What results call it."""
    description: str = ""
    """One line for `olivine list designs`."""
    clock_mhz: Annotated[float, Field(ge=1e-3, le=1e6)]
    """Clock of the array, whose cycles all counts are in [MHz]."""
    datapath: DatapathSpec
    """What the PEs compute with."""
    layers: list[Layer] = Field(default=[], max_length=1000)
    """Options of the datapath for some ops."""
    quantisation: Quantisation = Quantisation()
    """How scales of both operands are found."""
    node_nm: Annotated[float, Field(gt=0)] | None = None
    """Technology node that prices are scaled to [nm]; null: the price list's own."""

    _source: Origins | None = PrivateAttr(default=None)

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
    """The PE array and its dataflow."""
    tiling: Tiling = Tiling()
    """How a GEMM is cut into tiles."""
    memory: Memory
    """DRAM and scratchpads."""
    cores: Cores = Cores()
    """Cores that share DRAM."""
    vector_unit: VectorUnit = VectorUnit()
    """Lanes for all that is no matrix product."""
    cost: str = "open"
    """Price list, by shipped name or path."""
