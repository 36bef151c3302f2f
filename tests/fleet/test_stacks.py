"""Stacks of real processes: one that runs, one that is stopped, one that has gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from meshproxy.fleet import stacks


def turning(written: int) -> NoReturn:
    while True:
        os.write(written, b"x")
        time.sleep(0.0001)


def turning_among_others(written: int) -> NoReturn:
    """The other thread is the likelier one to be found by a signal that is sent to the process."""
    inside = threading.Event()

    def idle() -> None:
        inside.set()
        time.sleep(60.0)

    threading.Thread(target=idle, daemon=True).start()
    inside.wait()
    turning(written)


def deaf(written: int) -> NoReturn:
    """Takes no signal but SIGKILL and SIGSTOP."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    turning(written)


@dataclass
class Child:
    """`pipe` is where its stacks come, `turns` where it says that it goes on."""

    pid: int
    pipe: int
    turns: int

    def stop(self) -> None:
        """It stands when this returns, and nothing that it said before is unread."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)
        self.said()

    def said(self) -> bytes:
        """All that it has said by now; no end of file counts as something."""
        try:
            return os.read(self.turns, 1 << 20)
        except BlockingIOError:
            return b""

    def hear(self) -> None:
        os.set_blocking(self.turns, True)
        assert os.read(self.turns, 1) == b"x"
        os.set_blocking(self.turns, False)


@contextmanager
def child(work: Callable[[int], NoReturn]) -> Iterator[Child]:
    pipe, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    turns, turn = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            stacks.listen(write)
            work(turn)
        finally:
            os._exit(0)
    os.close(write)
    os.close(turn)
    one = Child(pid, pipe, turns)
    one.hear()
    try:
        yield one
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(pipe)
        os.close(turns)


def test_one_that_runs_says_where_and_goes_on() -> None:
    with child(turning) as one:
        for _ in range(3):
            assert "in turning\n" in stacks.now(one.pid, one.pipe)
        one.said()
        one.hear()
        assert stacks.state(one.pid) in ("R", "S")


def test_one_that_is_stopped_is_left_so() -> None:
    with child(turning) as one:
        one.stop()
        assert stacks.now(one.pid, one.pipe) == ""
        assert stacks.state(one.pid) == "T"


def test_at_its_end_a_stopped_one_says_where_and_does_nothing_else() -> None:
    for _ in range(20):
        with child(turning_among_others) as one:
            one.stop()
            told = stacks.at_its_end(one.pid, one.pipe)
            assert "in turning\n" in told
            assert "in idle\n" in told
            ended = os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)
            assert ended is not None
            assert ended.si_status == stacks.TELL_AND_END
            assert one.said() == b""


def test_at_its_end_one_that_runs_says_where_too() -> None:
    with child(turning) as one:
        assert "in turning\n" in stacks.at_its_end(one.pid, one.pipe)
        os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)
        assert stacks.state(one.pid) == "Z"
        assert stacks.now(one.pid, one.pipe) == ""
        assert stacks.at_its_end(one.pid, one.pipe) == ""


def test_one_that_hears_nothing_is_not_waited_for_long() -> None:
    with child(deaf) as one:
        began = time.monotonic()
        assert stacks.now(one.pid, one.pipe) == ""
        assert stacks.at_its_end(one.pid, one.pipe) == ""
        assert time.monotonic() - began >= stacks.WAIT + stacks.LAST_WAIT
        one.said()
        one.hear()


def test_of_a_process_that_is_not_there_nothing_is_said() -> None:
    with child(turning) as one:
        pass
    assert stacks.state(one.pid) == ""
