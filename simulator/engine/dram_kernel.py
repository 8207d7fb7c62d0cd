"""The timing kernel of banked DRAM: bursts go in one by one, the cycle of every command comes out.

Everything is counted in DRAM clock cycles. Rules, per channel:

1. A burst enters the controller after its transfer's arrival and the burst before it, once its DMA has a place for it
   (that DMA's burst ``n - outstanding`` has its data) and the channel's queue has one (a place is free when a column
   command is issued). Any number may enter in a cycle.
2. Column commands are issued in the order in which bursts are served: by age, or as ``_next`` chooses.
3. A burst's own precharge and activate may run ahead while it waits in the queue, each at the first cycle that its
   bank, the timings and the command bus allow, but not before the column command of the burst served ``queue_depth``
   earlier, and no activate overtakes one of a burst that is served before.
4. Refresh ``k`` is due at ``k * tREFI`` in all channels and never postponed: a burst whose column command cannot be
   issued before it waits for it with all its commands. Then all banks are precharged and refreshed together.

A burst is never delayed by one that is served after it, so taking bursts one at a time is exact. Many calls are the
same as one call with all transfers in order, except that under FR-FCFS only bursts of one call compete.

``p`` are parameters and ``s`` is the state, flat arrays of int64: ``s[bank + ROW]`` is the open row of the bank whose
entries begin at ``bank``. That compiles in seconds and costs nothing to hand from function to function.
"""

from __future__ import annotations

from simulator.kernels import njit

# Where things are in p. Shifts cut the number of a burst into fields, masks are sizes - 1, *_AT is where a region of s
# begins. DRAM_CYCLES DRAM cycles take exactly as long as ARRAY_CYCLES cycles of the array.
CHANNEL_MASK, GROUPS, BANKS, ROW_MASK, CHANNEL_SHIFT, GROUP_SHIFT, BANK_SHIFT, ROW_SHIFT = range(8)
TRCD, TRP, CL, CWL, TRAS, TCCD_S, TCCD_L, TRRD_S, TRRD_L, TFAW = range(8, 18)
TWR, TWTR_S, TWTR_L, TRTP, TREFI, TRFC, TURNAROUND = range(18, 25)
BURST_BYTES, BURST_CYCLES, SHARED_BUS, CLOSED_PAGE, REORDER, AGE_CAP = range(25, 31)
DRAM_CYCLES, ARRAY_CYCLES, QUEUE_MASK, DMA_MASK = range(31, 35)
BANKS_AT, GROUPS_AT, CHANNELS_AT, CHANNEL_SIZE, DMA_AT, DMA_SIZE, TRACE_AT, PARAMS = range(35, 43)

# The first entries of s: when the last burst entered, commands kept, and counters.
LAST_ENTRY, TRACED = range(2)
ACTIVATES, PRECHARGES, READS, WRITES, REFRESHES, HITS, MISSES, CONFLICTS, BUSY, HEADER = range(2, 12)

# Entries of a bank (ROW -1: closed), a group and a channel. NEXT_*: the first cycle for another such command.
ROW, BANK_ACT, BANK_PRE, BANK_COL, BANK_SIZE = range(5)
NEXT_ACT, NEXT_READ, NEXT_WRITE, GROUP_SIZE = range(4)
REFRESH_DUE, REFRESH_OK, OPEN_BANKS, ACTIVATED, ENTERED, SERVED, WAITING, ROW_COMMANDS, LAST_ROW = range(3, 12)
ACTS, RINGS = 12, 16
# From ACTS on, rings of times: the last four activates; from RINGS on the column commands of the last queue_depth
# bursts, then twice as many row commands; then the queue by age, QUEUE_SIZE entries per burst:
ENTRY, SLOT, GROUP, BANK, WANTED, WRITE, TRANSFER, OVERTAKEN, QUEUE_SIZE = range(9)
# A DMA: its bursts so far, when all their data has moved, and its places.
BURSTS, LAST_END, PLACES = range(3)
# A place of a DMA: when the data of its burst is there (-1: not served yet), and the burst's channel.
DONE, SLOT_CHANNEL, SLOT_SIZE = range(3)

