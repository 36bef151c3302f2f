"""A TCP relay that does to connections what networks do: slows, cuts, swallows, resets.

What happens to each direction is a record that a test may replace while bytes flow. It knows
nothing of HTTP. It runs in a thread of its own; the words are those of toxiproxy.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tests.e2e.harness.ports import LOOPBACK, free_port

_AT_ONCE = 65536
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Toxics:
    """One direction of every connection; the defaults let all pass at once.

    `limit` and `reset` are bytes of one connection after which it ends, with FIN or with RST.
    """

    latency: float = 0.0  # seconds by which each piece is held back
    bandwidth: int = 0  # bytes per second
    slices: int = 0  # bytes in one segment
    limit: int | None = None
    reset: int | None = None
    swallow: bool = False  # nothing passes any more, and nobody is told
    slow_close: float = 0.0  # seconds by which the end is held back

    @property
    def most(self) -> int | None:
        """Bytes that one connection may carry."""
        return self.limit if self.reset is None else self.reset


CLEAN = Toxics()


class Relay:
    """Listens on a loopback port and passes on what comes to `target`, as `up` and `down` say.

    `up` is towards the target, `down` away from it; both hold for open connections as well.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self.port = free_port()
        self.up = self.down = CLEAN
        self.accepted = 0
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.mend()

    @classmethod
    @contextmanager
    def running(cls, target: str) -> Iterator[Relay]:
        relay = cls(target)
        try:
            yield relay
        finally:
            relay.close()

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def links(self) -> int:
        """Connections that are open now."""
        return len(self._links)

    def cut(self) -> None:
        """Refuse new connections and reset the open ones."""
        self._there(self._cut())

    def mend(self) -> None:
        """Accept again, and let all pass."""
        self.up = self.down = CLEAN
        self._there(self._listen())

    def reset_all(self) -> None:
        """Reset what is open; new connections are welcome."""
        self._there(self._end_links())

    def close(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _there(self, doing: Coroutine[Any, Any, None]) -> None:
        """Do it in the relay's thread, and wait until it is done."""
        asyncio.run_coroutine_threadsafe(doing, self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._serve, LOOPBACK, self.port, backlog=1024
            )

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._end_links()

    async def _end_links(self) -> None:
        while self._links:
            tasks = [link.task for link in self._links]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        link = _Link(task, [writer])
        self._links.add(link)
        try:
            there, onward = await asyncio.open_connection(*self._target)
            link.sides.append(onward)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(link, reader, onward, lambda: self.up))
                both.create_task(_pump(link, there, writer, lambda: self.down))
        except* (OSError, _EndedError):
            pass
        except* asyncio.CancelledError:
            link.reset = True
        finally:
            link.end()
            self._links.discard(link)


class _EndedError(Exception):
    """A toxic has ended the connection."""


@dataclass(eq=False, slots=True)
class _Link:
    """One connection: its task and its two sides."""

    task: asyncio.Task[None]
    sides: list[asyncio.StreamWriter]
    reset: bool = False

    def end(self) -> None:
        for side in self.sides:
            if self.reset:
                plug: socket.socket = side.get_extra_info("socket")
                with suppress(OSError):  # it has ended by itself meanwhile
                    plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                side.transport.abort()
            side.close()


async def _pump(
    link: _Link,
    source: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
    toxics: Callable[[], Toxics],
) -> None:
    """Pass one direction on to its end."""
    passed = 0
    while data := await source.read(_AT_ONCE):
        now = toxics()
        if now.swallow:
            continue
        await asyncio.sleep(now.latency)
        most = now.most
        data = data if most is None else data[: max(0, most - passed)]
        await _pass_on(data, sink, now)
        passed += len(data)
        if most is not None and passed >= most:
            link.reset = now.reset is not None
            raise _EndedError
    await asyncio.sleep(toxics().slow_close)
    if not toxics().swallow:
        sink.write_eof()


async def _pass_on(data: bytes, sink: asyncio.StreamWriter, toxics: Toxics) -> None:
    size = toxics.slices or max(1, toxics.bandwidth // 50) if toxics.bandwidth else toxics.slices
    for start in range(0, len(data), size or _AT_ONCE):
        piece = data[start : start + (size or _AT_ONCE)]
        sink.write(piece)
        await sink.drain()
        await asyncio.sleep(len(piece) / toxics.bandwidth if toxics.bandwidth else 0.0)
