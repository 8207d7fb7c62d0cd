"""Accuracy beside cost: each design of a study on a real model, joined with the rows of its results.

What runs models is imported by the studies that ask for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.config import Design, Source, Study
from simulator.config.accuracy import Accuracy
from simulator.config.search import Search
from simulator.errors import ConfigError, TraceError
from simulator.study.store import Store

if TYPE_CHECKING:
    from simulator.study.accuracy import Bench, Judged, Progress

__all__ = ["PREFIX", "accuracy_columns", "accuracy_of", "bench_of", "describe_bench", "make_bench", "seeks_accuracy"]

PREFIX = "accuracy_"
"""Beginning of the columns that a study's results get."""
Row = dict[str, Any]


def make_bench(asked: Accuracy, near: Path) -> Bench:
    """The model and its inputs. Raises: TraceError."""
    from simulator.study.accuracy import Bench
    from simulator.study.passages import read_inputs
    from simulator.tracing.model import open_model

    folder = near / asked.model
    model = open_model(folder if folder.is_dir() else asked.model)
    evaluation, calibration = (None if p is None else near / p for p in (asked.evaluation, asked.calibration))
    inputs = read_inputs(model, evaluation, calibration, asked.passages, asked.tokens)
    return Bench(model, inputs, asked.products, asked.sums)


def bench_of(study: Study, source: Source) -> Bench | None:
    """What a study asks for, if it does. Raises: ConfigError naming the line."""
    if study.accuracy is None:
        return None
    try:
        return make_bench(study.accuracy, Path(source.label).parent)
    except TraceError as error:
        raise ConfigError(f"{source.where(('accuracy',))}: {error}") from None


def accuracy_columns(study: Study) -> set[str]:
    """Columns that a study's results may get of its model, whatever that gives."""
    if study.accuracy is None:
        return set()
    from simulator.study.accuracy import JUDGED_COLUMNS
    from simulator.study.fitness import FITNESS_COLUMNS

    return {PREFIX + column for column in (*JUDGED_COLUMNS, *FITNESS_COLUMNS)}


def seeks_accuracy(search: Search | None) -> bool:
    """Whether a search is for the columns of ``accuracy_of``, so that each of its rounds needs them."""
    return search is not None and any(target.column.startswith(PREFIX) for target in search.targets)


def accuracy_of(
    bench: Bench, designs: Sequence[Design | None], store: Store, progress: Progress | None = None
) -> tuple[list[Row], Row]:
    """Columns for the row of each point by its design, none without one, and what the report needs besides."""
    from simulator.study.accuracy import judge

    distinct: dict[str, Design] = {}
    for design in designs:
        if design:
            distinct.setdefault(_content(design), design)
    reference, *judged = judge(bench, list(distinct.values()), store=store, progress=progress)
    found = dict(zip(distinct, judged, strict=True))
    columns = [_columns(found[_content(design)]) if design else {} for design in designs]
    layers = [layer for one in judged for layer in one.layers]
    return columns, describe_bench(bench) | {"float": reference.row, "layers": layers}


def _content(design: Design) -> str:
    from simulator.study.accuracy import DECIDES

    return json.dumps(design.model_dump(mode="json", include=set(DECIDES)), sort_keys=True)


def _columns(judged: Judged) -> Row:
    return {PREFIX + name: value for name, value in judged.row.items() if name not in ("design", "datapath")}


def describe_bench(bench: Bench) -> Row:
    """The model, its inputs and how it was run, for reports."""
    source, merit = bench.model.source, bench.merit
    sets = {"calibration": bench.inputs.calibration, "evaluation": bench.inputs.evaluation}
    files = {name: each[0].record.text_file or "images" for name, each in sets.items()}
    return {
        "model": source.name,
        "source": source.source,
        "licence": source.licence,
        "merit": merit._asdict() | {"column": PREFIX + merit.column},
        "inputs": {name: {"from": files[name], "count": len(each)} for name, each in sets.items()},
        "products": bench.products,
        "sums": bench.sums,
    }
