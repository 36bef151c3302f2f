"""Overload: refuse some so that the rest is served, when this very process has too much to do.

What presses (the event loop is late, memory is short) is looked at by whoever holds the clock;
how much is refused then is `logic.pressure`. The probes and the admin port are not asked here,
so they always answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from meshproxy.core.explanation import Step
from meshproxy.core.fields import Percent, Timeout
from meshproxy.core.ledger import Draft
from meshproxy.core.report import Sample
from meshproxy.core.verdict import Refusal
from meshproxy.logic.pressure import CLOSING, Most, Pressure
from meshproxy.policies.contract import Scope, Spec
from meshproxy.policies.shadow import Mode, Shadows, shadows
from meshproxy.policies.sheds import Sheds, sheds

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange

CELL = ("overload",)
"""Where the ledger keeps the gauge."""

_DETAILS = {
    "loop_lag": "overload: more is asked of this proxy than it has processor time for",
    "memory": "overload: this proxy is short of memory",
}


class OverloadSpec(Spec):
    """Shed by priority when the event loop is late or memory is short; off by default."""

    key: ClassVar[str] = "overload"

    loop_lag: Timeout = Field(default=0.1, description="How late the event loop may be.")
    memory: Percent = Field(
        default=0.9, gt=0.0, description="Share of the cgroup's limit, or of all there is."
    )
    mode: Mode = "enforce"

    @property
    def most(self) -> Most:
        return Most(self.loop_lag, self.memory, self.mode == "enforce")

    def build(self, scope: Scope) -> Overload | ShadowOverload | None:
        if self.mode == "off":
            return None
        gauge = scope.draft.state(CELL, Gauge)
        if self.mode == "shadow":
            return ShadowOverload(gauge.pressure, scope, shadows(scope))
        gauge.counts = sheds(scope)
        return Overload(gauge.pressure, scope, gauge.counts)


class Gauge:
    """What the ledger keeps: the pressure, what was seen last, and who counts what is shed."""

    __slots__ = ("counts", "lag", "memory", "pressure")

    section = "overload"

    def __init__(self) -> None:
        self.pressure = Pressure()
        self.lag = 0.0
        self.memory = 0.0
        self.counts = Sheds()

    def look(self, most: Most, lag: float, memory: float, elapsed: float) -> None:
        self.lag, self.memory = lag, memory
        self.pressure.look(most, lag, memory, elapsed)

    def over(self, most: Most, memory: float) -> float:
        """How much of the memory must be free at once: see `Most.over`."""
        over = most.over(memory)
        if over >= 0.0:
            self.pressure.stop()
        return over

    def ended(self, direction: str, route: str) -> None:
        """One was ended for the memory that it held."""
        self.counts.count(direction, route, "memory")

    def is_short_of_memory(self) -> bool:
        return self.pressure.level > 0.0 and self.pressure.why == "memory"

    def samples(self) -> Iterable[Sample]:
        yield Sample("meshproxy_overload_level", (), round(self.pressure.level, 3))

    def report(self, now: float) -> Mapping[str, Any]:  # noqa: ARG002  # as of the last look
        pressure = self.pressure
        return {
            "level": round(pressure.level, 2),
            "why": pressure.why if pressure.level else "",
            "loop_lag_ms": round(self.lag * 1000, 1),
            "memory": round(self.memory, 3),
            "shed": {"normal": round(pressure.share(1), 2), "low": round(pressure.share(2), 2)},
        }


class Overload:
    """One route's share of it."""

    __slots__ = ("_counts", "_direction", "_pressure", "_rule")

    def __init__(self, pressure: Pressure, scope: Scope, counts: Sheds) -> None:
        self._pressure = pressure
        self._direction = scope.direction
        self._rule = scope.rule
        self._counts = counts

    def admit(self, exchange: Exchange, now: float) -> Refusal | None:  # noqa: ARG002  # a phase
        pressure = self._pressure
        if pressure.level < CLOSING:
            return None
        exchange.keep_alive = False
        if not pressure.sheds(exchange.priority):
            return None
        self._counts.count(self._direction, exchange.route.name, pressure.why)
        return self._refusal()

    def _refusal(self) -> Refusal:
        return Refusal(503, "UO", _DETAILS[self._pressure.why], self._rule, retry_after=1.0)

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:  # noqa: ARG002  # a phase
        sheds = self._pressure.would_shed(exchange.priority, _asked(exchange))
        yield Step(_told(self._pressure), self._refusal() if sheds else None)


class ShadowOverload:
    """The same, where nothing is changed and only counted."""

    __slots__ = ("_counts", "_direction", "_pressure")

    def __init__(self, pressure: Pressure, scope: Scope, counts: Shadows) -> None:
        self._pressure = pressure
        self._direction = scope.direction
        self._counts = counts

    def admit(self, exchange: Exchange, now: float) -> None:  # noqa: ARG002  # a phase
        pressure = self._pressure
        if pressure.sheds(exchange.priority):
            name = exchange.route.name
            self._counts.count(OverloadSpec.key, self._direction, name, pressure.why)

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:  # noqa: ARG002  # a phase
        sheds = self._pressure.would_shed(exchange.priority, _asked(exchange))
        would = "; would be shed, were it not in shadow" if sheds else ""
        yield Step(f"{_told(self._pressure)}{would}")


def _asked(exchange: Exchange) -> int:
    """How often it has been asked about this one: a fallback leads to another route's share."""
    return int(exchange.extras is not None and exchange.extras.rescued)


def _told(pressure: Pressure) -> str:
    if not pressure.level:
        return "this process is not pressed"
    shed = f"{pressure.share(1):.0%} of the normal and {pressure.share(2):.0%} of the low priority"
    return f"pressed ({pressure.why}), level {pressure.level:.2f}: {shed} are shed"


def bounds(said: OverloadSpec | None, draft: Draft) -> tuple[Gauge | None, Most | None]:
    """The gauge to be told and by which bounds, as the file says; nobody where it is off."""
    if said is None or said.mode == "off":
        return None, None
    return draft.state(CELL, Gauge), said.most
