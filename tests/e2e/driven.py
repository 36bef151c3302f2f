"""The sidecar with mistakes in it, made from outside: what a test asks for happens within.

    python -m tests.e2e.driven run -c FILE

SIGUSR1 holds its event loop for half a second, SIGUSR2 for as long in C code that lets no other
thread run, SIGWINCH until there is a file `go-on`. A request for /broken/PHASE meets a policy
that raises in that phase. While there is a file `sweep-bug`, each sweep of the clients raises.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import Any

from meshproxy.__main__ import main
from meshproxy.app import App
from meshproxy.dataplane.front import Front
from meshproxy.policies.tracing import Tracing


class OddError(Exception):
    """What nobody expects."""


def hold_the_loop() -> None:
    time.sleep(0.5)


def hold_until_told() -> None:
    while not Path("go-on").exists():
        time.sleep(0.01)


def hold_everything() -> None:
    for _ in range(2):
        sum(range(30_000_000))


WORK = {
    signal.SIGUSR1: hold_the_loop,
    signal.SIGUSR2: hold_everything,
    signal.SIGWINCH: hold_until_told,
}


def broken(phase: str, method: Any) -> Any:
    """A phase of every route's tracing, with a mistake for some requests."""

    def raises(self: Tracing, exchange: Any, now: float) -> Any:
        if exchange.path == f"/broken/{phase}".encode():
            raise OddError(f"a secret: {exchange.target!r}")
        return method(self, exchange, now) if method is not None else None

    return raises


def drive() -> None:
    """Put the mistakes in."""
    for phase in ("admit", "depart", "respond", "settle"):
        setattr(Tracing, phase, broken(phase, getattr(Tracing, phase, None)))
    sweep = Front.sweep

    def sweep_or_raise(self: Front, now: float, turns: int) -> None:
        if Path("sweep-bug").exists():
            raise OddError
        sweep(self, now, turns)

    Front.sweep = sweep_or_raise  # type: ignore[method-assign]
    listen = App._listen_to_signals

    def listen_to_more(self: App) -> None:
        listen(self)
        loop = asyncio.get_running_loop()
        for number, work in WORK.items():
            loop.add_signal_handler(number, loop.call_later, 0.0, work)

    App._listen_to_signals = listen_to_more  # type: ignore[method-assign]


if __name__ == "__main__":
    drive()
    sys.exit(main())
