"""A design made ready to run: its datapath, its array, its memory limits and its bill, each checked once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from simulator import datapath as datapaths
from simulator import units
from simulator.config import Design, load_cost, named_at
from simulator.config.design import Scratchpad
from simulator.cost import Bill, make_bill
from simulator.datapath import Datapath, OptionError
from simulator.engine import NO_MEMORY_LIMIT, IdealDram
from simulator.errors import ConfigError, CostError, UnknownNameError
from simulator.mapping import ArrayShape, BufferLimits, OperandBits, Pinned, mapping_util
from simulator.workload import Op

__all__ = ["Hardware", "build", "priced_actions"]


@dataclass(frozen=True)
class Hardware:
    """Everything that mapping, engines and cost need of a design.

    Attributes:
        layers: (pattern of op names, the same hardware at another precision); the first that fits an op applies.
    """

    design: Design
    datapath: Datapath
    array: ArrayShape
    bits: OperandBits
    limits: BufferLimits | None
    depths: tuple[int, int, int]
    dram: IdealDram
    bill: Bill
    pinned: Pinned
    tolerance: float
    layers: tuple[tuple[str, Hardware], ...] = field(default=(), repr=False)

    @property
    def peak_tops(self) -> float:
        """Peak throughput [10^12 operations/s]; a MAC is two operations."""
        pes = self.array.rows * self.array.cols
        return 2 * pes * self.design.clock_mhz * 1e-6 / self.array.cycles_per_step

    def mapping_util(self, op: Op) -> float:
        """Share of PEs that hold work of ``op``, averaged over folds."""
        return mapping_util(op, self.for_op(op).array)

    @property
    def precisions(self) -> list[Hardware]:
        """This hardware as it is set for most ops, and as each of its layers sets it."""
        return [replace(self, layers=()), *(hardware for _, hardware in self.layers)]

    def for_op(self, op: Op) -> Hardware:
        """This hardware as it is set for one op."""
        return next((hardware for pattern, hardware in self.layers if fnmatchcase(op.name, pattern)), self)


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
        _dram(design) if limited else NO_MEMORY_LIMIT,
        _bill(design, datapath),
        Pinned(design.tiling.m, design.tiling.n, design.tiling.k, design.tiling.order),
        _tolerance(design),
    )


def _tolerance(design: Design) -> float:
    given = design.tiling.tolerance
    return given if given is not None else 0.0 if design.array.dataflow == "os" else 0.01


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


def _dram(design: Design) -> IdealDram:
    dram = design.memory.dram
    return IdealDram(
        units.gb_s_to_bytes_per_cycle(dram.bandwidth_gb_s, design.clock_mhz),
        units.ns_to_cycles(dram.latency_ns, design.clock_mhz),
        dram.burst_bytes,
    )


def _bill(design: Design, datapath: Datapath) -> Bill:
    label, _ = design._source.origin(("cost",)) if design._source else ("", None)
    with named_at(design.where("cost")):
        library = load_cost(design.cost, near=Path(label).parent)
    parts = datapath.area_bill(design.array.rows, design.array.cols)
    try:
        return make_bill(library, parts, priced_actions(datapath), design.memory, design.clock_mhz)
    except CostError as error:
        raise ConfigError(f"{design.where(*(error.field or ('cost',)))}: {error}") from None


def priced_actions(datapath: Datapath) -> list[str]:
    """Every action that a run of this datapath can count, sorted: its own, and the hops of results on their way out."""
    own = {*datapath.actions_per_mac(), *datapath.actions_per_output(), *datapath.data_dependent_actions()}
    edges = {*datapath.actions_per_operand("act"), *datapath.actions_per_operand("weight")}
    return sorted(own | edges | {"reg_bit"})
