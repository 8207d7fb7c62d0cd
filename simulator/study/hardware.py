"""A design made ready to run, whatever its kind of array: its datapath at each precision, its memory, its prices."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, Self, TypeVar

from simulator import datapath as datapaths
from simulator.config import Design
from simulator.config.cost import CostLibrary
from simulator.config.once import once
from simulator.cost import Bill, area_um2, energy_pj
from simulator.counts import Counts
from simulator.datapath import Datapath, OptionError
from simulator.engine import Dram, IdealDram
from simulator.errors import ConfigError, UnknownNameError
from simulator.mapping import OperandBits
from simulator.study.drams import search_dram
from simulator.workload import Op

__all__ = ["Hardware", "make_datapath", "require_datapaths", "with_layers"]

Path = tuple[str | int, ...]
_H = TypeVar("_H", bound="Hardware")


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Everything that mapping, engines and cost need of a design.

    Attributes:
        launch_cycles: that each GEMM or pass takes before it begins and after it ends.
        bill: prices.
        layers: (pattern of op names, the same hardware at another precision); the first that fits an op applies.
        known: what was found for it and is asked again: plans, cycles and counts of GEMMs whose costs follow from their
            shape, passes.
    """

    design: Design
    datapath: Datapath
    bits: OperandBits
    dram: Dram
    bill: Bill
    launch_cycles: int = 0
    layers: tuple[tuple[str, Self], ...] = field(default=(), repr=False)
    known: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    @abstractmethod
    def macs_per_cycle(self) -> float:
        """Multiply-accumulates of the whole design in a cycle, at most."""

    @property
    @abstractmethod
    def cores(self) -> int:
        """Cores that have tiles of their own."""

    @property
    @abstractmethod
    def dataflow(self) -> str:
        """Which operand stays; empty where that says nothing."""

    @abstractmethod
    def repriced(self, change: Callable[[CostLibrary], CostLibrary]) -> Self:
        """The same hardware under changed prices. Raises: ConfigError."""

    @abstractmethod
    def mapping_util(self, op: Op) -> float:
        """Share of the multipliers that hold work of ``op`` while the array is issued to."""

    @property
    def peak_tops(self) -> float:
        """Peak throughput [10^12 operations/s]; a MAC is two operations."""
        return 2 * self.macs_per_cycle * self.design.clock_mhz * 1e-6

    @property
    def search_dram(self) -> IdealDram:
        """What tilings are compared on."""
        return search_dram(self.dram)

    @property
    def precisions(self) -> list[Self]:
        """This hardware as it is set for most ops, and as each of its layers sets it."""
        return [replace(self, layers=()), *(hardware for _, hardware in self.layers)]

    def for_op(self, op: Op) -> Self:
        """This hardware as it is set for one op."""
        return self.named(op.name)

    def named(self, op_name: str) -> Self:
        """This hardware as it is set for the op of that name."""
        return next((hardware for pattern, hardware in self.layers if fnmatchcase(op_name, pattern)), self)

    def on(self, workload: str) -> Self:
        """This hardware with the layers of that workload alone."""
        theirs = [fnmatchcase(workload, layer.workload) for layer in self.design.layers]
        if all(theirs):
            return self
        return replace(self, layers=tuple(layer for layer, kept in zip(self.layers, theirs, strict=True) if kept))

    def energy(self, counts: Counts) -> dict[str, float]:
        """Component -> pJ."""
        return energy_pj(self.bill, counts)

    @cached_property
    def area(self) -> dict[str, float]:
        """Component -> um^2; empty where it is not known. No one may change it."""
        return area_um2(self.bill)


def with_layers(
    design: Design, make: Callable[[dict[str, Any], Path], _H], check: Callable[[_H, _H, str], None] | None = None
) -> _H:
    """The hardware of a design with that of each of its layers.

    Args:
        make: from the datapath's options and where they are written.
        check: raises if a layer's hardware cannot be the design's own.
    """
    base = make(design.datapath.options, ("datapath",))
    if not design.layers:
        return base
    layers = []
    for index, layer in enumerate(design.layers):
        path = ("layers", index, "datapath")
        variant = make(design.datapath.options | layer.datapath, path)
        if check:
            check(base, variant, design.where(*path))
        layers.append((layer.ops, variant))
    return replace(base, layers=tuple(layers))


@once
def _created(name: str, options: str) -> Datapath:
    return datapaths.create(name, json.loads(options))


def make_datapath(design: Design, options: dict[str, Any], path: Path) -> Datapath:
    """The design's datapath with these options. Raises: ConfigError with file, line and field."""
    name = design.datapath.name
    try:
        return _created(name, json.dumps(options))
    except OptionError as error:
        raise ConfigError(f"{design.where(*path, error.option)}: {error}") from None
    except UnknownNameError as error:
        raise ConfigError(f"{design.where('datapath', 'name')}: {error}") from None


def require_datapaths(design: Design) -> None:
    """The design's datapath with its options and those of its layers exists. Raises: ConfigError."""
    make_datapath(design, design.datapath.options, ("datapath",))
    for i, layer in enumerate(design.layers):
        make_datapath(design, design.datapath.options | layer.datapath, ("layers", i, "datapath"))
