"""Swept fields that a study changes together, drawn as one axis: of its own name, with the values joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from simulator.report.plotted import field_texts

__all__ = ["with_zipped"]


def with_zipped(frame: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """A table of results or layers with one axis column for each axis of several fields, unless the study asks for a
    figure over one of these.
    """
    asked = str(manifest.get("figures") or "")
    for paths in _zipped(manifest):
        columns = [f"axis:{path}" for path in paths]
        if all(column in frame for column in columns) and not any(f"'{path}'" in asked for path in paths):
            frame = _joined(frame, columns, f"axis:{', '.join(paths)}")
    return frame


def _zipped(manifest: Mapping[str, Any]) -> Iterator[list[str]]:
    for key in (manifest.get("study_resolved") or {}).get("sweep") or {}:
        paths = [path.strip() for path in str(key).split(",")]
        if len(paths) > 1:
            yield paths


def _joined(frame: pd.DataFrame, columns: list[str], name: str) -> pd.DataFrame:
    texts = [field_texts(frame[column]) for column in columns]
    values = [" / ".join(row) for row in zip(*texts, strict=True)]
    place = list(frame.columns).index(columns[0])
    table = frame.drop(columns=columns)
    table.insert(place, name, pd.Series(values, index=frame.index, dtype=object))
    return table
