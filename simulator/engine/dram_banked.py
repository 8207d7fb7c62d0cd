"""DRAM with banks and rows: every command of every burst, in its exact clock cycle."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.engine import dram_kernel as k
from simulator.errors import ConfigError

__all__ = ["COMMANDS", "BankedDram", "DramCounts", "DramTimings", "serve"]

COMMANDS = ("ACT", "PRE", "RD", "WR", "PREA", "REF", "auto PRE")
"""Kinds of commands in a trace."""

_NEVER = 1 << 62
_LONGEST_RATIO = 10**6


@dataclass(frozen=True)
class DramTimings:
    """Least distances in DRAM clock cycles, named as in the datasheets.

    ``_s``: in different bank groups, ``_l``: in the same one. ``trefi`` 0: no refresh. ``turnaround``: idle cycles of
    the data bus between read and write data.
    """

    trcd: int
    trp: int
    cl: int
    cwl: int
    tras: int
    tccd_s: int
    tccd_l: int
    trrd_s: int
    trrd_l: int
    tfaw: int
    twr: int
    twtr_s: int
    twtr_l: int
    trtp: int
    trefi: int
    trfc: int
    turnaround: int


@dataclass(frozen=True)
class BankedDram:
    """Channels of one rank each that share nothing but the DMAs in front of them; all counts are powers of two.

    Attributes:
        clock_ratio: DRAM command clock cycles per array clock cycle, exact.
        channels, bank_groups, banks_per_group, rows, row_bytes: of a channel; ``row_bytes`` of one row of one bank.
        burst_bytes, burst_cycles: bytes of one column command, and DRAM cycles for which its data holds the data bus.
        timings: see ``DramTimings``.
        shared_command_bus: one command per cycle; else row and column commands have a bus each, as in HBM.
        address_map: the fields of an address above the bytes of a burst, from the highest bits to the lowest.
        page_policy: ``closed``: every column command precharges its bank.
        scheduler: ``in_order``, or ``fr_fcfs``: first whose column command is ready first, which favours row hits, but
            the oldest is overtaken ``age_cap`` times at most.
        queue_depth: bursts that wait in a channel's controller, whose rows may be opened ahead.
        outstanding_bursts: bursts that a DMA has under way at most.
        dmas: DMAs whose transfers come in one after another.
    """

    clock_ratio: Fraction
    channels: int
    bank_groups: int
    banks_per_group: int
    rows: int
    row_bytes: int
    burst_bytes: int
    burst_cycles: int
    timings: DramTimings
    shared_command_bus: bool = True
    address_map: str = "row:bank:column:group:channel"
    page_policy: Literal["open", "closed"] = "open"
    scheduler: Literal["in_order", "fr_fcfs"] = "in_order"
    queue_depth: int = 64
    age_cap: int = 16
    outstanding_bursts: int = 1024
    dmas: int = 1

    @property
    def capacity_bytes(self) -> int:
        """Bytes that can be addressed."""
        return self.channels * self.bank_groups * self.banks_per_group * self.rows * self.row_bytes

    @property
    def bytes_per_cycle(self) -> Fraction:
        """Peak bytes per array clock cycle."""
        return Fraction(self.channels * self.burst_bytes, self.burst_cycles) * self.clock_ratio

    def entered(self, state: NDArray[np.int64]) -> int:
        """The first array cycle by which all bursts so far have entered the controller."""
        return -int(-int(state[k.LAST_ENTRY]) // self.clock_ratio)

    def least_cycles(self, total_bytes: int) -> int:
        """Array cycles below which these bytes cannot be moved, however they are cut into transfers."""
        return -int(-total_bytes // self.bytes_per_cycle)

    def params(self) -> NDArray[np.int64]:
        """What the kernel needs to know. Raises: ConfigError if the two clocks have no short ratio."""
        ratio = self.clock_ratio
        if max(ratio.numerator, ratio.denominator) > _LONGEST_RATIO:
            raise ConfigError(
                f"DRAM and array clock are {ratio} to one another, too long for exact cycles (at most "
                f"{_LONGEST_RATIO} to {_LONGEST_RATIO}); give both clocks with fewer digits"
            )
        values = {
            k.CHANNEL_MASK: self.channels - 1,
            k.GROUPS: self.bank_groups,
            k.BANKS: self.banks_per_group,
            k.ROW_MASK: self.rows - 1,
            k.BURST_BYTES: self.burst_bytes,
            k.BURST_CYCLES: self.burst_cycles,
            k.SHARED_BUS: self.shared_command_bus,
            k.CLOSED_PAGE: self.page_policy == "closed",
            k.REORDER: self.scheduler == "fr_fcfs",
            k.AGE_CAP: self.age_cap,
            k.DRAM_CYCLES: ratio.numerator,
            k.ARRAY_CYCLES: ratio.denominator,
            k.QUEUE_MASK: self.queue_depth - 1,
            k.DMA_MASK: self.outstanding_bursts - 1,
            **self._layout(),
            **self._shifts(),
            **{getattr(k, name.upper()): value for name, value in asdict(self.timings).items()},
        }
        return np.array([values[i] for i in range(k.PARAMS)], np.int64)

    def _layout(self) -> dict[int, int]:
        """Where the regions of the state begin."""
        groups, queue = self.channels * self.bank_groups, self.queue_depth
        sizes = {
            k.BANKS_AT: groups * self.banks_per_group * k.BANK_SIZE,
            k.GROUPS_AT: groups * k.GROUP_SIZE,
            k.CHANNELS_AT: self.channels * (k.RINGS + 3 * queue + k.QUEUE_SIZE * queue),
            k.DMA_AT: self.dmas * (k.PLACES + self.outstanding_bursts * k.SLOT_SIZE),
            k.TRACE_AT: 0,
        }
        starts = dict(zip(sizes, accumulate(sizes.values(), initial=k.HEADER), strict=False))
        each = {k.CHANNEL_SIZE: sizes[k.CHANNELS_AT] // self.channels, k.DMA_SIZE: sizes[k.DMA_AT] // self.dmas}
        return starts | each

    def _shifts(self) -> dict[int, int]:
        """How far above the bits within a burst each field of an address lies."""
        fields = {
            "row": (k.ROW_SHIFT, self.rows),
            "bank": (k.BANK_SHIFT, self.banks_per_group),
            "group": (k.GROUP_SHIFT, self.bank_groups),
            "column": (None, self.row_bytes // self.burst_bytes),
            "channel": (k.CHANNEL_SHIFT, self.channels),
        }
        shifts, below = {}, 0
        for name in reversed(self.address_map.split(":")):
            place, size = fields[name]
            if place is not None:  # which column of a row is read takes no time
                shifts[place] = below
            below += size.bit_length() - 1
        return shifts

    def start(self, trace: int = 0) -> NDArray[np.int64]:
        """The state at cycle 0, all banks closed. ``trace``: how many commands to keep for ``commands``."""
        p = self.params()
        state = np.zeros(p[k.TRACE_AT] + trace * k.TRACE_SIZE, np.int64)
        state[p[k.BANKS_AT] : p[k.GROUPS_AT]].reshape(-1, k.BANK_SIZE)[:, k.ROW] = -1
        channels = state[p[k.CHANNELS_AT] : p[k.DMA_AT]].reshape(self.channels, -1)
        channels[:, k.REFRESH_DUE] = self.timings.trefi or _NEVER
        channels[:, k.ACTS : k.ACTS + 4] = -_NEVER
        channels[:, k.RINGS + self.queue_depth : k.RINGS + 3 * self.queue_depth] = -1
        return state

    def commands(self, state: NDArray[np.int64]) -> NDArray[np.int64]:
        """The commands kept, (n, 6): cycle, channel, kind as in ``COMMANDS``, group, bank and row, as issued per burst.

        Groups and banks are counted over all channels; -1 where it does not apply.
        """
        return state[self.params()[k.TRACE_AT] :][: state[k.TRACED] * k.TRACE_SIZE].reshape(-1, k.TRACE_SIZE)


@dataclass(frozen=True)
class DramCounts:
    """What a run has done so far, over all channels; ``bus_busy_cycles`` are DRAM cycles of data buses."""

    activates: int
    precharges: int
    read_bursts: int
    write_bursts: int
    refreshes: int
    row_hits: int
    row_misses: int
    row_conflicts: int
    bus_busy_cycles: int

    @classmethod
    def of(cls, state: NDArray[np.int64]) -> DramCounts:
        """The counts of a state."""
        return cls(*state[k.ACTIVATES : k.HEADER].tolist())


def serve(dram: BankedDram, state: NDArray[np.int64], transfers: ArrayLike) -> NDArray[np.int64]:
    """Start and end of transfers, in array clock cycles, after all that ``state`` has seen.

    Args:
        state: of ``dram.start()``; changed.
        transfers: (n, 4): arrival in array cycles, address and size in bytes, 1 for a write; in the order in which they
            come in. Or (n, 5) with the DMA's number at the end.
    Returns: (n, 2): when a transfer's first burst enters the controller, and when the data of it and of all earlier
        transfers of its DMA has moved.
    Raises: ConfigError for a transfer that does not lie in this memory or in time.
    """
    given = np.asarray(transfers, np.int64)
    table = np.zeros((len(given), 5), np.int64)
    if len(given):
        table[:, : given.shape[1]] = given
    assert (table[:, 4] < dram.dmas).all(), "every transfer comes from one of the DMAs"
    ends = table[:, 1] + table[:, 2]
    wrong = (table.min(axis=1, initial=0) < 0) | (ends > dram.capacity_bytes) | (table[:, 0] >= 1 << 40)
    if wrong.any():
        arrival, address, size, *_ = table[int(wrong.argmax())].tolist()
        raise ConfigError(
            f"a transfer of {size} bytes at address {address} in cycle {arrival} is not within the "
            f"{dram.capacity_bytes} bytes of this DRAM and the first 2^40 cycles"
        )
    times = np.zeros((len(table), 2), np.int64)
    k._serve(dram.params(), state, table, times)
    return times
