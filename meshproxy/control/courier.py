"""Takes finished records from their queue to a receiver of OTLP/HTTP.

One task beside traffic, which never waits for it: what finds no room in the queue is lost and
counted there. Decides when a batch goes, when again and when it is given up; how it travels is
`collector`'s, what a span looks like `telemetry.otlp`'s.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from meshproxy.core.spans import Delivery, Record, Spans
from meshproxy.telemetry import otlp

if TYPE_CHECKING:
    from meshproxy.control.export import Clocks

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""Seconds of back-off at most, after the first failure and after many."""
SHORTEST_PAUSE = 0.1
LONGEST_ASKED = 300.0
"""Seconds of a Retry-After that are believed."""
KEPT = 60.0
"""Seconds after which a batch that nobody takes makes room."""
GOODBYE = 2.0
"""Seconds that what waits gets when the process ends, or the file exports no more."""
SLICE = 4
"""Exchanges that are encoded before traffic has its turn: 0.05 ms."""
LEVEL = 1
"""Of compression: the fastest."""
ONCE_PER = 60.0
"""Seconds between two log lines about one trouble."""


@dataclass(frozen=True, slots=True)
class Body:
    """One batch, ready to travel."""

    data: bytes
    gzip: bool
    size: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one try: `rejected` spans of those that were taken, or `why` none were.

    `again` says that the same batch may be taken later, at the earliest in `retry_after` seconds
    (below zero: it did not say).
    """

    why: str = ""
    again: bool = False
    retry_after: float = -1.0
    rejected: int = 0


class Collector(Protocol):
    """The receiver, as far as it can be reached."""

    async def post(self, delivery: Delivery, body: Body) -> Verdict: ...
    async def close(self) -> None: ...


def pause(failures: int, retry_after: float, draw: float) -> float:
    """Seconds before the next try: what the collector asked for, or a back-off with full jitter."""
    if retry_after > 0.0:
        return min(retry_after, LONGEST_ASKED)
    most = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 16))
    return max(SHORTEST_PAUSE, draw * most)


class Courier:
    """The task of one queue, and what it knows of its collector."""

    __slots__ = (
        "_changed", "_clocks", "_collector", "_counts", "_delivery", "_ending", "_failures",
        "_full", "_head", "_tell", "spans", "task",
    )  # fmt: skip

    def __init__(
        self,
        spans: Spans,
        collector: Collector,
        clocks: Clocks,
        tell: Callable[..., None],
        counts: Counter[str],
    ) -> None:
        self._collector = collector
        self._clocks = clocks
        self._tell = tell
        self._counts = counts
        self._delivery: Delivery = None  # type: ignore[assignment]  # told before the task runs
        self._head = b""
        self._full, self._changed = asyncio.Event(), asyncio.Event()
        self._ending = False
        self._failures = 0
        self.spans = spans
        spans.wake = self._full.set
        self.task = asyncio.get_running_loop().create_task(self._run())
        self.task.add_done_callback(_tell_bug)

    def change(self, delivery: Delivery, service: tuple[str, str]) -> None:
        """Deliver so from the next try on; what waits for a try is tried now."""
        if delivery != self._delivery:
            self._delivery = delivery
            self.spans.bound, self.spans.batch = delivery.queue, delivery.batch
            self._failures = 0
            self._changed.set()
        self._head = otlp.head(*service, delivery.resource)

    def end(self) -> None:
        """Nothing more comes: deliver what is there, once, in GOODBYE seconds."""
        self._ending = True
        self._changed.set()
        self._full.set()
        self.task.get_loop().call_later(GOODBYE, self.task.cancel)

    async def _run(self) -> None:
        try:
            while not self._ending or self.spans.held:
                all_of_it = await self._wait_for_batch()
                while self.spans.held and (all_of_it or self.spans.held >= self.spans.batch):
                    if not await self._deliver():
                        return
        finally:
            self.spans.wake = _nobody
            self._count_what_is_left()
            await self._collector.close()

    async def _wait_for_batch(self) -> bool:
        """Until there is a batch, or time is up for those that wait (True)."""
        self._full.clear()
        if self._ending or self.spans.held >= self.spans.batch:
            return self._ending
        try:
            async with asyncio.timeout(self._delivery.interval):
                await self._full.wait()
        except TimeoutError:
            return True
        return self._ending

    async def _deliver(self) -> bool:
        """One batch to its end, good or bad; False if there is no time for another."""
        records = self.spans.first()
        body = await self._encoded(records)
        verdict = await self._send(body)
        if verdict is None:
            return False
        self.spans.forget(records)
        refused = body.size if verdict.why else min(verdict.rejected, body.size)
        self._counts["undelivered" if verdict.again else "rejected"] += refused
        self._counts["sent"] += body.size - refused
        return True

    async def _encoded(self, records: Sequence[Record]) -> Body:
        """The bytes of a batch, made in turns with traffic."""
        gzip = self._delivery.gzip
        pack = zlib.compressobj(LEVEL, zlib.DEFLATED, 31) if gzip else None
        out: list[bytes] = []
        for number, piece in enumerate(otlp.pieces(records, self._head, self._clocks.epoch())):
            out.append(pack.compress(piece) if pack else piece)
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        if pack:
            out.append(pack.flush())
        return Body(b"".join(out), gzip, sum(record.size for record in records))

    async def _send(self, body: Body) -> Verdict | None:
        """Try until it is taken, refused for good or too old; None: the end came first."""
        until = self._clocks.now() + KEPT
        while True:
            self._changed.clear()
            verdict = await self._collector.post(self._delivery, body)
            self._tell_of(verdict)
            if not verdict.again:
                return verdict
            if self._ending:
                return None
            self._failures += 1
            # Also before the next batch, should this one be given up then.
            await self._rest(pause(self._failures, verdict.retry_after, self._clocks.draw()))
            if self._clocks.now() > until and not self._changed.is_set():
                return verdict

    async def _rest(self, seconds: float) -> None:
        """Wait, unless the file says something new or the end comes."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def _tell_of(self, verdict: Verdict) -> None:
        url = self._delivery.url
        if verdict.why or verdict.rejected:
            why = verdict.why or "some of them were not valid to it"
            event = "spans_held_back" if verdict.again else "spans_rejected"
            self._tell(event, level="warning", once_per=ONCE_PER, url=url, why=why)
        elif self._failures:
            self._failures = 0
            self._tell("spans_sent_again", url=url)

    def _count_what_is_left(self) -> None:
        left = self.spans.held
        while self.spans.held:
            self.spans.forget(self.spans.first())
        if left:
            self._counts["undelivered"] += left
            self._tell("spans_lost", level="warning", spans=left, why="nobody took them in time")


def _nobody() -> None:
    """Nobody exports any more."""


def _tell_bug(task: asyncio.Task[None]) -> None:
    """It ends when it is told to and in no other way; nobody else would hear of it."""
    if not task.cancelled() and (error := task.exception()) is not None:
        context = {"message": "the export of spans stopped", "exception": error}
        task.get_loop().call_exception_handler(context)
