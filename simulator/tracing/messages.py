"""Other libraries' exceptions, as part of one line."""

from __future__ import annotations

__all__ = ["one_line"]


def one_line(exc: BaseException) -> str:
    """The operating system's reason if there is one, else the message with its line breaks removed."""
    reason = exc.strerror if isinstance(exc, OSError) else None
    return reason or " ".join(str(exc).split()) or type(exc).__name__
