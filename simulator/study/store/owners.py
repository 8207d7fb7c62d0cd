"""Which process is at work on a store, and whether it still lives."""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

__all__ = ["EXPIRY_S", "Owner", "is_gone", "this_process"]

EXPIRY_S = 120.0
"""A process of another machine that was not seen for so long is taken for dead."""


@dataclass(frozen=True)
class Owner:
    """A process. ``host`` tells machines, their restarts and their containers apart; ``started`` reused numbers."""

    host: str
    pid: int
    started: str
    name: str = field(default_factory=lambda: token_hex(8))

    @property
    def machine(self) -> str:
        """Its name alone."""
        return self.host.partition(" ")[0] or "an unnamed machine"


def this_process() -> Owner:
    """A new name for the process that asks."""
    return Owner(_host(), os.getpid(), _state(os.getpid())[1])


def is_gone(owner: Owner, seen_s: float) -> bool:
    """Whether an owner that was last seen at ``seen_s`` [s since 1970] will not finish what it claimed."""
    expired = time.time() - seen_s > EXPIRY_S
    if owner.host != _host():
        return expired
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, as somebody else's
        pass
    state, started = _state(owner.pid)
    if started != owner.started or state in ("Z", "X"):
        return True
    return expired and state in ("T", "t", "")  # stopped, or on a system that does not say


def _state(pid: int) -> tuple[str, str]:
    """State letter and start time of a process, empty where there is no ``/proc``. Source: proc(5), fields 3 and 22."""
    with suppress(OSError):
        after = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return after[0], after[19]
    return "", ""


def _host() -> str:
    """This machine since its start, and the container on it whose process numbers these are."""
    boot = namespace = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{platform.node()} {boot} {namespace}".strip()
