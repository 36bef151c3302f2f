"""Samples show what the loop's thread runs, in proportion, and leave nothing behind."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
import uvloop

from meshproxy.control import sampling
from meshproxy.control.sampling import CLOCKS, CROWDED, IDLE, SLOW, Clock, Sampler


def heavy() -> None:
    for _ in range(9000):
        pass


def light() -> None:
    for _ in range(300):
        pass


def seen(sampler: Sampler) -> dict[str, int]:
    """How often each function was innermost."""
    found: dict[str, int] = {}
    for stack, count in sampler.stacks().items():
        name = stack[-1].function
        found[name] = found.get(name, 0) + count
    return found


@pytest.mark.parametrize("clock", ["cpu", "wall"])
def test_what_takes_long_is_seen_often(clock: str) -> None:
    sampler = Sampler(CLOCKS[clock], 500)
    with sampler.running():
        while sampler.taken < 200:
            heavy()
            light()
            sampler.relieve()
    assert sum(sampler.stacks().values()) == sampler.taken
    assert seen(sampler)["heavy"] > 3 * seen(sampler).get("light", 0)


class Echo(asyncio.Protocol):
    """A server with the work of one callback per read, as the data plane is."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for _ in range(10):  # or the system calls between two of them would be seen as often
            heavy()
        self.transport.write(data)


def test_a_busy_loop_is_not_taken_for_an_idle_one() -> None:
    """As a thread that looks from outside would: uvloop lets it run between callbacks alone."""

    async def whole() -> Sampler:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        sampler = Sampler(CLOCKS["wall"], 500)
        with sampler.running():
            while sampler.taken < 100:
                writer.write(b"x")
                await reader.readexactly(1)
                sampler.relieve()
        writer.close()
        server.close()
        return sampler

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sampler = runner.run(whole())
    assert seen(sampler)["heavy"] > 50
    assert all(stack[0] != IDLE or len(stack) == 1 for stack in sampler.stacks())
    assert any([call.function for call in stack][:1] == ["Echo.data_received"]
               for stack in sampler.stacks())  # fmt: skip


def test_what_came_before_a_callback_has_begun_is_none_of_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A signal that meets C code of the loop is heard when the next line of Python runs."""
    timed = Timed(monkeypatch)

    async def whole() -> None:
        asyncio.get_running_loop().call_soon(callback)
        await asyncio.sleep(0)

    def callback() -> None: timed.sample(0.01, sys._getframe())  # fmt: skip

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(whole())
    assert list(timed.sampler.stacks()) == [(IDLE,)]


def test_an_idle_loop_is_seen_to_wait() -> None:
    sampler = Sampler(CLOCKS["wall"], 200)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(sampler.run(0.5))
    assert seen(sampler)[IDLE.function] > sampler.taken / 2
    # Whatever was late counts for the time that passed.
    assert 50 <= sampler.taken <= 150


def test_other_threads_are_seen_by_name() -> None:
    here, go_on = threading.Event(), threading.Event()

    def stands() -> None:
        here.set()
        go_on.wait(30.0)

    thread = threading.Thread(target=stands, name="stander")
    thread.start()
    here.wait(30.0)
    sampler = Sampler(CLOCKS["cpu"], 500, everyone=True)
    with sampler.running():
        while sampler.taken < 10:
            heavy()
    go_on.set()
    thread.join(30.0)
    roots = {stack[0].function for stack in sampler.stacks()}
    assert {"thread MainThread", "thread stander"} <= roots
    assert any("stands" in call.function for stack in sampler.stacks() for call in stack)


@pytest.fixture
def before() -> Iterator[Any]:
    """Somebody else's handler and timer."""

    def handler(number: int, frame: FrameType | None) -> None:
        raise AssertionError("not in this test")

    old = signal.signal(signal.SIGPROF, handler)
    signal.setitimer(signal.ITIMER_PROF, 1000.0, 500.0)
    yield handler
    signal.setitimer(signal.ITIMER_PROF, 0.0)
    signal.signal(signal.SIGPROF, old)


def test_who_used_the_timer_before_gets_it_back(before: Any) -> None:
    sampler = Sampler(CLOCKS["cpu"], 500)
    with sampler.running():
        assert signal.getsignal(signal.SIGPROF) is not before
    assert signal.getsignal(signal.SIGPROF) is before
    delay, interval = signal.getitimer(signal.ITIMER_PROF)
    assert 900.0 < delay <= 1000.1
    assert interval == pytest.approx(500.0)


def test_a_profile_that_is_given_up_leaves_no_timer() -> None:
    async def whole() -> None:
        task = asyncio.ensure_future(Sampler(CLOCKS["cpu"], 500).run(60.0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert signal.getitimer(signal.ITIMER_PROF)[0] > 0.0
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(whole())
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


class Timed:
    """A sampler whose clock and timer are told and written down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.delays: list[float] = []
        monkeypatch.setattr(
            sampling.signal, "setitimer", lambda timer, delay: self.delays.append(delay)
        )
        self.sampler = Sampler(Clock(signal.SIGPROF, signal.ITIMER_PROF, lambda: self.now), 100)

    def sample(self, after: float, frame: FrameType | None = None) -> None:
        self.now += after
        self.sampler._take(0, frame or sys._getframe())


def test_samples_are_never_even_and_come_at_the_rate_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timed = Timed(monkeypatch)
    for _ in range(1000):
        timed.sampler.relieve()
        timed.sample(timed.delays[-1] if timed.delays else 0.01)
    assert sum(timed.delays) / 1000 == pytest.approx(0.01, rel=0.01)
    assert len(set(timed.delays)) > 500
    assert timed.sampler.taken == 1000


def test_in_a_long_callback_there_are_few_and_each_counts_for_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop's wake-up socket must never be full, or it would miss a SIGTERM."""
    timed = Timed(monkeypatch)
    for _ in range(CROWDED):
        timed.sample(0.01)
    assert timed.delays[-1] == SLOW
    for _ in range(9):
        timed.sample(SLOW)
    assert timed.delays[-9:] == [SLOW] * 9
    assert timed.sampler.taken == CROWDED + 900
    timed.sampler.relieve()
    assert timed.delays[-1] < 0.02
