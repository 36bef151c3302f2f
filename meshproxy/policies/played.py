"""A limit of concurrency in shadow mode: it admits everyone and counts whom it would refuse.

The places and the line are those of `logic.rehearsal`. Where the limit is learned, it is learned
from traffic that it does not hold back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from meshproxy.core.explanation import Step
from meshproxy.core.report import Sample
from meshproxy.logic.gradient import Bounds
from meshproxy.logic.rehearsal import House, Rehearsal
from meshproxy.policies.contract import Scope
from meshproxy.policies.learner import Learner
from meshproxy.policies.shadow import shadows

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.policies.concurrency import ConcurrencySpec


class Played:
    """What the ledger keeps of a rule in shadow mode."""

    __slots__ = ("owner", "rehearsal", "running", "upstream", "would_refuse")

    def __init__(self, scope: Scope) -> None:
        self.upstream = scope.cluster.name
        self.owner = scope.owner
        self.running = 0
        self.would_refuse = 0
        counts, direction = shadows(scope), scope.direction

        def refused(route: str) -> None:
            self.would_refuse += 1
            counts.count("concurrency", direction, route, self.upstream)

        self.rehearsal = Rehearsal(refused)

    def samples(self) -> Iterable[Sample]:
        where = (("upstream", self.upstream), ("scope", self.owner))
        yield Sample("meshproxy_concurrency_in_use", where, float(self.running))
        yield Sample("meshproxy_concurrency_limit", where, float(self.rehearsal.most))


class Shadowed:
    """The rule in shadow mode: it admits everyone."""

    __slots__ = ("_played", "_rule", "_spec")

    section = "concurrency"

    def __init__(self, spec: ConcurrencySpec, scope: Scope) -> None:
        self._spec = spec
        self._rule = scope.rule
        self._played = scope.state("played", lambda: Played(scope), scope.cluster.name)

    def _most(self) -> int:
        return 0 if self._spec.max == "adaptive" else self._spec.max

    def admit(self, exchange: Exchange, now: float) -> None:
        played, spec, most = self._played, self._spec, self._most()
        house = House(most, spec.room(most), spec.queue_timeout)
        guest = played.rehearsal.come(house, exchange.route.name, exchange.priority, now)
        played.running += 1

        def leave(now: float) -> None:
            played.running -= 1
            if guest is not None:
                played.rehearsal.go(guest, now)

        exchange.defer(leave)

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:  # noqa: ARG002  # a phase
        play = self._played.rehearsal
        seats = (
            f"{play.in_use} of {self._most()} places would be taken, {play.line.size} would wait"
        )
        yield Step(f"in shadow: {seats}; nobody is refused")

    def report(self, now: float) -> Mapping[str, Any]:  # noqa: ARG002  # a count has no age
        played = self._played
        return {
            "upstream": played.upstream,
            "scope": played.owner,
            "rule": self._rule,
            "mode": "shadow",
            "max": self._most(),
            "in_use": played.running,
            "would_refuse": played.would_refuse,
        }


class ShadowedAdaptive(Shadowed):
    """A limit that is learned and tried out."""

    __slots__ = ("_learner",)

    def __init__(self, spec: ConcurrencySpec, scope: Scope) -> None:
        super().__init__(spec, scope)
        self._learner = Learner(Bounds(spec.min, spec.ceiling), scope)

    def _most(self) -> int:
        return self._learner.most()

    def settle(self, exchange: Exchange, now: float) -> None:
        self._learner.look(exchange, self._played.running, now)

    def report(self, now: float) -> Mapping[str, Any]:
        return {**super().report(now), **self._learner.report(), "adaptive": True}
