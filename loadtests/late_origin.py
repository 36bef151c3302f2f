"""An origin that takes its time, on many loopback addresses.

`python -m loadtests.late_origin PORT MS SPREAD ADDRESSES`. An answer takes so many ms, or that
much less or more as SPREAD, 0 to 1, lets chance have it. It reads no more of a request than that
it came, so it is for GETs of a client that sends the next one when it has its answer, as a proxy
does.
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

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, spread: float) -> None:
        self._later = loop.call_later
        self._least, self._more = seconds * (1.0 - spread), 2.0 * seconds * spread
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until connected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:  # whatever it was
        self._later(self._least + self._more * draw(), self._transport.write, ANSWER)


async def serve(port: int, seconds: float, spread: float, count: int) -> None:
    """Listen until killed."""
    loop = asyncio.get_running_loop()
    hosts = [address.rpartition(":")[0] for address in addresses(count, port)]
    server = await loop.create_server(
        lambda: Connection(loop, seconds, spread), hosts, port, backlog=4096
    )
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    given = sys.argv[1:]
    uvloop.run(serve(int(given[0]), int(given[1]) / 1000, float(given[2]), int(given[3])))
