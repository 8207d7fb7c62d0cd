"""A systolic design made ready to run: its datapath, its array, its memory limits and its bill, each checked once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

from simulator import units
from simulator.config.cost import CostLibrary
from simulator.config.design import Memory, Scratchpad, SystolicDesign, Tiling, VectorUnit
from simulator.config.once import Same
from simulator.cost import Bill, make_bill, price_dram
from simulator.datapath import Datapath
from simulator.engine import NO_MEMORY_LIMIT, GlobalBuffer
from simulator.errors import ConfigError, CostError
from simulator.mapping import ArrayShape, BufferLimits, OperandBits, Pinned, mapping_util
from simulator.mapping.scratchpads import Memories, Pad
from simulator.mapping.vector import VECTOR_ACTIONS
from simulator.study.drams import dram_charged, make_dram
from simulator.study.hardware import Hardware, make_datapath, with_layers
from simulator.study.libraries import library_of
from simulator.study.vector_parts import vector_parts
from simulator.workload import Op

__all__ = ["SystolicHardware", "build_systolic"]

_KEPT = 256
"""Of what designs have in common; objects that are not used any more are let go in time."""


@dataclass(frozen=True, kw_only=True)
class SystolicHardware(Hardware):
    """A design with a systolic array.

    Attributes:
        global_buffer: between DRAM and the scratchpads of all cores, if there is one.
    """

    design: SystolicDesign
    array: ArrayShape
    limits: BufferLimits | None
    depths: tuple[int, int, int]
    pinned: Pinned
    tolerance: float
    memories: Memories
    global_buffer: GlobalBuffer | None = None

    @property
    def macs_per_cycle(self) -> float:
        """Of all cores."""
        return self.array.rows * self.array.cols * self.design.cores.count / self.array.cycles_per_step

    @property
    def cores(self) -> int:
        """Equal cores."""
        return self.design.cores.count

    @property
    def dataflow(self) -> str:
        """``os``, ``ws`` or ``is``."""
        return self.design.array.dataflow

    def peak_of(self, rows: int, cols: int) -> float:
        """Peak throughput of an array of that many PEs instead [10^12 operations/s]."""
        down, across = self.datapath.logical_array(rows, cols)
        return 2 * self.design.cores.count * down * across * self.design.clock_mhz * 1e-6 / self.array.cycles_per_step

    def stream_of(self, rows: int, cols: int) -> float:
        """Operands that an array of that many PEs takes in at its edges when all of them work [GB/s], each value as
        wide as it is stored off chip: what DRAM would have to deliver if nothing were kept on chip.

        ``rows * a + cols * w`` bits a step of its logical size, ``rows * w + cols * a`` in ``is``; the most of all
        precisions.
        """
        return max(hardware._stream_of(rows, cols) for hardware in self.precisions)

    def _stream_of(self, rows: int, cols: int) -> float:
        down, across = self.datapath.logical_array(rows, cols)
        sides = (down, across) if self.array.dataflow != "is" else (across, down)
        widths = self.bits.act, self.bits.weight
        bits = sum(side * width.dram_bits / width.values for side, width in zip(sides, widths, strict=True))
        steps_s = self.design.clock_mhz * 1e6 / self.array.cycles_per_step
        return self.design.cores.count * bits / 8 * steps_s * 1e-9

    def parts(self, rows: int, cols: int) -> dict[str, int]:
        """Priced parts with an array of that many PEs instead."""
        return _parts(self.design, self.datapath, rows, cols)

    def core_parts(self, rows: int, cols: int) -> dict[str, int]:
        """Those of the array alone, without the vector unit."""
        return _core_parts(self.design, self.datapath, rows, cols)

    def repriced(self, change: Callable[[CostLibrary], CostLibrary]) -> Self:
        """The same hardware under changed prices. Raises: ConfigError."""
        bill = _priced(self.design, self.datapath, change(self.bill.library), self.bill.scaling)
        layers = tuple((pattern, layer.repriced(change)) for pattern, layer in self.layers)
        return replace(self, bill=bill, layers=layers)

    def mapping_util(self, op: Op) -> float:
        """Share of PEs that hold work of ``op``, averaged over folds."""
        return mapping_util(op, self.for_op(op).array)


def build_systolic(design: SystolicDesign) -> SystolicHardware:
    """Resolve a systolic design's datapath and prices.

    Raises: ConfigError, one line with file, line and field.
    """
    return with_layers(design, lambda options, path: _build(design, options, path), _require_same_parts)


def _require_same_parts(base: SystolicHardware, variant: SystolicHardware, where: str) -> None:
    """Raises: ConfigError if a layer would change what the array is made of."""
    if variant.bill.parts != base.bill.parts:
        differ = sorted({p for p, _ in base.bill.parts.items() ^ variant.bill.parts.items()})
        raise ConfigError(
            f"{where}: a layer may set how the array is used, not what it is made of; {', '.join(differ)} would change"
        )


def _build(design: SystolicDesign, options: dict[str, Any], path: tuple[str | int, ...]) -> SystolicHardware:
    datapath = make_datapath(design, options, path)
    memory, array = design.memory, design.array
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
    limits, depths, memories = _on_chip(Same(memory), dram.burst_bytes)
    return SystolicHardware(
        design=design,
        datapath=datapath,
        array=ArrayShape(
            rows, cols, array.fold_overlap, datapath.cycles_per_step(), datapath.result_words, array.dataflow
        ),
        bits=_operand_bits(Same(datapath), memory.output_bits, array.dataflow),
        limits=limits,
        depths=depths,
        dram=dram if limited else NO_MEMORY_LIMIT,
        bill=_bill(design, datapath),
        pinned=_pinned(Same(design.tiling)),
        tolerance=design.tiling.tolerance,
        memories=memories,
        global_buffer=_global_buffer(design, limited),
    )


def _global_buffer(design: SystolicDesign, limited: bool) -> GlobalBuffer | None:
    buffer = design.memory.global_buffer
    if buffer is None:
        return None
    rate = units.gb_s_to_bytes_per_cycle(buffer.bandwidth_gb_s, design.clock_mhz) if limited else float("inf")
    return GlobalBuffer(units.kib_to_bits(buffer.capacity_kib) // 8, buffer.word_bits, rate)


@lru_cache(maxsize=_KEPT)
def _on_chip(same: Same[Memory], burst_bytes: int) -> tuple[BufferLimits | None, tuple[int, int, int], Memories]:
    """What scratchpads hold, how many tiles, and how they are made; no limits without limits of DRAM."""
    memory = same.it
    pads = (memory.act_buffer, memory.weight_buffer, memory.out_buffer)
    act, weight = (Pad(p.word_bits, p.banks, p.layout) for p in (memory.act_buffer, memory.weight_buffer))
    out = Pad(memory.out_buffer.word_bits, memory.out_buffer.banks)
    if memory.dram.model == "none":
        return None, (0, 0, 0), Memories(act, weight, out, burst_bytes, False)
    limits = BufferLimits(*(_usable_bits(pad) for pad in pads))
    tiles = [2 if pad.double_buffer else 1 for pad in pads]
    return limits, (tiles[0], tiles[1], tiles[2]), Memories(act, weight, out, burst_bytes, memory.bank_conflicts)


@lru_cache(maxsize=_KEPT)
def _pinned(same: Same[Tiling]) -> Pinned:
    tiling = same.it
    return Pinned(tiling.m, tiling.n, tiling.k, tiling.order)


@lru_cache(maxsize=_KEPT)
def _operand_bits(same: Same[Datapath], output_bits: int, dataflow: str) -> OperandBits:
    datapath, how = same.it, same.it.accumulation
    unfinished = None if dataflow == "os" else datapath.unfinished_bits  # ``os`` leaves nothing unfinished
    return OperandBits(datapath.width("act"), datapath.width("weight"), how.bits, output_bits, unfinished)


def _usable_bits(pad: Scratchpad) -> int:
    return units.kib_to_bits(pad.capacity_kib) // (2 if pad.double_buffer else 1)


def _bill(design: SystolicDesign, datapath: Datapath) -> Bill:
    try:
        library, scaling = library_of(design)
    except CostError as error:
        raise ConfigError(f"{design.where(*(error.field or ('cost',)))}: {error}") from None
    return _priced(design, datapath, library, scaling)


def _priced(design: SystolicDesign, datapath: Datapath, library: CostLibrary, scaling: str) -> Bill:
    parts = _parts(design, datapath, design.array.rows, design.array.cols)
    standard, gb_s = dram_charged(design)
    memory, clock_mhz, cores = design.memory, design.clock_mhz, design.cores.count
    try:
        dram = price_dram(library, standard)
        return make_bill(
            library, parts, _actions(Same(datapath)), memory, clock_mhz, dram, gb_s, cores, standard or "", scaling
        )
    except CostError as error:
        raise ConfigError(f"{design.where(*(error.field or ('cost',)))}: {error}") from None


def _parts(design: SystolicDesign, datapath: Datapath, rows: int, cols: int) -> dict[str, int]:
    """All priced parts of a design whose cores have arrays of ``rows x cols``."""
    return _all_parts(Same(datapath), rows, cols, Same(design.vector_unit), design.cores.count)


@lru_cache(maxsize=_KEPT)
def _all_parts(datapath: Same[Datapath], rows: int, cols: int, unit: Same[VectorUnit], cores: int) -> dict[str, int]:
    vector = {part: n * cores for part, n in vector_parts(unit.it).items()}
    return {part: n * cores for part, n in datapath.it.area_bill(rows, cols).items()} | vector


def _core_parts(design: SystolicDesign, datapath: Datapath, rows: int, cols: int) -> dict[str, int]:
    return {part: n * design.cores.count for part, n in datapath.area_bill(rows, cols).items()}


@lru_cache(maxsize=_KEPT)
def _actions(same: Same[Datapath]) -> tuple[str, ...]:
    """Every action that a run of this datapath can count, sorted: its own, the hops of results on their way out, and
    those of the vector unit beside it.
    """
    datapath = same.it
    own = {*datapath.actions_per_mac(), *datapath.actions_per_output(), *datapath.data_dependent_actions()}
    edges = {*datapath.actions_per_operand("act"), *datapath.actions_per_operand("weight")}
    return tuple(sorted(own | edges | {"reg_bit"} | set(VECTOR_ACTIONS.values())))
