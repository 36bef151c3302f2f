"""The running sidecar from outside: what the probes, the metrics and the admin port ask.

Changes nothing by itself; what an operator tells it goes to the app.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from meshproxy.control import steer
from meshproxy.control.followed import Followed
from meshproxy.control.reload import Outcome, Reason, Reloader, Standing
from meshproxy.control.view import Company, Identity, Listening
from meshproxy.core.report import Sample
from meshproxy.core.route import Plan, Snapshot
from meshproxy.dataplane.samples import cluster_samples, listener_samples
from meshproxy.parts import Parts
from meshproxy.telemetry.metrics import samples_of

if TYPE_CHECKING:
    from meshproxy.core.foretold import Explanation, Question


class Alone(Company):
    """One process: there is nobody to ask."""

    @property
    def pid(self) -> int:
        return os.getpid()

    def workers(self) -> Sequence[int]:
        return (os.getpid(),)

    async def gather(self) -> None: ...

    def samples(self) -> Iterable[Iterable[Sample]]:
        return ()

    def added(self, page: str, ours: Any) -> Any:  # noqa: ARG002  # there is nothing to add
        return ours

    async def listen(
        self,
        words: Mapping[str, str],  # noqa: ARG002  # there is nobody to hear
        put: Callable[[bytes], None],  # noqa: ARG002
    ) -> Callable[[], None]:
        return lambda: None

    async def spread(self, order: str, words: Mapping[str, str]) -> None: ...


class Shown:
    """Implements `control.view.View`. `leaving` says whether it drains, `leave` makes it."""

    def __init__(
        self, parts: Parts, reloader: Reloader[Any] | Followed[Any],
        leaving: Callable[[], bool], leave: Callable[[], None],
    ) -> None:  # fmt: skip
        self._parts = parts
        self._reloader = reloader
        self._leaving = leaving
        self._leave = leave
        self.company: Company = Alone()
        self.upgrade: Callable[[], Awaitable[str]]
        self.identity = Identity("", "")
        self.pending = ""
        self.readings = parts.readings
        self.recent = parts.recent
        self.history = parts.history
        self.bugs = parts.bugs
        self.tap = parts.tap

    @property
    def source(self) -> str:
        return self._reloader.source

    @property
    def snapshot(self) -> Snapshot | None:
        return self._reloader.snapshot

    @property
    def standing(self) -> Standing:
        return self._reloader.standing

    @property
    def draining(self) -> bool:
        return self._leaving() or self._parts.front.draining

    def uptime(self) -> float:
        return time.monotonic() - self._parts.began

    def now(self) -> float:
        return time.monotonic()

    def loop_lag(self) -> float:
        return self._parts.strain.lag

    def cells(self) -> Iterable[Any]:
        return (cell for _, cell in self._parts.ledger.cells())

    def listeners(self) -> Sequence[Listening]:
        return [
            Listening(plan.key, f"{plan.host}:{plan.port}", self._parts.front.accepts(plan))
            for plan in (self.snapshot.plans.values() if self.snapshot else ())
        ]

    def metrics(self, openmetrics: bool) -> Iterator[bytes]:
        groups = chain(self.samples(), self.company.samples())
        return self._parts.counted().render(openmetrics, groups)

    def samples(self) -> Iterable[Iterable[Sample]]:
        """In groups, each of one owner: what it tells of is as it was at one moment."""
        parts = self._parts
        yield from samples_of(self.cells())
        yield steer.samples(self.cells())
        for part in (parts.log, parts.strain, parts.watchdog, parts.bugs, parts.exporter):
            yield part.samples()
        yield listener_samples(parts.front)
        for cluster in self.snapshot.clusters if self.snapshot else ():
            yield cluster_samples(cluster)
        standing = self.standing
        when = standing.succeeded_at
        yield (
            Sample("meshproxy_config_last_reload_successful", (), float(standing.ok)),
            Sample("meshproxy_config_last_reload_success_timestamp_seconds", (), when),
            Sample("meshproxy_config_generation", (), float(standing.generation)),
        )

    def stats(self) -> Mapping[str, Any]:
        listeners = self._parts.front.listeners
        return {
            "connections": {one.plan.key: len(one.clients) for one in listeners},
            **self._parts.counted().stats(),
        }

    def explain(self, plan: Plan, question: Question) -> Explanation:
        from meshproxy.dataplane.foresight import foresee  # 0.5 MiB, and few ever ask

        return foresee(plan, question, time.monotonic())

    async def reload(self, reason: Reason) -> Outcome:
        return await self._reloader.reload(reason)

    def begin_drain(self) -> None:
        self._leave()

    def drain_inbound(self) -> None:
        if not self.draining:
            self._parts.front.drain("inbound")
            self._parts.log.tell("draining_inbound")

    def tell(
        self, event: str, /, *, level: str = "info", once_per: float = 0.0, **fields: Any
    ) -> None:
        self._parts.log.tell(event, level=level, once_per=once_per, **fields)

    def set_level(self, level: str) -> None:
        self._parts.log.set_level(level)
