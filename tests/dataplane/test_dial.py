"""Dialling where a client chose the host: one look at the name, and only what the guard passes."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import uvloop

from meshproxy.core.route import Endpoint
from meshproxy.core.verdict import Failure
from meshproxy.dataplane.conductor import loud
from meshproxy.dataplane.dial import LOOKUPS, Dialer, is_ours
from meshproxy.dataplane.upstream import Upstream
from meshproxy.logic.destination import Guard

PUBLIC, OTHER, LOOPBACK = "203.0.113.7", "2001:db8::7", "127.0.0.1"
Answer = Sequence[str] | Exception


class FakeUpstream:
    settled = False

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint


class FakeLoop:
    """Connects to what is `up`; the rest refuses, or never answers where it is `silent`."""

    def __init__(self, up: Sequence[str], silent: Sequence[str] = ()) -> None:
        self.up = up
        self.silent = silent
        self.dialled: list[tuple[str, int]] = []
        self.looked_up: list[str] = []
        self.slow: dict[str, asyncio.Event] = {}

    def create_task(self, work: Any) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)

    def call_later(self, seconds: float, *what: Any) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, *what)

    async def create_connection(self, make: Callable[[], Any], host: str, port: int) -> None:
        self.dialled.append((host, port))
        if host in self.silent:
            await asyncio.Event().wait()
        if host not in self.up:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")
        make()

    async def getaddrinfo(self, host: str, port: int, *, type: int) -> list[Any]:  # noqa: A002
        self.looked_up.append(host)
        if host in self.slow:
            await self.slow[host].wait()
            raise socket.gaierror(socket.EAI_AGAIN, "too late")
        return [
            (family, type, 6, "", (ip, port))
            for family, ip in ((socket.AF_INET6, OTHER), (socket.AF_INET, PUBLIC))
            for _ in range(2)
        ]


class Answers:
    """A name server that says something else each time."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)

    def __call__(self, host: str, port: int) -> Awaitable[Sequence[str]]:
        return self._answer()

    async def _answer(self) -> Sequence[str]:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def guarded(host: str = "example.com", guard: Guard | None = None) -> Endpoint:
    endpoint = Endpoint(f"{host}:80", host, 80)
    endpoint.guard = guard or Guard()
    return endpoint


def dial(
    loop: FakeLoop,
    resolve: Answers | None,
    endpoint: Endpoint,
    times: int = 1,
    seconds: float = 0,
    tell_bug: Callable[[Exception], None] = loud,
) -> list[Failure | None]:
    """How each of several dials ended."""
    settled: list[Failure | None] = []

    async def main() -> None:
        dialer = Dialer(loop, resolve, tell_bug)  # type: ignore[arg-type]
        done = asyncio.Event()

        def settle(upstream: Any, failure: Failure | None) -> None:
            settled.append(failure)
            done.set()

        dialer.settle = settle
        for _ in range(times):
            done.clear()
            dialer(FakeUpstream(endpoint), seconds)  # type: ignore[arg-type]
            await done.wait()
        await dialer.close()

    asyncio.run(main())
    return settled


def test_the_address_that_was_checked_is_the_one_that_is_dialled() -> None:
    loop = FakeLoop(up=[PUBLIC])
    assert dial(loop, Answers([PUBLIC]), guarded()) == [None]
    assert loop.dialled == [(PUBLIC, 80)]


def test_a_name_that_changes_its_mind_leads_nowhere() -> None:
    loop, endpoint = FakeLoop(up=[PUBLIC, LOOPBACK]), guarded()
    names = Answers([PUBLIC], [LOOPBACK])
    assert dial(loop, names, endpoint, times=2) == [None, Failure.FORBIDDEN]
    assert loop.dialled == [(PUBLIC, 80)]
    assert endpoint.why_not == "is a loopback address, which networks does not open"


def test_of_several_addresses_only_the_allowed_ones_are_dialled_in_turn() -> None:
    loop = FakeLoop(up=[PUBLIC])
    assert dial(loop, Answers([LOOPBACK, OTHER, "169.254.169.254", PUBLIC]), guarded()) == [None]
    assert loop.dialled == [(OTHER, 80), (PUBLIC, 80)]


def test_an_allowed_address_that_refuses_is_a_failure_of_the_connection() -> None:
    loop = FakeLoop(up=[LOOPBACK])
    assert dial(loop, Answers([LOOPBACK, PUBLIC]), guarded()) == [Failure.CONNECT]
    assert loop.dialled == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    "answer",
    [[], socket.gaierror(socket.EAI_NONAME, "unknown"), UnicodeError("label too long")],
    ids=["nothing", "unknown", "no name"],
)
def test_a_name_that_leads_nowhere_is_a_failure_of_the_connection(answer: Answer) -> None:
    assert dial(FakeLoop(up=[]), Answers(answer), guarded()) == [Failure.CONNECT]


def test_a_bug_on_the_way_is_told_and_whoever_waits_hears_of_the_end() -> None:
    bugs: list[Exception] = []
    ended = dial(FakeLoop(up=[]), Answers(KeyError("odd")), guarded(), tell_bug=bugs.append)
    assert ended == [Failure.BUG]
    assert [type(bug) for bug in bugs] == [KeyError]


