"""Both ports open where the file says, move when it says so, and nobody's answer is lost."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from meshproxy.control.ports import Place, Ports
from meshproxy.control.reload import Outcome, Reason

from .ports import Stage, ask


class Bound:
    """Binds for real, and remembers what it bound."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def __call__(self, host: str, port: int) -> socket.socket:
        sock = socket.create_server((host, port))
        sock.setblocking(False)
        self.sockets.append(sock)
        return sock

    def port(self, index: int) -> int:
        number: int = self.sockets[index].getsockname()[1]
        return number


def run(script: Callable[[Ports, Bound, Stage], Awaitable[None]]) -> None:
    async def whole() -> None:
        bound, stage = Bound(), Stage()
        ports = Ports(stage, bound)
        try:
            await script(ports, bound, stage)
        finally:
            await ports.close()

    asyncio.run(whole())


async def turn(ports: Ports, wanted: dict[str, Place]) -> None:
    """One reload, as the app does it."""
    await ports.swap(ports.prepare(wanted))


BOTH: dict[str, Place] = {"metrics": ("127.0.0.1", 0), "admin": ("localhost", 0)}


def test_each_port_answers_its_own_questions() -> None:
    async def script(ports: Ports, bound: Bound, stage: Stage) -> None:
        await turn(ports, BOTH)
        assert (await ask(bound.port(0), "/livez")).status == 200
        assert (await ask(bound.port(1), "/info")).status == 200
        assert (await ask(bound.port(0), "/info")).status == 404
        assert (await ask(bound.port(1), "/livez")).status == 404

    run(script)


def test_the_same_addresses_again_are_left_alone() -> None:
    async def script(ports: Ports, bound: Bound, stage: Stage) -> None:
        await turn(ports, BOTH)
        await turn(ports, BOTH)
        assert len(bound.sockets) == 2
        assert (await ask(bound.port(1), "/info")).status == 200

    run(script)


def test_a_moved_port_answers_there_and_no_longer_here() -> None:
    async def script(ports: Ports, bound: Bound, stage: Stage) -> None:
        await turn(ports, BOTH)
        old = bound.port(0)
        with socket.create_server(("127.0.0.1", 0)) as free:
            place = free.getsockname()[:2]
        await turn(ports, {**BOTH, "metrics": place})
        assert (await ask(place[1], "/livez")).status == 200
        await ports.close()
        with pytest.raises(ConnectionRefusedError):
            await ask(old, "/livez")

    run(script)


def test_a_port_that_is_taken_is_named_and_leaves_everything_as_it_was() -> None:
    async def script(ports: Ports, bound: Bound, stage: Stage) -> None:
        await turn(ports, BOTH)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            place = taken.getsockname()[:2]
            with pytest.raises(OSError, match=rf"admin.listen: .*:{place[1]}: Address already"):
                ports.prepare({"metrics": ("127.0.0.2", 0), "admin": place})
        assert bound.sockets[2].fileno() == -1, "what was bound beside it is closed again"
        assert (await ask(bound.port(0), "/livez")).status == 200

    run(script)


def test_the_reload_that_moves_the_admin_port_is_answered() -> None:
    async def script(ports: Ports, bound: Bound, stage: Stage) -> None:
        await turn(ports, BOTH)

        async def reload(reason: Reason) -> Outcome:
            await turn(ports, {**BOTH, "admin": ("127.0.0.1", 0)})
            return stage.outcome

        stage.reload = reload  # type: ignore[method-assign]
        assert (await ask(bound.port(1), "/reload", "POST")).status == 200
        assert (await ask(bound.port(2), "/info")).status == 200

    run(script)
