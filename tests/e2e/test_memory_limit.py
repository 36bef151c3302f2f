"""In a control group with little memory, the kernel never has to end the sidecar: F40.

Callers send and the app takes nothing, or the app sends and callers take nothing; either way
much more would be held than there is.
"""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from .harness import Conversation, Origin, Sidecar, eventually, fetch, reply

CONFIG = """
inbound:
  listen: <inbound>
  app: http://<app>
  concurrency: off
  circuit_breaker: off
overload: {loop_lag: off}
"""
LIMIT = 128 * 1024 * 1024
CALLERS = 1500
LARGE = 10 * 1024 * 1024


class Group:
    """One control group of our own, of either version."""

    def __init__(self, folder: Path) -> None:
        self.procs = folder / "cgroup.procs"
        self._second = (folder / "memory.max").exists()
        name = "memory.max" if self._second else "memory.limit_in_bytes"
        (folder / name).write_text(str(LIMIT))
        self._told = folder / ("memory.events" if self._second else "memory.oom_control")

    def killed(self) -> int:
        """How many processes the kernel had to end."""
        lines = (line.split() for line in self._told.read_text().splitlines())
        return int(dict(lines)["oom_kill"])


@pytest.fixture
def group() -> Iterator[Group]:
    root = Path("/sys/fs/cgroup")
    folder = (root / "memory" if (root / "memory").is_dir() else root) / f"trial-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        yield Group(folder)
    except (OSError, KeyError) as error:
        pytest.skip(f"the memory of a control group cannot be limited here: {error}")
    finally:
        eventually(lambda: not (folder / "cgroup.procs").read_text(), what="an empty group")
        folder.rmdir()


@contextmanager
def confined(group: Group, app: Origin) -> Iterator[Sidecar]:
    class Confined(Sidecar):
        def words(self) -> list[str]:
            enter = f'echo $$ > {group.procs}; exec "$@"'
            return ["sh", "-c", enter, "sh", *super().words()]

    with Confined.running(CONFIG, app=app.address) as sidecar:
        yield sidecar


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def push(callers: list[socket.socket], data: bytes) -> None:
    """As much of it as each connection takes at once."""
    for caller in callers:
        try:
            caller.send(data)
        except OSError:
            pass


def answers(callers: list[socket.socket]) -> Counter[bytes]:
    found: Counter[bytes] = Counter()
    for caller in callers:
        try:
            found[caller.recv(12)] += 1
        except OSError as error:
            found[type(error).__name__.encode()] += 1
    return found


def pressed(sidecar: Sidecar) -> bool:
    return sidecar.total("meshproxy_shed_total", why="memory") > 0


@pytest.mark.slow
@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("way", ["up", "down"])
def test_f40_a_flood_is_shed_before_the_kernel_ends_anybody(group: Group, way: str) -> None:
    over = threading.Event()

    def script(peer: Conversation) -> None:
        while (head := peer.head()) is not None:
            if head.target == "/well":
                peer.send(reply())
            elif way == "down":
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + bytes(LARGE))
            else:
                over.wait(60.0)
                return

    ask = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    if way == "up":
        ask = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % LARGE + bytes(60_000)
    with Origin.running(script) as app, confined(group, app) as sidecar, ExitStack() as stack:
        callers: list[socket.socket] = []
        for _ in range(CALLERS):
            try:
                caller = stack.enter_context(closing(socket.create_connection(sidecar.inbound)))
            except OSError:
                continue  # it was turned away
            caller.setblocking(False)
            callers.append(caller)
            push([caller], ask)
        for _ in range(4):
            if way == "up":
                push(callers, bytes(200_000))
            assert sidecar.probe("/livez").status == 200
        if way == "up":
            eventually(lambda: pressed(sidecar), 20.0, "shedding")
            assert answers(callers)[b"HTTP/1.1 503"] > 0
        else:
            # Little is read where little is left: so little that nobody may have to leave.
            fuller = 0.6
            eventually(lambda: sidecar.total("meshproxy_memory_pressure") > fuller, 20.0, "a flood")
            print("P", sidecar.total("meshproxy_memory_pressure"), answers(callers))
        assert sidecar.process.poll() is None
        stack.close()
        over.set()
        eventually(lambda: fetch(sidecar.inbound, "/well").status == 200, 20.0, "calm")
        assert group.killed() == 0
