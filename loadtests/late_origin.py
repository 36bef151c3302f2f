"""An origin that takes its time, on many loopback addresses: so many ms on average.

`python -m loadtests.late_origin PORT MS ADDRESSES`. How long one answer takes is drawn, from
nothing to twice that, as no service takes equally long for all. It reads no more of a request
than that it came, so it is for GETs of a client that sends the next one when it has its answer,
as a proxy does.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
from typing import cast

import uvloop

from loadtests.shapes import addresses

BODY = b'{"items":["' + b"x" * 246 + b'"]}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: late\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s"
) % (len(BODY), BODY)

draw = random.Random(1).random


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._later, self._seconds = loop.call_later, seconds
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until connected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:  # whatever it was
        self._later(2.0 * self._seconds * draw(), self._transport.write, ANSWER)


async def serve(port: int, seconds: float, count: int) -> None:
    """Listen until killed."""
    loop = asyncio.get_running_loop()
    hosts = [address.rpartition(":")[0] for address in addresses(count, port)]
    server = await loop.create_server(lambda: Connection(loop, seconds), hosts, port, backlog=4096)
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]) / 1000, int(sys.argv[3])))
