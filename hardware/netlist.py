"""From Verilog to a netlist of standard cells (yosys), and from there to arrays that the toggle simulation reads."""

from __future__ import annotations

import gzip
import json
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hardware.liberty import Cell, Library, mean_at

__all__ = ["Gates", "Netlist", "build", "synthesise"]

_PE = Path(__file__).resolve().parent / "pe"
_SCRIPT = """
read_verilog {verilog}
{parameters}
synth -flatten -top {top}
dfflibmap -liberty {liberty}
abc -liberty {liberty}
opt_clean
write_json {out}
"""
_CLOCK = "clk"


class Gates(NamedTuple):
    """Logic functions, one per cell output; nets are numbers, 0 and 1 the constants.

    ``truth``: uint64 truth tables; ``first``, ``inputs``: CSR of input nets; ``fan_first``, ``fans``: CSR of the gates
    that a net feeds, with ``fan_pins``, the place in ``inputs``; ``delay_ps`` >= 1: (inputs, 2), to a falling and to a
    rising output. Flip-flops: data and output net, whether inverted, clock to output.
    """

    out: NDArray[np.int64]
    truth: NDArray[np.uint64]
    first: NDArray[np.int64]
    inputs: NDArray[np.int64]
    fan_first: NDArray[np.int64]
    fans: NDArray[np.int64]
    fan_pins: NDArray[np.int64]
    delay_ps: NDArray[np.int64]
    flop_data: NDArray[np.int64]
    flop_out: NDArray[np.int64]
    flop_inverts: NDArray[np.int64]
    flop_delay_ps: NDArray[np.int64]


@dataclass(frozen=True)
class Netlist:
    """A mapped module: what it takes and leaks, its gates, what a transition of each net costs.

    ``net_fj``: switched load plus internal energy of the driver, per transition; ``clock_fj``: per cycle, all flops.
    ``ports``: name -> net numbers, lowest bit first. ``delay_ps``: latest arrival at a flop or an output.
    """

    area_um2: float
    flop_area_um2: float
    leakage_nw: float
    flops: int
    delay_ps: float
    gates: Gates
    net_fj: NDArray[np.float64]
    clock_fj: float
    inputs: dict[str, list[int]]
    outputs: dict[str, list[int]]


