"""Synthesises every module of ``hardware/modules.py`` on standard-cell libraries and writes ``hardware/synthesis.csv``.

    python -m hardware.synthesise sg13g2=FILE.lib sky130hd=FILE.lib asap7=FILE.lib

Needs yosys (0.23 made the file that is checked in). Files are Liberty, plain or gzipped; the three are those of the
IHP SG13G2 (typical, 1.2 V), SkyWater sky130_fd_sc_hd (tt, 1.8 V) and ASAP7 (7.5-track RVT, TT, 0.7 V) kits as
github.com/The-OpenROAD-Project/OpenSTA carries them in its ``test`` folder.

Energy: the netlist is simulated with the cells' delays (``toggles.py``); every transition of a net costs its load
times V^2 / 2 plus the internal energy of the cells' tables, and every clock edge what it costs in the flip-flops.
Pre-layout: no wires, no clock tree. Columns ``*_ratio``: this module over its siblings on the same library.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Collection, Mapping
from math import prod
from pathlib import Path

import numpy as np

from hardware.liberty import Library, read_library
from hardware.modules import MODULES, Module
from hardware.netlist import build, synthesise
from hardware.toggles import simulate

__all__ = ["COLUMNS", "TABLE", "measure", "mixture", "with_ratios"]

TABLE = Path(__file__).resolve().parent / "synthesis.csv"
FIGURES = ("area_um2", "comb_area_um2", "flops", "delay_ps", "leakage_nw", "energy_fj", "energy_no_glitch_fj")
RATIOS = {"comb_ratio": "comb_area_um2", "leakage_ratio": "leakage_nw", "energy_ratio": "energy_fj"}
COLUMNS = ("module", "library", *FIGURES, "siblings", *RATIOS)
_WARM_UP = 32
"""Cycles before anything is counted: dictionaries are loaded, queues have filled."""


def measure(module: Module, liberty: Path, library: Library) -> dict[str, float]:
    """Area, flops, delay, leakage and energy per operation of one module on one library."""
    netlist = build(synthesise(module.top, module.parameters, liberty), library)
    stimulus = module.operands(np.random.default_rng(0))
    activity = simulate(netlist, stimulus, _WARM_UP)
    cycles = len(next(iter(stimulus.values()))) - _WARM_UP
    energy, settled = (
        (float(counts @ netlist.net_fj) / cycles + netlist.clock_fj) / module.per_cycle
        for counts in (activity.toggles, activity.settled)
    )
    flops = netlist.flop_area_um2
    figures = (netlist.area_um2, netlist.area_um2 - flops, netlist.flops, netlist.delay_ps, netlist.leakage_nw)
    return dict(zip(FIGURES, (*figures, energy, settled), strict=True))


def with_ratios(measured: Mapping[tuple[str, str], Mapping[str, str]]) -> list[dict[str, str]]:
    """Rows of the CSV from figures as they are written there; modules in the order of the catalogue."""
    rows = []
    for name, module in MODULES.items():
        for library in dict.fromkeys(library for _, library in measured):
            figures = measured[name, library]
            row = {"module": name, "library": library} | {column: figures[column] for column in FIGURES}
            row["siblings"] = " ".join(f"{sibling}:{weight:g}" for sibling, weight in module.like.items())
            for ratio, figure in RATIOS.items():
                others = {s: float(measured[s, library][figure]) for s in module.like}
                row[ratio] = f"{float(figures[figure]) / mixture(module, others):.5g}" if module.like else ""
            rows.append(row)
    return rows


def mixture(module: Module, of_siblings: Mapping[str, float]) -> float:
    """Weighted geometric mean of a figure of a module's siblings."""
    return prod(of_siblings[sibling] ** weight for sibling, weight in module.like.items())


def _measured(
    libraries: Mapping[str, Path], only: Collection[str], known: dict[tuple[str, str], dict[str, str]]
) -> None:
    """Adds to ``known`` the figures of the modules named, on every library."""
    read = {name: read_library(path) for name, path in libraries.items()}
    for name in only:
        for library, path in libraries.items():
            figures = measure(MODULES[name], path, read[library])
            known[name, library] = {column: f"{value:.6g}" for column, value in figures.items()}
            print(name, library, *known[name, library].values(), file=sys.stderr)


def main() -> None:
    """Command line; see the top of this file."""
    parser = argparse.ArgumentParser(description="Synthesise the modules of hardware/pe and write synthesis.csv")
    parser.add_argument("libraries", nargs="+", metavar="NAME=LIBERTY", help="a name for the CSV and a Liberty file")
    parser.add_argument(
        "--only", nargs="+", choices=list(MODULES), metavar="MODULE", help="keep the rows of the others"
    )
    parser.add_argument("--out", type=Path, default=TABLE)
    args = parser.parse_args()
    libraries = {}
    for given in args.libraries:
        name, found, path = given.partition("=")
        if not found or not Path(path).is_file():
            parser.error(f"expected NAME=LIBERTY, an existing file, found {given!r}")
        libraries[name] = Path(path)
    known: dict[tuple[str, str], dict[str, str]] = {}
    if args.only:
        with args.out.open(encoding="utf-8", newline="") as file:
            known = {(row["module"], row["library"]): row for row in csv.DictReader(file)}
    _measured(libraries, args.only or list(MODULES), known)
    rows = with_ratios(known)
    with args.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
