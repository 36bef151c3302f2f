"""A worker's end of the line to its supervisor, on the worker's event loop.

What comes is handled one after the other, in its order. Questions have numbers, and so have their
answers; whoever asks gets a future. That the line breaks means that the supervisor is gone: the
worker is told once, and ends in good order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from meshproxy.fleet.channel import Channel, ClosedError

Message = dict[str, Any]
Handler = Callable[[Message, list[int]], Awaitable[Mapping[str, Any]]]


class Tie:
    """Asks, answers, and knows when nobody is there any more."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        self._channel = channel
        self._loop = loop
        self._asked: dict[int, asyncio.Future[Message]] = {}
        self._handlers: dict[str, Handler] = {}
        self._came: asyncio.Queue[tuple[Message, list[int]]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._next = 0
        self._lost: Callable[[], None] = lambda: None
        self._caught: Callable[[Exception], None] = lambda _: None

    def open(
        self, handlers: Mapping[str, Handler], lost: Callable[[], None],
        caught: Callable[[Exception], None],
    ) -> None:  # fmt: skip
        """From now on: who answers which `do`, who hears that the supervisor is gone, and bugs."""
        self._handlers = dict(handlers)
        self._lost = lost
        self._caught = caught
        self._task = self._loop.create_task(self._work())
        self._loop.add_reader(self._channel.fileno(), self._readable)

    def close(self) -> None:
        """Say what is left to say as far as it is taken, and hang up."""
        if self._task is not None:
            self._task.cancel()
        if self._channel.fileno() >= 0:
            self._loop.remove_reader(self._channel.fileno())
            self._loop.remove_writer(self._channel.fileno())
        self._channel.close()

    async def ask(self, do: str, **more: Any) -> Message:
        """One question to the supervisor. Raises ClosedError when it is gone."""
        self._next += 1
        future = self._asked[self._next] = self._loop.create_future()
        try:
            self._send({"do": do, "id": self._next, **more})
            answer: Message = await future
            return answer
        finally:
            self._asked.pop(self._next, None)

    def tell(self, do: str, **more: Any) -> None:
        """The same without an answer; that nobody is there any more is told otherwise."""
        try:
            self._send({"do": do, **more})
        except ClosedError:
            pass

    def _send(self, message: Message) -> None:
        self._channel.send(message)
        if self._channel.unsent:
            self._loop.add_writer(self._channel.fileno(), self._writable)

    def _writable(self) -> None:
        try:
            self._channel.flush()
        except ClosedError:
            self._gone()
            return
        if not self._channel.unsent:
            self._loop.remove_writer(self._channel.fileno())

    def _readable(self) -> None:
        try:
            for message, files in self._channel.receive():
                self._take(message, files)
        except ClosedError:
            self._gone()

    def _take(self, message: Message, files: list[int]) -> None:
        answered = message.get("re")
        if answered is not None:
            future = self._asked.get(answered)
            if future is not None and not future.done():
                future.set_result(message)
            return
        self._came.put_nowait((message, files))

    async def _work(self) -> None:
        while True:
            message, files = await self._came.get()
            try:
                answer = await self._handlers[message["do"]](message, files)
            except Exception as error:  # noqa: BLE001  # whoever asked waits for an answer
                self._caught(error)
                answer = {"error": f"{type(error).__name__}: {error}"}
            if "id" in message:
                try:
                    self._send({"re": message["id"], **answer})
                except ClosedError:
                    return

    def _gone(self) -> None:
        self._loop.remove_reader(self._channel.fileno())
        for future in self._asked.values():
            if not future.done():
                future.set_exception(ClosedError())
        lost, self._lost = self._lost, lambda: None
        lost()
