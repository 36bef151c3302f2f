"""What systemd is told: ready, reloading, stopping, and that we are alive.

One datagram each to $NOTIFY_SOCKET, as sd_notify(3) describes; without that variable nothing is
sent. Nothing here waits: a message that does not go out at once is lost, as it would be late.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notify:
    """The service manager's end of things. `watchdog` is how often it wants to hear, in seconds
    (0.0: never): half of what it allows."""

    __slots__ = ("_address", "_next", "watchdog")

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._next = 0.0
        self.watchdog = 0.0
        meant = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        allowed = environment.get("WATCHDOG_USEC", "")
        if self._address and meant and allowed.isdigit():
            self.watchdog = int(allowed) / 2e6

    def ready(self, status: str) -> None:
        """Serving, with the config in force."""
        self._send(f"READY=1\nMAINPID={os.getpid()}\nSTATUS={status}")

    def reloading(self, now: float) -> None:
        """A reload has begun; `now` is of CLOCK_MONOTONIC, without which newer ones ignore it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(now * 1e6)}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def main_is(self, pid: int) -> None:
        """Another process is the service from now on."""
        self._send(f"MAINPID={pid}")

    def alive(self, now: float) -> None:
        """Called often; tells as often as is wanted."""
        if self.watchdog and now >= self._next:
            self._next = now + self.watchdog
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            try:
                sock.sendto(text.encode(), self._address)
            except OSError:
                pass  # nobody listens any more, or its queue is full


def _address(text: str) -> str:
    """A path, or an abstract name that is written with an @; empty for what is neither."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""
