"""Banked DRAM, naively: a checker of every pair of commands, and schedulers that try cycle after cycle.

Imports nothing from the simulator; ``part`` is any object with the numbers of a ``BankedDram``. Commands are tuples
(time, channel, kind, group, bank, row), groups and banks counted over all channels. Nothing here keeps earliest times:
a command is legal at a cycle if it breaks no rule against any other command of the whole trace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

ROW_KINDS = ("ACT", "PRE", "PREA", "REF")


@dataclass
class Burst:
    """One column command to come: when it entered, where it goes, and to which transfer it belongs."""

    entry: int
    channel: int
    group: int
    bank: int
    row: int
    write: bool
    transfer: int
    number: int
    dma: int = 0
    overtaken: int = 0


def concerns(command, bank):
    """Whether a command acts on a bank; precharge-all and refresh act on all of their channel."""
    return command[2] in ("PREA", "REF") or command[4] == bank


def gap(part, a, b):
    """Least distance from command a to a later command b of the same channel, and the rule's name; 0: none."""
    t, found = part.timings, [(0, "")]
    write_end = t.cwl + part.burst_cycles
    same_group, same_bank = a[3] == b[3], concerns(a, b[4]) or concerns(b, a[4])
    closes = ("PRE", "PREA", "auto PRE")
    if a[2] == "ACT" and b[2] == "ACT":
        found.append((t.trrd_s, "tRRD_S"))
        found += [(t.trrd_l, "tRRD_L")] if same_group else []
        found += [(t.tras + t.trp, "tRC")] if same_bank else []
    if a[2] in ("RD", "WR") and b[2] in ("RD", "WR"):
        found.append((t.tccd_s, "tCCD_S"))
        found += [(t.tccd_l, "tCCD_L")] if same_group else []
    if (a[2], b[2]) == ("RD", "WR"):
        found.append((t.cl + part.burst_cycles + t.turnaround - t.cwl, "turnaround"))
    if (a[2], b[2]) == ("WR", "RD"):
        found.append((write_end + t.twtr_s, "tWTR_S"))
        found += [(write_end + t.twtr_l, "tWTR_L")] if same_group else []
    if a[2] == "REF" and b[2] in ("ACT", "REF", "PREA", "PRE"):
        found.append((t.trfc, "tRFC"))
    if same_bank:
        found += [(t.trcd, "tRCD")] if a[2] == "ACT" and b[2] in ("RD", "WR") else []
        found += [(t.tras, "tRAS")] if a[2] == "ACT" and b[2] in closes else []
        found += [(t.trp, "tRP")] if a[2] in closes and b[2] in ("ACT", "REF") else []
        found += [(t.trtp, "tRTP")] if a[2] == "RD" and b[2] in closes else []
        found += [(write_end + t.twr, "tWR")] if a[2] == "WR" and b[2] in closes else []
    return max(found)


def clash(part, a, b):
    """Whether two commands of a channel want the command bus in the same cycle."""
    if a[0] != b[0] or "auto PRE" in (a[2], b[2]):
        return False
    return part.shared_command_bus or (a[2] in ROW_KINDS) == (b[2] in ROW_KINDS)


def faults(part, new, trace):
    """Names of the rules that ``new`` breaks against each other command of its channel."""
    broken = set()
    others = [c for c in trace if c[1] == new[1]]
    for other in others:
        broken |= {"command bus"} if clash(part, new, other) else set()
        first, second = (other, new) if other[0] <= new[0] else (new, other)
        least, name = gap(part, first, second)
        if second[0] - first[0] < least:
            broken.add(name)
    if new[2] == "ACT":
        times = sorted([c[0] for c in others if c[2] == "ACT"] + [new[0]])
        broken |= {"tFAW" for i in range(len(times) - 4) if times[i + 4] - times[i] < part.timings.tfaw}
    return broken


def violations(part, trace):
    """Names of all rules that a whole trace breaks, states of banks and refreshes included."""
    broken = set()
    for i, command in enumerate(trace):
        broken |= faults(part, command, trace[:i] + trace[i + 1 :])
    for channel in {c[1] for c in trace}:
        mine = sorted((c for c in trace if c[1] == channel), key=lambda c: (c[0], c[2] == "auto PRE"))
        broken |= wrong_states(mine) | data_clashes(part, mine)
        if part.timings.trefi:
            broken |= late_refreshes(part, mine)
    return broken