def test_all_addresses_share_one_time_limit() -> None:
    loop = FakeLoop(up=[PUBLIC], silent=[OTHER])
    failures = dial(loop, Answers([OTHER, PUBLIC]), guarded(), seconds=0.01)
    assert failures == [Failure.CONNECT_TIMEOUT]
    assert loop.dialled == [(OTHER, 80)]


def test_the_system_is_asked_once_and_each_address_is_tried_once() -> None:
    loop = FakeLoop(up=[])
    assert dial(loop, None, guarded()) == [Failure.CONNECT]
    assert loop.looked_up == ["example.com"]
    assert loop.dialled == [(OTHER, 80), (PUBLIC, 80)]


def test_an_address_is_not_looked_up() -> None:
    loop = FakeLoop(up=[PUBLIC])
    assert dial(loop, None, guarded(PUBLIC)) == [None]
    assert loop.looked_up == []


def test_slow_names_keep_their_place_when_nobody_waits_for_them_any_more() -> None:
    loop = FakeLoop(up=[PUBLIC])
    settled: list[Failure | None] = []

    async def main() -> None:
        names = [f"slow{number}" for number in range(LOOKUPS)]
        loop.slow = {name: asyncio.Event() for name in names}
        dialer, given_up, done = Dialer(loop), asyncio.Event(), asyncio.Event()  # type: ignore[arg-type]

        def settle(upstream: Any, failure: Failure | None) -> None:
            settled.append(failure)
            if failure is None:
                done.set()
            elif len(settled) == LOOKUPS:
                given_up.set()

        dialer.settle = settle
        for name in names:
            dialer(FakeUpstream(guarded(name)), 0.001)  # type: ignore[arg-type]
        await given_up.wait()
        dialer(FakeUpstream(guarded("quick")), 0.0)  # type: ignore[arg-type]
        for _ in range(10):
            await asyncio.sleep(0)
        assert loop.looked_up == names
        loop.slow[names[0]].set()
        await done.wait()
        loop.slow[names[1]].set()
        await dialer.close()

    asyncio.run(main())
    assert settled == [Failure.CONNECT_TIMEOUT] * LOOKUPS + [None]
    assert loop.looked_up[-1] == "quick"


@pytest.mark.parametrize("turn", range(12))
def test_a_connection_that_comes_as_its_time_ends_is_whole_or_not_there(turn: int) -> None:
    """The loop is busy for a while, so that both are due in one turn of it, in either order."""
    made: list[Upstream] = []
    failures: list[Failure | None] = []

    class Gate:
        check = None

        def arrived(self, upstream: Upstream) -> None:
            upstream.settled = True
            made.append(upstream)

        def lost(self, upstream: Upstream) -> None:
            made.remove(upstream)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        dialer = Dialer(loop)

        def settle(upstream: Upstream, failure: Failure | None) -> None:
            if not upstream.settled:
                upstream.settled = True
                failures.append(failure)

        def busy(turns: int) -> None:
            time.sleep(0.004)
            if turns:
                loop.call_soon(busy, turns - 1)

        dialer.settle = settle
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        endpoint = Endpoint("here", "127.0.0.1", server.sockets[0].getsockname()[1])
        gate: Any = Gate()
        dialer(Upstream(endpoint, gate, gate, loop.time), 0.002 * turn + 0.001)
        busy(8)
        try:
            async with asyncio.timeout(5.0):
                while dialer._tasks:
                    await asyncio.sleep(0)
            for upstream in made:
                upstream._transport.write(b"GET / HTTP/1.1\r\n\r\n")  # raises if it was closed
            assert len(made) + len(failures) == 1
            assert endpoint.connections == len(made)
        finally:
            for upstream in tuple(made):
                upstream._transport.abort()
            server.close()

    uvloop.run(main())


def test_an_endpoint_of_the_file_is_dialled_by_its_name() -> None:
    loop = FakeLoop(up=["users"])
    assert dial(loop, Answers(), Endpoint("users:80", "users", 80)) == [None]
    assert loop.dialled == [("users", 80)]


def test_this_machines_addresses_are_known() -> None:
    assert is_ours("127.0.0.1")
    assert is_ours("127.1.2.3")
    assert not is_ours("203.0.113.7")  # RFC 5737: nobody's


class ForOthersOnly:
    def why_not(self, ip: str, port: int, ours: Callable[[str], bool]) -> str | None:
        return "is ours" if ours(ip) else None


def test_the_guard_can_tell_this_machines_addresses_from_others() -> None:
    loop, endpoint = FakeLoop(up=[PUBLIC]), guarded()
    endpoint.guard = ForOthersOnly()
    names = Answers([LOOPBACK], [LOOPBACK, PUBLIC])
    assert dial(loop, names, endpoint, times=2) == [Failure.FORBIDDEN, None]
    assert endpoint.why_not == "is ours"
    assert loop.dialled == [(PUBLIC, 80)]
