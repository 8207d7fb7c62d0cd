"""A SCALE-Sim configuration (``.cfg``, of any version) as a design that counts cycles as SCALE-Sim does.

Array, dataflow and the sizes of the three SRAMs are the file's. A word is a byte there, hence operands and results of
8 bits. ``CALC`` finds bandwidths at which nothing ever waits: no memory limits here. ``USER`` gives three streams of
words per cycle, each alone: one DRAM with the sum of their rates here. SCALE-Sim knows no time: the clock is assumed,
and rates follow it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulator.config.foreign import Foreign
from simulator.config.scalesim_keys import Entry, Keys, read_keys
from simulator.config.yaml_nodes import Source, Steps

__all__ = ["read_scalesim_config"]

CLOCK_MHZ = 1000
"""Assumed: SCALE-Sim counts cycles only."""

_PRICED_KIB = (8, 4096)
"""The smallest and the largest macro of configs/cost/cacti7_sram.csv."""

_BUFFERS = {"act_buffer": "IfmapSramSz", "weight_buffer": "FilterSramSz", "out_buffer": "OfmapSramSz"}
_STREAMS = ("IfmapSRAMBankBandwidth", "FilterSRAMBankBandwidth")
"""Words per cycle of the two read streams in version 3; earlier ones read both at ``Bandwidth``."""

_WITHOUT_EFFECT = {
    "run_name", "ifmapoffset", "filteroffset", "ofmapoffset", "memorybanks", "onchipmemorybanks",
    "onchipmemorybankports", "readrequestbuffer", "writerequestbuffer", "ifmapsrambanknum", "ifmapsrambankport",
    "filtersrambanknum", "filtersrambankport", "sparserep", "sparseacc", "optimizedmapping", "blocksize",
    "randomnumbergeneratorseed", "sram_row_size", "sram_bank_size", "dram_row_size", "dram_bank_size",
}  # fmt: skip
"""Keys that name things, place addresses, or belong to a switch of their own that is noted if it is on."""

_SWITCHES = {
    "SparsitySupport": "sparsity: no datapath here skips zeros, weights are dense",
    "IfmapCustomLayout": "the layout of ifmap words in banks; see memory.bank_conflicts",
    "FilterCustomLayout": "the layout of filter words in banks; see memory.bank_conflicts",
    "UseRamulatorTrace": "DRAM latencies from Ramulator traces; see memory.dram.model: banked",
}
_ASIDE = {
    "TimeLinearModel": "its microseconds from a fitted line; time here is cycles over clock_mhz",
    "TopologyCsvLoc": "a topology is a workload of its own, not part of a design",
}


def read_scalesim_config(path: Path, dims: Mapping[str, int]) -> Foreign:
    """Reads a ``.cfg`` file. Raises: ConfigError with file, line and key."""
    return _Reading(read_keys(path), path).design()


class _Reading:
    """One configuration on its way to a design: values, their lines and where they come from."""

    def __init__(self, keys: Keys, path: Path) -> None:
        self.keys = keys
        self.path = path
        self.lines: dict[Steps, int] = {(): 1}
        self.origins: dict[Steps, str] = {}
        self.notes: list[str] = []

    def design(self) -> Foreign:
        """The whole."""
        run = self.keys.get("run_name")
        name = f" ({run.value})" if run and run.value else ""
        data = {
            "name": self.path.stem,
            "description": "",
            "clock_mhz": self.assumed(("clock_mhz",), CLOCK_MHZ, "SCALE-Sim counts cycles only"),
            "array": self.array(),
            "datapath": self.datapath(),
            "memory": self.memory(),
        }
        self.note_what_is_left()
        data["description"] = "; ".join([f"SCALE-Sim configuration {self.path.name}{name}", *self.notes])
        return Foreign(Source(data, self.lines, str(self.path)), self.origins, tuple(self.notes))

    def array(self) -> dict[str, Any]:
        """Geometry, dataflow and the way of counting."""
        return {
            "kind": "systolic",
            "rows": self.number(("array", "rows"), self.keys.need("ArrayHeight")),
            "cols": self.number(("array", "cols"), self.keys.need("ArrayWidth")),
            "dataflow": self.dataflow(),
            "fold_overlap": "scalesim",
        }

    def dataflow(self) -> str:
        """``os`` where the file has none, as the first versions ran."""
        entry, path = self.keys.get("Dataflow"), ("array", "dataflow")
        if entry is None:
            self.notes.append("no Dataflow: os, the only one of the versions without this key")
            return str(self.assumed(path, "os", "the file has no Dataflow"))
        name = self.keys.choice(entry, ("os", "ws", "is"))
        if entry.value != name and name != "os":
            self.notes.append(
                f"Dataflow {entry.value!r} is read as {name}; SCALE-Sim runs os where it is not lower case"
            )
        self.came_from(path, entry)
        return name

    def datapath(self) -> dict[str, Any]:
        """A word of SCALE-Sim is a byte."""
        bits = {"act_bits": 8, "weight_bits": 8, "acc_bits": 32}
        for field, value in bits.items():
            why = "SCALE-Sim has no precision" if value == 32 else "a word of SCALE-Sim is a byte"
            self.assumed(("datapath", field), value, why)
        return {"name": "int_mac", **bits}

    def memory(self) -> dict[str, Any]:
        """Three scratchpads, and DRAM as the mode of bandwidth says."""
        buffers = {field: self.buffer(field, self.keys.need(f"{key}kB", key)) for field, key in _BUFFERS.items()}
        bits = self.assumed(("memory", "output_bits"), 8, "a word of SCALE-Sim is a byte")
        return {"dram": self.dram(), **buffers, "output_bits": bits}

    def buffer(self, field: str, entry: Entry) -> dict[str, Any]:
        """One scratchpad, of banks that have a price."""
        size, least = self.number(("memory", field, "capacity_kib"), entry), _PRICED_KIB[0]
        if size < least:
            self.notes.append(f"{entry.key} {size}: {least} KiB are taken, the least that has a price")
        banks = -(-size // _PRICED_KIB[1])
        if banks == 1:
            return {"capacity_kib": max(size, least)}
        why = f"banks of at most {_PRICED_KIB[1]} KiB, the most that has a price"
        return {"capacity_kib": size, "banks": self.assumed(("memory", field, "banks"), banks, why)}

    def dram(self) -> dict[str, Any]:
        """No limits in ``CALC``, which is what version 1 does too; the sum of the streams in ``USER``."""
        mode, path = self.keys.get("InterfaceBandwidth"), ("memory", "dram")
        if mode is None or self.keys.choice(mode, ("CALC", "USER")) == "CALC":
            self.origins[*path, "model"] = f"{self.path.name}: bandwidths at which nothing waits (CALC)"
            return {"model": "none"}
        words = self.words_per_cycle()
        self.came_from(path, mode)
        self.origins[*path, "bandwidth_gb_s"] = (
            f"{self.path.name}: {' + '.join(map(str, words))} words per cycle (USER)"
        )
        for field, why in (("latency_ns", "has no latency"), ("burst_bytes", "moves single words")):
            self.origins[*path, field] = f"SCALE-Sim {why}"
        return {
            "model": "ideal",
            "bandwidth_gb_s": sum(words) * CLOCK_MHZ / 1000,  # words of a byte, in gigabytes per second
            "latency_ns": 0,
            "burst_bytes": 1,
        }

    def words_per_cycle(self) -> list[int]:
        """Of the ifmap, filter and ofmap streams."""
        written = self.keys.need("Bandwidth")
        if len({part.strip() for part in written.value.split(",") if part.strip()}) > 1:
            self.notes.append(f"of Bandwidth {written.value} the first counts, as in SCALE-Sim")
        return [self.keys.integer(self.keys.get(key) or written) for key in _STREAMS] + [self.keys.integer(written)]

    def note_what_is_left(self) -> None:
        """One note for each switch that is on, and one for all keys that are not known."""
        for switch, what in _SWITCHES.items():
            if self.keys.is_true(switch):
                self.notes.append(f"{switch} is ignored: {what}")
        for key, what in _ASIDE.items():
            if entry := self.keys.get(key):
                self.notes.append(f"{key} {entry.value} is ignored: {what}")
        known = {key.lower() for key in (*_SWITCHES, *_ASIDE, *_STREAMS)} | _WITHOUT_EFFECT
        known |= {"arrayheight", "arraywidth", "dataflow", "bandwidth", "interfacebandwidth"}
        known |= {key.lower() + unit for key in _BUFFERS.values() for unit in ("", "kb")}
        unknown = [entry.key for key, entry in self.keys.entries.items() if key not in known]
        if unknown:
            self.notes.append(f"unknown {'keys' if len(unknown) > 1 else 'key'} ignored: {', '.join(unknown)}")

    def number(self, path: Steps, entry: Entry) -> int:
        """A whole number of the file."""
        self.came_from(path, entry)
        return self.keys.integer(entry)

    def came_from(self, path: Steps, entry: Entry) -> None:
        """Remember the line of a value, for complaints and for comments."""
        self.lines[path] = entry.line
        self.origins[path] = f"{self.path.name}:{entry.line}, {entry.key}"

    def assumed(self, path: Steps, value: object, why: str) -> object:
        """A value that the file does not say."""
        self.origins[path] = f"assumed: {why}"
        return value
