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
from meshproxy.policies.shadow import Mode

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Endpoint
    from meshproxy.policies.shadow_breaker import ShadowBreaker

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
        from meshproxy.policies.shadow_breaker import ShadowBreaker  # they are breakers, too
        from meshproxy.policies.shared_breaker import maker

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
    """One route's view of the circuits of its cluster.

    A phase finds the circuit in force on the endpoint; what it does then is a method that takes
    the circuit, as one in shadow comes from elsewhere.
    """

    __slots__ = (
        "_circuits", "_failed", "_panic", "_random", "_rule", "_rules", "_tell",
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
        self._failed = scope.classifier.failed
        self._random: Random = scope.random
        self._rule = scope.rule
        self._tell: Callable[..., None] = scope.tell
        self._upstream = scope.cluster.name

    def eligible(self, endpoint: Endpoint, now: float) -> bool:
        circuit: EndpointCircuit = endpoint.circuit
        return now >= circuit.until or self.lets(circuit, endpoint, now)

    def lets(self, circuit: EndpointCircuit, endpoint: Endpoint, now: float) -> bool:
        """Whether it may be tried: its time has come, a check went well since, or in a panic.

        What an operator holds open stays so even then.
        """
        if now >= circuit.until:
            return True
        if circuit.held:
            return False
        if breaker.vouched(circuit, endpoint.passed_at):
            return True
        return self._panic is not None and self._panic.reigns()

    def barred(self, exchange: Exchange, now: float) -> Refusal | None:  # noqa: ARG002  # a phase
        """Nothing, where some circuit would let it through: then it was not for us."""
        circuits = self._circuits.items()
        waits = [each.until - now for endpoint, each in circuits if endpoint.healthy]
        soonest = min(waits, default=0.0)
        if soonest <= 0.0:
            return None
        detail = (
            f"circuit breaker: all {len(waits)} endpoints of {self._upstream} are open"
            if len(waits) > 1
            else f"circuit breaker: the only endpoint of {self._upstream} is open"
        )
        if held := sum(each.held for endpoint, each in circuits if endpoint.healthy):
            whose = "" if held == len(waits) else f" {held} of them"
            detail = f"{detail},{whose} forced by an operator"
        if len(waits) < len(circuits):
            detail = f"{detail}; {len(circuits) - len(waits)} fail their health checks"
        return Refusal(503, "UO", detail, self._rule, soonest if soonest < NEVER else 0.0)

    def depart(self, exchange: Exchange, now: float) -> None:
        circuit: EndpointCircuit = exchange.endpoint.circuit  # type: ignore[union-attr]  # picked
        if circuit.state is not _CLOSED:
            self.claim(circuit, exchange, now)

    def claim(self, circuit: EndpointCircuit, exchange: Exchange, now: float) -> None:
        """An attempt departs that may be a probe."""
        endpoint: Endpoint = exchange.endpoint  # type: ignore[assignment]  # picked by now
        early = breaker.vouched(circuit, endpoint.passed_at)
        if early:
            circuit.until = min(circuit.until, now)
        if breaker.claim(circuit, self._rules, now):
            why = "a health check went well" if early else "its open time is over"
            self._turned(circuit, exchange, State.OPEN, why, now)

    def settle(self, exchange: Exchange, now: float) -> None:
        circuit: EndpointCircuit = exchange.endpoint.circuit  # type: ignore[union-attr]  # as above
        if (
            exchange.failure is None
            and exchange.status < 400
            and not circuit.streak
            and circuit.state is _CLOSED
        ):
            # `learn` without its call, and what it calls: most answers come here.
            if now >= circuit.edge:
                circuit.begin_slice(now)
            circuit.good += 1
        else:
            self.learn(circuit, exchange, now)

    def learn(self, circuit: EndpointCircuit, exchange: Exchange, now: float) -> None:
        """What came of an attempt, as its head says or the failure that left it without one."""
        if (exchange.failure is not None or exchange.status >= 400) and self._failed(exchange):
            self._lost(circuit, exchange, now)
        elif exchange.failure is not None:
            # Not the upstream's fault, or not one that this route counts.
            breaker.release(circuit, self._rules, exchange.sent_at)
        else:
            circuit.add_good(now)
            self._won(circuit, exchange, now)

    def broke(self, exchange: Exchange, now: float) -> None:
        self.unlearn(exchange.endpoint.circuit, exchange, now)  # type: ignore[union-attr]  # picked

    def unlearn(self, circuit: EndpointCircuit, exchange: Exchange, now: float) -> None:
        """What was counted as a success at its head was none."""
        if exchange.status < 400 and self._failed(exchange):
            circuit.take_back(now)
            self._lost(circuit, exchange, now, broken=True)

    def regard(self, endpoint: Endpoint, now: float) -> Regard:
        return self.judge(endpoint.circuit, endpoint, now)

    def judge(self, circuit: EndpointCircuit, endpoint: Endpoint, now: float) -> Regard:
        """The circuit's state, and why an endpoint may or may not be tried."""
        says, may = f"circuit {circuit.state.word}", now >= circuit.until
        if circuit.held:
            says = f"{says}, forced by an operator"
        elif not may:
            says = (
                f"{says} for {circuit.until - now:.3g} s more; last failure: {circuit.last_failure}"
            )
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
        words = [each.state.word for each in self._circuits.values()]
        yield Step(_counted(words))

    def brief(self, exchange: Exchange, now: float) -> str:  # noqa: ARG002  # as of the last event
        endpoint = exchange.endpoint
        if endpoint is None:
            return ""
        return f"breaker={endpoint.circuit.state.word}"

    def all_open(self, now: float) -> bool:
        """Whether every endpoint that could be tried at all is kept from it by its circuit."""
        return not any(
            endpoint.healthy and self.lets(circuit, endpoint, now)
            for endpoint, circuit in self._circuits.items()
        )

    def _won(self, circuit: EndpointCircuit, exchange: Exchange, now: float) -> None:
        if breaker.win(circuit, self._rules, exchange.sent_at, now):
            circuit.forget()
            if not circuit.shadow:
                exchange.endpoint.ramp_since = now  # type: ignore[union-attr]  # picked by now
            self._turned(circuit, exchange, State.HALF_OPEN, "its probes succeeded", now)

    def _lost(
        self, circuit: EndpointCircuit, exchange: Exchange, now: float, broken: bool = False
    ) -> None:
        circuit.last_failure = (
            exchange.failure.condition if exchange.failure else str(exchange.status)
        )
        circuit.add_bad(now)
        counts = circuit.totals(self._rules.window, now)
        why = breaker.lose(circuit, self._rules, exchange.sent_at, counts, broken)
        if why:
            why = f"{why}; the last: {circuit.last_failure}"
            if breaker.may_open(circuit, self._rules, len(self._circuits), self._out(circuit)):
                self._open(circuit, exchange, why, now)
            else:
                self._keep_in(circuit, why)

    def _open(self, circuit: EndpointCircuit, exchange: Exchange, why: str, now: float) -> None:
        before = circuit.state
        last = self._out(circuit) == len(self._circuits) - 1
        proven = circuit.totals(SPAN, now)[0] > 0
        breaker.trip(circuit, self._rules, now, self._random.random(), last, proven)
        self._turned(circuit, exchange, before, why, now)

    def _keep_in(self, circuit: EndpointCircuit, why: str) -> None:
        circuit.capped += 1
        self._tell(
            "breaker_capped", level="warning", once_per=CAPPED_LINES, upstream=circuit.upstream,
            endpoint=circuit.endpoint, why=why,
            detail=f"max_ejected of {self._upstream} are left out already",
        )  # fmt: skip

    def _out(self, circuit: Circuit) -> int:
        """How many others of the cluster are not used: open, half-open or failing their checks."""
        return sum(
            each is not circuit and not (endpoint.healthy and each.state is _CLOSED)
            for endpoint, each in self._circuits.items()
        )

    def _turned(
        self, circuit: EndpointCircuit, exchange: Exchange, before: State, why: str, now: float
    ) -> None:
        circuit.turned(before)
        said = {"from": before.word, "to": circuit.state.word, "endpoint": circuit.endpoint}
        if circuit.shadow:
            said["mode"] = "shadow"
        self._tell("breaker", **said, upstream=circuit.upstream, why=why)
        exchange.note(
            "meshproxy.circuit_breaker", now, **{f"meshproxy.{key}": said[key] for key in said}
        )
