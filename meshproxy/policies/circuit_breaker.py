"""Circuit breaker: keep requests off an endpoint that fails, and find out when it is well.

An endpoint has one circuit per cluster, whichever route leads there; a route's own numbers
and classifier decide what its attempts do to it. The rules themselves are `logic.breaker`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from meshproxy.core.fields import Duration, Percent
from meshproxy.core.report import Sample
from meshproxy.core.verdict import Refusal
from meshproxy.logic import breaker
from meshproxy.logic.breaker import Circuit, Rules, State
from meshproxy.logic.tally import SPAN, Tally
from meshproxy.logic.units import write_duration
from meshproxy.policies.contract import Random, Scope, Spec

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Classifier, Cluster, Endpoint

REPORTED = 10.0
"""Seconds that the admin port's figures look back."""

_CLOSED = State.CLOSED


class CircuitBreakerSpec(Spec):
    """Stop sending to an endpoint that fails, and let it back in step by step."""

    key: ClassVar[str] = "circuit_breaker"
    always: ClassVar[bool] = True
    always_at: ClassVar[frozenset[str]] = frozenset({"outbound"})

    consecutive_failures: int = Field(
        default=7, ge=1, description="Failures in a row that open it."
    )
    failure_rate: Percent = Field(
        default=0.5, gt=0.0, description="Share of failures that opens it."
    )
    window: Duration = Field(default=10.0, description="How far failure_rate looks back; 1s to 5m.")
    min_requests: int = Field(default=20, ge=1, description="Requests before failure_rate counts.")
    open_for: Duration = Field(
        default=1.0, gt=0.0, description="First open time; doubles, with jitter."
    )
    max_open_for: Duration = Field(default=60.0, gt=0.0, description="The longest open time.")
    half_open_requests: int = Field(
        default=1, ge=1, description="Probes at a time while half-open."
    )
    close_after: int = Field(default=2, ge=1, description="Successful probes that close it.")

    @model_validator(mode="after")
    def _agree(self) -> CircuitBreakerSpec:
        if not 1.0 <= self.window <= SPAN:
            found = {"window": write_duration(self.window)}
            raise PydanticCustomError("window", "window must be 1s to 5m, got {window}", found)
        if self.max_open_for < self.open_for:
            message = "max_open_for ({most}) must not be below open_for ({least})"
            found = {
                "most": write_duration(self.max_open_for),
                "least": write_duration(self.open_for),
            }
            raise PydanticCustomError("open_for", message, found)
        return self

    def build(self, scope: Scope) -> CircuitBreaker:
        rules = Rules(**{name: getattr(self, name) for name in type(self).model_fields})
        return CircuitBreaker(rules, scope, _breakers(scope))


def _breakers(scope: Scope) -> dict[Endpoint, EndpointBreaker]:
    """The circuits of a cluster, by cluster and address: what gives a circuit its meaning."""
    cluster: Cluster = scope.cluster
    return {
        endpoint: scope.draft.state(
            ("circuit", cluster.name, endpoint.name),
            lambda name=endpoint.name: EndpointBreaker(cluster.name, name, scope.now),  # type: ignore[misc]  # a lambda's default has no type
        )
        for endpoint in cluster.endpoints
    }


class EndpointBreaker:
    """What the ledger keeps: a circuit, its counts, and what people ask about it."""

    __slots__ = ("circuit", "endpoint", "last_failure", "opened", "tally", "turns", "upstream")

    section = "breakers"

    def __init__(self, upstream: str, endpoint: str, now: float) -> None:
        self.upstream = upstream
        self.endpoint = endpoint
        self.circuit = Circuit(now)
        self.tally = Tally()
        self.turns: dict[tuple[State, State], int] = {}
        self.opened = 0
        self.last_failure = ""

    def turned(self, before: State) -> None:
        """Count the transition from `before` to the state it has now."""
        turn = (before, self.circuit.state)
        self.turns[turn] = self.turns.get(turn, 0) + 1
        self.opened += self.circuit.state is State.OPEN

    def samples(self) -> Iterable[Sample]:
        """State as of the last transition: open lasts until a request comes and probes."""
        where = (("upstream", self.upstream), ("endpoint", self.endpoint))
        yield Sample("meshproxy_breaker_state", where, float(self.circuit.state.value))
        for (before, after), count in self.turns.items():
            labels = (*where, ("from", before.word), ("to", after.word))
            yield Sample("meshproxy_breaker_transitions_total", labels, float(count))

    def report(self, now: float) -> Mapping[str, Any]:
        circuit = self.circuit
        good, bad = self.tally.totals(REPORTED, now)
        return {
            "upstream": self.upstream,
            "endpoint": self.endpoint,
            "state": circuit.state.word,
            "for_seconds": round(max(0.0, now - circuit.since), 3),
            "failures_in_a_row": circuit.streak,
            "last_10s": {"requests": good + bad, "failures": bad},
            "opened": self.opened,
            "next_try_in_seconds": round(max(0.0, circuit.until - now), 3),
            "last_failure": self.last_failure,
        }


