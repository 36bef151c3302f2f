"""Callers who misbehave beside the load of a soak: `python -m loadtests.soak_chaos PORT RATE`.

They leave at every point where one can leave, and say what is no HTTP. What they get back is
nobody's business here: that nothing is left of them is what the soak looks at.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import sys

HEAD = b"GET /64k HTTP/1.1\r\nHost: good\r\nx-client-id: chaos\r\n"
UPLOAD = b"POST /small HTTP/1.1\r\nHost: good\r\nContent-Length: 100000\r\n\r\n"
NO_LINGER = struct.pack("ii", 1, 0)

DEEDS: tuple[tuple[bytes, int], ...] = (
    (b"", 0),  # connects and leaves
    (HEAD, 0),  # leaves within the head
    (HEAD + b"\r\n", 0),  # leaves before the answer
    (HEAD + b"\r\n", 1000),  # leaves within the answer
    (UPLOAD + b"x" * 5000, 0),  # leaves within its own body
    (b"GET /small HTTP/1.1\r\nHost: shaky\r\n\r\n", 0),
    ((HEAD + b"\r\n") * 3, 70_000),  # leaves in the middle of a pipeline
    (b"GET / HTTP/9.9\r\n\r\n", 100),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 100),
    (b"POST /small HTTP/1.1\r\nHost: good\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 100),
)
"""What is sent, and how many bytes of an answer are read before the connection is reset."""


async def misbehave(port: int, sent: bytes, read: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        if read:
            async with asyncio.timeout(5.0):
                await reader.readexactly(read)
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        pass
    finally:
        plug: socket.socket = writer.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        writer.transport.abort()


async def chaos(port: int, rate: float) -> None:
    """So many of them per second, in turn, until the process is ended."""
    running: set[asyncio.Task[None]] = set()
    for sent, read in itertools.cycle(DEEDS):
        await asyncio.sleep(1.0 / rate)
        if len(running) > 200:
            continue
        task = asyncio.create_task(misbehave(port, sent, read))
        running.add(task)
        task.add_done_callback(running.discard)


if __name__ == "__main__":
    asyncio.run(chaos(int(sys.argv[1]), float(sys.argv[2])))