def synthesise(top: str, parameters: Mapping[str, int], liberty: Path) -> dict[str, Any]:
    """yosys' JSON netlist of one module of ``pe/``, mapped to a Liberty file and flattened.

    Raises: RuntimeError with yosys' words.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "cells.lib"
        plain.write_bytes(gzip.decompress(liberty.read_bytes()) if liberty.suffix == ".gz" else liberty.read_bytes())
        out = Path(folder) / "netlist.json"
        chosen = " ".join(f"-set {name} {value}" for name, value in parameters.items())
        script = _SCRIPT.format(
            verilog=" ".join(str(path) for path in sorted(_PE.glob("*.v"))),
            parameters=f"chparam {chosen} {top}" if chosen else "",
            top=top,
            liberty=plain,
            out=out,
        )
        (Path(folder) / "run.ys").write_text(script, encoding="utf-8")
        done = subprocess.run(["yosys", "-q", str(Path(folder) / "run.ys")], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"yosys: {top}: {done.stderr.strip()}")
        modules = json.loads(out.read_text(encoding="utf-8"))["modules"]
    return next(module for module in modules.values() if int(module["attributes"].get("top", "0"), 2))


def build(module: dict[str, Any], library: Library) -> Netlist:
    """Arrays of a mapped module: loads, delays and energies at the operating point of each cell.

    Slews are carried from the inputs (the fastest slew of the tables) through the gates in topological order, mean of
    rise and fall. No wires: a net's load is the input pins on it.
    """
    number = _Numbers()
    cells = [
        _Instance(library.cells[c["type"]], {pin: number(bits[0]) for pin, bits in c["connections"].items() if bits})
        for c in module["cells"].values()
    ]
    inputs, outputs = (
        {n: [number(bit) for bit in p["bits"]] for n, p in module["ports"].items() if p["direction"] == direction}
        for direction in ("input", "output")
    )
    clocks = inputs.pop(_CLOCK, [])
    nets = _Nets(len(number))
    for instance in cells:
        nets.add_inputs(instance)
    nets.energy_fj += nets.load_ff * library.voltage_v**2 / 2
    gates, flops = [], []
    for instance in [i for i in cells if i.cell.clock] + _in_order(cells):
        (flops if instance.cell.clock else gates).extend(nets.drive(instance))
    nets.energy_fj[clocks] = 0
    ends = [flop[0] for flop in flops] + [net for port in outputs.values() for net in port]
    flop_cells = [i.cell for i in cells if i.cell.clock]
    return Netlist(
        area_um2=sum(i.cell.area_um2 for i in cells),
        flop_area_um2=sum(cell.area_um2 for cell in flop_cells),
        leakage_nw=sum(i.cell.leakage_nw for i in cells),
        flops=len(flop_cells),
        delay_ps=float(nets.arrival_ps[ends].max()),
        gates=_arrays(gates, flops, len(number)),
        net_fj=nets.energy_fj,
        clock_fj=sum(_clock_fj(cell, library.voltage_v) for cell in flop_cells),
        inputs=inputs,
        outputs=outputs,
    )


class _Instance(NamedTuple):
    """A cell and the net on each of its pins."""

    cell: Cell
    pins: dict[str, int]


def _clock_fj(cell: Cell, voltage_v: float) -> float:
    """Both edges of the clock at one flip-flop."""
    return cell.input_ff[cell.clock] * voltage_v**2 + 2 * mean_at(cell.pin_energies[cell.clock], 0.0, 0.0)


class _Nets:
    """What is known of each net while the netlist is built: load, slew, arrival, energy per transition."""

    def __init__(self, n: int) -> None:
        self.load_ff, self.slew_ps, self.arrival_ps, self.energy_fj = (np.zeros(n) for _ in range(4))

    def add_inputs(self, instance: _Instance) -> None:
        """The pins that a cell puts on its nets."""
        for pin, femtofarad in instance.cell.input_ff.items():
            self.load_ff[instance.pins[pin]] += femtofarad
            self.energy_fj[instance.pins[pin]] += mean_at(instance.cell.pin_energies[pin], 0.0, 0.0)

    def drive(self, instance: _Instance) -> list[Any]:
        """Slew, arrival and energy of a cell's outputs; a gate (net, truth, sources, arcs) or flop (data, net, ...)."""
        cell, pins = instance
        sources = [pins[cell.clock]] if cell.clock else [pins[pin] for pin in cell.input_ff]
        slew = max((self.slew_ps[net] for net in sources), default=0.0)
        start = 0.0 if cell.clock else max((self.arrival_ps[net] for net in sources), default=0.0)
        driven: list[Any] = []
        for pin, output in cell.outputs.items():
            if pin not in pins:
                continue
            net, load = pins[pin], self.load_ff[pins[pin]]
            delay = mean_at(output.delays, slew, load)
            self.slew_ps[net] = mean_at(output.slews, slew, load)
            self.arrival_ps[net] = start + delay
            self.energy_fj[net] += mean_at(output.energies, slew, load)
            if cell.clock:
                driven.append((pins[cell.data], net, output.truth, delay))
            else:
                arcs = [output.arc(p, self.slew_ps[pins[p]], load) for p in cell.input_ff]
                driven.append((net, output.truth, sources, arcs))
        return driven


class _Numbers:
    """Net numbers in order of first use; the constants are 0 and 1."""

    def __init__(self) -> None:
        self._known: dict[Any, int] = {"0": 0, "1": 1, "x": 0}

    def __call__(self, bit: Any) -> int:
        return self._known.setdefault(bit, len(self))

    def __len__(self) -> int:
        return max(self._known.values()) + 1


def _in_order(cells: list[_Instance]) -> list[_Instance]:
    """Combinational cells, each after those that drive it. Raises: CycleError on a loop."""
    logic = [instance for instance in cells if not instance.cell.clock]
    driver = {pins[pin]: i for i, (cell, pins) in enumerate(logic) for pin in cell.outputs if pin in pins}
    waits = {
        i: {driver[pins[pin]] for pin in cell.input_ff if pins[pin] in driver} for i, (cell, pins) in enumerate(logic)
    }
    return [logic[i] for i in TopologicalSorter(waits).static_order()]


def _arrays(gates: list[Any], flops: list[Any], n: int) -> Gates:
    def ints(values: Iterable[float]) -> NDArray[np.int64]:
        return np.array(list(values), np.int64)

    first = np.concatenate([[0], np.cumsum([len(g[2]) for g in gates])]).astype(np.int64)
    inputs = ints(net for gate in gates for net in gate[2])
    reader = np.repeat(np.arange(len(gates)), np.diff(first))
    order = np.argsort(inputs, kind="stable")
    fan_first = np.searchsorted(inputs[order], np.arange(n + 1))
    return Gates(
        out=ints(g[0] for g in gates),
        truth=np.array([g[1] for g in gates], np.uint64),
        first=first,
        inputs=inputs,
        fan_first=fan_first.astype(np.int64),
        fans=reader[order].astype(np.int64),
        fan_pins=order.astype(np.int64),
        delay_ps=np.maximum(1, np.rint([arc for g in gates for arc in g[3]])).astype(np.int64).reshape(-1, 2),
        flop_data=ints(f[0] for f in flops),
        flop_out=ints(f[1] for f in flops),
        flop_inverts=ints(f[2] for f in flops),
        flop_delay_ps=ints(max(1, round(f[3])) for f in flops),
    )
