"""Speed side by side, as ratios: against the machine, against other simulators, against what was aimed at.

    python -m benchmarks [PART ...] [--peers] [--rounds N] [--results DIR] [--page FILE]

Each part writes its results as JSON as soon as it is done, so that a part may be run again alone; then the page is made
from all results there are. Nothing is asserted about time: the tests guard results and counts.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import ROOT, Line, machine
from benchmarks.page import write_page

Part = Callable[[int], list[Line]]
MODULES = ("startup", "bench", "arrays", "growth", "opt", "sweep", "traced", "peers")
"""Each has parts in ``PARTS``, and in ``PEERS`` those that need another simulator."""


def parts(kind: str) -> dict[str, Part]:
    """Parts of all modules by name, of kind ``PARTS`` or ``PEERS``."""
    found: dict[str, Part] = {}
    for name in MODULES:
        if importlib.util.find_spec(f"benchmarks.{name}"):
            found |= getattr(importlib.import_module(f"benchmarks.{name}"), kind, {})
    return found


def run(name: str, part: Part, rounds: int, results: Path) -> None:
    """Run a part, print its lines and write them; a part that has none leaves what was there."""
    lines = part(rounds)
    print(f"\n{name}\n{'what':<52}{'ours':>12}  {'unit':<22}{'yardstick':<20}{'yardstick':>12}{'better by':>12}")
    for line in lines:
        print(
            f"{line.what:<52}{line.rate:>12.4g}  {line.unit:<22}{line.yardstick:<20}"
            f"{line.yardstick_rate:>12.4g}{line.ratio:>12.4g}",
            flush=True,
        )
    if lines:
        records = [asdict(line) | {"ratio": line.ratio} for line in lines]
        record = {"part": name, "machine": machine(), "rounds": rounds, "lines": records}
        results.mkdir(parents=True, exist_ok=True)
        (results / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def main(given: list[str] | None = None) -> None:
    """Run the parts asked for, by default all that need no other simulator, and write the page."""
    known = {"PARTS": parts("PARTS"), "PEERS": parts("PEERS")}
    every = known["PARTS"] | known["PEERS"]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("part", nargs="*", help=f"of {', '.join(every)}; default: those that need no other simulator")
    parser.add_argument("--peers", action="store_true", help="the parts that compare with other simulators")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results", help="where JSON is written")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md", help="the page made from it")
    arguments = parser.parse_args(given)
    if unknown := [name for name in arguments.part if name not in every]:
        parser.error(f"unknown part '{unknown[0]}'; known: {', '.join(every)}")
    if arguments.rounds < 1:
        parser.error(f"--rounds: found {arguments.rounds}; allowed: 1 or more")
    for name in arguments.part or known["PEERS" if arguments.peers else "PARTS"]:
        run(name, every[name], arguments.rounds, arguments.results)
    write_page(arguments.results, arguments.page)


if __name__ == "__main__":
    main()
