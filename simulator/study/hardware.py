"""A design made ready to run: its datapath, its array, its memory limits and its bill, each checked once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from simulator import datapath as datapaths
from simulator import units
from simulator.config import Design, load_cost, load_scaling, load_sram_at, named_at
from simulator.config.cost import CostLibrary
from simulator.config.design import Scratchpad
from simulator.cost import Bill, make_bill, price_dram
from simulator.cost.gpu import gpu_at
from simulator.cost.scaling import factors, scale_library
from simulator.datapath import Datapath, OptionError
from simulator.engine import NO_MEMORY_LIMIT, Dram, GlobalBuffer, IdealDram
from simulator.errors import ConfigError, CostError, UnknownNameError
from simulator.mapping import ArrayShape, BufferLimits, OperandBits, Pinned, mapping_util
from simulator.mapping.scratchpads import Memories, Pad
from simulator.mapping.vector import VECTOR_ACTIONS
from simulator.study.drams import dram_charged, make_dram, search_dram
from simulator.study.vector_parts import vector_parts
from simulator.workload import Op

__all__ = ["Hardware", "build", "priced_actions"]


@dataclass(frozen=True)
class Hardware:
    """Everything that mapping, engines and cost need of a design.

    Attributes:
        global_buffer: between DRAM and the scratchpads of all cores, if there is one.
        layers: (pattern of op names, the same hardware at another precision); the first that fits an op applies.
        known: cycles and counts of GEMMs whose costs follow from their shape, kept by ``simulate``.
    """

    design: Design
    datapath: Datapath
    array: ArrayShape
    bits: OperandBits
    limits: BufferLimits | None
    depths: tuple[int, int, int]
    dram: Dram
    bill: Bill
    pinned: Pinned
    tolerance: float
    memories: Memories
    global_buffer: GlobalBuffer | None = None
    layers: tuple[tuple[str, Hardware], ...] = field(default=(), repr=False)
    known: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def peak_tops(self) -> float:
        """Peak throughput of all cores [10^12 operations/s]; a MAC is two operations."""
        pes = self.array.rows * self.array.cols * self.design.cores.count
        return 2 * pes * self.design.clock_mhz * 1e-6 / self.array.cycles_per_step

    def peak_of(self, rows: int, cols: int) -> float:
        """Peak throughput of an array of that many PEs instead [10^12 operations/s]."""
        down, across = self.datapath.logical_array(rows, cols)
        return 2 * self.design.cores.count * down * across * self.design.clock_mhz * 1e-6 / self.array.cycles_per_step

    def parts(self, rows: int, cols: int) -> dict[str, int]:
        """Priced parts with an array of that many PEs instead."""
        return _parts(self.design, self.datapath, rows, cols)

    def core_parts(self, rows: int, cols: int) -> dict[str, int]:
        """Those of the array alone, without the vector unit."""
        return _core_parts(self.design, self.datapath, rows, cols)

    def mapping_util(self, op: Op) -> float:
        """Share of PEs that hold work of ``op``, averaged over folds."""
        return mapping_util(op, self.for_op(op).array)

    @property
    def search_dram(self) -> IdealDram:
        """What tilings are compared on."""
        return search_dram(self.dram)

    @property
    def precisions(self) -> list[Hardware]:
        """This hardware as it is set for most ops, and as each of its layers sets it."""
        return [replace(self, layers=()), *(hardware for _, hardware in self.layers)]

    def for_op(self, op: Op) -> Hardware:
        """This hardware as it is set for one op."""
        return self.named(op.name)

    def named(self, op_name: str) -> Hardware:
        """This hardware as it is set for the op of that name."""
        return next((hardware for pattern, hardware in self.layers if fnmatchcase(op_name, pattern)), self)

    def on(self, workload: str) -> Hardware:
        """This hardware with the layers of that workload alone."""
        theirs = [fnmatchcase(workload, layer.workload) for layer in self.design.layers]
        if all(theirs):
            return self
        return replace(self, layers=tuple(layer for layer, kept in zip(self.layers, theirs, strict=True) if kept))


def build(design: Design) -> Hardware:
    """Resolve a design's datapath and prices.

    Raises: ConfigError, one line with file, line and field.
    """
    base = _build(design, design.datapath.options, ("datapath",))
    layers = []
    for index, layer in enumerate(design.layers):
        path = ("layers", index, "datapath")
        variant = _build(design, design.datapath.options | layer.datapath, path)
        if variant.bill.parts != base.bill.parts:
            raise ConfigError(f"{design.where(*path)}: {_other_parts(base, variant)}")
        layers.append((layer.ops, variant))
    return replace(base, layers=tuple(layers))


def _other_parts(base: Hardware, variant: Hardware) -> str:
    differ = sorted({p for p, _ in base.bill.parts.items() ^ variant.bill.parts.items()})
    return f"a layer may set how the array is used, not what it is made of; {', '.join(differ)} would change"


def _build(design: Design, options: dict[str, Any], path: tuple[str | int, ...]) -> Hardware:
    datapath = _datapath(design, options, path)
    memory, array = design.memory, design.array
    pads = (memory.act_buffer, memory.weight_buffer, memory.out_buffer)
    limited = memory.dram.model != "none"
    dram = make_dram(design)
    if array.dataflow not in datapath.dataflows:
        raise ConfigError(
            f"{design.where('array', 'dataflow')}: '{datapath.name}' cannot run {array.dataflow}; "
            f"{datapath.why_not}; allowed: {', '.join(datapath.dataflows)}"
        )
    rows, cols = datapath.logical_array(array.rows, array.cols)
    if rows < 1 or cols < 1:
        raise ConfigError(f"{design.where('array')}: {array.rows} x {array.cols} PEs make no MAC at this precision")
    return Hardware(
        design,
        datapath,
        ArrayShape(rows, cols, array.fold_overlap, datapath.cycles_per_step(), datapath.result_words, array.dataflow),
        _operand_bits(datapath, memory.output_bits, array.dataflow),
        BufferLimits(*(_usable_bits(p) for p in pads)) if limited else None,
        tuple(2 if p.double_buffer else 1 for p in pads) if limited else (0, 0, 0),  # type: ignore[arg-type]
        dram if limited else NO_MEMORY_LIMIT,
        _bill(design, datapath),
        Pinned(design.tiling.m, design.tiling.n, design.tiling.k, design.tiling.order),
        design.tiling.tolerance,
        _memories(design, dram.burst_bytes),
        _global_buffer(design, limited),
    )


def _global_buffer(design: Design, limited: bool) -> GlobalBuffer | None:
    buffer = design.memory.global_buffer
    if buffer is None:
        return None
    rate = units.gb_s_to_bytes_per_cycle(buffer.bandwidth_gb_s, design.clock_mhz) if limited else float("inf")
    return GlobalBuffer(units.kib_to_bits(buffer.capacity_kib) // 8, buffer.word_bits, rate)


def _memories(design: Design, burst_bytes: int) -> Memories:
    memory = design.memory
    act, weight = (Pad(p.word_bits, p.banks, p.layout) for p in (memory.act_buffer, memory.weight_buffer))
    out = Pad(memory.out_buffer.word_bits, memory.out_buffer.banks)
    conflicts = memory.bank_conflicts and memory.dram.model != "none"
    return Memories(act, weight, out, burst_bytes, conflicts)


def _datapath(design: Design, options: dict[str, Any], path: tuple[str | int, ...]) -> Datapath:
    name = design.datapath.name
    try:
        return datapaths.create(name, options)
    except OptionError as error:
        raise ConfigError(f"{design.where(*path, error.option)}: {error}") from None
    except UnknownNameError as error:
        raise ConfigError(f"{design.where('datapath', 'name')}: {error}") from None


def _operand_bits(datapath: Datapath, output_bits: int, dataflow: str) -> OperandBits:
    how = datapath.accumulation
    unfinished = None if dataflow == "os" else datapath.unfinished_bits  # ``os`` leaves nothing unfinished
    return OperandBits(datapath.width("act"), datapath.width("weight"), how.bits, output_bits, unfinished)


def _usable_bits(pad: Scratchpad) -> int:
    return units.kib_to_bits(pad.capacity_kib) // (2 if pad.double_buffer else 1)


def _bill(design: Design, datapath: Datapath) -> Bill:
    parts = _parts(design, datapath, design.array.rows, design.array.cols)
    standard, gb_s = dram_charged(design)
    cores = design.cores.count
    try:
        library, scaling = _library(design)
        dram = price_dram(library, standard)
        bill = make_bill(library, parts, priced_actions(datapath), design.memory, design.clock_mhz, dram, gb_s, cores)
    except CostError as error:
        raise ConfigError(f"{design.where(*(error.field or ('cost',)))}: {error}") from None
    return replace(bill, scaling=scaling, dram_standard=standard or "")


def _library(design: Design) -> tuple[CostLibrary, str]:
    """The design's price list, scaled to its node if that is another, and how it was."""
    label, _ = design._source.origin(("cost",)) if design._source else ("", None)
    near = Path(label).parent
    with named_at(design.where("cost")):
        library = load_cost(design.cost, near=near)
    how, node_nm = "", design.node_nm or library.node_nm
    if node_nm != library.node_nm:
        by = factors(load_scaling(), library.node_nm, node_nm)
        sram = load_sram_at(design.cost, node_nm, near=near)
        pads = f"made for {node_nm:g} nm" if sram else "scaled likewise"
        how = f"logic {by} with DeepScaleTool, scratchpads {pads}, DRAM as it is"
        library = scale_library(library, by, sram)
    if library.gpu is not None:
        library = library.model_copy(update={"gpu": gpu_at(library.gpu, load_scaling(), node_nm)})
    return library, how


def _parts(design: Design, datapath: Datapath, rows: int, cols: int) -> dict[str, int]:
    """All priced parts of a design whose cores have arrays of ``rows x cols``."""
    vector = {part: n * design.cores.count for part, n in vector_parts(design.vector_unit).items()}
    return _core_parts(design, datapath, rows, cols) | vector


def _core_parts(design: Design, datapath: Datapath, rows: int, cols: int) -> dict[str, int]:
    return {part: n * design.cores.count for part, n in datapath.area_bill(rows, cols).items()}


def priced_actions(datapath: Datapath) -> list[str]:
    """Every action that a run of this datapath can count, sorted: its own, the hops of results on their way out, and
    those of the vector unit beside it.
    """
    own = {*datapath.actions_per_mac(), *datapath.actions_per_output(), *datapath.data_dependent_actions()}
    edges = {*datapath.actions_per_operand("act"), *datapath.actions_per_operand("weight")}
    return sorted(own | edges | {"reg_bit"} | set(VECTOR_ACTIONS.values()))
