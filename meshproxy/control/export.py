"""The exporter of spans: follows the config, with a courier for each queue.

What carries spans away is imported with the first queue: `courier` decides when, `collector` is
the way, `telemetry.otlp` the bytes. Most sidecars have none.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshproxy.core.report import Sample
from meshproxy.core.spans import Delivery, Spans

if TYPE_CHECKING:
    from meshproxy.control.courier import Collector, Courier

OUTCOMES = ("sent", "rejected", "undelivered")


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds of the monotonic clock, nanoseconds since 1970, and a draw from [0, 1)."""

    now: Callable[[], float]
    wall: Callable[[], int]
    draw: Callable[[], float]

    def epoch(self) -> int:
        """Where on the wall the monotonic clock began."""
        return self.wall() - int(self.now() * 1e9)


class Exporter:
    """Follows the config: one courier per queue, and the counts of them all."""

    __slots__ = ("_clocks", "_counts", "_courier", "_leaving", "_make", "_tell")

    def __init__(
        self,
        tell: Callable[..., None],
        clocks: Clocks,
        make: Callable[[], Collector] | None = None,
    ) -> None:
        self._tell = tell
        self._clocks = clocks
        self._make = make or _http
        self._counts: Counter[str] = Counter()
        self._courier: Courier | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    def follow(
        self, spans: Spans | None, delivery: Delivery | None, service: tuple[str, str]
    ) -> None:
        """From here on deliver these so, in the name and version of a service; None: no more."""
        courier = self._courier
        if courier is not None and courier.spans is not spans:
            self._dismiss(courier)
            courier = None
        if spans is None or delivery is None:
            return
        if courier is None:
            from meshproxy.control.courier import Courier

            courier = Courier(spans, self._make(), self._clocks, self._tell, self._counts)
            self._courier = courier
        courier.change(delivery, service)

    def _dismiss(self, courier: Courier) -> None:
        self._courier = None
        self._leaving.add(courier.task)
        courier.task.add_done_callback(self._leaving.discard)
        courier.end()

    async def close(self) -> None:
        """Deliver what waits, for GOODBYE seconds at most."""
        if self._courier is not None:
            self._dismiss(self._courier)
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def samples(self) -> Iterable[Sample]:
        """Spans by what became of them; those that found no room the queue itself tells."""
        if self._courier is not None or self._counts:
            for outcome in OUTCOMES:
                labels = (("outcome", outcome),)
                yield Sample("meshproxy_spans_total", labels, float(self._counts[outcome]))


def _http() -> Collector:
    from meshproxy.control.collector import HttpCollector

    return HttpCollector()
