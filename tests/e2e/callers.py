"""Callers who ask all the time, and account for every request.

They try nothing again: what a naive client would see as an error is one. Some stay on one
connection for as long as they are not told that it ends, the others connect anew each time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.checker import ID, Ledger

from .harness import Client, Message, Origin, Sidecar, reply

PAUSE = 0.005


def echo(message: Message) -> bytes:
    """What an app must answer for the ledger to be told right."""
    return reply(headers={ID: message.get(ID) or ""})


def deliveries(app: Origin) -> list[tuple[str, str]]:
    return [("GET", message.get(ID) or "") for message in app.requests]


class Callers:
    """Threads of both kinds; `closed` counts the kept connections that came to an end."""

    def __init__(self, sidecar: Sidecar, kept: int, anew: int) -> None:
        self.ledger = Ledger()
        self.closed = 0
        self._address = sidecar.inbound
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._stay) for _ in range(kept)]
        self._threads += [threading.Thread(target=self._come_and_go) for _ in range(anew)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _stay(self) -> None:
        client: Client | None = None
        while not self._over.wait(PAUSE):
            client = self._ask(client)
            self.closed += client is None
        if client is not None:
            client.close()

    def _come_and_go(self) -> None:
        while not self._over.wait(PAUSE):
            client = self._ask(None)
            if client is not None:
                client.close()

    def _ask(self, client: Client | None) -> Client | None:
        """One request, entered with its end; the connection if it can be used again."""
        one = self.ledger.begin("GET", time.monotonic())
        try:
            client = client or Client(self._address, timeout=10.0)
            answer = client.ask("GET", "/", {ID: one.id})
            one.status, one.echoed = answer.status, answer.get(ID) or ""
            one.reason = answer.get("x-meshproxy-reason") or ""
            closing = (answer.get("connection") or "").lower() == "close"
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the end of this one
            one.error, closing = type(error).__name__, True
        one.ended = time.monotonic()
        if closing and client is not None:
            client.close()
        return None if closing else client


@contextmanager
def calling(sidecar: Sidecar, kept: int = 6, anew: int = 0) -> Iterator[Callers]:
    """They ask inside the block; their ledger is complete after it."""
    callers = Callers(sidecar, kept, anew)
    callers.start()
    try:
        yield callers
    finally:
        callers.stop()
