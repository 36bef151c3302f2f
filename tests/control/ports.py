"""A sidecar as the control ports see it, and a client that says exactly what it is told to."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from meshproxy.control.history import History
from meshproxy.control.reload import Outcome, Reason, Standing
from meshproxy.control.serving import Port
from meshproxy.control.view import Company, Identity, Listening
from meshproxy.core.foretold import Explanation, Question
from meshproxy.core.route import Plan, Snapshot
from meshproxy.dataplane.foresight import foresee
from meshproxy.shown import Alone
from meshproxy.telemetry.access_log import AccessLog
from meshproxy.telemetry.bugs import Bugs
from meshproxy.telemetry.figures import Readings
from meshproxy.telemetry.metrics import Telemetry
from meshproxy.telemetry.recent import Recent
from meshproxy.telemetry.tap import Tap


@dataclass
class Stage:
    """A View whose every answer a test can set."""

    identity: Identity = field(default_factory=lambda: Identity("orders", "1.2"))
    source: str = "meshproxy.yaml"
    snapshot: Snapshot | None = field(
        default_factory=lambda: Snapshot(3, "abc", {}, (), {"inbound": {"app": ":1"}})
    )
    standing: Standing = field(
        default_factory=lambda: Standing(3, "abc", True, "file", 1000.0, 1000.0)
    )
    history: History = field(default_factory=History)
    company: Company = field(default_factory=Alone)
    pending: str = ""
    draining: bool = False
    why_no_upgrade: str = ""
    listening: list[Listening] = field(
        default_factory=lambda: [Listening("inbound", "127.0.0.1:15006", True)]
    )
    state: list[Any] = field(default_factory=list)
    outcome: Outcome = field(
        default_factory=lambda: Outcome(True, "admin", 4, "def", (), ("a: 1 -> 2",))
    )
    level: str = "info"
    tap: Tap = field(
        default_factory=lambda: Tap(
            AccessLog(lambda fields: None, lambda: 0.5, lambda: 0.0),
            lambda record: None,
            lambda: 0.5,
            lambda: 50.0,
        )
    )
    asked: list[Reason] = field(default_factory=list)
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    telemetry: Telemetry = field(default_factory=Telemetry)
    recent: Recent = field(default_factory=Recent)
    clock: float = 50.0

    bugs: Bugs = field(init=False)

    def loop_lag(self) -> float:
        return 0.002

    def __post_init__(self) -> None:
        self.readings = Readings(lambda: self.telemetry, self.clock - 12.5)
        self.bugs = Bugs(self.tell, lambda: 1000.0, self.now)

    def uptime(self) -> float:
        return 12.5

    def now(self) -> float:
        return self.clock

    def cells(self) -> list[Any]:
        return self.state

    def listeners(self) -> list[Listening]:
        return self.listening

    def metrics(self, openmetrics: bool) -> Iterator[bytes]:
        yield from (b"", b"# EOF\n") if openmetrics else (b"up", b"", b" 1\n")

    def stats(self) -> Mapping[str, Any]:
        return {"in_flight": 2, "connections": {}}

    def explain(self, plan: Plan, question: Question) -> Explanation:
        return foresee(plan, question, self.now())

    async def reload(self, reason: Reason) -> Outcome:
        self.asked.append(reason)
        return self.outcome

    async def upgrade(self) -> str:
        self.asked.append("upgrade")  # type: ignore[arg-type]
        return self.why_no_upgrade

    def begin_drain(self) -> None:
        self.draining = True

    def drain_inbound(self) -> None:
        self.draining = True

    def tell(
        self, event: str, /, *, level: str = "info", once_per: float = 0.0, **fields: Any
    ) -> None:
        self.told.append((event, fields))

    def set_level(self, level: str) -> None:
        self.level = level


@dataclass(frozen=True)
class Told:
    """An answer of a port."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Ask = Callable[..., Awaitable[Told]]


def unexpected(what: object, **fields: Any) -> None:
    """What aiohttp itself complains of: it should have nothing to."""
    raise AssertionError((what, fields))


def talk(application: web.Application, script: Callable[[Ask], Awaitable[None]]) -> None:
    """Open the application on a free port and let the script ask it."""

    async def whole() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        port = Port(application, unexpected)
        await port.open(sock)
        try:
            await script(lambda *words, **more: ask(sock.getsockname()[1], *words, **more))
        finally:
            await port.close()

    asyncio.run(whole())


async def ask(
    port: int,
    path: str,
    method: str = "GET",
    body: bytes = b"",
    host: str | None = "127.0.0.1",
    **fields: str,
) -> Told:
    """One request on a connection of its own; `_` in a field's name stands for `-`."""
    lines = [f"{method} {path} HTTP/1.0", *([f"Host: {host}"] if host is not None else [])]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        raw = await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, rest = raw.partition(b"\r\n\r\n")
    status, *told = head.decode().split("\r\n")
    pairs = (line.partition(": ") for line in told)
    return Told(int(status.split()[1]), {name.lower(): value for name, _, value in pairs}, rest)
