"""A DRAM part as its datasheet describes it, and the controller in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from simulator.config.load import FieldError
from simulator.config.record import Record

__all__ = ["DramController", "DramPart", "DramTimingCycles"]

ADDRESS_FIELDS = ("row", "bank", "group", "column", "channel")

Cycles = Annotated[int, Field(gt=0, lt=1 << 20)]


class DramTimingCycles(Record):
    """Least distances in cycles of the command clock, by their names in the datasheets.

    ``_S``: in different bank groups, ``_L``: in the same one; without groups they are equal.
    """

    tRCD: Cycles
    """From opening a row to a read or write of it [cycles]."""
    tRP: Cycles
    """From closing a row to opening another of the bank [cycles]."""
    CL: Cycles
    """From a read to its first data [cycles]."""
    CWL: Cycles
    """From a write to its first data [cycles]."""
    tRAS: Cycles
    """From opening a row to closing it [cycles]."""
    tCCD_S: Cycles
    """Between two column commands to different bank groups [cycles]."""
    tCCD_L: Cycles
    """Between two column commands to one bank group [cycles]."""
    tRRD_S: Cycles
    """Between opening rows in different bank groups [cycles]."""
    tRRD_L: Cycles
    """Between opening rows in one bank group [cycles]."""
    tFAW: Cycles
    """In which at most four rows are opened [cycles]."""
    tWR: Cycles
    """From the last data of a write to closing the row [cycles]."""
    tWTR_S: Cycles
    """From the last data of a write to a read in another bank group [cycles]."""
    tWTR_L: Cycles
    """From the last data of a write to a read in the same bank group [cycles]."""
    tRTP: Cycles
    """From a read to closing the row [cycles]."""
    tREFI: NonNegativeInt
    """Between two refreshes [cycles]; 0: no refresh."""
    tRFC: Cycles
    """That a refresh takes [cycles]."""
    turnaround: NonNegativeInt
    """Idle cycles of the data bus between read and write data."""


class DramController(Record):
    """How addresses are spread, which burst is next, and how many may be under way; all defaults are assumed."""

    address_map: str = "row:bank:column:group:channel"
    """Fields of an address from the highest bits to the lowest, above the bytes of a burst: row, bank, group, column
    and channel, each once, with `:` between.
    """
    page_policy: Literal["open", "closed"] = "open"
    """A row stays open after a burst, or is closed."""
    scheduler: Literal["in_order", "fr_fcfs"] = "in_order"
    """Bursts as they came, or those that hit an open row first (`fr_fcfs`)."""
    queue_depth: PositiveInt = Field(default=64, le=1024)
    """Bursts that wait per channel; a power of two."""
    age_cap: NonNegativeInt = Field(default=16, le=1 << 20)
    """How often the oldest burst may be overtaken under `fr_fcfs`."""
    outstanding_bursts: PositiveInt = Field(default=2048, le=1 << 20)
    """Bursts that the DMA has under way at most; a power of two."""


class DramPart(Record):
    """Channels of one rank each.

    Widths, banks and rows are of one channel (of one pseudo-channel, if there are any).
    """

    name: str = Field(min_length=1, max_length=100)
    """What reports call it."""
    description: str = ""
    """One line for `olivine list drams`."""
    standard: str | None = None
    """Which of a price list's `drams` is charged; null: the list's own `dram`."""
    clock_mhz: PositiveFloat
    """Command clock [MHz]."""
    beats_per_clock: PositiveInt
    """Bits per pin and cycle of the command clock."""
    burst_length: PositiveInt
    """Beats of one column command."""
    bus_bits: PositiveInt
    """Width of the data bus [bits]."""
    channels: PositiveInt = Field(le=1024)
    """Channels of the part."""
    bank_groups: PositiveInt = Field(le=64)
    """Bank groups."""
    banks_per_group: PositiveInt = Field(le=64)
    """Banks of each group."""
    rows: PositiveInt = Field(le=1 << 24)
    """Rows of each bank."""
    row_bytes: PositiveInt = Field(le=1 << 20)
    """One row of one bank over the whole width of the bus [bytes]."""
    command_bus: Literal["shared", "split"] = "shared"
    """`split`: row and column commands have a bus each, as in HBM."""
    timing_cycles: DramTimingCycles
    """Timings of the datasheet."""
    controller: DramController = DramController()
    """The controller in front of it."""

    @property
    def burst_bytes(self) -> int:
        """Bytes that one column command moves."""
        return self.burst_length * self.bus_bits // 8

    @property
    def burst_cycles(self) -> int:
        """Cycles for which the data of one column command holds the data bus."""
        return self.burst_length // self.beats_per_clock

    @property
    def bandwidth_gb_s(self) -> float:
        """Peak of all channels [10^9 bytes/s]."""
        return self.channels * self.bus_bits / 8 * self.beats_per_clock * self.clock_mhz * 1e-3

    @model_validator(mode="after")
    def _fits_together(self) -> DramPart:
        for path, message in (*_shape_errors(self), *_timing_errors(self)):
            raise FieldError(path, message)
        return self


def _shape_errors(part: DramPart) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with sizes and the address map."""
    controller = part.controller
    sizes: dict[tuple[str, ...], int] = {
        (name,): getattr(part, name) for name in ("bus_bits", "channels", "bank_groups", "banks_per_group")
    }
    sizes |= {(name,): getattr(part, name) for name in ("rows", "row_bytes", "burst_length")}
    sizes |= {("controller", name): getattr(controller, name) for name in ("queue_depth", "outstanding_bursts")}
    for path, size in sizes.items():
        if size & (size - 1):
            yield path, f"{size} is not a power of two"
    if part.bus_bits % 8:
        yield ("bus_bits",), f"{part.bus_bits} bits are not whole bytes"
    if part.burst_length % part.beats_per_clock:
        yield ("burst_length",), f"{part.burst_length} beats are not whole cycles of {part.beats_per_clock} beats"
    if part.row_bytes < part.burst_bytes:
        yield ("row_bytes",), f"a row of {part.row_bytes} bytes cannot hold a burst of {part.burst_bytes}"
    if sorted(controller.address_map.split(":")) != sorted(ADDRESS_FIELDS):
        names = ", ".join(ADDRESS_FIELDS)
        yield (
            ("controller", "address_map"),
            f"'{controller.address_map}' must name each of {names} once, with ':' between",
        )


def _timing_errors(part: DramPart) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with timings."""
    t = part.timing_cycles
    if t.tCCD_S < part.burst_cycles:
        yield ("timing_cycles", "tCCD_S"), f"{t.tCCD_S} cycles are fewer than a burst takes ({part.burst_cycles})"
    for name in ("tCCD", "tRRD", "tWTR"):
        short, long = getattr(t, f"{name}_S"), getattr(t, f"{name}_L")
        if long < short:
            yield ("timing_cycles", f"{name}_L"), f"{long} cycles are fewer than {name}_S ({short})"
    needed = t.tRFC + 2 * (t.tRP + t.tRCD + t.tRAS + t.tWR + t.CL + t.CWL + t.tFAW + part.burst_cycles)
    if 0 < t.tREFI < needed:
        yield ("timing_cycles", "tREFI"), f"{t.tREFI} cycles leave no time for work between refreshes; need {needed}"
