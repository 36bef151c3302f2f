"""Retries: one more try where it cannot do harm, and no more than the upstream can bear.

The conditions are the file's, method safety is RFC 9110's, and the budget belongs to the
cluster, so that routes that lead to one upstream share what it can take.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from meshproxy.core.classify import CONDITIONS, Conditions, read_word
from meshproxy.core.explanation import Step, Tries
from meshproxy.core.fields import Duration, Percent, Timeout
from meshproxy.core.report import Sample
from meshproxy.core.verdict import Failure
from meshproxy.logic import retry, units
from meshproxy.logic.retry import LOOK_BACK, Allowance, Reserve
from meshproxy.logic.tally import Tally
from meshproxy.policies.contract import Random, Scope, Spec

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange

KEY = b"idempotency-key"


WORDS = (*CONDITIONS, "5xx", "gateway-error")


def _word(value: Any) -> str:
    try:
        word = read_word(value)
    except ValueError:
        message = f"write one of {', '.join(WORDS)}, or a status from 400 to 599"
    else:
        if word != "4xx":
            return word
        message = "4xx is the caller's own mistake, which no retry mends; name a status, as in 429"
    raise PydanticCustomError("when", "{message}", {"message": message})


def _jitter(value: Any) -> float:
    if value in ("full", "none"):
        return 1.0 if value == "full" else 0.0
    if isinstance(value, str) and value.endswith("%"):
        return units.percent(value)
    raise PydanticCustomError("jitter", "write full, none or a percentage such as 20%")


def _write_jitter(share: float) -> str:
    return {1.0: "full", 0.0: "none"}.get(share) or units.write_percent(share)


When = Annotated[
    str,
    BeforeValidator(_word),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(WORDS)},
                {"type": "integer", "minimum": 400, "maximum": 599},
                {"type": "string", "pattern": "^[45][0-9][0-9]$"},
            ]
        }
    ),
]
Jitter = Annotated[
    float,
    BeforeValidator(_jitter),
    PlainSerializer(_write_jitter, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["full", "none"]},
                {"type": "string", "pattern": units.PERCENT_PATTERN, "examples": ["20%"]},
            ]
        }
    ),
]


class BackoffSpec(BaseModel):
    """How long to wait before each retry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: Literal["exponential", "fixed"] = Field(
        default="exponential",
        description="exponential doubles from base to max; fixed is always base.",
    )
    base: Duration = Field(default=0.025, description="The first wait.")
    max: Duration | None = Field(
        default=None, description="The longest wait; left out: ten times base."
    )
    jitter: Jitter = Field(
        default=1.0,
        description="Share of a wait that is left to chance: full, none or a percentage.",
    )

    @model_validator(mode="after")
    def _agree(self) -> BackoffSpec:
        if self.max is not None and self.max < self.base:
            found = {
                "most": units.write_duration(self.max),
                "least": units.write_duration(self.base),
            }
            raise PydanticCustomError(
                "backoff", "max ({most}) must not be below base ({least})", found
            )
        return self

    def compiled(self) -> retry.Backoff:
        longest = 10.0 * self.base if self.max is None else self.max
        return retry.Backoff(self.base, longest, self.jitter, self.strategy == "exponential")


