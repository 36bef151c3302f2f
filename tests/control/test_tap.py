"""The page that goes on: what it says, whom it refuses, and when it ends."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest

from meshproxy.control import tap as module
from meshproxy.control.admin import admin_application
from meshproxy.control.door import HEADERS
from meshproxy.control.serving import Port
from meshproxy.telemetry.access_log import AccessLog
from meshproxy.telemetry.tap import LISTENERS, Record, Tap
from tests.telemetry.test_access_log import exchange

from .ports import Stage, ask, unexpected


class Site:
    """An admin port with a real tap, and exchanges that end when a test says so."""

    def __init__(self) -> None:
        access = AccessLog(lambda fields: None, lambda: 0.5, lambda: 1_700_000_000.25)
        self.record: Record = access.record
        self.now = 100.1
        self.stage = Stage(tap=Tap(access, self._record_by, lambda: 0.5, lambda: self.now))
        self.port = 0
        self.opened: Port

    def _record_by(self, record: Record) -> None:
        self.record = record

    def ends(self, **fields: Any) -> None:
        self.record(exchange(**fields), self.now)

    @asynccontextmanager
    async def reading(self, query: str = "") -> Any:
        """A reader that has asked in HTTP/1.1 and got the head of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
        try:
            writer.write(f"GET /tap{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            assert head.startswith("HTTP/1.1 200"), head
            yield Reading(reader, writer, head)
        finally:
            writer.close()

    async def listening(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.stage.tap) != count:
                await asyncio.sleep(0.005)


class Reading:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str
    ) -> None:
        self._reader = reader
        self.writer = writer
        self.head = head

    async def chunk(self) -> bytes:
        """The next chunk; b"" is the end as it should be."""
        size = int(await self._reader.readline(), 16)
        return (await self._reader.readexactly(size + 2))[:-2]

    async def line(self) -> Any:
        """The next chunk that holds anything, as JSON."""
        while not (piece := await self.chunk()).strip():
            assert piece, "it has ended"
        return json.loads(piece)

    async def ended(self) -> bool:
        return await self._reader.read() == b""


def play(script: Callable[[Site], Awaitable[None]]) -> Site:
    site = Site()

    async def whole() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        site.port = sock.getsockname()[1]
        site.opened = port = Port(admin_application(site.stage), unexpected)
        await port.open(sock)
        try:
            async with asyncio.timeout(20):
                await script(site)
        finally:
            await port.close()

    asyncio.run(whole())
    return site


def test_a_line_comes_for_each_exchange_that_is_asked_for() -> None:
    async def script(site: Site) -> None:
        query = "?filter=" + quote("status>=500 and route==create-order")
        async with site.reading(query) as reading:
            assert await reading.chunk() == b"\n"
            site.ends(status=200)
            site.ends(status=503, path=b"/orders/1")
            line = await reading.line()
            assert (line["status"], line["path"]) == (503, "/orders/1")
        await site.listening(0)

    site = play(script)
    assert site.record == site.stage.tap._access.record
    (opened, closed) = site.stage.told
    assert opened == (
        "tap_opened", {"filter": "status>=500 and route==create-order", "listeners": 1}
    )  # fmt: skip
    assert closed == ("tap_closed", {"told": 1, "left_out": 0, "listeners": 0})


def test_the_answer_is_a_stream_with_all_manners() -> None:
    async def script(site: Site) -> None:
        async with site.reading() as reading:
            fields = dict(line.split(": ", 1) for line in reading.head.split("\r\n")[1:-2])
            assert {name: fields[name] for name in HEADERS} == HEADERS
            assert fields["Transfer-Encoding"] == "chunked"
            assert fields["Content-Type"] == "application/x-ndjson"
            assert fields["Connection"] == "close"
        async with site.reading("?format=text") as reading:
            assert "Content-Type: text/plain; charset=utf-8" in reading.head
            assert (await reading.chunk()).startswith(b"# time (UTC)")
            site.ends()
            assert b" POST " in await reading.chunk()

    play(script)


def test_those_that_come_together_are_sent_together() -> None:
    async def script(site: Site) -> None:
        async with site.reading() as reading:
            await reading.chunk()
            for _ in range(50):
                site.ends()
            assert (await reading.chunk()).count(b"\n") == 50

    play(script)


