"""Active health checks: who fails them gets no requests, and what passing them is worth.

A check is asked by the prober (`core.checkup`); here its answer becomes a verdict on the
endpoint. An open circuit is not closed by a check that went well, but may be probed at once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from meshproxy import __version__
from meshproxy.core.checkup import Heard, Question
from meshproxy.core.explanation import Regard
from meshproxy.core.fields import Duration, Percent
from meshproxy.core.report import Sample
from meshproxy.core.verdict import Refusal
from meshproxy.logic import health
from meshproxy.logic.health import Health, Rules
from meshproxy.policies.circuits import Shifts, shifts_of
from meshproxy.policies.contract import Random, Scope, Spec
from meshproxy.policies.panic import Panic, panic_of

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Endpoint

PATH_PATTERN = r"^/[!-~]{0,999}$"
STATUS_PATTERN = r"^[1-5][0-9]{2}(-[1-5][0-9]{2})?$"
SUCCESS, BAD_STATUS = "success", "status"


def _read_expected(value: Any) -> Any:
    words = value if isinstance(value, list | tuple) else [value]
    try:
        if not health.read_statuses(words):
            raise ValueError("write at least one status, as in 200-399")
    except ValueError as error:
        raise PydanticCustomError("statuses", "{message}", {"message": str(error)}) from None
    return tuple(str(word) for word in words)


_STATUS = {
    "anyOf": [
        {"type": "string", "pattern": STATUS_PATTERN, "examples": ["200-399"]},
        {"type": "integer", "minimum": 100, "maximum": 599},
    ]
}
Expected = Annotated[
    tuple[str, ...],
    BeforeValidator(_read_expected),
    WithJsonSchema({"anyOf": [*_STATUS["anyOf"], {"type": "array", "items": _STATUS}]}),
]


def _read_path(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(PATH_PATTERN, value):
        raise PydanticCustomError("path", "write a path such as /healthz")
    return value


CheckPath = Annotated[
    str,
    BeforeValidator(_read_path),
    WithJsonSchema({"type": "string", "pattern": PATH_PATTERN, "examples": ["/healthz"]}),
]


class HealthCheckSpec(Spec):
    """Ask each endpoint now and then whether it is well, and leave out who is not."""

    key: ClassVar[str] = "health_check"
    of_route: ClassVar[bool] = True

    path: CheckPath = Field(default="/healthz", description="What is asked for.")
    interval: Duration = Field(
        default=10.0, ge=0.1, description="Between two checks; at most 1s until the first result."
    )
    jitter: Percent = Field(default=0.1, le=1.0, description="Of the interval, more or less.")
    timeout: Duration = Field(default=2.0, gt=0.0, description="For one check, connecting too.")
    healthy: int = Field(default=2, ge=1, description="Passes in a row that bring it back.")
    unhealthy: int = Field(default=3, ge=1, description="Failures in a row that take it out.")
    expect: Expected = Field(
        default=("200-399",), description="Statuses that pass: one, a range, or a list of them."
    )
    host: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._:\[\]-]+$",
        max_length=260,
        description="Host field; default: the endpoint's address.",
    )
    port: int | None = Field(
        default=None, ge=1, le=65535, description="Asked instead of the endpoint's own."
    )

    def build(self, scope: Scope) -> HealthCheck:
        for endpoint in scope.cluster.endpoints:
            self._check(scope, endpoint)
        breaker = scope.beside("circuit_breaker")
        share = breaker.panic if breaker is not None and breaker.mode == "enforce" else 0.0
        return HealthCheck(scope, self.interval, panic_of(scope, share))

    def _check(self, scope: Scope, endpoint: Endpoint) -> None:
        """The verdict outlives these settings; the check is what is asked under just these."""
        where = (scope.cluster.name, endpoint.name)
        state, shifts = scope.draft.state, shifts_of(scope)
        verdict = state(("health", *where), lambda: Verdict(where[0], endpoint, shifts))
        state(("check", *where, self), lambda: Check(self, verdict, scope.random, scope.tell))

    def question(self, endpoint: Endpoint) -> Question:
        """What one endpoint is asked."""
        host = self.host or endpoint.name
        head = (
            f"GET {self.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: meshproxy/{__version__}\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n"
        )
        return Question(endpoint.host, self.port or endpoint.port, head.encode(), self.timeout)


class Verdict:
    """What the ledger keeps of an endpoint: how its checks went, and what follows from it."""

    __slots__ = ("endpoint", "health", "last", "results", "shifts", "upstream")

    section = "health_checks"

    def __init__(self, upstream: str, endpoint: Endpoint, shifts: Shifts) -> None:
        self.upstream = upstream
        self.endpoint = endpoint
        self.shifts = shifts
        self.health = Health()
        self.results: Counter[str] = Counter()
        self.last = ""

    def apply(self) -> None:
        """Make the verdict count."""
        self.endpoint.healthy = self.health.healthy
        self.shifts.count += 1

    def drop(self) -> None:
        """Nobody checks it any more: it is as good as any other."""
        self.endpoint.healthy = True
        self.shifts.count += 1

    def samples(self) -> Iterable[Sample]:
        where = (("upstream", self.upstream), ("endpoint", self.endpoint.name))
        yield Sample("meshproxy_endpoint_healthy", where, float(self.health.healthy))
        for result, count in self.results.items():
            labels = (*where, ("result", result))
            yield Sample("meshproxy_health_checks_total", labels, float(count))

    def report(self, now: float) -> Mapping[str, Any]:  # noqa: ARG002  # counts have no age
        state = self.health
        return {
            "upstream": self.upstream,
            "endpoint": self.endpoint.name,
            "healthy": state.healthy,
            "checked": state.known,
            "ready": health.seems_well(state),
            "passes_in_a_row": state.passes,
            "failures_in_a_row": state.fails,
            "last": self.last,
        }


class Check:
    """One endpoint under one set of settings; a `core.checkup.Checked`."""

    __slots__ = ("_expected", "_random", "_rules", "_tell", "_verdict", "question")

    def __init__(
        self, spec: HealthCheckSpec, verdict: Verdict, random: Random, tell: Callable[..., None]
    ) -> None:
        self.question = spec.question(verdict.endpoint)
        self._rules = Rules(spec.interval, spec.jitter, spec.healthy, spec.unhealthy)
        self._expected = health.read_statuses(spec.expect)
        self._verdict = verdict
        self._random = random
        self._tell = tell

    def taken_up(self) -> None:
        self._verdict.apply()

    def given_up(self) -> None:
        self._verdict.drop()

    def pause(self) -> float:
        return health.pause(self._rules, self._verdict.health, self._random.random())

    def heard(self, heard: Heard, began: float, now: float) -> None:
        verdict = self._verdict
        passed = heard.status in self._expected
        verdict.results[SUCCESS if passed else heard.trouble or BAD_STATUS] += 1
        verdict.last = heard.trouble or f"status {heard.status}"
        if passed:
            verdict.endpoint.passed_at = began
        if not health.learn(verdict.health, self._rules, passed):
            return
        verdict.apply()
        if passed:
            verdict.endpoint.ramp_since = now
        self._tell(
            "health", level="info" if passed else "warning", healthy=passed,
            upstream=verdict.upstream, endpoint=verdict.endpoint.name, why=verdict.last,
        )  # fmt: skip


class HealthCheck:
    """One route's view of the verdicts on its cluster."""

    __slots__ = ("_endpoints", "_panic", "_refusal")

    def __init__(self, scope: Scope, interval: float, panic: Panic | None) -> None:
        self._endpoints = tuple(scope.cluster.endpoints)
        self._panic = panic
        count, name = len(self._endpoints), scope.cluster.name
        whose = f"all {count} endpoints of {name} fail" if count > 1 else f"{name} fails"
        detail = f"health checks: {whose}"
        self._refusal = Refusal(503, "UH", detail, scope.rule, interval)

    def eligible(self, endpoint: Endpoint, now: float) -> bool:  # noqa: ARG002  # a phase
        return endpoint.healthy or (self._panic is not None and self._panic.reigns())

    def regard(self, endpoint: Endpoint, now: float) -> Regard:  # noqa: ARG002  # a phase
        data = {"healthy": endpoint.healthy}
        if endpoint.healthy:
            return Regard(True, "healthy", data)
        if self._panic is not None and self._panic.would_reign():
            return Regard(True, "fails its checks, but too few are left: all are used", data)
        return Regard(False, "fails its health checks", data)

    def barred(self, exchange: Exchange, now: float) -> Refusal | None:  # noqa: ARG002  # a phase
        """Nothing, where somebody is healthy: then it was not for us."""
        return None if any(each.healthy for each in self._endpoints) else self._refusal
