"""How much of a known front searches find: NSGA-II beside random points and Latin hypercubes, over many seeds.

    python benchmarks/search.py            the table of docs/search.md, and its figure
    python benchmarks/search.py --settings the same budget with other settings of NSGA-II
    python benchmarks/search.py --write    run all points of the study again first (a minute) and keep their objectives

Points are not simulated for each seed: their objectives are looked up in benchmarks/data/search_space.csv, which
tests/test_search_front.py holds to the simulator.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from simulator.config.search import Search
from simulator.study.executors import Inline
from simulator.study.points import open_points
from simulator.study.rounds import Means, run_points
from simulator.study.sampling import Choice, Judged, Lattice, rounds
from simulator.study.sampling.hypervolume import hypervolume, log_hypervolume
from simulator.study.setup import StudySetup, read_study
from simulator.study.store import Store

ROOT = Path(__file__).resolve().parent.parent
STUDY = ROOT / "configs" / "studies" / "search.yaml"
TABLE = ROOT / "benchmarks" / "data" / "search_space.csv"
FIGURE = ROOT / "docs" / "figures" / "search.svg"
OBJECTIVES = ("latency_s", "energy_total_pj", "area_total_um2")
METHODS = {"nsga2": "NSGA-II", "lhs": "Latin hypercube", "random": "random"}
COLOURS = {"nsga2": "#0072b2", "lhs": "#e69f00", "random": "#8b929c"}  # as designs have them in reports
SEEDS = 40
SETTINGS = {"population": (6, 8, 12, 16, 24, 32, 50), "mutation": (0.02, 0.05, 0.1, 0.2, 0.4), "crossover": (0.5, 1.0)}


@dataclass(frozen=True)
class Space:
    """Every point of the study with its objectives, (latency, energy, area)."""

    lattice: Lattice
    values: dict[Choice, tuple[float, ...]]

    @property
    def all(self) -> np.ndarray:
        """(points, objectives)."""
        return np.array(list(self.values.values()))

    def found(self, asked: Search, seed: int) -> np.ndarray:
        """Objectives of the points that a search asks for, in order."""
        return np.array([self.values[choice] for choice in self.choices(asked, seed)])

    def choices(self, asked: Search, seed: int) -> Iterator[Choice]:
        """The points that a search asks for, in order."""
        asking = rounds(asked, self.lattice, seed)
        answer = None
        while True:
            try:
                choices = next(asking) if answer is None else asking.send(answer)
            except StopIteration:
                return
            yield from choices
            answer = [Judged(self.values[choice]) for choice in choices]

    def share(self, found: np.ndarray, log: bool = True) -> float:
        """Of the hypervolume of all points, as far as the worst value of each objective."""
        measure = log_hypervolume if log else hypervolume
        worst = self.all.max(axis=0)
        return measure(found, worst) / measure(self.all, worst)


def load_space(path: Path = TABLE) -> Space:
    """The recorded space; columns before the objectives are its axes, in the order of the study."""
    table = pd.read_csv(path)
    axes = [column for column in table if column not in OBJECTIVES]
    values = {column: list(dict.fromkeys(table[column])) for column in axes}
    rows = table.to_dict("records")
    points = {tuple(values[a].index(row[a]) for a in axes): tuple(row[o] for o in OBJECTIVES) for row in rows}
    return Space(Lattice(tuple(map(len, values.values())), lambda choice: choice in points), points)


def write_space() -> None:
    """Run every point of the study, which takes about a minute."""
    record, source, overrides = read_study(STUDY, {"study.search": None, "study.layers": "none"})
    points = open_points(StudySetup(record, source, overrides, keep_layers=False))
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder)) as store:
        finished = run_points(points, Means(store, Inline())).finished
    rows = pd.DataFrame([one.row for one in finished])
    axes = ["design", *(column for column in rows if column.startswith("axis:"))]
    TABLE.parent.mkdir(exist_ok=True)
    rows[[*axes, *OBJECTIVES]].to_csv(TABLE, index=False)


def asked_for(method: str, points: int, **settings: float) -> Search:
    """A search for that many points."""
    return Search.model_validate({"method": method, "points": points, "objectives": list(OBJECTIVES), **settings})


def curves(space: Space, budgets: Sequence[int]) -> dict[str, np.ndarray]:
    """Method -> shares of the hypervolume, (seeds, budgets)."""

    def of_seed(method: str, seed: int) -> list[float]:
        if method == "lhs":  # each budget is a hypercube of its own
            return [space.share(space.found(asked_for(method, n), seed)) for n in budgets]
        found = space.found(asked_for(method, budgets[-1]), seed)
        return [space.share(found[:n]) for n in budgets]

    return {method: np.array([of_seed(method, seed) for seed in range(SEEDS)]) for method in METHODS}


def print_table(space: Space, points: int) -> None:
    """Shares of the hypervolume at one budget, as docs/search.md has them."""
    print(f"{points} of {len(space.values)} points, {SEEDS} seeds")
    print("| method | of logarithms: median | worst seed | seeds from 98 % | of plain values: median | worst seed |")
    print("|---|---|---|---|---|---|")
    for method, name in METHODS.items():
        print_row(space, asked_for(method, points), name)


def print_settings(space: Space, points: int) -> None:
    """The same for NSGA-II with one setting changed at a time."""
    for field, tried in SETTINGS.items():
        for value in tried:
            print_row(space, asked_for("nsga2", points, **{field: value}), f"{field} {value}")


def print_row(space: Space, asked: Search, name: str) -> None:
    """One line of the tables."""
    found = [space.found(asked, seed) for seed in range(SEEDS)]
    logs, plain = (np.array([space.share(one, log) for one in found]) for log in (True, False))
    cells = [np.median(logs), logs.min(), (logs >= 0.98).mean(), np.median(plain), plain.min()]
    print(f"| {name} | " + " | ".join(f"{100 * cell:.1f} %" for cell in cells) + " |", flush=True)


def draw(shares: dict[str, np.ndarray], budgets: Sequence[int], points: int) -> None:
    """Median and range over seeds against the points that were run."""
    import matplotlib.pyplot as plt

    from simulator.report.style import figure_style

    with figure_style():
        figure, axes = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
        for method, name in METHODS.items():
            own, colour = 100 * shares[method], COLOURS[method]
            axes.fill_between(budgets, own.min(axis=0), own.max(axis=0), color=colour, alpha=0.15, linewidth=0)
            axes.plot(budgets, np.median(own, axis=0), color=colour, label=name)
        axes.axhline(98, color="#595959", linewidth=0.8, linestyle=":")
        axes.set(xlabel=f"points run, of {points}", ylabel="hypervolume, of logarithms [%]", ylim=(70, 100.5))
        axes.legend(title=f"median and range of {SEEDS} seeds", loc="lower right")
        figure.savefig(FIGURE, metadata={"Date": None})
        plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="run every point of the study again")
    parser.add_argument("--settings", action="store_true", help="the same budget with other settings of NSGA-II")
    options = parser.parse_args()
    if options.write:
        write_space()
    space = load_space()
    fifth = len(space.values) // 5
    if options.settings:
        return print_settings(space, fifth)
    print_table(space, fifth)
    print_table(space, math.ceil(fifth / 2))
    budgets = [*range(25, 2 * fifth + 1, 25)]
    draw(curves(space, budgets), budgets, len(space.values))


if __name__ == "__main__":
    main()
