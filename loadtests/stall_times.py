"""Trials of accuracy: how far from its limit each timeout ends what it should end.

Each limit is met by a few connections, begun at different moments, so that a clock that is
looked at now and then shows its worst.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from loadtests.stall_report import Figure
from loadtests.stall_site import Site
from loadtests.stall_trials import spread, worst

GET = b"GET %b HTTP/1.1\r\nhost: service.test\r\n\r\n"
LIMITS = "head_timeout: 1s, keep_alive: 1s, write_timeout: 1s, body_rate: off"
ROUTES = """
    routes:
      - {match: "/begun", idle_timeout: 1s}
      - {match: "/upload", idle_timeout: 1s}
      - {match: "/silent", timeout: 1s}
"""
TIMES = 12
WANTED = 1.0
STEP = 0.037
"""Seconds between two connections' beginnings; no multiple of any clock's step."""


@dataclass(frozen=True, slots=True)
class Timeout:
    """What a client sends to meet a limit, and how far off its end may be."""

    name: str
    sends: bytes
    status: bytes
    target: float = 0.05
    floor: float = 0.1


TIMEOUTS = (
    Timeout("whole call (504)", GET % b"/silent", b"504"),
    Timeout("idle answer (cut)", GET % b"/begun", b"200"),
    Timeout(
        "idle upload (408)",
        b"POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nx", b"408",
    ),
    Timeout("head (408)", b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ", b"408", 0.3, 0.5),
    Timeout("idle client (closed)", GET % b"/small", b"200", 0.3, 0.5),
)  # fmt: skip


def timeouts(_seconds: float) -> Iterator[Figure]:
    """Every limit of one second, met a dozen times."""
    with Site.running(LIMITS, "timeout: 30s," + flow_style(ROUTES)) as site:
        for one in TIMEOUTS:
            yield accuracy(one, site.ports.inbound)
        yield write_stall(site)


def flow_style(routes: str) -> str:
    """The routes within the braces of the config's one line."""
    rows = [line.strip().removeprefix("- ") for line in routes.splitlines() if "match" in line]
    return f" routes: [{', '.join(rows)}]"


def accuracy(one: Timeout, port: int) -> Figure:
    with ThreadPoolExecutor(TIMES) as pool:
        pending = []
        for _ in range(TIMES):
            pending.append(pool.submit(met, one, port))
            time.sleep(STEP)
        lives = [each.result() for each in pending]
    return Figure(
        "timeouts of 1 s", one.name + ", worst error", worst(lives, WANTED), "s", one.target,
        one.floor, note=f"{TIMES} times, {spread(lives)}",
    )  # fmt: skip


def met(one: Timeout, port: int) -> float:
    """Seconds until the proxy ends it; infinite if it ends otherwise."""
    with socket.create_connection(("127.0.0.1", port), 10.0) as sock:
        sock.sendall(one.sends)
        began = time.monotonic()
        data, more = b"", b"-"
        while more:
            try:
                more = sock.recv(4096)
            except ConnectionResetError:
                more = b""
            if more and one.status != b"200":
                return time.monotonic() - began if more[9:12] == one.status else float("inf")
            data += more
        good = data[9:12] == one.status
        return time.monotonic() - began if good else float("inf")


def write_stall(site: Site) -> Figure:
    """A client that asks for much and takes nothing: when its connection is given up."""
    lives = []
    for _ in range(3):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", site.ports.inbound))
            sock.sendall(GET % b"/big")
            select.select([sock], [], [], 5.0)
            lives.append(until_alone(site))
    return Figure(
        "timeouts of 1 s", "client that takes nothing, worst error", worst(lives, WANTED), "s",
        0.5, 1.0, note=f"3 times, {spread(lives)}; seen by asking for the metrics",
    )  # fmt: skip


def until_alone(site: Site) -> float:
    """Seconds until no client is connected; infinite when one is after ten times as long."""
    began = time.monotonic()
    while time.monotonic() - began < 10.0 * WANTED:
        if site.total("meshproxy_downstream_connections") == 0.0:
            return time.monotonic() - began
        time.sleep(0.02)
    return float("inf")
