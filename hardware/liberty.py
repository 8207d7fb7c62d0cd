"""Reads what a Liberty file says about standard cells: area, leakage, pins, functions, delay and energy tables.

Only what the toggle simulation needs: combinational cells and rising-edge D flip-flops; other cells are left out.
Units come out as fF, fJ, ps, nW whatever the file's own are.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hardware.boolean import truth_table

__all__ = ["Cell", "Library", "Output", "Table", "mean_at", "read_library"]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}();:,]|[^\s{}();:,"]+')
_COMMENT = re.compile(r"/\*.*?\*/|\\\n", re.DOTALL)
_PREFIX = {"m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}


@dataclass
class Group:
    """``kind (args) { ... }``: its simple attributes, its lists of arguments and the groups inside."""

    kind: str
    args: list[str]
    attributes: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def all(self, kind: str) -> list[Group]:
        """Groups of that kind directly inside."""
        return [group for group in self.groups if group.kind == kind]


@dataclass(frozen=True)
class Table:
    """One look-up table over input slew [ps] and, if it has that axis, load [fF]."""

    slews: NDArray[np.float64]
    loads: NDArray[np.float64]
    values: NDArray[np.float64]

    def at(self, slew: float, load: float) -> float:
        """Bilinear inside the table, its edge value outside."""
        per_slew = (
            [np.interp(load, self.loads, row) for row in self.values] if len(self.loads) > 1 else self.values[:, 0]
        )
        return float(np.interp(slew, self.slews, per_slew))


@dataclass(frozen=True)
class Output:
    """An output pin: truth table over the cell's inputs (bit i of ``truth`` for input word i), tables of its arcs."""

    truth: int
    delays: list[Table]
    arcs: dict[str, tuple[list[Table], list[Table]]]
    slews: list[Table]
    energies: list[Table]

    def arc(self, pin: str, slew: float, load: float) -> tuple[float, float]:
        """Delay from an input pin to a falling and to a rising output [ps], mean over conditions."""
        rise, fall = self.arcs[pin]
        return mean_at(fall, slew, load), mean_at(rise, slew, load)


@dataclass(frozen=True)
class Cell:
    """A standard cell; ``clock`` and ``data`` name the pins of a flip-flop and are empty otherwise.

    ``pin_energies``: internal energy of a transition of an input pin that moves no output, where the file has one.
    """

    name: str
    area_um2: float
    leakage_nw: float
    input_ff: dict[str, float]
    outputs: dict[str, Output]
    pin_energies: dict[str, list[Table]]
    clock: str = ""
    data: str = ""


@dataclass(frozen=True)
class Library:
    """Cells by name and the nominal voltage."""

    voltage_v: float
    cells: dict[str, Cell]


def mean_at(tables: list[Table], slew: float, load: float) -> float:
    """Mean of tables (rise and fall, all arcs) at one operating point; 0 without tables."""
    return float(np.mean([table.at(slew, load) for table in tables])) if tables else 0.0


def read_library(path: Path) -> Library:
    """The cells of a Liberty file, plain or gzipped. Raises: ValueError if it is none."""
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text(encoding="utf-8")
    root = next(_groups(iter(_TOKEN.findall(_COMMENT.sub(" ", text)))), None)
    if root is None or root.kind != "library":
        raise ValueError(f"{path}: not a Liberty file")
    voltage = float(root.attributes["nom_voltage"])
    number, unit = root.lists["capacitive_load_unit"]
    farad = float(number) * _PREFIX[unit.lower()[0]]
    scale = {
        "ff": farad / 1e-15,
        "fj": farad / 1e-15 * _unit(root.attributes["voltage_unit"]) ** 2,
        "ps": _unit(root.attributes["time_unit"]) / 1e-12,
        "nw": _unit(root.attributes["leakage_power_unit"]) / 1e-9,
    }
    templates = {group.args[0]: group for group in root.groups if group.kind.endswith("_template")}
    found = (_cell(group, templates, scale) for group in root.all("cell"))
    return Library(voltage, {cell.name: cell for cell in found if cell})


def _unit(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)\s*([munpf]?)[A-Za-z]+", text)
    assert found, f"'{text}' is no number with a unit"
    number, prefix = found.groups()
    return float(number) * _PREFIX.get(prefix, 1.0)


