"""A well-behaved client, whose latencies say what an attack costs the others.

One request at a time, at a fixed pace, half of them on a connection of their own. A request's
time begins when it was due, so that one that waits makes those behind it late as well.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field

REQUEST = b"GET /small HTTP/1.1\r\nhost: service.test\r\n\r\n"
PACE = 0.005
PATIENCE = 5.0


@dataclass(slots=True)
class Seen:
    """Seconds per request, and how many were not answered 200."""

    took: list[float] = field(default_factory=list)
    failed: int = 0

    def percentile(self, share: float) -> float:
        """Milliseconds; infinite when nothing was answered."""
        ordered = sorted(self.took)
        if not ordered:
            return float("inf")
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000.0


class Bystander:
    """Asks a loopback port and keeps one connection between its requests."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._kept: socket.socket | None = None

    def watch(self, seconds: float) -> Seen:
        """Ask at the pace until the time is over."""
        seen = Seen()
        ends = due = time.monotonic()
        ends += seconds
        new = False
        while due < ends:
            time.sleep(max(0.0, due - time.monotonic()))
            new = not new
            self._once(seen, new, due)
            due += PACE
        return seen

    def leave(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _once(self, seen: Seen, new: bool, due: float) -> None:
        try:
            good = self._ask_anew() if new else self._ask_kept()
        except OSError:
            good = False
            self.leave()
        if good:
            seen.took.append(time.monotonic() - due)
        else:
            seen.failed += 1

    def _ask_anew(self) -> bool:
        with socket.create_connection(("127.0.0.1", self._port), PATIENCE) as sock:
            return answered(sock)

    def _ask_kept(self) -> bool:
        if self._kept is None:
            self._kept = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
        if answered(self._kept):
            return True
        self.leave()
        return False


def answered(sock: socket.socket) -> bool:
    """Send the request; whether the answer is a whole 200. Its body is two bytes."""
    sock.sendall(REQUEST)
    data = b""
    while not data.endswith(b"\r\n\r\nok"):
        more = sock.recv(4096)
        if not more:
            return False
        data += more
    return data.startswith(b"HTTP/1.1 200 ")
