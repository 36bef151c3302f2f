"""Deadlines that travel: a caller's time bounds the call, and each attempt is told what is left.

Only trusted callers are believed; what others send of these fields is dropped, or the next hop
might believe it. How the fields are read and written is `logic.deadline`; that time is up is
noticed by the data plane, as for any timeout.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from meshproxy.core.explanation import Step
from meshproxy.core.report import Sample
from meshproxy.core.verdict import Refusal
from meshproxy.logic import deadline
from meshproxy.policies.contract import Scope, Spec

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange

Name = Literal["x-request-deadline", "x-envoy-expected-rq-timeout-ms", "grpc-timeout"]


class DeadlinesSpec(Spec):
    """Take a trusted caller's deadline, and tell the upstream how much time is left."""

    key: ClassVar[str] = "deadlines"

    accept: tuple[Name, ...] = Field(
        default=("x-request-deadline", "x-envoy-expected-rq-timeout-ms", "grpc-timeout"),
        description="Fields by which a trusted caller says how long it waits; the least counts.",
    )
    send: tuple[Name, ...] = Field(
        default=("x-request-deadline", "x-envoy-expected-rq-timeout-ms"),
        description="Fields that tell the upstream what is left, written anew at each attempt.",
    )

    def build(self, scope: Scope) -> Deadlines | None:
        if not self.accept and not self.send:
            return None
        name = scope.cluster.name
        account = scope.draft.state(("deadlines", name), lambda: Account(name))
        return Deadlines(self, account, scope.rule)


class Account:
    """What the ledger keeps per cluster: what became of calls with a caller's deadline."""

    __slots__ = ("outcomes", "upstream")

    section = "deadlines"

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.outcomes: dict[str, int] = {}

    def count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def samples(self) -> Iterable[Sample]:
        for outcome, count in self.outcomes.items():
            labels = (("upstream", self.upstream), ("outcome", outcome))
            yield Sample("meshproxy_deadlines_total", labels, float(count))

    def report(self, now: float) -> Mapping[str, Any]:  # noqa: ARG002  # a count has no age
        return {"upstream": self.upstream, "outcomes": dict(self.outcomes)}


class Deadlines:
    """One route's. Outcomes: `met`; `missed`, where time ran out on the way; `unsent`, where
    there was none left before anything was sent; `unreadable`, and then there is none."""

    __slots__ = ("_accept", "_account", "_late", "_lines", "_lines_and_grpc", "reads")

    def __init__(self, spec: DeadlinesSpec, account: Account, rule: str) -> None:
        self._account = account
        self._accept = frozenset(name.encode() for name in spec.accept)
        self._late = Refusal(504, "UT", "the caller's deadline had passed already", rule)
        send = dict.fromkeys(name.encode() for name in spec.send)
        self._lines = _Lines(send)
        # A gRPC server looks at no other field: whoever uses it finds it again at the other end.
        self._lines_and_grpc = _Lines({**send, deadline.GRPC: None})
        self.reads = self._accept | send.keys()

    def admit(self, exchange: Exchange, now: float) -> Refusal | None:
        """The caller's time runs from the head of its request, and bounds the route's own."""
        exchange.drop(self.reads)
        if self._accept.isdisjoint(exchange.taken) or not exchange.peer.trusted:
            return None
        left = deadline.least_left(exchange.taken, self._accept)
        if left is None:
            self._account.count("unreadable")
            return None
        ends = exchange.began + left
        if ends - now < deadline.LEAST:
            self._account.count("unsent")
            return self._late
        exchange.limit_deadline(ends)
        exchange.defer(lambda now: self._ended(exchange, ends, now))
        return None

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:
        told = not self._accept.isdisjoint(exchange.taken)
        exchange.drop(self.reads)
        if not told:
            yield Step("the caller says nothing of how long it waits")
        elif not exchange.peer.trusted:
            yield Step("the caller's deadline is dropped: it is not a trusted peer")
        else:
            yield self._bounded(exchange, now)

    def _bounded(self, exchange: Exchange, now: float) -> Step:
        left = deadline.least_left(exchange.taken, self._accept)
        if left is None:
            return Step("the caller's deadline cannot be read, and so is none")
        ends = exchange.began + left
        if ends - now < deadline.LEAST:
            return Step("the caller's deadline has passed", self._late)
        exchange.limit_deadline(ends)
        return Step(
            f"the caller waits {left:.3g} s: the call ends then", data={"seconds": ends - now}
        )

    def departs(self, exchange: Exchange, now: float) -> Sequence[bytes]:
        """The fields that tell what is left."""
        before = len(exchange.added)
        self.depart(exchange, now)
        added = exchange.added[before:]
        del exchange.added[before:]
        return added

    def _ended(self, exchange: Exchange, ends: float, now: float) -> None:
        if now < ends or "UT" not in exchange.flags:
            self._account.count("met")
        else:
            self._account.count("missed" if exchange.attempts else "unsent")

    def depart(self, exchange: Exchange, now: float) -> None:
        """Tell this attempt what is left now: waits and earlier attempts are taken off."""
        left = _left(exchange, now)
        if left:
            grpc = deadline.GRPC in exchange.taken and exchange.peer.trusted
            lines = self._lines_and_grpc if grpc else self._lines
            exchange.added.append(lines.with_left(left))


class _Lines:
    """The fields that tell what is left."""

    __slots__ = ("_count", "_template")

    def __init__(self, names: Collection[bytes]) -> None:
        self._template = deadline.template(names)
        self._count = len(names)

    def with_left(self, seconds: float) -> bytes:
        return self._template % ((deadline.whole_ms(seconds),) * self._count)


def _left(exchange: Exchange, now: float) -> float:
    """Seconds after which nobody waits for this attempt any more; 0.0 if that is for ever."""
    route = exchange.route
    ends = _end(exchange)
    # The route's own time runs as soon as the request is complete.
    left = ends - now if ends else route.timeout
    if route.per_try_timeout and (not left or route.per_try_timeout < left):
        return route.per_try_timeout
    return left


def _end(exchange: Exchange) -> float:
    """When the call ends; an attempt beside another ends with it."""
    if exchange.deadline or exchange.extras is None:
        return exchange.deadline
    leader = exchange.extras.leader
    if leader is None or leader.extras is None or leader.extras.rival is not exchange:
        return 0.0
    return leader.deadline
