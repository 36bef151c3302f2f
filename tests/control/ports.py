"""A sidecar as the control ports see it, and a client that says exactly what it is told to."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from meshproxy.control.reload import Outcome, Reason, Standing
from meshproxy.control.serving import Port
from meshproxy.control.view import Identity, Listening
from meshproxy.core.route import Snapshot


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
    draining: bool = False
    listening: list[Listening] = field(
        default_factory=lambda: [Listening("inbound", "127.0.0.1:15006", True)]
    )
    state: list[Any] = field(default_factory=list)
    outcome: Outcome = field(
        default_factory=lambda: Outcome(True, "admin", 4, "def", (), ("a: 1 -> 2",))
    )
    level: str = "info"
    asked: list[Reason] = field(default_factory=list)
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def uptime(self) -> float:
        return 12.5

    def now(self) -> float:
        return 50.0

    def cells(self) -> list[Any]:
        return self.state

    def listeners(self) -> list[Listening]:
        return self.listening

    def metrics(self, openmetrics: bool) -> Iterator[bytes]:
        yield from (b"", b"# EOF\n") if openmetrics else (b"up", b"", b" 1\n")

    def stats(self) -> Mapping[str, Any]:
        return {"in_flight": 2}

    async def reload(self, reason: Reason) -> Outcome:
        self.asked.append(reason)
        return self.outcome

    def begin_drain(self) -> None:
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


def unexpected(event: str, **fields: Any) -> None:
    """What aiohttp itself complains of: it should have nothing to."""
    raise AssertionError((event, fields))


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
