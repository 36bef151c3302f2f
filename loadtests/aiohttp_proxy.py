"""A plain reverse proxy of aiohttp's own parts, with nothing else on.

What the usual Python answer costs: `web.Server` in front, `ClientSession` behind.
Small answers go out whole, larger ones are streamed. It decides nothing; hop-by-hop
fields are left out, no more.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import ClientResponse, ClientSession, TCPConnector, web
from aiohttp.web_request import BaseRequest
from multidict import CIMultiDict

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "upgrade"})
WHOLE = 64 * 1024  # bytes: answers known to be this small are read, then written at once


class Proxy:
    """Sends everything it gets to one origin."""

    __slots__ = ("_origin", "_session")

    def __init__(self, session: ClientSession, origin: str) -> None:
        self._session, self._origin = session, origin

    async def __call__(self, request: BaseRequest) -> web.StreamResponse:
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP]
        body = request.content if request.body_exists else None
        async with self._session.request(
            request.method,
            self._origin + request.raw_path,
            headers=headers,
            data=body,
            allow_redirects=False,
        ) as upstream:
            return await _relay(request, upstream)


async def _relay(request: BaseRequest, upstream: ClientResponse) -> web.StreamResponse:
    headers = CIMultiDict(
        (k, v) for k, v in upstream.headers.items() if k.lower() not in HOP_BY_HOP
    )
    if upstream.content_length is not None and upstream.content_length <= WHOLE:
        whole = await upstream.read()
        return web.Response(status=upstream.status, body=whole, headers=headers)
    answer = web.StreamResponse(status=upstream.status, headers=headers)
    await answer.prepare(request)
    async for piece in upstream.content.iter_any():
        await answer.write(piece)
    await answer.write_eof()
    return answer


async def serve(port: int, origin: str) -> None:
    """Listen on loopback until killed."""
    connector = TCPConnector(limit=0)
    async with ClientSession(connector=connector, auto_decompress=False) as session:
        runner = web.ServerRunner(web.Server(Proxy(session, origin), access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
