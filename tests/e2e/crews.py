"""A sidecar of several workers as the tests see it, and callers who account for every request.

Knows which processes there are and which connections each has; what is done to them is decided
elsewhere.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.chaos.checker import ID, Ledger

from .harness import Client, Message, Origin, Sidecar, answering, eventually, reply
from .harness.origin import Script


class Crew(Sidecar):
    """A sidecar of several processes."""

    def pids(self) -> list[int]:
        """Of the workers that run, as the kernel knows them."""
        found = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in found if state_of(int(pid)) != "Z"]

    def events(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log_lines() if line["event"] == event]

    def wait_workers(self, count: int, within: float = 5.0) -> list[int]:
        """So many run, and all of them serve."""

        def there() -> bool:
            ready = {line["worker"]: line["pid"] for line in self.events("worker_ready")}
            return sorted(self.pids()) == sorted(set(ready.values()) & set(self.pids())) and (
                len(self.pids()) == count
            )

        eventually(there, within, f"{count} workers")
        return self.pids()

    def served_by(self) -> dict[int, int]:
        """How many connections each worker has, by pid."""
        return {pid: connections_of(pid, self.inbound[1]) for pid in self.pids()}


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def connections_of(pid: int, port: int) -> int:
    """Connections to a port that a process holds."""
    ours = f":{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    each = [line.split() for line in lines]
    inodes = {one[9] for one in each if one[1].endswith(ours) and one[3] == "01"}
    held = 0
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name = str(fd.readlink())
        except OSError:
            continue
        held += name.startswith("socket:[") and name[8:-1] in inodes
    return held


def echo(message: Message) -> bytes:
    return reply(headers={ID: message.get(ID) or ""})


def slow(seconds: float) -> Script:
    """An app that takes its time."""

    def answer(message: Message) -> bytes:
        time.sleep(seconds)
        return reply(headers={ID: message.get(ID) or ""})

    return answering(answer)


class Load:
    """Callers in threads, each on kept-alive connections of its own."""

    def __init__(self, sidecar: Crew, callers: int) -> None:
        self.ledger = Ledger()
        self._address = sidecar.inbound
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(callers)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        client: Client | None = None
        while not self._over.is_set():
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
                client = None
            self._over.wait(0.005)
        if client is not None:
            client.close()


@contextmanager
def traffic(sidecar: Crew, callers: int = 6) -> Iterator[Ledger]:
    """Callers ask all the time; their ledger is complete after the block."""
    load = Load(sidecar, callers)
    load.start()
    try:
        yield load.ledger
    finally:
        load.stop()


def deliveries(app: Origin) -> list[tuple[str, str]]:
    return [("GET", message.get(ID) or "") for message in app.requests]
