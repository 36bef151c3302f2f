"""The same small application twice, for gunicorn and for uvicorn: writes ids down, echoes them.

`CHAOS_LOG` names the file.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from tests.chaos.checker import ID

_LOG = os.open(os.environ["CHAOS_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """For gunicorn."""
    environ["wsgi.input"].read()
    key = environ.get("HTTP_" + ID.upper().replace("-", "_"), "")
    os.write(_LOG, f"{environ['REQUEST_METHOD']} {key}\n".encode())
    start_response("200 OK", [("Content-Length", "4"), (ID, key)])
    return [b"fine"]


async def asgi(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """For uvicorn."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    key = dict(scope["headers"]).get(ID.encode(), b"")
    os.write(_LOG, f"{scope['method']} {key.decode()}\n".encode())
    headers = [(b"content-length", b"4"), (ID.encode(), key)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"fine"})