def wrong_states(commands):
    """Reads of closed rows, activates of open banks, refreshes of open banks."""
    broken, open_rows = set(), {}
    for _, _, kind, _, bank, row in commands:
        if kind == "ACT":
            broken |= {"open bank"} if bank in open_rows else set()
            open_rows[bank] = row
        elif kind in ("RD", "WR"):
            broken |= {"closed row"} if open_rows.get(bank) != row else set()
        elif kind in ("PRE", "auto PRE"):
            broken |= set() if bank in open_rows else {"closed bank"}
            open_rows.pop(bank, None)
        elif kind == "PREA":
            open_rows.clear()
        elif open_rows:
            broken.add("open bank")
    return broken


def data_clashes(part, commands):
    """Bursts that overlap on the data bus."""
    latency = {"RD": part.timings.cl, "WR": part.timings.cwl}
    starts = sorted(c[0] + latency[c[2]] for c in commands if c[2] in latency)
    return {"data bus" for a, b in pairwise(starts) if b - a < part.burst_cycles}


def late_refreshes(part, commands):
    """Refreshes too early, too late, or with work between when they are due and when they are done."""
    broken = set()
    refreshes, closings = ([c[0] for c in commands if c[2] == kind] for kind in ("REF", "PREA"))
    if any(t < (1 + sum(r < t for r in refreshes)) * part.timings.trefi for t in closings):
        broken.add("refresh early")
    last = max(c[0] for c in commands if c[2] in ("RD", "WR"))
    for k in range(1, last // part.timings.trefi + 1):
        due = k * part.timings.trefi
        if k > len(refreshes):
            broken.add("refresh missing")
        elif refreshes[k - 1] < due:
            broken.add("refresh early")
        elif any(due <= c[0] < refreshes[k - 1] and c[2] in ("ACT", "RD", "WR") for c in commands):
            broken.add("refresh late")
    return broken


class Controller:
    """Takes bursts in order, serves them by the rules, and tries each command cycle by cycle."""

    def __init__(self, part):
        self.part, self.trace = part, []
        self.open_rows, self.refreshes = {}, [0] * part.channels
        self.served = [[] for _ in range(part.channels)]  # column commands per channel
        self.acts = [[0] for _ in range(part.channels)]
        self.waiting = [[] for _ in range(part.channels)]
        self.entered = [0] * part.channels
        self.done, self.bursts, self.entry = {}, [], 0

    def fields(self, number):
        """Channel, group, bank and row of a burst by its number in memory."""
        part = self.part
        sizes = {
            "row": part.rows,
            "bank": part.banks_per_group,
            "group": part.bank_groups,
            "column": part.row_bytes // part.burst_bytes,
            "channel": part.channels,
        }
        at = {}
        for name in reversed(part.address_map.split(":")):
            number, at[name] = divmod(number, sizes[name])
        group = at["channel"] * part.bank_groups + at["group"]
        return at["channel"], group, group * part.banks_per_group + at["bank"], at["row"]

    def enter(self, arrival, number, write, transfer, dma=0):
        """A burst enters as soon as rule 1 allows; served at once in order, kept for a choice otherwise."""
        part = self.part
        channel, group, bank, row = self.fields(number)
        reorder = part.scheduler == "fr_fcfs"
        n = len(self.bursts)
        mine = [b.number for b in self.bursts if b.dma == dma]
        entry = max(arrival, self.entry)
        if len(mine) >= part.outstanding_bursts:
            before = mine[-part.outstanding_bursts]
            while before not in self.done:
                self.serve_one(self.bursts[before].channel)
            entry = max(entry, self.done[before])
        if self.entered[channel] >= part.queue_depth:
            while len(self.waiting[channel]) >= part.queue_depth:
                self.serve_one(channel)
            entry = max(entry, self.served[channel][self.entered[channel] - part.queue_depth])
        self.entry = entry
        self.entered[channel] += 1
        burst = Burst(entry, channel, group, bank, row, write, transfer, n, dma)
        self.bursts.append(burst)
        self.waiting[channel].append(burst)
        if not reorder:
            self.serve_one(channel)

    def serve_one(self, channel):
        """Choose, issue, and note when the data has moved."""
        waiting = self.waiting[channel]
        burst = self.choose(channel) if self.part.scheduler == "fr_fcfs" else waiting[0]
        if burst is not waiting[0]:
            waiting[0].overtaken += 1
        waiting.remove(burst)
        self.issue(burst)

    def choose(self, channel):
        """The burst whose column command can be first; row hits before others, then the oldest."""
        waiting = self.waiting[channel]
        if waiting[0].overtaken >= self.part.age_cap:
            return waiting[0]
        now = max([waiting[0].entry, *self.served[channel][-1:]])
        there = [b for b in waiting if b.entry <= now]
        hits = {b.bank for b in there if self.is_hit(b)}
        allowed = [b for b in there if self.is_hit(b) or b.bank not in hits]
        return min(allowed, key=lambda b: (self.plan(b)[-1][0], not self.is_hit(b), b.number))

    def is_hit(self, burst):
        return self.open_rows.get(burst.bank) == burst.row

    def first(self, time, command):
        """The command at the first legal cycle from ``time`` on."""
        while faults(self.part, (time, *command), self.trace):
            time += 1
        return (time, *command)

    def plan(self, burst):
        """The commands of a burst, as if no refresh were due."""
        c, where = burst.channel, (burst.group, burst.bank, burst.row)
        earliest = max([burst.entry, *self.served[c][-self.part.queue_depth :][:1]])
        if len(self.served[c]) < self.part.queue_depth:
            earliest = burst.entry
        past = (x[0] for x in self.trace if x[1] == c and concerns(x, burst.bank))
        earliest = max([earliest, *past])  # a bank's commands come in order
        commands, before = [], list(self.trace)
        if not self.is_hit(burst):
            if burst.bank in self.open_rows:
                commands.append(self.first(earliest, (c, "PRE", *where)))
                self.trace = before + commands
            earliest = max([earliest, self.acts[c][-1], *(command[0] for command in commands)])
            commands.append(self.first(earliest, (c, "ACT", *where)))
            self.trace = before + commands
        last = max([burst.entry, *self.served[c][-1:], *(command[0] for command in commands)])
        commands.append(self.first(last, (c, "WR" if burst.write else "RD", *where)))
        self.trace = before
        return commands

    def issue(self, burst):
        part, t, c = self.part, self.part.timings, burst.channel
        commands = self.plan(burst)
        while t.trefi and commands[-1][0] >= (self.refreshes[c] + 1) * t.trefi:
            self.refresh(c)
            commands = self.plan(burst)
        self.trace += commands
        self.open_rows[burst.bank] = burst.row
        self.acts[c] += [x[0] for x in commands if x[2] == "ACT"]
        self.served[c].append(commands[-1][0])
        self.done[burst.number] = commands[-1][0] + (t.cwl if burst.write else t.cl) + part.burst_cycles
        if part.page_policy == "closed":
            del self.open_rows[burst.bank]
            place = (c, "auto PRE", burst.group, burst.bank, burst.row)
            self.trace.append(self.first(commands[-1][0], place))

    def refresh(self, channel):
        self.refreshes[channel] += 1
        due = self.refreshes[channel] * self.part.timings.trefi
        mine = [b for b in self.open_rows if b // (self.part.bank_groups * self.part.banks_per_group) == channel]
        if mine:
            self.trace.append(self.first(due, (channel, "PREA", -1, -1, -1)))
        past = max((c[0] for c in self.trace if c[1] == channel), default=0)
        for bank in mine:
            del self.open_rows[bank]
        self.trace.append(self.first(max(due, past), (channel, "REF", -1, -1, -1)))


def run(part, calls):
    """(start, end) of every transfer of every call, in array cycles, and the trace."""
    controller, times, last = Controller(part), [], {}
    for transfers in calls:
        firsts = []
        for i, (arrival, address, size, write, *dma) in enumerate(transfers):
            firsts.append(len(controller.bursts))
            for number in range(address // part.burst_bytes, -(-(address + size) // part.burst_bytes) if size else 0):
                controller.enter(math.ceil(arrival * part.clock_ratio), number, bool(write), i, *dma)
        for channel in range(part.channels):
            while controller.waiting[channel]:
                controller.serve_one(channel)
        firsts.append(len(controller.bursts))
        for (arrival, _, size, _, *dma), low, high in zip(transfers, firsts, firsts[1:], strict=False):
            if size:
                end = last[tuple(dma)] = max([last.get(tuple(dma), 0), *(controller.done[n] for n in range(low, high))])
                start = Fraction(controller.bursts[low].entry) / part.clock_ratio
                times.append((math.floor(start), math.ceil(Fraction(end) / part.clock_ratio)))
            else:
                times.append((arrival, arrival))
    return times, controller.trace


def ideal_ends(part, transfers):
    """When transfers would end if all channels were one pipe of their joint peak, in exact array cycles."""
    free, ends = Fraction(0), []
    burst = Fraction(part.burst_cycles, part.channels) / part.clock_ratio
    for arrival, address, size, *_ in transfers:
        if size:
            bursts = -(-(address + size) // part.burst_bytes) - address // part.burst_bytes
            free = max(Fraction(arrival), free) + bursts * burst
        ends.append(free if size else Fraction(arrival))
    return ends
