"""Signals that scale a server, as they come from a process and not from the terminal.

In a process of their own: whoever has a thread that does not block them, as those who run the
tests may, is stopped by them.
"""

from __future__ import annotations

import subprocess
import sys

BEGIN = """
import os, select, signal
from meshproxy.control.terminal import SCALING, Scaling, hold, let_go
hold()
"""


def passes(script: str) -> None:
    """Whether this runs to its end; a process that is stopped does not."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script], capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_what_somebody_sends_is_read_and_stops_nobody() -> None:
    passes("""
scaling = Scaling()
assert list(scaling.sent()) == []
for number in SCALING:
    os.kill(os.getpid(), number)
assert select.select([scaling.fd], [], [], 5.0)[0]
assert sorted(scaling.sent()) == sorted(SCALING)
assert list(scaling.sent()) == []
scaling.close()
assert scaling.fd == -1
assert list(scaling.sent()) == []
""")


def test_what_came_before_is_no_news() -> None:
    passes("""
os.kill(os.getpid(), signal.SIGTTIN)
assert signal.SIGTTIN in signal.sigpending()
scaling = Scaling()
assert list(scaling.sent()) == []
assert not signal.sigpending()
""")


def test_it_can_be_let_go_for_another_program() -> None:
    passes("""
import subprocess, sys
ask = "import signal; print(len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
kept = subprocess.run([sys.executable, "-c", ask], capture_output=True, check=True)
assert kept.stdout == b"2\\n", kept
free = subprocess.run(
    [sys.executable, "-c", ask], preexec_fn=let_go, capture_output=True, check=True
)
assert free.stdout == b"0\\n", free
""")
