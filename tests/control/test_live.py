"""Events come to whoever listens, once computed, for as long as the reader keeps up."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from meshproxy.control import live, serving
from meshproxy.control.admin import admin_application
from meshproxy.control.door import HEADERS
from meshproxy.control.live import LISTENERS
from meshproxy.control.serving import Port

from .ports import ask
from .traffic import Busy, exchange


class Reader:
    """One who listens."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.head = b""

    async def event(self) -> dict[str, Any]:
        """The next event's data; raises IncompleteReadError at the end."""
        raw = await asyncio.wait_for(self._reader.readuntil(b"\n\n"), 10)
        (data,) = [line for line in raw.split(b"\n") if line.startswith(b"data: ")]
        found: dict[str, Any] = json.loads(data[6:])
        return found

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self._reader.read(), 10)

    def leave(self) -> None:
        self._writer.transport.abort()


class Scene:
    """An open port and who listens there."""

    def __init__(self, view: Busy, address: tuple[str, int], port: Port) -> None:
        self.view = view
        self.address = address
        self.port = port
        self.readers: list[Reader] = []

    async def listen(self, query: str = "?every=250ms", limit: int = 2**16) -> Reader:
        reader, writer = await asyncio.open_connection(*self.address, limit=limit)
        made = Reader(reader, writer)
        self.readers.append(made)
        writer.write(f"GET /live{query} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        made.head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        return made


@asynccontextmanager
async def scene(view: Busy) -> Any:
    sock = socket.create_server(("127.0.0.1", 0))
    port = Port(admin_application(view), view.tell)
    await port.open(sock)
    made = Scene(view, sock.getsockname()[:2], port)
    try:
        yield made
    finally:
        await port.close()
        for reader in made.readers:
            reader.leave()
        assert [event for event, _ in view.told if event == "bug"] == []


def play(script: Callable[[Scene], Awaitable[None]], view: Busy | None = None) -> None:
    async def whole() -> None:
        async with scene(view or Busy()) as made:
            await script(made)

    asyncio.run(whole())


async def eventually(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not look():
            await asyncio.sleep(0.01)


def rounds() -> int:
    """How many go on."""
    coroutines = [task.get_coro() for task in asyncio.all_tasks()]
    return sum(getattr(one, "__qualname__", "") == "Round._go" for one in coroutines)


def test_the_first_event_comes_at_once_and_then_one_per_interval() -> None:
    async def script(scene: Scene) -> None:
        scene.view.ends("inbound", "GET /a", *[exchange()] * 5)
        # A minute would pass before the next one.
        reader = await scene.listen("?every=60s")
        assert (await reader.event())["routes"][1]["requests"] == 5
        reader = await scene.listen()
        assert (await reader.event())["routes"][1]["requests"] == 5
        scene.view.ends("inbound", "GET /a", exchange(), exchange(500))
        assert (await reader.event())["routes"][1]["requests"] == 2
        assert (await reader.event())["routes"][1]["requests"] == 0

    play(script)


def test_it_is_a_stream_of_events_with_the_manners_of_all_pages() -> None:
    async def script(scene: Scene) -> None:
        head = (await scene.listen()).head.decode().lower()
        assert head.startswith("http/1.0 200 ")
        assert "content-type: text/event-stream; charset=utf-8\r\n" in head
        for name, value in HEADERS.items():
            assert f"{name}: {value}\r\n".lower() in head

    play(script)


def test_those_who_ask_for_the_same_interval_hear_the_same_event() -> None:
    async def script(scene: Scene) -> None:
        readers = [await scene.listen() for _ in range(3)]
        for reader in readers:
            await reader.event()
        told = [await reader.event() for reader in readers]
        assert told[0] == told[1] == told[2]

    play(script)


def test_whoever_comes_later_hears_each_failure_once() -> None:
    async def script(scene: Scene) -> None:
        recent = scene.view.recent
        recent.add({"time": "t", "reason": "UF", "path": "/0"})
        early = await scene.listen()
        assert [one["path"] for one in (await early.event())["failures"]] == ["/0"]
        recent.add({"time": "t", "reason": "UF", "path": "/1"})
        late = await scene.listen()
        heard = [one["path"] for one in (await late.event())["failures"]]
        heard += [one["path"] for one in (await late.event())["failures"]]
        assert heard == ["/0", "/1"]

    play(script)


def test_nothing_is_computed_where_nobody_listens() -> None:
    async def script(scene: Scene) -> None:
        assert rounds() == 0
        reader = await scene.listen()
        await reader.event()
        assert rounds() == 1
        reader.leave()
        await eventually(lambda: not rounds())

    play(script)


def test_so_many_may_listen_and_one_who_leaves_makes_room() -> None:
    async def script(scene: Scene) -> None:
        readers = [await scene.listen(f"?every={250 + n}ms") for n in range(LISTENERS)]
        told = await ask(scene.address[1], "/live")
        assert (told.status, f"{LISTENERS} readers" in told.json["error"]) == (503, True)
        readers[0].leave()
        heads: list[bytes] = []

        async def again() -> bool:
            reader = await scene.listen()
            heads.append(reader.head)
            return b" 200 " in reader.head

        async with asyncio.timeout(10):
            while not await again():
                await asyncio.sleep(0.05)

    play(script)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?every=100ms", "from 250ms to 60s"),
        ("?every=61s", "from 250ms to 60s"),
        ("?every=1", "1s"),
        ("?every=", ""),
        ("?each=1s", "every="),
        ("?every=1s&x=1", "every="),
    ],
)
def test_an_interval_that_cannot_be_is_refused(query: str, said: str) -> None:
    async def script(scene: Scene) -> None:
        told = await ask(scene.address[1], f"/live{query}")
        assert told.status == 422
        assert said in told.json["error"]

    play(script)


