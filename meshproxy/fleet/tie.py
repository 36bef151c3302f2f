"""A worker's end of the line to its supervisor, on the worker's event loop.

Questions have numbers, and so have their answers; whoever asks gets a future. That the line
breaks means that the supervisor is gone: the worker is told once, and ends in good order.
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
        self._tasks: set[asyncio.Task[None]] = set()
        self._next = 0
        self._lost: Callable[[], None] = lambda: None

    def open(self, handlers: Mapping[str, Handler], lost: Callable[[], None]) -> None:
        """From now on: who answers which `do`, and who is told when the supervisor is gone."""
        self._handlers = dict(handlers)
        self._lost = lost
        self._loop.add_reader(self._channel.fileno(), self._readable)

    def close(self) -> None:
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
        """The same without an answer."""
        self._send({"do": do, **more})

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
        task = self._loop.create_task(self._answer(message, files))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Message, files: list[int]) -> None:
        answer = await self._handlers[message["do"]](message, files)
        if "id" in message:
            self._send({"re": message["id"], **answer})

    def _gone(self) -> None:
        self._loop.remove_reader(self._channel.fileno())
        for future in self._asked.values():
            if not future.done():
                future.set_exception(ClosedError())
        lost, self._lost = self._lost, lambda: None
        lost()
