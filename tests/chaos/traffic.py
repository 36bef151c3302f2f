"""Clients that ask at a steady rate, whatever becomes of what they asked before.

Open loop: a request goes out when it is due, on a kept-alive connection if one is free. Each is
entered in the checker's ledger. It tries nothing again unless it is told to.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from tests.chaos.checker import ID, Ledger, Sent

Address = tuple[str, int]
Deed = tuple[float, Callable[[], object]]
"""Seconds after the start, and what is then done to the upstreams."""


class Connection:
    """One kept-alive connection to the sidecar."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, host: str, one: Sent, body: bytes) -> bool:
        """Send it, enter its end; whether the connection can be used again."""
        length = f"Content-Length: {len(body)}\r\n" if one.method not in ("GET", "HEAD") else ""
        head = f"{one.method} / HTTP/1.1\r\nHost: {host}\r\n{ID}: {one.id}\r\n{length}\r\n"
        self.writer.write(head.encode() + body)
        raw = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, *lines = raw.split("\r\n")
        fields = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        await self.reader.readexactly(int(fields["content-length"]))
        one.status = int(start.split(" ")[1])
        one.echoed = fields.get(ID, "")
        one.reason = fields.get("x-meshproxy-reason", "")
        return fields.get("connection", "").lower() != "close"


class Traffic:
    """Callers of one service through one sidecar; `patience` is when they give up."""

    def __init__(
        self, address: Address, host: str, ledger: Ledger | None = None, patience: float = 10.0
    ) -> None:
        self.ledger = ledger if ledger is not None else Ledger()
        self._address = address
        self._host = host
        self._patience = patience
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for connection in self._open:
            connection.writer.close()

    async def ask(self, method: str = "GET", body: bytes = b"") -> Sent:
        """One request to its end, whatever end that is."""
        one = self.ledger.begin(method, time.monotonic())
        connection: Connection | None = None
        kept = False
        try:
            async with asyncio.timeout(self._patience):
                connection = await self._connection()
                kept = await connection.ask(self._host, one, body)
        except TimeoutError:
            one.error = "gave up"
        except (OSError, asyncio.IncompleteReadError) as error:
            one.error = type(error).__name__
        one.ended = time.monotonic()
        if connection is not None:
            self._put_back(connection, kept)
        return one

    async def insist(self, tries: int, method: str = "GET") -> Sent:
        """One request, tried again at once as naive clients do."""
        one = await self.ask(method)
        for _ in range(tries - 1):
            if one.ok:
                break
            one = await self.ask(method)
        return one

    async def steady(
        self,
        rate: float,
        seconds: float,
        methods: Sequence[str] = ("GET", "POST"),
        deeds: Sequence[Deed] = (),
        tries: int = 1,
    ) -> None:
        """Ask `rate` times each second, and do the deeds meanwhile; ends with the last answer."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        tasks = [asyncio.create_task(_do(at, deed)) for at, deed in deeds]
        turns = itertools.cycle(methods)
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
            tasks.append(asyncio.create_task(self._one(next(turns), tries)))
        await asyncio.gather(*tasks)

    async def _one(self, method: str, tries: int) -> None:
        await self.insist(tries, method)

    async def _connection(self) -> Connection:
        if self._idle:
            return self._idle.pop()
        made = Connection(*await asyncio.open_connection(*self._address))
        self._open.add(made)
        return made

    def _put_back(self, connection: Connection, kept: bool) -> None:
        if kept:
            self._idle.append(connection)
        else:
            self._open.discard(connection)
            connection.writer.close()


async def _do(at: float, deed: Callable[[], object]) -> None:
    await asyncio.sleep(at)
    await asyncio.to_thread(deed)
