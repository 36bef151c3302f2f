"""Real origins for the load scenarios: three sound ones and one that fails on a schedule.

`python -m loadtests.origins APP USERS SOUND FLAKY` (ports). A flaky answer is decided by
a count, never by chance, so that a run can be repeated.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import web
from aiohttp.web_request import BaseRequest

FAILS_EVERY = 5  # of the flaky origin's requests: one 503, then one cut connection, in turn
ITEMS = {"items": [{"id": number, "name": f"item-{number}"} for number in range(6)]}


async def sound(request: BaseRequest) -> web.StreamResponse:
    """Answers a GET with a list, and a POST with the number of bytes it read."""
    if request.method == "GET":
        fresh = {"cache-control": "max-age=1"} if request.path == "/catalog" else None
        return web.json_response(ITEMS, headers=fresh)
    return web.json_response({"stored": len(await request.read())}, status=201)


class Flaky:
    """Fails each fifth request: now with a 503, now by cutting the connection."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = 0

    async def __call__(self, request: BaseRequest) -> web.StreamResponse:
        self._count += 1
        if self._count % FAILS_EVERY:
            return await sound(request)
        if self._count % (2 * FAILS_EVERY) and request.transport is not None:
            request.transport.abort()
        return web.json_response({"error": "down"}, status=503, headers={"x-origin-failed": "1"})


async def serve(ports: list[int]) -> None:
    """Listen on loopback until killed; the last port is the flaky one."""
    for port in ports:
        server = web.Server(Flaky() if port == ports[-1] else sound, access_log=None)
        runner = web.ServerRunner(server)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve([int(text) for text in sys.argv[1:]]))
