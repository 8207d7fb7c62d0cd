"""A progress bar on a terminal: done of all, how many a second, time left. Elsewhere nothing is printed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["progress_bar", "rate"]

Progress = Callable[[int, int, str], None]


@contextmanager
def progress_bar(unit: str = "points") -> Iterator[Progress | None]:
    """A callback ``(done, total, label)`` that draws on standard error, or None if that is no terminal.

    Args:
        unit: what is counted; ``bytes`` are shown in units that suit them.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(*_columns(unit), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, label: bar.update(task, completed=done, total=total, description=label)


def _columns(unit: str) -> tuple[Any, ...]:
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, ProgressColumn, Task, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as BytesPerSecond
    from rich.text import Text

    class Rate(ProgressColumn):
        """Of late; what was in the store does not count, it is done when the bar begins."""

        def render(self, task: Task) -> Text:
            return Text(rate(task.speed, unit), style="progress.data.speed")

    class Label(ProgressColumn):
        """What was done last; names may hold what looks like markup."""

        def render(self, task: Task) -> Text:
            return Text(task.description)

    of_bytes = unit == "bytes"
    counts = (DownloadColumn(), BytesPerSecond()) if of_bytes else (MofNCompleteColumn(), Rate())
    return (BarColumn(), *counts, TimeRemainingColumn(elapsed_when_finished=True), Label())


def rate(per_second: float | None, unit: str) -> str:
    """``12.3 points/s``; less than one a second as ``4.1 s/point``; empty before the second one."""
    if not per_second:
        return ""
    if per_second < 1:
        return f"{1 / per_second:.1f} s/{unit.removesuffix('s')}"
    return f"{per_second:,.0f} {unit}/s" if per_second >= 100 else f"{per_second:.1f} {unit}/s"
