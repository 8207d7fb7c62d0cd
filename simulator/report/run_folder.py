"""A run's folder: what a study leaves behind, and reading it back."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from simulator.errors import OlivineError
from simulator.report.atomic import write_bytes

__all__ = ["read_run", "records_of", "remove_report", "write_records", "write_report"]


_NEEDED = {
    "results": ("design", "workload", "total_cycles", "compute_cycles", "latency_s", "energy_total_pj", "exact"),
    "layers": ("design", "workload", "op", "total_cycles", "energy_total_pj"),
}
"""Tables of a run and the columns without which nothing can be drawn."""
_SOMETIMES = {"published", "measured", "accountings", "accuracy", "pareto", "failures", "constraints"}


def write_report(
    run_dir: Path,
    results: pd.DataFrame,
    layers: pd.DataFrame,
    manifest: dict[str, Any],
    records: Mapping[str, bytes] | None = None,
) -> Path:
    """Writes records, manifest, tables, figures and page into ``run_dir``; returns the page.

    The records go first, so that a drawing that fails loses nothing.

    Args:
        records: of ``records_of``, where they are known already.
    Raises: OutputError if the folder cannot be written.
    """
    from simulator.report.figures import write_figures
    from simulator.report.page import write_page

    run_dir = Path(run_dir)
    write_records(run_dir, records or records_of(results, layers, manifest))
    _write_tables(run_dir / "tables", results, layers, manifest)
    figures = write_figures(results, layers, manifest, run_dir)
    return write_page(run_dir, results, layers, manifest, figures)


def write_records(run_dir: Path, records: Mapping[str, bytes]) -> None:
    """The records alone. Raises: OutputError."""
    for name, content in records.items():
        write_bytes(run_dir / name, content)


def remove_report(run_dir: Path) -> None:
    """Page, tables and figures of an earlier run, which would show other results than the records beside them."""
    (run_dir / "index.html").unlink(missing_ok=True)
    for folder, kinds in (("tables", (".md", ".tex")), ("figures", (".png", ".svg"))):
        for path in (run_dir / folder).glob("*"):
            if path.suffix in kinds:
                path.unlink(missing_ok=True)


def records_of(results: pd.DataFrame, layers: pd.DataFrame, manifest: dict[str, Any]) -> dict[str, bytes]:
    """The files of a run from which all others can be made again."""
    records = {"results.csv": results.to_csv(index=False, lineterminator="\n").encode("utf-8")}
    for name, frame in (("results", results), ("layers", layers)):
        content = io.BytesIO()
        _storable(frame).to_parquet(content, index=False)
        records[f"{name}.parquet"] = content.getvalue()
    text = json.dumps(_plain(manifest), indent=2, ensure_ascii=False, allow_nan=False)
    return records | {"manifest.json": f"{text}\n".encode()}


def read_run(
    run_dir: Path, spare: Mapping[str, bytes] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Results, layers and manifest as ``write_report`` stored them.

    Args:
        spare: records by name, for files that the folder has no longer.
    Raises: OlivineError naming the file that is missing or damaged.
    """
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        raise OlivineError(f"{run_dir}: no such run folder; `olivine run STUDY.yaml` writes one")
    results, layers = (_read_frame(run_dir / f"{name}.parquet", spare or {}) for name in _NEEDED)
    manifest = _read_manifest(run_dir / "manifest.json", spare or {})
    for (name, needed), frame in zip(_NEEDED.items(), (results, layers), strict=True):
        if name == "layers" and frame.empty:  # a study of `layers: none`
            continue
        _require_columns(run_dir / f"{name}.parquet", frame, needed)
    return results, layers, manifest


def _write_tables(folder: Path, results: pd.DataFrame, layers: pd.DataFrame, manifest: Mapping[str, Any]) -> None:
    from simulator.report.accountings import accountings_table
    from simulator.report.accuracy import accuracy_table
    from simulator.report.beside import beside_table
    from simulator.report.measured import measured_table
    from simulator.report.points import is_large
    from simulator.report.problems import problems
    from simulator.report.summary import best_table, front_table, summary_table
    from simulator.report.tables import latex_table, markdown_table

    published, beside = manifest.get("published"), manifest.get("beside")
    written = {"summary": best_table(results) if is_large(results) else summary_table(results)}
    written |= problems(results, manifest)
    front = front_table(results)
    if front is not None:
        written["pareto"] = front
    if published:
        written["published"] = beside_table(results, published)
    if manifest.get("measured"):
        written["measured"] = measured_table(layers)
    if beside:
        written["accountings"] = accountings_table(beside)
    if manifest.get("accuracy"):
        written["accuracy"] = accuracy_table(results, manifest["accuracy"])
    for name, table in written.items():
        write_bytes(folder / f"{name}.md", markdown_table(table).encode("utf-8"))
        write_bytes(folder / f"{name}.tex", latex_table(table).encode("utf-8"))
    for name in _SOMETIMES - set(written):  # of an earlier run
        for kind in ("md", "tex"):
            (folder / f"{name}.{kind}").unlink(missing_ok=True)


def _storable(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with a type that parquet knows for each column: exact may be unknown, a swept field anything."""
    from simulator.report.formatting import verdict

    columns = {}
    for name in frame.columns:
        column = frame[name]
        if name == "exact":
            columns[name] = pd.Series([verdict(v) for v in column], index=frame.index, dtype="boolean")
        elif column.dtype == object:
            kept = column.infer_objects()
            columns[name] = kept if kept.dtype != object else column.map(_text, na_action="ignore").astype("string")
        else:
            columns[name] = column
    return pd.DataFrame(columns, index=frame.index)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(_plain(value))


def _plain(value: Any) -> Any:
    """``value`` as JSON can hold it: NumPy's scalars unwrapped, NaN as null, anything else as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(inner) for inner in value]
    if hasattr(value, "item"):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _content(path: Path, spare: Mapping[str, bytes]) -> bytes:
    if path.name in spare and not path.exists():
        return spare[path.name]
    return path.read_bytes()


def _read_frame(path: Path, spare: Mapping[str, bytes]) -> pd.DataFrame:
    try:
        return pd.read_parquet(io.BytesIO(_content(path, spare)))
    except FileNotFoundError:
        raise OlivineError(f"{path}: missing; run the study again with --fresh") from None
    except Exception as error:  # pyarrow raises many kinds
        reason = " ".join(str(error).split())
        raise OlivineError(f"{path}: damaged ({reason}); run the study again with --fresh") from None


def _require_columns(path: Path, frame: pd.DataFrame, needed: Sequence[str]) -> None:
    missing = [column for column in needed if column not in frame.columns]
    if missing or frame.empty:
        reason = f"no column {', '.join(missing)}" if missing else "no rows"
        raise OlivineError(f"{path}: not a table of results ({reason}); run the study again with --fresh")


def _read_manifest(path: Path, spare: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        manifest = json.loads(_content(path, spare).decode("utf-8"))
    except FileNotFoundError:
        raise OlivineError(f"{path}: missing; run the study again with --fresh") from None
    except (OSError, ValueError) as error:
        raise OlivineError(f"{path}: damaged ({error}); run the study again with --fresh") from None
    if not isinstance(manifest, dict):
        raise OlivineError(f"{path}: damaged (not an object); run the study again with --fresh")
    return manifest
