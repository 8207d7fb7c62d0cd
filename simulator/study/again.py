"""A folder's tables, figures and page again, from its files or from its store alone; and its tables elsewhere."""

from __future__ import annotations

import io
import json
import warnings
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.errors import OlivineError, OutputError, StoreNote
from simulator.study.store import STORE_NAME, Kind, Store

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["export_tables", "parquet", "report_again"]

_TABLES: dict[Kind, tuple[str, ...]] = {
    "run": ("results", "layers"),
    "sensitivity": ("sensitivity",),
    "accuracy": ("accuracy", "accuracy_layers"),
}
"""What each command keeps, first what its page is about."""
_SUFFIXES = (".csv", ".parquet")


def report_again(run_dir: Path) -> Path:
    """Write a folder's tables, figures and page; returns the page, or the first table of what has none. Of a run that
    was stopped: of the points that it had stored, with a note.

    Raises: OlivineError if nothing that was finished is there.
    """
    kind, kept = _kept(run_dir)
    if kind == "sensitivity":
        from simulator.report.sensitivity import write_sensitivity

        return write_sensitivity(run_dir, _frame(kept, "sensitivity"), json.loads(kept["manifest.json"]))
    if kind == "accuracy":
        from simulator.report.accuracy import write_accuracy

        rows, layers = (_frame(kept, name) for name in _TABLES[kind])
        return write_accuracy(run_dir, rows, layers, json.loads(kept["manifest.json"]))
    from simulator.report import write_report

    return write_report(run_dir, *_run(run_dir, kept))


def export_tables(run_dir: Path, first: Path | None, layers: Path | None) -> list[Path]:
    """Write a folder's results, its layers, or both to files: CSV or Parquet by their names.

    Raises: OlivineError if it has none, or a name ends otherwise.
    """
    for path in filter(None, (first, layers)):
        if path.suffix not in _SUFFIXES:
            raise OlivineError(f"{path}: tables are written as {' or '.join(_SUFFIXES)}; name a file that ends so")
    tables = _tables(run_dir)
    if layers and len(tables) < 2:
        raise OlivineError(f"--layers: {run_dir} has none")
    return [_write(path, table) for path, table in zip((first, layers), tables, strict=False) if path]


def parquet(frame: pd.DataFrame) -> bytes:
    """A table as the store keeps it."""
    content = io.BytesIO()
    frame.to_parquet(content, index=False)
    return content.getvalue()


def _tables(run_dir: Path) -> list[pd.DataFrame]:
    kind, kept = _kept(run_dir)
    if kind != "run":
        return [_frame(kept, name) for name in _TABLES[kind]]
    return list(_run(run_dir, kept)[:2])


def _run(run_dir: Path, kept: dict[str, bytes]) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Results, layers and manifest of a run, also of one that was stopped."""
    if (run_dir / STORE_NAME).exists():
        from simulator.study.unfinished import unfinished

        with suppress(OutputError) if _is_whole(run_dir) else nullcontext(), Store(run_dir, read_only=True) as store:
            found = unfinished(store)
            if found is not None:
                done = "{points} of {of} points".format(**found[2]["unfinished"])
                warnings.warn(
                    StoreNote(f"{run_dir}: not finished ({done}); run the study again, it goes on"), stacklevel=2
                )
                return found
        if not kept and not _is_whole(run_dir):
            raise OlivineError(f"{run_dir}: not finished, and no point has a result yet; run it again, it goes on")
    from simulator.report import read_run

    return read_run(run_dir, kept)


def _write(path: Path, table: pd.DataFrame) -> Path:
    from simulator.report.atomic import write_bytes

    as_csv = path.suffix == ".csv"
    return write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode() if as_csv else parquet(table))


def _is_whole(run_dir: Path) -> bool:
    return all((run_dir / name).exists() for name in _names("run"))


def _names(kind: Kind) -> list[str]:
    """The documents of a finished folder."""
    return ["manifest.json", *(f"{name}.parquet" for name in _TABLES[kind])]


def _kept(run_dir: Path) -> tuple[Kind, dict[str, bytes]]:
    """Which command made a folder, and what of it is in its store; of a run only if a file is missing.

    Raises: OlivineError if the store cannot be read or nothing that was finished is there.
    """
    if _is_whole(run_dir):
        return "run", {}
    if not (run_dir / STORE_NAME).exists():
        if run_dir.is_dir() and not any((run_dir / name).exists() for name in _names("run")):
            raise OlivineError(f"{run_dir}: holds no run; `olivine run STUDY.yaml --out {run_dir}` would write one")
        return "run", {}
    with Store(run_dir, read_only=True) as store:
        kind, count = store.kind, len(store.keys())
        kept = {name: content for name in _names(kind) if (content := store.document(name)) is not None}
        begun = kind == "run" and count and store.document("begun.json") is not None
    if len(kept) < len(_names(kind)) and not begun:
        raise OlivineError(f"{run_dir}: not finished ({count} points stored); run it again, it goes on from there")
    return kind, kept


def _frame(kept: dict[str, Any], name: str) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(io.BytesIO(kept[f"{name}.parquet"]))
