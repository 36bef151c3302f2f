"""The page that goes on: a line for each request that ends, for as long as somebody reads.

Decides how lines are sent: gathered for a moment, with a sign of life when there are none, and
given up when the reader takes nothing or has left. What is told, and to how many, is the tap's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web

from meshproxy.control.door import HEADERS, Door
from meshproxy.control.serving import answer, refusal
from meshproxy.control.view import View
from meshproxy.telemetry.tap import CrowdedError, Listener

if TYPE_CHECKING:
    from meshproxy.core.selection import SelectionError

GATHER = 0.05
"""Seconds in which lines are gathered: at most twenty writes a second for each listener."""
ALIVE = 5.0
"""Seconds without a line after which an empty one is sent."""
PATIENCE = 300.0
"""Seconds for a reader to take anything at all: it may be a person with a pager."""

TYPES = {"json": "application/x-ndjson", "text": "text/plain"}


class Taps:
    """GET /tap?filter=...&sample=...&rate=...&limit=...&format=json|text, on one admin port."""

    __slots__ = ("_listeners", "_view")

    def __init__(self, view: View) -> None:
        self._view = view
        self._listeners: set[Listener] = set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Lines until the reader goes, has enough, or the port closes."""
        from meshproxy.core.selection import SelectionError  # a language, for who listens

        words = dict(request.query)
        if len(words) != len(request.query):
            return refusal(422, "each parameter may come once")
        awake = asyncio.Event()
        tap, tell = self._view.tap, self._view.tell
        try:
            listener = tap.join(words, awake.set)
        except SelectionError as wrong:
            return _misread(wrong)
        except CrowdedError as crowd:
            return refusal(503, str(crowd))
        self._listeners.add(listener)
        hang_up = await self._view.company.listen(words, listener.put)
        tell("tap_opened", filter=words.get("filter", ""), listeners=len(tap))
        try:
            return await _stream(self._view, request, listener, awake)
        finally:
            self._listeners.discard(listener)
            tap.leave(listener)
            hang_up()
            left_out = sum(listener.left_out)
            tell("tap_closed", told=listener.sent, left_out=left_out, listeners=len(tap))

    async def close(self, application: web.Application) -> None:  # noqa: ARG002  # its signal
        """The port closes: nobody is told anything any more."""
        why = "the sidecar has drained" if self._view.draining else "the admin port has moved"
        for listener in self._listeners:
            listener.end(why)


def _misread(wrong: SelectionError) -> web.Response:
    told: dict[str, Any] = {"error": f"{wrong.word}: {wrong}", "parameter": wrong.word}
    if wrong.position is not None:
        told["error"] = f"{wrong.word}, character {wrong.position + 1}: {wrong}"
        told["position"] = wrong.position
    return answer(told, 422)


async def _stream(
    view: View, request: web.Request, listener: Listener, awake: asyncio.Event
) -> web.StreamResponse:
    response = web.StreamResponse(headers=HEADERS)
    response.content_type = TYPES[listener.form]
    response.charset = "utf-8" if listener.form == "text" else None
    response.force_close()
    await response.prepare(request)
    door = request.transport.get_protocol() if request.transport is not None else None
    if not isinstance(door, Door):
        return response  # left already
    door.stay(lambda: listener.end("the reader has left"))
    try:
        await _send(response, listener.begin())
        while not listener.ended:
            if await _is_quiet(listener, awake):
                await _send(response, b"\n")
            await _send_all(view, response, listener)
        await _send(response, listener.last())
    except (ConnectionError, TimeoutError):
        door.abort()  # nobody reads any more: nothing that was written waits for them
    finally:
        door.finish()
    return response


async def _send_all(view: View, response: web.StreamResponse, listener: Listener) -> None:
    """Everything that waits."""
    while waiting := listener.take(view.now()):
        await _send(response, waiting)


async def _is_quiet(listener: Listener, awake: asyncio.Event) -> bool:
    """Wait for a line, and a moment for those that come right after it; whether none came."""
    try:
        async with asyncio.timeout(ALIVE):
            await awake.wait()
    except TimeoutError:
        return True
    awake.clear()
    if not listener.ended:
        await asyncio.sleep(GATHER)
    return False


async def _send(response: web.StreamResponse, piece: bytes) -> None:
    async with asyncio.timeout(PATIENCE):
        await response.write(piece)
