"""The progress bar: on a terminal counts, rate, time left and a label as it is; elsewhere nothing."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.report.progress import rate

ROOT = Path(__file__).parent.parent
WORK = """
import time
from simulator.report.progress import progress_bar

with progress_bar() as tell:
    for done in range(40, 61):
        if tell:
            tell(done, 60, "a [red]b[/red] on c")
        time.sleep(0.03)
"""


def on_terminal():
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen([sys.executable, "-c", WORK], stderr=theirs, cwd=ROOT, env=environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # its end
                break
    os.close(ours)
    assert process.returncode == 0
    return shown.decode()


def test_on_a_terminal():
    shown = on_terminal()
    assert "60/60" in shown
    assert "points/s" in shown
    assert "a [red]b[/red] on c" in shown
    assert "0:00:0" in shown


def test_elsewhere():
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, check=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    ("per_second", "text"),
    [(None, ""), (0.0, ""), (0.25, "4.0 s/point"), (1.0, "1.0 points/s"), (99.94, "99.9 points/s"),
     (12345.6, "12,346 points/s")],
)  # fmt: skip
def test_rates(per_second, text):
    assert rate(per_second, "points") == text