def test_what_is_old_asks_in_its_own_way_and_gets_the_limit() -> None:
    async def script(site: Site) -> None:
        asked = asyncio.create_task(ask(site.port, "/tap?limit=2"))
        await site.listening(1)
        for _ in range(3):
            site.ends()
        told = await asked
        lines = [json.loads(line) for line in told.body.splitlines() if line]
        assert "transfer-encoding" not in told.headers
        assert [line["event"] for line in lines] == ["request", "request", "tap"]
        assert lines[-1]["ended"] == "the limit was reached"

    play(script)


def test_a_sign_of_life_comes_when_nothing_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALIVE", 0.01)

    async def script(site: Site) -> None:
        async with site.reading() as reading:
            assert [await reading.chunk() for _ in range(3)] == [b"\n"] * 3

    play(script)


def test_a_reader_that_leaves_is_noticed_at_once() -> None:
    async def script(site: Site) -> None:
        async with site.reading(), site.reading() as other:
            await site.listening(2)
            other.writer.close()
            await site.listening(1)
        async with site.reading() as half:
            half.writer.write_eof()
            await site.listening(0)

    play(script)


def test_a_reader_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)

    async def script(site: Site) -> None:
        async with site.reading("?rate=10000/s") as reading:
            reading.writer.transport.pause_reading()
            while len(site.stage.tap):
                site.now += 1.0
                for _ in range(100):
                    site.ends(path=b"/" + b"x" * 2000)
                await asyncio.sleep(0.005)

    site = play(script)
    assert site.stage.told[-1][1]["left_out"] > 0


@pytest.mark.parametrize("draining", [True, False])
def test_a_port_that_closes_tells_the_end_in_full(draining: bool) -> None:
    async def script(site: Site) -> None:
        site.stage.draining = draining
        async with site.reading() as reading:
            await reading.chunk()
            site.ends()
            closing = asyncio.create_task(site.opened.close())
            assert (await reading.line())["event"] == "request"
            why = "the sidecar has drained" if draining else "the admin port has moved"
            assert (await reading.line())["ended"] == why
            assert await reading.chunk() == b""
            assert await reading.ended()
            await closing
            assert len(site.stage.tap) == 0

    play(script)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (
            "filter=statsu>=500",
            {"parameter": "filter", "position": 0, "error": "did you mean status?"},
        ),
        ("filter=status>=500%20and", {"position": 15, "error": "filter, character 16: "}),
        ("sample=10", {"parameter": "sample", "error": "sample: add a unit: write 10%"}),
        ("rate=5", {"parameter": "rate", "error": "write 5/s or 5/m"}),
        ("limit=x", {"parameter": "limit"}),
        ("format=xml", {"parameter": "format"}),
        ("fliter=a", {"parameter": "fliter", "error": "tap takes filter, sample"}),
        ("limit=1&limit=2", {"error": "each parameter may come once"}),
    ],
)
def test_what_is_not_understood_is_told(query: str, told: dict[str, Any]) -> None:
    async def script(site: Site) -> None:
        answer = await ask(site.port, f"/tap?{query}")
        assert answer.status == 422
        found = answer.json
        assert told.pop("error", "") in found["error"]
        assert told.items() <= found.items()
        assert len(site.stage.tap) == 0

    play(script)


def test_one_too_many_is_told_and_the_port_still_answers() -> None:
    async def script(site: Site) -> None:
        held = [site.reading() for _ in range(LISTENERS)]
        for each in held:
            await each.__aenter__()
        answer = await ask(site.port, "/tap")
        assert (answer.status, answer.json["error"][:16]) == (503, "8 listen already")
        assert (await ask(site.port, "/info")).status == 200
        await held[0].__aexit__(None, None, None)
        await site.listening(LISTENERS - 1)
        async with site.reading():
            pass
        for each in held[1:]:
            await each.__aexit__(None, None, None)

    play(script)


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
def test_it_is_only_read(method: str) -> None:
    async def script(site: Site) -> None:
        assert (await ask(site.port, "/tap", method)).status == 405
        assert len(site.stage.tap) == 0

    play(script)


def test_a_page_of_somewhere_else_hears_nothing() -> None:
    async def script(site: Site) -> None:
        assert (await ask(site.port, "/tap", Sec_Fetch_Site="cross-site")).status == 403
        assert (await ask(site.port, "/tap", host="evil.test")).status == 403

    play(script)