# Kinds of commands in the trace, TRACE_SIZE numbers each: time, channel, kind, group, bank, row.
ACT, PRE, RD, WR, PRE_ALL, REF, AUTO_PRE = range(7)
TRACE_SIZE = 6


@njit(cache=True, allocates=False)
def _serve(p, s, transfers, times):
    """Serve ``transfers`` (n, 5): arrival in array cycles, address, bytes, is write, DMA; fills ``times`` (n, 2).

    A transfer starts when its first burst enters the controller (rounded down to an array cycle) and has ended when all
    its data and that of all earlier transfers of its DMA has moved (rounded up). Without bytes it starts and ends as it
    arrives.
    """
    dram, array = p[DRAM_CYCLES], p[ARRAY_CYCLES]
    for i in range(len(transfers)):
        times[i, 0] = times[i, 1] = -1
        arrival = (transfers[i, 0] * dram + array - 1) // array
        address, size = transfers[i, 1], transfers[i, 2]
        if size > 0:
            for burst in range(address // p[BURST_BYTES], (address + size - 1) // p[BURST_BYTES] + 1):
                _enter(p, s, arrival, burst, transfers[i, 3], p[DMA_AT] + transfers[i, 4] * p[DMA_SIZE], i, times)
    if p[REORDER]:
        for c in range(p[CHANNEL_MASK] + 1):
            while s[p[CHANNELS_AT] + c * p[CHANNEL_SIZE] + WAITING] > 0:
                _serve_next(p, s, c, times)
    for i in range(len(transfers)):
        if transfers[i, 2] > 0:
            last = p[DMA_AT] + transfers[i, 4] * p[DMA_SIZE] + LAST_END
            s[last] = max(s[last], times[i, 1])
            times[i, 0] = times[i, 0] * array // dram
            times[i, 1] = (s[last] * array + dram - 1) // dram
        else:
            times[i, 0] = times[i, 1] = transfers[i, 0]


@njit(cache=True, allocates=False)
def _enter(p, s, arrival, burst, write, dma, transfer, times):
    """Let a burst into the controller; it is served at once, or waits in its channel's queue to be chosen."""
    c = (burst >> p[CHANNEL_SHIFT]) & p[CHANNEL_MASK]
    g = c * p[GROUPS] + ((burst >> p[GROUP_SHIFT]) & (p[GROUPS] - 1))
    b = g * p[BANKS] + ((burst >> p[BANK_SHIFT]) & (p[BANKS] - 1))
    row = (burst >> p[ROW_SHIFT]) & p[ROW_MASK]
    channel = p[CHANNELS_AT] + c * p[CHANNEL_SIZE]
    slot = dma + PLACES + (s[dma + BURSTS] & p[DMA_MASK]) * SLOT_SIZE
    if p[REORDER]:
        while s[slot + DONE] < 0:
            _serve_next(p, s, s[slot + SLOT_CHANNEL], times)
        while s[channel + WAITING] > p[QUEUE_MASK]:
            _serve_next(p, s, c, times)
    place_free = s[channel + RINGS + (s[channel + ENTERED] & p[QUEUE_MASK])]
    entry = max(max(arrival, s[LAST_ENTRY]), max(s[slot + DONE], place_free))
    s[LAST_ENTRY] = entry
    s[dma + BURSTS] += 1
    s[channel + ENTERED] += 1
    if times[transfer, 0] < 0:
        times[transfer, 0] = entry
    if p[REORDER]:
        q = _queue(p, channel) + s[channel + WAITING] * QUEUE_SIZE
        s[channel + WAITING] += 1
        s[q + ENTRY], s[q + SLOT], s[q + GROUP], s[q + BANK] = entry, slot, g, b
        s[q + WANTED], s[q + WRITE], s[q + TRANSFER], s[q + OVERTAKEN] = row, write, transfer, 0
        s[slot + DONE], s[slot + SLOT_CHANNEL] = -1, c
    else:
        s[slot + DONE] = end = _issue(p, s, entry, c, g, b, row, write)
        times[transfer, 1] = max(times[transfer, 1], end)


@njit(cache=True, allocates=False)
def _queue(p, channel):
    """Where a channel's queue begins, behind its rings."""
    return channel + RINGS + 3 * (p[QUEUE_MASK] + 1)


@njit(cache=True, allocates=False)
def _serve_next(p, s, c, times):
    """Choose a burst of the channel's queue, serve it and close the gap it leaves."""
    channel = p[CHANNELS_AT] + c * p[CHANNEL_SIZE]
    first = _queue(p, channel)
    q = _next(p, s, c, channel, first)
    if q > first:
        s[first + OVERTAKEN] += 1
    entry = max(s[q + ENTRY], s[channel + RINGS + (s[channel + SERVED] & p[QUEUE_MASK])])
    end = _issue(p, s, entry, c, s[q + GROUP], s[q + BANK], s[q + WANTED], s[q + WRITE])
    s[s[q + SLOT] + DONE] = end
    times[s[q + TRANSFER], 1] = max(times[s[q + TRANSFER], 1], end)
    s[channel + WAITING] -= 1
    for i in range(q, first + s[channel + WAITING] * QUEUE_SIZE):
        s[i] = s[i + QUEUE_SIZE]


@njit(cache=True, allocates=False)
def _next(p, s, c, channel, first):
    """The burst of the queue to serve next: the one whose column command can be first, of these a row hit, the oldest.

    The choice is made when the last column command is issued, or when the oldest burst enters, among those that are
    there. A row is not closed while one of them hits it. One that has been overtaken AGE_CAP times as the oldest is
    next in any case.
    """
    if s[first + OVERTAKEN] >= p[AGE_CAP]:
        return first
    last = first + s[channel + WAITING] * QUEUE_SIZE
    served, now = s[channel + SERVED], s[first + ENTRY]
    if served > 0:
        now = max(now, s[channel + RINGS + ((served - 1) & p[QUEUE_MASK])])
    while s[last - QUEUE_SIZE + ENTRY] > now:
        last -= QUEUE_SIZE
    best, chosen = -1, first
    soonest = max(now, min(s[channel + NEXT_READ], s[channel + NEXT_WRITE]))
    for hit in (True, False):
        for q in range(first, last, QUEUE_SIZE):
            bank = p[BANKS_AT] + s[q + BANK] * BANK_SIZE
            if (s[bank + ROW] == s[q + WANTED]) != hit or (not hit and _is_hit(s, bank, s[q + BANK], first, last)):
                continue
            entry = max(s[q + ENTRY], s[channel + RINGS + (served & p[QUEUE_MASK])])
            column = _plan(p, s, entry, c, s[q + GROUP], s[q + BANK], s[q + WANTED], s[q + WRITE])[2]
            if best < 0 or column < best:
                best, chosen = column, q
            if best <= soonest:
                return chosen  # nothing can be sooner
        fifth = s[channel + ACTS + (s[channel + ACTIVATED] & 3)] + p[TFAW]
        soonest = max(soonest, max(fifth, s[channel + NEXT_ACT]) + p[TRCD])
        if 0 <= best <= soonest:
            return chosen
    return chosen


@njit(cache=True, allocates=False)
def _is_hit(s, bank, b, first, last):
    """Whether one of the waiting bursts hits the open row of bank ``b``."""
    if s[bank + ROW] >= 0:
        for q in range(first, last, QUEUE_SIZE):
            if s[q + BANK] == b and s[q + WANTED] == s[bank + ROW]:
                return True
    return False


@njit(cache=True, allocates=False)
def _plan(p, s, entry, c, g, b, row, write):
    """Cycles of a burst's precharge, activate (-1: not needed) and column command, if no refresh comes between."""
    bank, group = p[BANKS_AT] + b * BANK_SIZE, p[GROUPS_AT] + g * GROUP_SIZE
    channel = p[CHANNELS_AT] + c * p[CHANNEL_SIZE]
    precharge = activate = -1
    ready = s[bank + BANK_COL]
    if s[bank + ROW] != row:
        activate = max(entry, s[bank + BANK_ACT])
        if s[bank + ROW] >= 0:
            precharge = _free(p, s, channel, max(entry, s[bank + BANK_PRE]))
            activate = precharge + p[TRP]
        fifth = s[channel + ACTS + (s[channel + ACTIVATED] & 3)] + p[TFAW]
        spaced = max(fifth, max(s[group + NEXT_ACT], s[channel + NEXT_ACT]))
        activate = _free(p, s, channel, max(activate, spaced))
        ready = activate + p[TRCD]
    kind = NEXT_WRITE if write else NEXT_READ
    return precharge, activate, max(max(entry, ready), max(s[group + kind], s[channel + kind]))


@njit(cache=True, allocates=False)
def _issue(p, s, entry, c, g, b, row, write):
    """Issue all commands of a burst, and refreshes that come before; returns the cycle in which its data has moved."""
    channel = p[CHANNELS_AT] + c * p[CHANNEL_SIZE]
    precharge, activate, column = _plan(p, s, entry, c, g, b, row, write)
    while column >= s[channel + REFRESH_DUE]:
        _refresh(p, s, c, channel)
        precharge, activate, column = _plan(p, s, entry, c, g, b, row, write)
    s[HITS if activate < 0 else MISSES if precharge < 0 else CONFLICTS] += 1
    if precharge >= 0:
        _precharge(p, s, channel, p[BANKS_AT] + b * BANK_SIZE, precharge)
        _row_command(p, s, channel, precharge)
        _trace(p, s, precharge, c, PRE, g, b, row)
    if activate >= 0:
        _activate(p, s, channel, g, b, row, activate)
        _row_command(p, s, channel, activate)
        _trace(p, s, activate, c, ACT, g, b, row)
    _trace(p, s, column, c, WR if write else RD, g, b, row)
    end = _column(p, s, channel, g, b, write, column)
    if p[CLOSED_PAGE]:
        bank = p[BANKS_AT] + b * BANK_SIZE
        _trace(p, s, s[bank + BANK_PRE], c, AUTO_PRE, g, b, row)
        _precharge(p, s, channel, bank, s[bank + BANK_PRE])
    return end


@njit(cache=True, allocates=False)
def _free(p, s, channel, time):
    """The first cycle from ``time`` on in which no command is on the bus of the channel's row commands."""
    while _taken(p, s, channel, time):
        time += 1
    return time


@njit(cache=True, allocates=False)
def _taken(p, s, channel, time):
    depth = p[QUEUE_MASK] + 1
    columns = channel + RINGS
    if time <= s[channel + LAST_ROW]:
        for i in range(columns + depth, columns + 3 * depth):
            if s[i] == time:
                return True
    if p[SHARED_BUS]:
        served = s[channel + SERVED]
        for k in range(served - 1, max(0, served - depth) - 1, -1):
            column = s[columns + (k & p[QUEUE_MASK])]
            if column <= time:
                return column == time
    return False


@njit(cache=True, allocates=False)
def _row_command(p, s, channel, time):
    """Note that a row command is on the bus."""
    place = s[channel + ROW_COMMANDS] & (2 * p[QUEUE_MASK] + 1)
    s[channel + RINGS + p[QUEUE_MASK] + 1 + place] = time
    s[channel + ROW_COMMANDS] += 1
    s[channel + LAST_ROW] = max(s[channel + LAST_ROW], time)


@njit(cache=True, allocates=False)
def _precharge(p, s, channel, bank, time):
    s[bank + ROW] = -1
    s[bank + BANK_ACT] = time + p[TRP]
    s[channel + REFRESH_OK] = max(s[channel + REFRESH_OK], time + p[TRP])
    s[channel + OPEN_BANKS] -= 1
    s[PRECHARGES] += 1


@njit(cache=True, allocates=False)
def _activate(p, s, channel, g, b, row, time):
    bank = p[BANKS_AT] + b * BANK_SIZE
    s[bank + ROW] = row
    s[bank + BANK_COL] = time + p[TRCD]
    s[bank + BANK_PRE] = time + p[TRAS]
    s[p[GROUPS_AT] + g * GROUP_SIZE + NEXT_ACT] = time + p[TRRD_L]
    s[channel + NEXT_ACT] = time + p[TRRD_S]
    s[channel + ACTS + (s[channel + ACTIVATED] & 3)] = time
    s[channel + ACTIVATED] += 1
    s[channel + OPEN_BANKS] += 1
    s[ACTIVATES] += 1


@njit(cache=True, allocates=False)
def _column(p, s, channel, g, b, write, time):
    """Read or write; returns the cycle in which the data has moved."""
    bank, group = p[BANKS_AT] + b * BANK_SIZE, p[GROUPS_AT] + g * GROUP_SIZE
    same, other = time + p[TCCD_L], time + p[TCCD_S]
    if write:
        end = time + p[CWL] + p[BURST_CYCLES]
        s[group + NEXT_WRITE], s[channel + NEXT_WRITE] = same, other
        s[group + NEXT_READ] = max(same, end + p[TWTR_L])
        s[channel + NEXT_READ] = max(other, end + p[TWTR_S])
        s[bank + BANK_PRE] = max(s[bank + BANK_PRE], end + p[TWR])
    else:
        end = time + p[CL] + p[BURST_CYCLES]
        s[group + NEXT_READ], s[channel + NEXT_READ] = same, other
        s[group + NEXT_WRITE] = same
        s[channel + NEXT_WRITE] = max(other, end + p[TURNAROUND] - p[CWL])
        s[bank + BANK_PRE] = max(s[bank + BANK_PRE], time + p[TRTP])
    s[channel + RINGS + (s[channel + SERVED] & p[QUEUE_MASK])] = time
    s[channel + SERVED] += 1
    s[WRITES if write else READS] += 1
    s[BUSY] += p[BURST_CYCLES]
    return end


@njit(cache=True, allocates=False)
def _refresh(p, s, c, channel):
    """Close all banks of a channel and refresh it; every command so far was issued before the refresh was due."""
    time = s[channel + REFRESH_DUE]
    s[channel + REFRESH_DUE] += p[TREFI]
    if s[channel + OPEN_BANKS] > 0:
        size = p[GROUPS] * p[BANKS] * BANK_SIZE
        first = p[BANKS_AT] + c * size
        for bank in range(first, first + size, BANK_SIZE):
            if s[bank + ROW] >= 0:
                time = max(time, s[bank + BANK_PRE])
        for bank in range(first, first + size, BANK_SIZE):
            if s[bank + ROW] >= 0:
                _precharge(p, s, channel, bank, time)
        _trace(p, s, time, c, PRE_ALL, -1, -1, -1)
    time = max(time, s[channel + REFRESH_OK])
    s[channel + NEXT_ACT] = max(s[channel + NEXT_ACT], time + p[TRFC])
    s[REFRESHES] += 1
    _trace(p, s, time, c, REF, -1, -1, -1)


@njit(cache=True, allocates=False)
def _trace(p, s, time, c, kind, g, b, row):
    """Keep a command while there is room."""
    t = p[TRACE_AT] + s[TRACED] * TRACE_SIZE
    if t < len(s):
        s[t], s[t + 1], s[t + 2], s[t + 3], s[t + 4], s[t + 5] = time, c, kind, g, b, row
        s[TRACED] += 1
