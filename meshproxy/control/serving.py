"""aiohttp as both ports of the control side use it: JSON answers, one guard, one way to open.

Knows nothing of what is shown. No access log and no server banner; every error is JSON.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

GOODBYE = 1.0
"""Seconds a scrape or a question in flight gets when the port closes."""
KEEP_ALIVE = 30.0

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "meshproxy"}
_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Plain data as indented JSON, ending in a newline so that a shell's prompt stays whole."""
    return web.Response(
        body=orjson.dumps(body, default=str, option=_OPTIONS),
        status=status,
        content_type="application/json",
        headers=headers,
    )


def refusal(status: int, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return answer({"error": detail}, status, headers)


@web.middleware
async def plain_errors(request: web.Request, handler: Answer) -> web.StreamResponse:
    """aiohttp's own refusals (404, 405, 413) in the shape of all others."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        response = refusal(error.status, f"{request.method} {request.path}: {error.reason}", allow)
    response.headers.update(HEADERS)
    return response


class Port:
    """One application on one listening socket, which it owns from `open` on."""

    __slots__ = ("_runner",)

    def __init__(self, application: web.Application) -> None:
        self._runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=KEEP_ALIVE,
            shutdown_timeout=GOODBYE,
        )

    async def open(self, sock: socket.socket) -> None:
        """Begin to answer on a bound socket."""
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()

    async def close(self) -> None:
        """Stop, after at most GOODBYE seconds."""
        await self._runner.cleanup()
