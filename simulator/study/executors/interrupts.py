"""Ctrl-C, noted while results are being kept and answered when they are."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

__all__ = ["Interrupts"]


class Interrupts:
    """While it lasts, SIGINT is noted in ``asked``; a second one, or one during ``at_once``, interrupts as usual.

    Outside the main thread, where Python delivers no signals, and under a handler of somebody else's it does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._at_once = False
        self._before: Any = None

    def __enter__(self) -> Self:
        ours = threading.current_thread() is threading.main_thread()
        if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def at_once(self, yes: bool) -> None:
        """Whether an interrupt is answered where it strikes: nothing is being kept. Raises: KeyboardInterrupt."""
        self._at_once = yes
        if yes:
            self.check()

    def check(self) -> None:
        """Raises: KeyboardInterrupt if one was noted."""
        if self.asked:
            raise KeyboardInterrupt

    def _note(self, signal_number: int, frame: FrameType | None) -> None:
        if self._at_once or self.asked:
            raise KeyboardInterrupt
        self.asked = True
