"""A design made ready to run: its datapath, its array, its memory limits and its bill, each checked once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from simulator import datapath as datapaths
from simulator import units
from simulator.config import Design, load_cost, named_at
from simulator.config.design import Scratchpad
from simulator.cost import Bill, make_bill
from simulator.datapath import Datapath, OptionError
from simulator.engine import NO_MEMORY_LIMIT, IdealDram
from simulator.errors import ConfigError, CostError, UnknownNameError
from simulator.mapping import ArrayShape, BufferLimits, OperandBits, mapping_util
from simulator.workload import Op

__all__ = ["Hardware", "build", "priced_actions"]


@dataclass(frozen=True)
class Hardware:
    """Everything that mapping, engines and cost need of a design."""

    design: Design
    datapath: Datapath
    array: ArrayShape
    bits: OperandBits
    limits: BufferLimits | None
    depths: tuple[int, int, int]
    dram: IdealDram
    bill: Bill

    @property
    def peak_tops(self) -> float:
        """Peak throughput [10^12 operations/s]; a MAC is two operations."""
        pes = self.array.rows * self.array.cols
        return 2 * pes * self.design.clock_mhz * 1e-6 / self.array.cycles_per_step

    def mapping_util(self, op: Op) -> float:
        """Share of PEs that hold work of ``op``, averaged over folds."""
        return mapping_util(op, self.array.rows, self.array.cols)


def build(design: Design) -> Hardware:
    """Resolve a design's datapath and prices.

    Raises: ConfigError, one line with file, line and field.
    """
    datapath = _datapath(design)
    memory = design.memory
    pads = (memory.act_buffer, memory.weight_buffer, memory.out_buffer)
    limited = memory.dram.model != "none"
    array = design.array
    return Hardware(
        design,
        datapath,
        ArrayShape(array.rows, array.cols, array.fold_overlap, datapath.cycles_per_step()),
        _operand_bits(datapath, memory.output_bits),
        BufferLimits(*(_usable_bits(p) for p in pads)) if limited else None,
        tuple(2 if p.double_buffer else 1 for p in pads) if limited else (0, 0, 0),  # type: ignore[arg-type]
        _dram(design) if limited else NO_MEMORY_LIMIT,
        _bill(design, datapath),
    )


def _datapath(design: Design) -> Datapath:
    spec = design.datapath
    try:
        return datapaths.create(spec.name, spec.options)
    except OptionError as error:
        raise ConfigError(f"{design.where('datapath', error.option)}: {error}") from None
    except UnknownNameError as error:
        raise ConfigError(f"{design.where('datapath', 'name')}: {error}") from None


def _operand_bits(datapath: Datapath, output_bits: int) -> OperandBits:
    act, weight = datapath.act_format, datapath.weight_format
    k_align = max(act.values_per_group, weight.values_per_group)
    return OperandBits(act.bits, weight.bits, datapath.accumulation.bits, output_bits, k_align)


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
    actions = {*datapath.actions_per_mac(), *datapath.actions_per_operand("act")}
    return sorted(actions | {*datapath.actions_per_operand("weight"), "reg_bit"})
