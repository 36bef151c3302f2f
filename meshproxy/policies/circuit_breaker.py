"""Circuit breaker: keep requests off an endpoint that fails, and find out when it is well.

An endpoint has one circuit per cluster, whichever route leads there; a route's own numbers
and classifier decide what its attempts do to it. The rules themselves are `logic.breaker`, the
circuits `circuits`, and what lets everyone in again `panic`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from meshproxy.core.explanation import Regard, Step
from meshproxy.core.fields import Duration, Percent, PercentOrOff
from meshproxy.core.verdict import Refusal
from meshproxy.logic import breaker
from meshproxy.logic.breaker import NEVER, Circuit, Rules, State
from meshproxy.logic.tally import SPAN
from meshproxy.logic.units import write_duration
from meshproxy.policies.circuits import EndpointCircuit, circuits_of
from meshproxy.policies.contract import Random, Scope, Spec
from meshproxy.policies.panic import Panic, panic_of
from meshproxy.policies.shadow import Mode, shadows

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Classifier, Endpoint

CAPPED_LINES = 10.0
"""Seconds between two log lines about an endpoint that is kept in."""

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
    max_ejected: Percent = Field(
        default=0.5,
        gt=0.0,
        le=1.0,
        description="Share of several endpoints that may be left out; 100%: even the last one.",
    )
    panic: PercentOrOff = Field(
        default=0.0, le=1.0, description="Share of usable endpoints below which all are used."
    )
    mode: Mode = "enforce"

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

    def build(self, scope: Scope) -> CircuitBreaker | ShadowBreaker | None:
        if self.mode == "off":
            return None
        from meshproxy.policies.shared_breaker import maker  # it is a breaker, too

        made = maker(scope.sharing)
        rules = Rules(**{name: getattr(self, name) for name in Rules.__slots__})
        if self.mode == "shadow":
            tried = made(rules, scope, circuits_of(scope, shadow=True), None)
            return ShadowBreaker(tried, scope)
        return made(rules, scope, circuits_of(scope), panic_of(scope, self.panic))


def _counted(words: Sequence[str]) -> str:
    """`circuits: 2 closed, 1 open`."""
    counts = {word: words.count(word) for word in dict.fromkeys(words)}
    return "circuits: " + ", ".join(f"{count} {word}" for word, count in counts.items())


class CircuitBreaker:
    """One route's view of the circuits of its cluster."""

    __slots__ = (
        "_circuits", "_classifier", "_failed", "_panic", "_random", "_rule", "_rules", "_tell",
        "_upstream",
    )  # fmt: skip

    def __init__(
        self,
        rules: Rules,
        scope: Scope,
        circuits: dict[Endpoint, EndpointCircuit],
        panic: Panic | None,
    ) -> None:
        self._rules = rules
        self._circuits = circuits
        self._panic = panic
        self._classifier: Classifier = scope.classifier
        self._failed = scope.classifier.failed
        self._random: Random = scope.random
        self._rule = scope.rule
        self._tell: Callable[..., None] = scope.tell
        self._upstream = scope.cluster.name

    def eligible(self, endpoint: Endpoint, now: float) -> bool:
        circuit = self._circuits[endpoint].circuit
        return now >= circuit.until or self._after_all(endpoint, circuit)

    def _after_all(self, endpoint: Endpoint, circuit: Circuit) -> bool:
        """Before its time: a check went well since, or too few others are left.

        What an operator holds open stays so even then.
        """
        if circuit.forced:
            return False
        if breaker.vouched(circuit, endpoint.passed_at):
            return True
        return self._panic is not None and self._panic.reigns()

    def barred(self, exchange: Exchange, now: float) -> Refusal | None:  # noqa: ARG002  # a phase
        """Nothing, where some circuit would let it through: then it was not for us."""
        circuits = self._circuits.items()
        waits = [each.circuit.until - now for endpoint, each in circuits if endpoint.healthy]
        soonest = min(waits, default=0.0)
        if soonest <= 0.0:
            return None
        detail = (
            f"circuit breaker: all {len(waits)} endpoints of {self._upstream} are open"
            if len(waits) > 1
            else f"circuit breaker: the only endpoint of {self._upstream} is open"
        )
        if held := sum(each.circuit.forced for endpoint, each in circuits if endpoint.healthy):
            whose = "" if held == len(waits) else f" {held} of them"
            detail = f"{detail},{whose} forced by an operator"
        if len(waits) < len(circuits):
            detail = f"{detail}; {len(circuits) - len(waits)} fail their health checks"
        return Refusal(503, "UO", detail, self._rule, soonest if soonest < NEVER else 0.0)

    def depart(self, exchange: Exchange, now: float) -> None:
        endpoint: Endpoint = exchange.endpoint  # type: ignore[assignment]  # picked by now
        circuit = self._circuits[endpoint].circuit
        if circuit.state is _CLOSED:
            return
        early = breaker.vouched(circuit, endpoint.passed_at)
        if early:
            circuit.until = min(circuit.until, now)
        if breaker.claim(circuit, self._rules, now):
            why = "a health check went well" if early else "its open time is over"
            self._turned(exchange, State.OPEN, why, now)

    def settle(self, exchange: Exchange, now: float) -> None:
        each = self._circuits[exchange.endpoint]  # type: ignore[index]  # picked by now
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

    def broke(self, exchange: Exchange, now: float) -> None:
        """What was counted as a success at its head was none."""
        if exchange.status < 400 and self._failed(exchange):
            each = self._circuits[exchange.endpoint]  # type: ignore[index]  # picked by now
            each.tally.take_back(now)
            self._lost(each, exchange, now, broken=True)

    def regard(self, endpoint: Endpoint, now: float) -> Regard:
        """The circuit's state, and why an endpoint may or may not be tried."""
        each = self._circuits[endpoint]
        circuit = each.circuit
        says, may = f"circuit {circuit.state.word}", now >= circuit.until
        if circuit.forced:
            says = f"{says}, forced by an operator"
        elif not may:
            says = f"{says} for {circuit.until - now:.3g} s more; last failure: {each.last_failure}"
            if breaker.vouched(circuit, endpoint.passed_at):
                may, says = True, f"{says}; but a check went well since"
            elif self._panic is not None and self._panic.would_reign():
                may, says = True, f"{says}; but too few are left: all are used"
        elif circuit.state is State.OPEN:
            says = f"{says}, its time is over: this would be a probe"
        elif circuit.state is State.HALF_OPEN:
            says = f"{says}: this would be a probe"
        elif circuit.streak:
            says = (
                f"{says}, {circuit.streak} of {self._rules.consecutive_failures} failures in a row"
            )
        return Regard(may, says, {"circuit": circuit.state.word})

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:  # noqa: ARG002  # a phase
        """The state of all circuits in a line."""
        words = [each.circuit.state.word for each in self._circuits.values()]
        yield Step(_counted(words))

    def brief(self, exchange: Exchange, now: float) -> str:  # noqa: ARG002  # as of the last event
        endpoint = exchange.endpoint
        if endpoint is None:
            return ""
        return f"breaker={self._circuits[endpoint].circuit.state.word}"

    def all_open(self, now: float) -> bool:
        """Whether every endpoint that could be tried at all is kept from it by its circuit."""
        return not any(
            endpoint.healthy and self.eligible(endpoint, now) for endpoint in self._circuits
        )

    def _won(self, each: EndpointCircuit, exchange: Exchange, now: float) -> None:
        if breaker.win(each.circuit, self._rules, exchange.sent_at, now):
            each.tally.clear()
            if not each.shadow:
                exchange.endpoint.ramp_since = now  # type: ignore[union-attr]  # picked by now
            self._turned(exchange, State.HALF_OPEN, "its probes succeeded", now)

    def _lost(
        self, each: EndpointCircuit, exchange: Exchange, now: float, broken: bool = False
    ) -> None:
        circuit = each.circuit
        each.last_failure = exchange.failure.condition if exchange.failure else str(exchange.status)
        each.tally.add_bad(now)
        counts = each.tally.totals(self._rules.window, now)
        why = breaker.lose(circuit, self._rules, exchange.sent_at, counts, broken)
        if why:
            why = f"{why}; the last: {each.last_failure}"
            if breaker.may_open(circuit, self._rules, len(self._circuits), self._out(circuit)):
                self._open(each, exchange, why, now)
            else:
                self._keep_in(each, why)

    def _open(self, each: EndpointCircuit, exchange: Exchange, why: str, now: float) -> None:
        circuit = each.circuit
        before = circuit.state
        last = self._out(circuit) == len(self._circuits) - 1
        proven = each.tally.totals(SPAN, now)[0] > 0
        breaker.trip(circuit, self._rules, now, self._random.random(), last, proven)
        self._turned(exchange, before, why, now)

    def _keep_in(self, each: EndpointCircuit, why: str) -> None:
        each.capped += 1
        self._tell(
            "breaker_capped", level="warning", once_per=CAPPED_LINES, upstream=each.upstream,
            endpoint=each.endpoint, why=why,
            detail=f"max_ejected of {self._upstream} are left out already",
        )  # fmt: skip

    def _out(self, circuit: Circuit) -> int:
        """How many others of the cluster are not used: open, half-open or failing their checks."""
        return sum(
            each.circuit is not circuit and not (endpoint.healthy and each.circuit.state is _CLOSED)
            for endpoint, each in self._circuits.items()
        )

    def _turned(self, exchange: Exchange, before: State, why: str, now: float) -> None:
        each = self._circuits[exchange.endpoint]  # type: ignore[index]  # picked by now
        each.turned(before)
        said = {"from": before.word, "to": each.circuit.state.word, "endpoint": each.endpoint}
        if each.shadow:
            said["mode"] = "shadow"
        self._tell("breaker", **said, upstream=each.upstream, why=why)
        exchange.note(
            "meshproxy.circuit_breaker", now, **{f"meshproxy.{key}": said[key] for key in said}
        )


