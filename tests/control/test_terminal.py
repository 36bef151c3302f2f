"""Signals that scale a server, as they come from a process and not from the terminal."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from meshproxy.control.terminal import SCALING, Scaling, hold, let_go


@pytest.fixture(autouse=True)
def _held() -> Iterator[None]:
    hold()
    yield
    while signal.sigtimedwait(SCALING, 0) is not None:
        pass  # or it would stop the tests
    let_go()


def test_what_somebody_sends_is_read_and_stops_nobody() -> None:
    scaling = Scaling()
    try:
        assert list(scaling.sent()) == []
        for number in SCALING:
            os.kill(os.getpid(), number)
        assert select.select([scaling.fd], [], [], 5.0)[0]
        assert sorted(scaling.sent()) == sorted(SCALING)
        assert list(scaling.sent()) == []
    finally:
        scaling.close()
    assert scaling.fd == -1
    assert list(scaling.sent()) == []


def test_what_came_before_is_no_news() -> None:
    os.kill(os.getpid(), signal.SIGTTIN)
    scaling = Scaling()
    try:
        assert list(scaling.sent()) == []
    finally:
        scaling.close()


def test_it_can_be_let_go_for_another_program() -> None:
    script = "import signal; print(*signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    done = subprocess.run(
        [sys.executable, "-c", script], preexec_fn=let_go, capture_output=True, check=True
    )
    assert done.stdout == b"\n"