def _groups(tokens: Iterator[str]) -> Iterator[Group]:
    """Top-level groups of a token stream."""
    stack = [Group("", [])]
    name = ""
    for token in tokens:
        if token == ":":
            value = []
            while (token := next(tokens)) != ";":
                value.append(token.strip('"'))
            stack[-1].attributes[name] = " ".join(value)
        elif token == "(":
            args = []
            while (token := next(tokens)) != ")":
                if token != ",":
                    args.append(token.strip('"'))
            pending = Group(name, args)
        elif token == "{":
            stack.append(pending)
        elif token == "}":
            done = stack.pop()
            stack[-1].groups.append(done)
            if len(stack) == 1:
                yield done
        elif token == ";":
            if pending.kind:
                stack[-1].lists[pending.kind] = pending.args
        else:
            name = token
            pending = Group("", [])


def _cell(group: Group, templates: dict[str, Group], scale: dict[str, float]) -> Cell | None:
    """One cell, or None if it is neither combinational nor a plain flip-flop."""
    pins = {pin.args[0]: pin for pin in group.all("pin")}
    inputs = {
        name: float(pin.attributes["capacitance"]) * scale["ff"]
        for name, pin in pins.items()
        if pin.attributes["direction"] == "input"
    }
    flop = next(iter(group.all("ff")), None)
    if group.all("latch") or group.all("statetable"):
        return None
    clock = flop.attributes["clocked_on"].strip("() ") if flop else ""
    data = flop.attributes["next_state"].strip("() !") if flop else ""
    if flop and (clock not in inputs or data not in inputs):
        return None
    outputs = {}
    for name, pin in pins.items():
        if pin.attributes["direction"] == "output" and "function" in pin.attributes:
            truth = 0 if flop else truth_table(pin.attributes["function"], list(inputs))
            if flop:  # 1: the pin shows the inverse of the data pin
                shown, stored = pin.attributes["function"].strip("() "), flop.attributes["next_state"].strip("() ")
                truth = int((shown != flop.args[0]) != stored.startswith("!"))
            outputs[name] = Output(
                truth,
                _tables(pin, "timing", ("cell_rise", "cell_fall"), templates, scale, "ps"),
                {
                    name: (
                        _tables(pin, "timing", ("cell_rise",), templates, scale, "ps", name),
                        _tables(pin, "timing", ("cell_fall",), templates, scale, "ps", name),
                    )
                    for name in inputs
                },
                _tables(pin, "timing", ("rise_transition", "fall_transition"), templates, scale, "ps"),
                _tables(pin, "internal_power", ("rise_power", "fall_power"), templates, scale, "fj"),
            )
    energies = {
        name: _tables(pins[name], "internal_power", ("rise_power", "fall_power"), templates, scale, "fj")
        for name in inputs
    }
    area = float(group.attributes["area"])
    leakage = _leakage(group) * scale["nw"]
    return Cell(group.args[0], area, leakage, inputs, outputs, energies, clock, data)


def _leakage(group: Group) -> float:
    """``cell_leakage_power``, or else the entry without condition of the largest supply; in the file's unit."""
    if "cell_leakage_power" in group.attributes:
        return float(group.attributes["cell_leakage_power"])
    values = [float(g.attributes["value"]) for g in group.all("leakage_power") if "when" not in g.attributes]
    return max(values, default=0.0)


def _tables(
    pin: Group,
    kind: str,
    names: tuple[str, ...],
    templates: dict[str, Group],
    scale: dict[str, float],
    unit: str,
    related: str = "",
) -> list[Table]:
    """All tables of those names in the groups of a kind, constraints and minimum pulse widths excepted."""
    found = []
    for group in pin.all(kind):
        if related and group.attributes.get("related_pin", "").strip() != related:
            continue
        for table in group.groups:
            if table.kind in names:
                found.append(_table(table, templates.get(table.args[0] if table.args else ""), scale, unit))
    return found


def _table(table: Group, template: Group | None, scale: dict[str, float], unit: str) -> Table:
    def axis(number: int) -> list[float]:
        listed = table.lists.get(f"index_{number}") or (template.lists.get(f"index_{number}") if template else None)
        return [float(v) for v in re.split(r"[,\s]+", " ".join(listed)) if v] if listed else [0.0]

    values = np.array([float(v) for row in table.lists["values"] for v in re.split(r"[,\s]+", row) if v]) * scale[unit]
    first, second = axis(1), axis(2)
    variable = template.attributes.get("variable_1", "") if template else ""
    if values.size == 1:
        first, second = [0.0], [0.0]
    elif "load" in variable or "capacitance" in variable:
        values = values.reshape(len(first), -1).T.ravel()
        first, second = second, first
    return Table(np.array(first) * scale["ps"], np.array(second) * scale["ff"], values.reshape(len(first), len(second)))