class ShadowBreaker:
    """The same on circuits of its own: it stops nothing, and counts what would be stopped.

    What a breaker in force would not have let through teaches its circuit nothing, so that
    both see the same.
    """

    __slots__ = ("_circuits", "_counts", "_direction", "_stray", "_tried", "_upstream")

    def __init__(self, tried: CircuitBreaker, scope: Scope) -> None:
        self._tried = tried
        self._circuits = circuits_of(scope, shadow=True)
        self._counts = shadows(scope)
        self._direction = scope.direction
        self._upstream = scope.cluster.name
        self._stray: set[Exchange] = set()

    def depart(self, exchange: Exchange, now: float) -> None:
        endpoint: Endpoint = exchange.endpoint  # type: ignore[assignment]  # picked by now
        if self._tried.eligible(endpoint, now):
            self._stray.discard(exchange)
            self._tried.depart(exchange, now)
            return
        self._circuits[endpoint].ignored += 1
        if exchange.attempts == 1 and self._tried.all_open(now):
            route = exchange.route.name
            self._counts.count("circuit_breaker", self._direction, route, self._upstream)
        self._stray.add(exchange)
        exchange.defer(lambda _: self._stray.discard(exchange))

    def regard(self, endpoint: Endpoint, now: float) -> Regard:
        tried = self._tried.regard(endpoint, now)
        says = f"in shadow: {tried.says}" if tried.may else f"in shadow: left out, {tried.says}"
        return Regard(True, says, {"shadow_circuit": tried.data["circuit"]})

    def settle(self, exchange: Exchange, now: float) -> None:
        if exchange not in self._stray:
            self._tried.settle(exchange, now)

    def broke(self, exchange: Exchange, now: float) -> None:
        if exchange not in self._stray:
            self._tried.broke(exchange, now)