def test_a_stranger_hears_nothing() -> None:
    async def script(scene: Scene) -> None:
        port = scene.address[1]
        assert (await ask(port, "/live", host="evil.test")).status == 403
        assert (await ask(port, "/live", Origin="http://evil.test")).status == 403
        assert (await ask(port, "/live", "HEAD")).status == 405
        assert (await ask(port, "/live", "POST")).status == 405

    play(script)


def test_a_port_that_closes_ends_every_stream_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "GOODBYE", 60.0)

    async def script(scene: Scene) -> None:
        readers = [await scene.listen("?every=60s"), await scene.listen("?every=50s")]
        for reader in readers:
            await reader.event()
        await asyncio.wait_for(scene.port.close(), 20)  # no handler had to be waited for
        for reader in readers:
            assert await reader.rest() == b""
        assert rounds() == 0

    play(script)


def test_a_reader_that_does_not_keep_up_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others go on. The kernel's own room is filled first, by large events."""
    monkeypatch.setattr(live, "LEAST", 0.001)

    class Large(Busy):
        def stats(self) -> Any:
            return {"connections": {f"listener-{n}": n for n in range(20_000)}}

    async def script(scene: Scene) -> None:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(scene.address)
        slow.sendall(b"GET /live?every=5ms HTTP/1.0\r\nHost: localhost\r\n\r\n")
        good = await scene.listen("?every=500ms", limit=2**22)
        with slow:
            dropped = "live_reader_dropped"
            await eventually(lambda: dropped in [event for event, _ in scene.view.told])
            await good.event()
            await good.event()
            assert rounds() == 1

    play(script, Large())


def test_a_reader_that_closes_its_side_is_gone() -> None:
    async def script(scene: Scene) -> None:
        reader = await scene.listen("?every=60s")
        await reader.event()
        reader._writer.write_eof()
        await eventually(lambda: not rounds())

    play(script)


def test_a_browser_gets_chunks_and_a_time_after_which_to_come_again() -> None:
    async def script(scene: Scene) -> None:
        reader, writer = await asyncio.open_connection(*scene.address)
        writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        raw = await asyncio.wait_for(reader.readuntil(b"\n\n"), 10)
        head, _, rest = raw.partition(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head.lower()
        assert rest.partition(b"\r\n")[2].startswith(b"retry: 1000\ndata: {")
        writer.transport.abort()

    play(script)
