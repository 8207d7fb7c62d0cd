"""Event-driven simulation of a netlist of standard cells: how often every net changes, glitches included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hardware.netlist import Netlist

__all__ = ["Activity", "simulate"]


class Activity(NamedTuple):
    """Transitions per net with glitches, the same without (settled values only), outputs of each cycle.

    Outputs are Python integers: ports may be wider than 64 bits.
    """

    toggles: NDArray[np.int64]
    settled: NDArray[np.int64]
    outputs: dict[str, NDArray[np.object_]]


@njit(cache=True)
def _run(gates, drive, driven, watched, nets, wheel, warm_up):
    """Cycles of a clock that is slow enough for everything to settle.

    At each edge the inputs take their new values and the flops what was at their data pins. A gate answers after its
    delay; a change that is revoked before then never happens (inertial delay). ``wheel`` slots of 1 ps, more than the
    longest delay. Counts start after ``warm_up`` cycles.
    """
    value = np.zeros(nets, np.uint8)
    value[1] = 1
    due = np.full(nets, -1, np.int64)  # when the pending change of a net happens
    slot_head = np.full(wheel, -1, np.int64)
    entry_net = np.empty(1 << 16, np.int64)
    entry_next = np.empty(1 << 16, np.int64)
    stamp = np.full(len(gates.out), -1, np.int64)
    touched = np.empty(len(gates.out), np.int64)
    cause = np.zeros(len(gates.out), np.int64)
    toggles = np.zeros(nets, np.int64)
    settled = np.zeros(nets, np.int64)
    seen = np.zeros((drive.shape[0], len(watched)), np.uint8)
    now = 0
    for cycle in range(drive.shape[0]):
        before = value.copy()
        used = 0
        live = 0
        count = 0
        now += 1
        if cycle == 0:
            for g in range(len(gates.out)):
                touched[g] = g
            count = len(gates.out)
        for i in range(len(driven)):
            net = driven[i]
            if value[net] != drive[cycle, i]:
                value[net] = drive[cycle, i]
                toggles[net] += cycle >= warm_up
                for f in range(gates.fan_first[net], gates.fan_first[net + 1]):
                    if stamp[gates.fans[f]] != now and cycle > 0:
                        stamp[gates.fans[f]] = now
                        cause[gates.fans[f]] = gates.fan_pins[f]
                        touched[count] = gates.fans[f]
                        count += 1
        for i in range(len(gates.flop_out)):
            net = gates.flop_out[i]
            if value[net] != before[gates.flop_data[i]] ^ gates.flop_inverts[i]:
                due[net] = now + gates.flop_delay_ps[i]
                slot = due[net] % wheel
                entry_net[used] = net
                entry_next[used] = slot_head[slot]
                slot_head[slot] = used
                used += 1
                live += 1
        while True:
            for t in range(count):
                g = touched[t]
                word = 0
                for p in range(gates.first[g], gates.first[g + 1]):
                    word |= np.int64(value[gates.inputs[p]]) << (p - gates.first[g])
                new = (gates.truth[g] >> np.uint64(word)) & np.uint64(1)
                net = gates.out[g]
                if new == value[net]:
                    due[net] = -1
                elif due[net] < 0:
                    due[net] = now + gates.delay_ps[cause[g], new]
                    if used == len(entry_net):
                        entry_net = np.concatenate((entry_net, np.empty_like(entry_net)))
                        entry_next = np.concatenate((entry_next, np.empty_like(entry_next)))
                    slot = due[net] % wheel
                    entry_net[used] = net
                    entry_next[used] = slot_head[slot]
                    slot_head[slot] = used
                    used += 1
                    live += 1
            if live == 0:
                break
            count = 0
            now += 1
            entry = slot_head[now % wheel]
            slot_head[now % wheel] = -1
            while entry >= 0:
                live -= 1
                net = entry_net[entry]
                if due[net] == now:
                    due[net] = -1
                    value[net] ^= 1
                    toggles[net] += cycle >= warm_up
                    for f in range(gates.fan_first[net], gates.fan_first[net + 1]):
                        if stamp[gates.fans[f]] != now:
                            stamp[gates.fans[f]] = now
                            cause[gates.fans[f]] = gates.fan_pins[f]
                            touched[count] = gates.fans[f]
                            count += 1
                entry = entry_next[entry]
        if cycle >= warm_up:
            settled += value != before
        for i in range(len(watched)):
            seen[cycle, i] = value[watched[i]]
    return toggles, settled, seen


def simulate(netlist: Netlist, stimulus: Mapping[str, NDArray[np.int64]], warm_up: int = 0) -> Activity:
    """Drive the inputs with one value per cycle and count.

    Args:
        stimulus: input port -> (cycles,) values; two's complement is cut to the port's width.
    Raises: KeyError if a port is not driven.
    """
    cycles = len(next(iter(stimulus.values())))
    bits = [(stimulus[port] >> i) & 1 for port, nets in netlist.inputs.items() for i in range(len(nets))]
    driven = np.array([net for nets in netlist.inputs.values() for net in nets], np.int64)
    watched = np.array([net for nets in netlist.outputs.values() for net in nets], np.int64)
    drive = np.array(bits, np.uint8).T.reshape(cycles, -1)
    delays = np.concatenate([netlist.gates.delay_ps.ravel(), netlist.gates.flop_delay_ps, [1]])
    counts = _run(netlist.gates, drive, driven, watched, len(netlist.net_fj), int(delays.max()) + 2, warm_up)
    toggles, settled, seen = counts
    outputs, at = {}, 0
    for port, nets in netlist.outputs.items():
        outputs[port] = sum(seen[:, at + i].astype(object) << i for i in range(len(nets)))
        at += len(nets)
    return Activity(toggles, settled, outputs)
