"""aiohttp as an origin: it answers each request with the target that it saw.

`web.Server` has no routes and no normal form of paths, so nothing stands before the parser.
"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

from tests.conformance.differential.apps.report import report


async def answer(request: web.BaseRequest) -> web.Response:
    body = await request.read()
    target = request.raw_path.encode("utf-8", "surrogateescape")
    host = request.headers.get("Host", "").encode("utf-8", "surrogateescape")
    report(request.method, target, host, body)
    return web.Response(body=target)


async def serve(port: int) -> None:
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
