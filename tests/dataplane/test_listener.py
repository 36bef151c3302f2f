"""Newcomers are let in however busy those are who came before; on real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from meshproxy.dataplane.listener import AT_ONCE, CROWD, Listener, bind
from meshproxy.dataplane.room import Room
from tests.fakes import Stage

LAG = 4
"""Turns of the loop that one who has been taken may need until it is a client."""


class Door:
    """A listener and those who came to it; they are connected by the kernel before it looks."""

    def __init__(self) -> None:
        stage = Stage()
        self.sock = bind("127.0.0.1", 0)
        self.listener = Listener(
            self.sock, stage.plan, stage.conductor, stage.time, Room(1 << 20), self._tell
        )
        self.callers: list[socket.socket] = []

    def _tell(self, event: str, **fields: object) -> None:
        raise AssertionError(event, fields)

    def come(self, count: int) -> None:
        """So many more wait at the door: none is let in before the loop turns."""
        for _ in range(count):
            self.callers.append(socket.create_connection(self.sock.getsockname()))

    async def turns_until(self, clients: int, most: int) -> int:
        """How often the loop turned until there were so many."""
        for turn in range(most):
            if len(self.listener.clients) == clients:
                return turn
            await asyncio.sleep(0)
        raise AssertionError(f"{len(self.listener.clients)} of {clients} after {most} turns")

    def close(self) -> None:
        self.listener.cut_off()
        self.sock.close()
        for caller in self.callers:
            caller.close()


def played(play: Callable[[Door, asyncio.AbstractEventLoop], Awaitable[None]]) -> None:
    async def run() -> None:
        door = Door()
        try:
            await play(door, asyncio.get_running_loop())
        finally:
            door.close()
            await asyncio.sleep(0)

    uvloop.run(run())


def test_the_more_clients_there_are_the_more_are_taken_in_one_turn() -> None:
    """A turn that a thousand busy clients fill is long: one newcomer in each would be too few."""
    crowd, more = 10 * CROWD, 220

    async def play(door: Door, loop: asyncio.AbstractEventLoop) -> None:
        await door.listener.open(loop)
        door.come(crowd)
        await door.turns_until(crowd, 2 * crowd)
        door.come(more)
        # Ten and one in each turn, and more of them the more there are.
        assert await door.turns_until(crowd + more, more) <= more // 11 + LAG

    played(play)


@pytest.mark.parametrize(("clients", "taken"), [(CROWD - 1, 0), (CROWD, 1), (10**6, AT_ONCE)])
def test_how_many_are_taken_along(clients: int, taken: int) -> None:
    async def play(door: Door, loop: asyncio.AbstractEventLoop) -> None:
        await door.listener.open(loop)
        door.come(AT_ONCE + 5)
        door.listener.clients.update(range(clients))  # type: ignore[arg-type]  # they are counted alone
        before = door.sock.fileno()
        door.listener._arrived()
        assert len(door.listener._arriving) == taken
        assert door.sock.fileno() == before
        door.listener.clients.clear()
        await door.turns_until(AT_ONCE + 5, 3 * AT_ONCE)

    played(play)


def test_who_is_taken_along_is_a_client_like_the_others() -> None:
    async def play(door: Door, loop: asyncio.AbstractEventLoop) -> None:
        await door.listener.open(loop)
        count = 4 * CROWD
        door.come(count)
        await door.turns_until(count, 2 * count)
        for caller in door.callers:
            caller.sendall(b"GET /no body here HTTP/1.1\r\n\r\n")
        for caller in door.callers:
            caller.setblocking(False)
            assert (await loop.sock_recv(caller, 12)) == b"HTTP/1.1 400"

    played(play)


def test_a_burst_upon_few_clients_is_left_for_others_to_share() -> None:
    """Of several workers, the one that wakes first must not take all of them."""

    async def play(door: Door, loop: asyncio.AbstractEventLoop) -> None:
        await door.listener.open(loop)
        door.come(CROWD)
        for turn in range(CROWD - 1):
            assert len(door.listener.clients) <= turn + 1
            await asyncio.sleep(0)

    played(play)
