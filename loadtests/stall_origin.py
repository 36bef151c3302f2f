"""The origin behind the stall trials: what it answers depends on the path alone.

`python -m loadtests.stall_origin PORT`. It streams with back-pressure, so that `/stats` can
say how far a paused upstream got. Its send buffers are small: filling those of hundreds of
connections would keep it busy, and it must never be in the way itself.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import cast

import httptools
import uvloop

BIG = 50_000_000
PIECE = b"x" * 65536
SMALL = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BIG_HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % BIG
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

ANSWERS = {
    b"/interim": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 10_000 + SMALL,
    b"/trailers": CHUNKED + b"1\r\nx\r\n0\r\n" + b"x-trailer: yyyyyyyy\r\n" * 100_000 + b"\r\n",
    b"/chunks": CHUNKED + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n",
    b"/begun": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun",
    b"/silent": b"",
}

totals = {"requests": 0, "big_sent": 0, "body_read": 0, "connections": 0}


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests come one after the other."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until connected
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._left = 0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(PIECE))
        totals["connections"] += 1

    def connection_lost(self, exc: Exception | None) -> None:  # FIN or RST alike
        self._left = 0
        totals["connections"] -= 1

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_url(self, url: bytes) -> None:
        self._target = url

    def on_body(self, body: bytes) -> None:
        totals["body_read"] += len(body)

    def on_message_complete(self) -> None:
        totals["requests"] += 1
        if self._target == b"/big":
            self._left = 0 if self._parser.get_method() == b"HEAD" else BIG
            self._transport.write(BIG_HEAD)
            self._pump()
        elif self._target == b"/stats":
            body = json.dumps(totals).encode()
            head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
            self._transport.write(head + body)
        else:
            self._transport.write(ANSWERS.get(self._target, SMALL))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pump()

    def _pump(self) -> None:
        while self._left and not self._paused:
            piece = PIECE[: min(self._left, len(PIECE))]
            self._left -= len(piece)
            totals["big_sent"] += len(piece)
            self._transport.write(piece)


async def serve(port: int) -> None:
    """Listen on loopback until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
