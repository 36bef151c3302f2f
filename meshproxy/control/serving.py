"""aiohttp as both ports of the control side use it: JSON answers, one guard, one way to open.

Knows nothing of what is shown. No access log and no server banner; every error is JSON, and a
browser is heard only where the user has typed the address.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from meshproxy.control.door import HEADERS, Door, Room
from meshproxy.control.view import View

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

GOODBYE = 1.0
"""Seconds a scrape or a question in flight gets when the port closes."""

_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_OWN_NAME = re.compile(
    rf"(?:localhost|127(?:\.{_OCTET}){{3}}|\[::1\])(?::[0-9]{{1,5}})?", re.ASCII | re.IGNORECASE
)


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


# Who may ask


def is_own_name(host: str) -> bool:
    """Whether a Host field is a loopback name; any other was led here by DNS (rebinding)."""
    return _OWN_NAME.fullmatch(host) is not None


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that a page of somewhere else asks (Fetch standard, Origin)."""
    origin = headers.get("Origin")
    if origin is not None and origin.lower() != f"http://{headers.get('Host', '').lower()}":
        return True
    return headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")


def came_by_loopback(request: web.Request) -> bool:
    """Whether the connection ends at a loopback address of this machine."""
    address = str((request.get_extra_info("sockname") or ("",))[0])
    return address.removeprefix("::ffff:").startswith("127.") or address == "::1"


def stranger(request: web.Request) -> web.Response | None:
    """What whoever is not heard is told; None for all others."""
    if came_by_loopback(request) and not is_own_name(request.headers.get("Host", "")):
        return refusal(403, "Host must be localhost or a loopback address, as in 127.0.0.1:15000")
    if is_foreign(request.headers):
        return refusal(403, "requests from another origin's page are refused")
    return None


def manners(view: View) -> Any:
    """The outermost middleware of both ports: no strangers, errors as JSON, one answer each."""

    @web.middleware
    async def manners(request: web.Request, handler: Answer) -> web.StreamResponse:
        try:
            response = stranger(request) or await handler(request)
        except web.HTTPException as error:
            # aiohttp's own refusals (404, 405, 413) in the shape of all others.
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            response = refusal(error.status, f"{request.method}: {error.reason}", allow)
        except Exception as error:  # noqa: BLE001  # whatever it is, the log stays one line
            view.bugs.caught(error, page=request.path)
            response = refusal(500, "a bug in meshproxy: its log says more")
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.force_close()
        return response

    return manners


def take_time(request: web.Request, seconds: float) -> None:
    """The door must not be shut on an answer that takes so long by what was asked."""
    door = request.transport.get_protocol() if request.transport is not None else None
    if isinstance(door, Door):
        door.take_time(seconds)


class _Complaints:
    """What aiohttp takes for its log: its bugs are ours to tell, the rest is not of interest."""

    def __init__(self, caught: Callable[..., None]) -> None:
        self._caught = caught

    def exception(self, message: str, *words: object, exc_info: Any = None, **_: Any) -> None:
        detail = message % words if words else message
        error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
        self._caught(error if isinstance(error, BaseException) else detail, detail=detail)

    error = exception

    def debug(self, *_: Any, **__: Any) -> None:
        pass

    info = warning = debug


class Port:
    """One application on one listening socket, which it owns from `open` on.

    `caught` is told of bugs.
    """

    __slots__ = ("_room", "_runner", "_server")

    def __init__(self, application: web.Application, caught: Callable[..., None]) -> None:
        self._runner = web.AppRunner(
            application,
            access_log=None,
            logger=_Complaints(caught),
            auto_decompress=False,
            handle_signals=False,
            keepalive_timeout=GOODBYE,
            lingering_time=GOODBYE,
            shutdown_timeout=GOODBYE,
        )
        self._room: Room | None = None
        self._server: asyncio.Server | None = None

    async def open(self, sock: socket.socket) -> None:
        """Begin to answer on a bound socket."""
        await self._runner.setup()
        make = self._runner.server
        assert make is not None  # noqa: S101  # `setup` has made it
        loop = asyncio.get_running_loop()
        self._room = room = Room(loop, make)
        self._server = await loop.create_server(lambda: Door(room), sock=sock)

    def deafen(self) -> None:
        """Accept no more."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Stop, after at most GOODBYE seconds."""
        if self._server is not None:
            self._server.close()
        if self._room is not None:
            self._room.close()
        await self._runner.cleanup()