class CircuitBreaker:
    """One route's view of the circuits of its cluster."""

    __slots__ = (
        "_breakers", "_classifier", "_failed", "_random", "_rule", "_rules", "_tell", "_upstream",
    )  # fmt: skip

    def __init__(
        self, rules: Rules, scope: Scope, breakers: dict[Endpoint, EndpointBreaker]
    ) -> None:
        self._rules = rules
        self._breakers = breakers
        self._classifier: Classifier = scope.classifier
        self._failed = scope.classifier.failed
        self._random: Random = scope.random
        self._rule = scope.rule
        self._tell: Callable[..., None] = scope.tell
        self._upstream = scope.cluster.name

    def eligible(self, endpoint: Endpoint, now: float) -> bool:
        return now >= self._breakers[endpoint].circuit.until

    def barred(self, exchange: Exchange, now: float) -> Refusal | None:  # noqa: ARG002  # a phase
        """Nothing, where some circuit would let it through: then it was not for us."""
        waits = [each.circuit.until - now for each in self._breakers.values()]
        soonest = min(waits, default=0.0)
        if soonest <= 0.0:
            return None
        detail = (
            f"circuit breaker: all {len(waits)} endpoints of {self._upstream} are open"
            if len(waits) > 1
            else f"circuit breaker: the only endpoint of {self._upstream} is open"
        )
        return Refusal(503, "UO", detail, self._rule, soonest)

    def depart(self, exchange: Exchange, now: float) -> None:
        circuit = self._breakers[exchange.endpoint].circuit  # type: ignore[index]  # picked by now
        if circuit.state is not _CLOSED and breaker.claim(circuit, self._rules, now):
            self._turned(exchange, State.OPEN, "its open time is over")

    def settle(self, exchange: Exchange, now: float) -> None:
        each = self._breakers[exchange.endpoint]  # type: ignore[index]  # picked by now
        if (exchange.failure is not None or exchange.status >= 400) and self._failed(exchange):
            self._lost(each, exchange, now)
        elif exchange.failure is not None:
            # Not the upstream's fault, or not one that this route counts.
            breaker.release(each.circuit, self._rules, exchange.sent_at)
        else:
            each.tally.add_good(now)
            circuit = each.circuit
            # A closed circuit without a streak has nothing to learn from one more success.
            if circuit.streak or circuit.state is not _CLOSED:
                self._won(each, exchange, now)

    def _won(self, each: EndpointBreaker, exchange: Exchange, now: float) -> None:
        if breaker.win(each.circuit, self._rules, exchange.sent_at, now):
            each.tally.clear()
            self._turned(exchange, State.HALF_OPEN, "its probes succeeded")

    def _lost(self, each: EndpointBreaker, exchange: Exchange, now: float) -> None:
        circuit = each.circuit
        each.last_failure = exchange.failure.condition if exchange.failure else str(exchange.status)
        each.tally.add_bad(now)
        counts = each.tally.totals(self._rules.window, now)
        why = breaker.lose(circuit, self._rules, exchange.sent_at, counts)
        if why:
            before = circuit.state
            draw = self._random.random()
            breaker.trip(circuit, self._rules, now, draw, self._is_last(circuit))
            self._turned(exchange, before, f"{why}; the last: {each.last_failure}")

    def _is_last(self, circuit: Circuit) -> bool:
        """Whether no other endpoint of the cluster is closed, or there is none."""
        return all(
            each.circuit is circuit or each.circuit.state is not _CLOSED
            for each in self._breakers.values()
        )

    def _turned(self, exchange: Exchange, before: State, why: str) -> None:
        each = self._breakers[exchange.endpoint]  # type: ignore[index]  # picked by now
        each.turned(before)
        self._tell(
            "breaker",
            **{"from": before.word, "to": each.circuit.state.word},
            upstream=each.upstream,
            endpoint=each.endpoint,
            why=why,
        )
