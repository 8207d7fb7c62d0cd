"""How a study goes through its points when it does not run them all: by chance, evenly spread, or by what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, NonNegativeInt, model_validator

from simulator.config.load import FieldError
from simulator.config.record import Record
from simulator.errors import did_you_mean

__all__ = ["DEFAULT_POPULATION", "Direction", "Objective", "Search"]

Direction = Literal["min", "max"]
DEFAULT_POPULATION = 16
"""Points of a generation: of 8 to 50 among the best at every budget tried (docs/search.md)."""

_DIRECTIONS: Mapping[Direction, tuple[str, ...]] = {
    "min": (
        *("latency_s", "total_cycles", "*_stall_cycles", "fill_drain_cycles", "energy_*_pj", "area_*_um2", "edp_js"),
        *("dram_read_bytes", "dram_write_bytes", "pj_per_token", "act_bits_per_value", "weight_bits_per_value"),
        "accuracy_perplexity",
    ),
    "max": (
        *("sqnr_db", "sqnr_*_db", "tokens_per_s", "compute_util", "mapping_util", "peak_tops"),
        *("accuracy_cosine", "accuracy_top1_agreement", "accuracy_output_sqnr_db"),
    ),
}
"""Which way is better for columns of the results; for others the study says so."""
_AT_THE_END = ("speedup", "energy_ratio")


class Objective(NamedTuple):
    """A column of the results and whether less or more of it is better."""

    column: str
    direction: Direction

    @property
    def maximise(self) -> bool:
        """Whether more is better."""
        return self.direction == "max"


class Search(Record):
    """Which of a study's points are run, and in which order."""

    method: Literal["random", "lhs", "nsga2"]
    """`random` draws points, `lhs` spreads them so that each value of an axis is met equally often (Latin hypercube),
    `nsga2` breeds them in generations from those that were best so far (Deb et al., IEEE Trans. Evol. Comput. 6(2),
    2002).
    """
    points: Annotated[int, Field(ge=1, le=1_000_000)]
    """How many; a point is a design at values of the sweep axes, on every workload."""
    seed: NonNegativeInt | None = None
    """For what is drawn; null: the study's."""
    objectives: Annotated[list[str | dict[str, Direction]], Field(min_length=1)] = Field(
        default=["latency_s", "energy_total_pj", "area_total_um2"]
    )
    """Columns of the results, or `{column: min}` and `{column: max}`. Of several workloads times, energies and other
    quantities with a unit count by their geometric mean, decibels and shares by their mean.
    """
    population: Annotated[int, Field(ge=2, le=10_000)] | None = None
    """Of `nsga2`: points of a generation; null: 16, less for fewer than 64 points."""
    crossover: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Of `nsga2`: share of children that have two parents."""
    mutation: Annotated[float, Field(ge=0, le=1)] | None = None
    """Of `nsga2`: chance of each axis to be drawn anew; null: 0.25 over the number of axes."""

    @property
    def targets(self) -> tuple[Objective, ...]:
        """The objectives with their directions."""
        return tuple(_objective(written) for written in self.objectives)

    @property
    def generation(self) -> int:
        """Points of a generation."""
        few = max(2, self.points // 4)  # four generations of a small budget
        return self.population if self.population is not None else min(DEFAULT_POPULATION, few)

    @model_validator(mode="after")
    def _objectives_have_directions(self) -> Search:
        seen: set[str] = set()
        for i, written in enumerate(self.objectives):
            try:
                column = _objective(written).column
            except ValueError as error:
                raise FieldError(("objectives", i), str(error)) from None
            if column in seen:
                raise FieldError(("objectives", i), f"'{column}' is an objective twice; remove one")
            seen.add(column)
        return self

    @model_validator(mode="after")
    def _only_generations_have_settings(self) -> Search:
        for field in ("population", "crossover", "mutation"):
            if self.method != "nsga2" and field in self.model_fields_set:
                raise FieldError((field,), f"is for method: nsga2, not {self.method}")
        if self.population is not None and self.population >= self.points:
            what = f"{self.points} points are one generation of {self.population}; take a smaller population"
            raise FieldError(("population",), what)
        return self


def _objective(written: str | dict[str, Direction]) -> Objective:
    """Raises: ValueError with what is wrong."""
    if isinstance(written, dict) and len(written) != 1:
        raise ValueError(f"one column and min or max, found {len(written)} columns")
    column = written if isinstance(written, str) else next(iter(written))
    if column in _AT_THE_END:
        raise ValueError(f"{column} compares with the baseline when all points are there; take what it compares")
    direction = _direction(column) if isinstance(written, str) else written[column]
    if direction is None:
        known = [name for names in _DIRECTIONS.values() for name in names if "*" not in name]
        hint = did_you_mean(column, known) or f", write {{{column}: min}} or {{{column}: max}}"
        raise ValueError(f"whether less or more of '{column}' is better is not known{hint}")
    return Objective(column, direction)


def _direction(column: str) -> Direction | None:
    for direction, names in _DIRECTIONS.items():
        if any(fnmatchcase(column, name) for name in names):
            return direction
    return None
