"""`GET /live`: what happens, once per interval, for as long as somebody listens.

Server-sent events (HTML standard, section 9.2), each one JSON document of `observer`. Those who
ask for the same interval hear the same event, computed once; where nobody listens nothing is
computed. A reader that does not keep up is dropped.
"""

from __future__ import annotations

import asyncio

import orjson
from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from meshproxy.control.door import HEADERS, Door
from meshproxy.control.observer import Observer
from meshproxy.control.serving import refusal
from meshproxy.control.view import View
from meshproxy.core.fields import Duration

LISTENERS = 8
"""At once: a few terminals and a few pages."""
LEAST, MOST = 0.25, 60.0
"""Seconds between two events."""
BEHIND = 4
"""Events that wait for a reader, besides what the kernel holds for it."""

FIELDS = {"Content-Type": "text/event-stream; charset=utf-8"}
RETRY = b"retry: 1000\n"
"""Milliseconds after which a browser asks again."""

_every: TypeAdapter[float] = TypeAdapter(Duration)


class Listener:
    """Somebody who is told; `events` is what is still to be sent, None the end."""

    __slots__ = ("_request", "events")

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.events: asyncio.Queue[bytes | None] = asyncio.Queue(BEHIND)

    async def hear(self, response: web.StreamResponse) -> None:
        """Send what comes, until that ends or the reader goes."""
        while (event := await self.events.get()) is not None:
            await response.write(event)

    def tell(self, event: bytes) -> bool:
        """False, and the connection is cut, if it has not taken those before."""
        if self.events.full():
            self.drop()
            return False
        self.events.put_nowait(event)
        return True

    def end(self) -> None:
        """Nothing comes any more."""
        if self.events.full():
            self.drop()
        else:
            self.events.put_nowait(None)

    def drop(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()


class Round:
    """One interval: who hears it, and the observer that looks for all of them."""

    __slots__ = ("listeners", "observer", "seconds", "task", "view")

    def __init__(self, view: View, seconds: float) -> None:
        self.view = view
        self.seconds = seconds
        self.observer = Observer(view)
        self.listeners: set[Listener] = set()
        self.task: asyncio.Task[None] | None = None

    def join(self, listener: Listener) -> None:
        """What is known comes at once; from then on the same as for all others."""
        if self.task is None:
            event = spelled(self.observer)
            self.task = asyncio.create_task(self._go())
        else:
            event = spelled(Observer(self.view, self.observer.failure))
        listener.tell(RETRY + event)
        self.listeners.add(listener)

    async def _go(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self.seconds
        while True:
            await asyncio.sleep(due - loop.time())
            # After a pause of the whole process comes one event, not all that were missed.
            due = max(due + self.seconds, loop.time())
            await self.view.company.gather()
            event = spelled(self.observer)
            for listener in tuple(self.listeners):
                if not listener.tell(event):
                    self.listeners.discard(listener)
                    self.view.tell("live_reader_dropped", why="it does not keep up", once_per=60.0)


class Live:
    """All who listen on one admin port."""

    __slots__ = ("_listening", "_rounds", "_view")

    def __init__(self, view: View) -> None:
        self._view = view
        self._rounds: dict[float, Round] = {}
        self._listening = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Events until the reader or the port goes."""
        seconds = interval(request)
        if isinstance(seconds, str):
            return refusal(422, seconds)
        if self._listening >= LISTENERS:
            return refusal(503, f"{LISTENERS} readers listen already, and more there may not be")
        self._listening += 1
        try:
            return await self._listen(request, seconds)
        finally:
            self._listening -= 1

    async def _listen(self, request: web.Request, seconds: float) -> web.StreamResponse:
        response = web.StreamResponse(headers={**HEADERS, **FIELDS})
        response.force_close()
        listener = Listener(request)
        await self._view.company.gather()
        one = self._rounds.get(seconds)
        if one is None:
            one = self._rounds[seconds] = Round(self._view, seconds)
        one.join(listener)
        try:
            await response.prepare(request)
            door = request.transport.get_protocol() if request.transport is not None else None
            if isinstance(door, Door):
                # This answer has no end of its own: the door must not wait for one.
                door.stay(listener.end)
                await listener.hear(response)
                door.finish()
        except ConnectionError:
            pass  # it has left
        finally:
            one.listeners.discard(listener)
            self._end_empty()
        return response

    def _end_empty(self) -> None:
        """Where nobody listens nothing is computed."""
        for seconds, one in tuple(self._rounds.items()):
            if not one.listeners and one.task is not None:
                one.task.cancel()
                del self._rounds[seconds]

    async def close(self, application: web.Application) -> None:  # noqa: ARG002  # its signal
        """The port closes: nobody is told anything any more."""
        for one in self._rounds.values():
            for listener in one.listeners:
                listener.end()


def interval(request: web.Request) -> float | str:
    """Seconds between two events, or what is wrong with the question."""
    if request.query.keys() - {"every"}:
        return "/live takes every=INTERVAL and nothing else, as in /live?every=1s"
    try:
        seconds = _every.validate_python(request.query.get("every", "1s"))
    except ValidationError as error:
        return f"every: {error.errors()[0]['msg']}"
    if not LEAST <= seconds <= MOST:
        return f"every: from 250ms to 60s, got {request.query['every']}"
    return seconds


def spelled(observer: Observer) -> bytes:
    """The event of a look at this moment."""
    return b"data: %b\n\n" % orjson.dumps(observer.look(), default=str)