class BudgetSpec(BaseModel):
    """How many retries an upstream has to bear; shared by all routes that lead to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ratio: Percent = Field(default=0.2, description="Retries per request over the last 10 seconds.")
    min_per_second: float = Field(
        default=10.0,
        ge=0.0,
        le=1e6,
        description="So many are allowed however few requests there are.",
    )


class RetrySpec(Spec):
    """Try again where that is safe and likely to help."""

    key: ClassVar[str] = "retry"
    always: ClassVar[bool] = True
    always_at: ClassVar[frozenset[str]] = frozenset({"outbound"})

    attempts: int = Field(default=1, ge=0, le=10, description="Extra tries after the first.")
    when: tuple[When, ...] = Field(
        default=("connect-failure", "reset", "502", "503", "504"),
        description="What is worth another try: conditions, 5xx, gateway-error, or statuses.",
    )
    per_try_timeout: Timeout = Field(
        default=0.0,
        description="The longest one try may take before another follows; off: the whole call.",
    )
    backoff: BackoffSpec = Field(default=BackoffSpec())
    budget: BudgetSpec = Field(default=BudgetSpec())

    def build(self, scope: Scope) -> Retries | None:
        if not self.attempts or not self.when:
            return None
        name = scope.cluster.name
        allowance = Allowance(self.budget.ratio, self.budget.min_per_second)
        account = scope.draft.state(
            ("retry", name), lambda: Account(name, Reserve(allowance, scope.now))
        )
        granted = scope.draft.state(("route_retries", name), lambda: Granted(name))
        return Retries(self, allowance, account, granted, scope)


class Granted:
    """How many retries each route was granted; what the ledger keeps of those to a cluster."""

    __slots__ = ("counts", "upstream")

    section = "route_retries"

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.counts: dict[str, int] = {}

    def report(self, now: float) -> Mapping[str, Any]:  # noqa: ARG002  # a count has no age
        return {"upstream": self.upstream, "routes": dict(self.counts)}


class Account:
    """What the ledger keeps per cluster: requests and retries of late, and how they went."""

    __slots__ = ("outcomes", "recent", "reserve", "upstream")

    section = "retries"

    def __init__(self, upstream: str, reserve: Reserve) -> None:
        self.upstream = upstream
        self.reserve = reserve
        self.recent = Tally()  # good: requests, bad: retries
        self.outcomes: dict[str, int] = {}

    def count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def samples(self) -> Iterable[Sample]:
        for outcome, count in self.outcomes.items():
            labels = (("upstream", self.upstream), ("outcome", outcome))
            yield Sample("meshproxy_retries_total", labels, float(count))

    def report(self, now: float) -> Mapping[str, Any]:
        requests, retries = self.recent.totals(LOOK_BACK, now)
        return {
            "upstream": self.upstream,
            "last_10s": {"requests": requests, "retries": retries},
            "outcomes": dict(self.outcomes),
        }


class Retries:
    """The retries of routes that mean the same by them. Outcomes: `granted`, then `success` if a
    later try succeeded; or why there was none: `exhausted`, `no_budget`, `unsafe_method`,
    `body_too_large`, `out_of_time`."""

    __slots__ = (
        "_account", "_allowance", "_attempts", "_backoff", "_failed", "_granted", "_random",
        "_wanted", "_when",
    )  # fmt: skip

    reads: ClassVar[frozenset[bytes]] = frozenset((KEY,))

    def __init__(
        self,
        spec: RetrySpec,
        allowance: Allowance,
        account: Account,
        granted: Granted,
        scope: Scope,
    ) -> None:
        self._attempts = spec.attempts
        # Whoever bounds a try means it to be followed by another.
        when = (*spec.when, "timeout") if spec.per_try_timeout else spec.when
        self._when = tuple(dict.fromkeys(when))
        self._wanted = Conditions.of(when).hold
        self._backoff = spec.backoff.compiled()
        self._allowance = allowance
        self._account = account
        self._granted = granted.counts
        self._failed = scope.classifier.failed
        self._random: Random = scope.random

    def depart(self, exchange: Exchange, now: float) -> None:
        """A request earns its upstream a share of a retry; a repeated one earns no more."""
        if exchange.attempts == 1 and not exchange.fresh:
            self._account.recent.add_good(now)

    def settle(self, exchange: Exchange, now: float) -> None:  # noqa: ARG002  # a phase
        if exchange.attempts > 1 and exchange.failure is None and not self._failed(exchange):
            self._account.count("success")
        if not exchange.replayable and self._wanted(exchange):
            self._account.count("body_too_large")

    def retry(self, exchange: Exchange, now: float) -> float | None:
        # The end of the whole call's time is final, whatever the file asks for.
        if not self._wanted(exchange) or exchange.failure is Failure.TIMEOUT:
            return None
        if not exchange.replayable:
            return None
        seconds = self._pause(exchange)
        why_not = self._objection(exchange, now, seconds)
        if why_not:
            self._account.count(why_not)
            return None
        self._account.count("granted")
        self._granted[exchange.route.name] = self._granted.get(exchange.route.name, 0) + 1
        self._account.recent.add_bad(now)
        return seconds

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:
        """How often, on what, and whether the upstream could bear one now."""
        account = self._account
        counts = account.recent.peek(LOOK_BACK, now)
        tries = "1 further try" if self._attempts == 1 else f"{self._attempts} further tries"
        says = f"up to {tries} on {', '.join(self._when)}"
        if not retry.may_repeat(exchange.method, True, exchange.header(KEY)):
            method = exchange.method.decode("latin-1")
            says = f"{says}, only while nothing was sent: {method} is not idempotent"
        bears = retry.would_spend(self._allowance, account.reserve, counts, now)
        requests, retries = counts
        budget = f"{retries} retries of {requests} requests in {LOOK_BACK:g} s"
        says = f"{says}; the budget has {'room' if bears else 'no room'} ({budget})"
        yield Step(
            says, data={"attempts": self._attempts, "when": list(self._when), "budget": bears}
        )

    def tries(self, exchange: Exchange) -> Tries:  # noqa: ARG002  # of whatever failed
        """The longest pause is one to which chance adds nothing."""
        numbers = range(1, self._attempts + 1)
        pauses = tuple(retry.pause(self._backoff, number, 0.0) for number in numbers)
        return Tries(further=self._attempts, pauses=pauses, endures=True)

    def _pause(self, exchange: Exchange) -> float:
        draw = self._random.random()
        directed = retry.directed_pause(exchange.retry_after, draw)
        if directed is not None:
            return directed
        return retry.pause(self._backoff, exchange.attempts, draw)

    def _objection(self, exchange: Exchange, now: float, seconds: float) -> str:
        """Why not, the budget last: asking it spends from it."""
        if not retry.may_repeat(exchange.method, exchange.sent_upstream, exchange.header(KEY)):
            return "unsafe_method"
        if exchange.attempts > self._attempts:
            exchange.flag("URX")
            return "exhausted"
        if exchange.deadline and now + seconds >= exchange.deadline:
            return "out_of_time"
        account = self._account
        counts = account.recent.totals(LOOK_BACK, now)
        return "" if retry.spend(self._allowance, account.reserve, counts, now) else "no_budget"
