"""A stage for the export of spans: a queue, a collector that says what it is told to, a clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from meshproxy.control.courier import Body, Verdict
from meshproxy.control.export import Clocks, Exporter
from meshproxy.core.spans import Delivery, Spans
from tests.telemetry.spans_scene import attempt_of, record_of

AGAIN = Verdict("it answered 503", again=True)
SERVICE = ("orders", "1.2")


def delivery(**said: Any) -> Delivery:
    given = {"interval": 0.01, **said}
    return Delivery("http://127.0.0.1:4318/v1/traces", {}, {}, **given)


class Post:
    """A collector that says what it is told to, and keeps what it was sent."""

    def __init__(self, *verdicts: Verdict) -> None:
        self.verdicts = list(verdicts)
        self.bodies: list[Body] = []
        self.deliveries: list[Delivery] = []
        self.closed = False
        self.hangs = False
        self._more = asyncio.Event()

    async def post(self, said: Delivery, body: Body) -> Verdict:
        self.bodies.append(body)
        self.deliveries.append(said)
        self._more.set()
        if self.hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return self.verdicts.pop(0) if self.verdicts else Verdict()

    async def close(self) -> None:
        self.closed = True

    async def posts(self, count: int) -> None:
        """Wait until it was sent so many."""
        while len(self.bodies) < count:
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), 10)


class Scene:
    """An exporter with a queue, a collector, and what it told."""

    def __init__(self, *verdicts: Verdict) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.spans = Spans()
        self.post = Post(*verdicts)
        self.now = 100.0
        clocks = Clocks(lambda: self.now, lambda: 10**18, lambda: 0.0)
        self.exporter = Exporter(self.tell, clocks, lambda: self.post)

    def tell(self, event: str, **fields: Any) -> None:
        self.told.append((event, fields))

    def follow(self, **said: Any) -> None:
        self.exporter.follow(self.spans, delivery(**said), SERVICE)

    def add(self, count: int = 1, attempts: int = 1) -> None:
        for _ in range(count):
            record = record_of()
            for _ in range(attempts):
                attempt_of(record, 200)
            self.spans.add(record)

    def counts(self) -> dict[str, int]:
        told = {one.labels[0][1]: int(one.value) for one in self.exporter.samples()}
        return {outcome: count for outcome, count in told.items() if count}

    async def until(self, what: Callable[[], bool]) -> None:
        """Let the others have turns until it is so."""
        async with asyncio.timeout(10):
            while not what():
                await asyncio.sleep(0)

    async def idle(self) -> None:
        """Wait until nothing is left to be sent."""
        await self.until(lambda: not self.spans.held)

    async def paused(self) -> None:
        """One record was refused for now: the pause before the next try has begun."""
        self.follow()
        self.add()
        await self.until(lambda: bool(self.told))


def play(script: Callable[[Scene], Awaitable[None]], *verdicts: Verdict) -> Scene:
    """Run the script in a loop of its own; nothing of the exporter may be left after it."""

    async def whole() -> Scene:
        scene = Scene(*verdicts)
        await script(scene)
        await scene.exporter.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert scene.spans.held == 0
        return scene

    return asyncio.run(whole())
