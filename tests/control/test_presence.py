"""Who refuses connections is gone; whoever does anything else is there."""

from __future__ import annotations

import asyncio
import socket

from meshproxy.control.presence import Presence, refused


def listening() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


def test_one_that_listens_is_there_until_it_does_not() -> None:
    async def script() -> None:
        with listening() as sock:
            port = sock.getsockname()[1]
            assert not await refused("127.0.0.1", port)
        assert await refused("127.0.0.1", port)
        presence = Presence("127.0.0.1", port)
        assert not presence.gone(), "nothing was asked yet"
        async with asyncio.timeout(5.0):
            while not presence.gone():
                await asyncio.sleep(0.001)
        presence.end()

    asyncio.run(script())


def test_a_name_that_is_not_found_says_nothing() -> None:
    assert not asyncio.run(refused("no-such-host.invalid", 80))
