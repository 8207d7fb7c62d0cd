"""The exception family: one base class, so that the command line can turn any of them into one clear line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "AccumulatorOverflowError",
    "ConfigError",
    "ConservationError",
    "CostError",
    "DatapathError",
    "EncodingError",
    "ImportNote",
    "MappingError",
    "MismatchError",
    "NoSuchFileError",
    "Note",
    "OlivineError",
    "OutputError",
    "RunNote",
    "StoreNote",
    "TraceError",
    "UnknownNameError",
    "WorkloadError",
    "did_you_mean",
]


class OlivineError(Exception):
    """Anything a user can cause. The message is one line: where, what was found, what is allowed."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Of whatever class and with whatever constructor, it comes back from another process as it was."""
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[OlivineError], args: tuple[Any, ...]) -> OlivineError:
    return kind.__new__(kind, *args)


class ConfigError(OlivineError):
    """A YAML file, an override or an argument is wrong."""


class UnknownNameError(ConfigError):
    """A name (design, format, datapath, field ...) that does not exist; offers the nearest one that does."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(f"unknown {kind} '{name}'{did_you_mean(name, names)}; known: {', '.join(names) or 'none'}")


class NoSuchFileError(ConfigError):
    """A file that was named does not exist; whoever read its name says where it was written."""


class EncodingError(OlivineError):
    """A tensor cannot be encoded, or a packed code is illegal; carries the position."""


class DatapathError(OlivineError):
    """A datapath is misused or breaks its contract."""


class AccumulatorOverflowError(DatapathError):
    """A partial sum left the accumulator's range."""


class MappingError(OlivineError):
    """A GEMM does not fit the array or the scratchpads; ``field`` is the design's field to change, if one is."""

    def __init__(self, message: str, field: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.field = field


class CostError(OlivineError):
    """An action or a part has no price; ``field`` is the design's field to change, if one is."""

    def __init__(self, message: str, field: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.field = field


class TraceError(OlivineError):
    """A trace folder or one of its tensors is damaged, incomplete or not a number."""


class WorkloadError(OlivineError):
    """A workload's shapes make no sense."""


class OutputError(OlivineError):
    """A result cannot be written where the user asked."""


class MismatchError(OlivineError):
    """A check failed: a datapath's value or an engine's cycle differs from its reference."""


class ConservationError(MismatchError):
    """A conservation law (MACs, bytes, cycles by cause, energy by part) does not hold in a run."""


class Note(UserWarning):
    """Something worth knowing, no reason to stop; the command line prints it as one line."""


class ImportNote(Note):
    """Something in another tool's file has no counterpart here and is left out."""


class RunNote(Note):
    """Points were run otherwise than usual."""


class StoreNote(Note):
    """Results are kept otherwise than usual."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest of ``known``, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""
