"""A study as a process needs it to run points: small, picklable, without hardware or tensors."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulator.config import Source, Study

__all__ = ["StudySetup"]


@dataclass(frozen=True)
class StudySetup:
    """What was asked for. Designs, workloads, traces and price lists are opened from it, once in each process.

    Attributes:
        source: the study's document, which knows where each field was written; ``study`` is it, checked.
        overrides: ``--set`` of the command line; win over the study's ``set``, lose to its axes.
        plugins: files of datapaths that a process loads first.
        folder: in which the run was started: relative paths that are not beside the study are meant from here.
        token: of one run; what a process opened for another run, when files may have been others, is not used again.
    """

    study: Study
    source: Source
    overrides: Mapping[str, Any]
    plugins: tuple[Path, ...] = ()
    folder: Path = field(default_factory=Path.cwd)
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def near(self) -> Path:
        """Folder in which relative paths are looked for first."""
        return Path(self.source.label).parent
