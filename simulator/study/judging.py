"""``olivine accuracy``: designs on a model, and the folder that it leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.config import load_design
from simulator.config.accuracy import Accuracy
from simulator.config.catalogue import Reference
from simulator.errors import OlivineError, UnknownNameError
from simulator.study.ablation import ABLATIONS
from simulator.study.accuracy import Bench, Judged, Progress, judge
from simulator.study.again import parquet
from simulator.study.folders import own_folder
from simulator.study.joined import describe_bench, make_bench
from simulator.study.store import Store

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DEFAULT_DESIGNS", "ModelAccuracy", "judge_to_folder"]

DEFAULT_DESIGNS = ("fp16_systolic", "int8_systolic", "int4_systolic", "olive_systolic")
_CHOICES = {"products": ("layers", "all"), "sums": ("float32", "datapath")}


@dataclass(frozen=True)
class ModelAccuracy:
    """Tables of one model, a row per set of numbers and one per product of each; and what was run."""

    rows: pd.DataFrame
    layers: pd.DataFrame
    about: dict[str, Any]


def judge_to_folder(
    asked: Mapping[str, Any],
    designs: Sequence[Reference],
    ablate: bool = False,
    seed: int = 0,
    out: Path | None = None,
    progress: Progress | None = None,
) -> ModelAccuracy:
    """Judge designs (four by default) on a model; with ``out``, finished ones are kept and tables written.

    Args:
        asked: fields of ``config.accuracy.Accuracy``; relative paths are of the working directory.
    Raises: OlivineError, one line.
    """
    for field, known in _CHOICES.items():
        if asked.get(field, known[0]) not in known:
            raise UnknownNameError(f"choice of --{field}", str(asked[field]), known)
    loaded = [load_design(ref) for ref in designs or DEFAULT_DESIGNS]
    names = [design.name for design in loaded]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise OlivineError(f"--design: '{twice}' is named twice; remove one")
    bench = replace(make_bench(Accuracy(**asked), Path()), seed=seed)
    with Store(own_folder(out, "accuracy"), "accuracy") if out else nullcontext() as store:
        found = _tables(bench, judge(bench, loaded, list(ABLATIONS) if ablate else (), store, progress))
        if store:
            _save(store, found)
    if out:
        from simulator.report.accuracy import write_accuracy

        write_accuracy(out, found.rows, found.layers, found.about)
    return found


def _tables(bench: Bench, judged: Sequence[Judged]) -> ModelAccuracy:
    import pandas as pd

    layers = pd.DataFrame([layer for one in judged for layer in one.layers])
    return ModelAccuracy(pd.DataFrame([one.row for one in judged]), layers, describe_bench(bench))


def _save(store: Store, found: ModelAccuracy) -> None:
    tables = {"accuracy.parquet": parquet(found.rows), "accuracy_layers.parquet": parquet(found.layers)}
    store.save(tables | {"manifest.json": json.dumps(found.about).encode()})
