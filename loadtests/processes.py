"""Child processes of a run: started on chosen cores, waited for, ended.

A `Group` ends everything it started, whatever happened. What the processes are
is for the callers to know.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NoReturn

READY_POLL = 0.005  # seconds between two questions to a starting server


class NotReadyError(Exception):
    """A server ended, or stayed silent, before it answered its first request."""


_given: set[int] = set()


def free_port() -> int:
    """A loopback TCP port that nobody listens on now, and that was not given out before.

    The kernel draws again one that has just been closed, and two of a sidecar's would be one.
    """
    for _ in range(200):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port: int = sock.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port
    raise RuntimeError("no free port was found in 200 draws")


def cores() -> list[int]:
    """The cores this process may use, in order."""
    return sorted(os.sched_getaffinity(0))


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep this process, and the children that are not told otherwise, on one core meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def awake() -> Iterator[bool]:
    """Let no core fall asleep meanwhile; yields whether this machine lets us say so.

    Who writes to a socket whose reader sleeps has to wake a core, which on a virtual machine
    takes longer than the write. How often that happens depends on how busy the reader is, so
    a proxy that is a little slower is interrupted far more: it would be counted twice.
    """
    try:
        held = os.open("/dev/cpu_dma_latency", os.O_WRONLY)
    except OSError:
        yield False
        return
    try:
        os.write(held, struct.pack("i", 0))  # microseconds; it holds as long as it is open
        yield True
    finally:
        os.close(held)


def answers(port: int, path: str) -> bool:
    """Whether a GET on a loopback port is answered 200 now."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        reply.read()
        return reply.status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def end_on_sigterm() -> None:
    """From now on SIGTERM ends this program as Ctrl-C does: through its `with` blocks."""

    def interrupt(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


class Child:
    """One running program and the file its output goes to."""

    __slots__ = ("log", "name", "process", "started")

    def __init__(self, name: str, argv: list[str], log: Path, cwd: Path | None = None) -> None:
        self.name, self.log = name, log
        self.started = time.monotonic()
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, cwd=cwd
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_ready(self, port: int, path: str, timeout: float = 15.0) -> float:
        """Seconds from the start to the first 200 on `path`; `NotReadyError` after `timeout`."""
        while time.monotonic() - self.started < timeout:
            if answers(port, path):
                return time.monotonic() - self.started
            if self.process.poll() is not None:
                break
            time.sleep(READY_POLL)
        raise NotReadyError(
            f"{self.name} did not become ready; its output ends with:\n{self.tail()}"
        )

    def tail(self, lines: int = 12) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def end(self, patience: float = 5.0) -> None:
        """SIGTERM, then SIGKILL after `patience` seconds."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Group:
    """Children that end together, last started first."""

    __slots__ = ("_children", "_folder")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[Child] = []

    def __enter__(self) -> Group:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for child in reversed(self._children):
            child.end()

    def start(
        self, name: str, argv: list[str], core: int | None = None, cwd: Path | None = None
    ) -> Child:
        """Start a program, held to one core when `core` is given (taskset execs: same pid)."""
        if core is not None:
            argv = [taskset(), "-c", str(core), *argv]
        log = self._folder / f"{name}-{len(self._children)}.log"
        child = Child(name, argv, log, cwd)
        self._children.append(child)
        return child

    def end(self, child: Child) -> None:
        """End one of the children now."""
        child.end()
        self._children.remove(child)


def taskset() -> str:
    found = shutil.which("taskset")
    if found is None:
        raise NotReadyError("taskset is not installed: sudo apt-get install -y util-linux")
    return found
