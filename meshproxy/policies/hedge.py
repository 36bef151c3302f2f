"""Hedging: a second attempt beside one that takes long, and the first good answer counts.

When is a learned percentile of the route's own answers or a fixed time; how often is a share of
the requests, put by request by request. Which endpoint, who wins and who is cancelled is the
data plane's; that nothing is hedged which must not be repeated is decided here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from meshproxy.core.explanation import Step, Tries
from meshproxy.core.fields import Duration, Percent
from meshproxy.core.report import Sample
from meshproxy.core.verdict import Failure
from meshproxy.logic import units
from meshproxy.logic.latency import Sketch
from meshproxy.policies.contract import Scope, Spec

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Classifier

BURST = 10.0
"""Second attempts that may be put by, so that a stall finds some and no more than these."""

_PERCENTILE = re.compile(r"p([5-9][0-9](?:\.[0-9])?)")

# What was not waited for took at least so long: left out, slow answers would seem rare.
_UNFINISHED = frozenset({Failure.OUTRUN, Failure.TRY_TIMEOUT, Failure.TIMEOUT, Failure.DEADLINE})


@dataclass(frozen=True, slots=True)
class After:
    """A share of the answers to be waited for, or seconds; the other is 0.0."""

    share: float = 0.0
    seconds: float = 0.0


def _read_after(value: Any) -> Any:
    if isinstance(value, After):
        return value
    found = _PERCENTILE.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        return After(share=float(found[1]) / 100.0)
    try:
        seconds = units.duration(value)
    except ValueError:
        seconds = 0.0
    if seconds > 0.0:
        return After(seconds=seconds)
    raise PydanticCustomError("after", "write a percentile from p50 to p99.9, or a duration: 50ms")


def _write_after(after: After) -> str:
    if after.share:
        return f"p{units.write_percent(after.share).removesuffix('%')}"
    return units.write_duration(after.seconds)


AfterField = Annotated[
    After,
    BeforeValidator(_read_after),
    PlainSerializer(_write_after, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_PERCENTILE.pattern}$", "examples": ["p95"]},
                {"type": "string", "pattern": units.DURATION_PATTERN, "examples": ["50ms"]},
            ]
        }
    ),
]
# RFC 9110 section 9.2.2: no other method may be repeated by a proxy on its own.
Method = Literal["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]


class HedgeSpec(Spec):
    """Send a second attempt beside a slow one, elsewhere, and take the first good answer."""

    key: ClassVar[str] = "hedge"
    of_route: ClassVar[bool] = True

    after: AfterField = Field(
        default=After(share=0.95),
        description="When: a percentile of the time to the head of an answer, or a duration.",
    )
    min: Duration = Field(default=0.001, description="Never sooner than this.")
    max_extra: Percent = Field(
        default=0.02, gt=0.0, description="Second attempts per request, in the long run."
    )
    # A second DELETE beside the first may be told that there is nothing left to delete.
    methods: tuple[Method, ...] = Field(
        default=("GET", "HEAD", "OPTIONS"),
        min_length=1,
        description="Idempotent ones only; PUT and DELETE where two at once do no harm.",
    )

    def build(self, scope: Scope) -> Hedge | None:
        if len(scope.cluster.endpoints) < 2:
            return None  # nobody to send it to
        name = scope.cluster.name
        account = scope.draft.state(("hedges", name), lambda: Account(name))
        if not self.after.share:
            return Hedge(self, account)
        share = self.after.share
        learned = scope.draft.state(
            ("hedge", scope.direction, name, scope.route, share),
            lambda: Learned(name, scope.route, Sketch(share, scope.now)),
        )
        return LearnedHedge(self, account, learned.sketch, scope.classifier)


class Account:
    """What the ledger keeps per cluster: what is put by for second attempts, and how they went."""

    __slots__ = ("outcomes", "saved", "upstream")

    section = "hedges"

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.saved = 1.0
        self.outcomes: dict[str, int] = {}

    def count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def save(self, share: float) -> None:
        """One more request: put its share by."""
        self.saved = min(BURST, self.saved + share)

    def spend(self) -> bool:
        """Take a whole one, if there is one."""
        if self.saved < 1.0 - 1e-9:
            return False
        self.saved -= 1.0
        return True

    def samples(self) -> Iterable[Sample]:
        for outcome, count in self.outcomes.items():
            labels = (("upstream", self.upstream), ("outcome", outcome))
            yield Sample("meshproxy_hedges_total", labels, float(count))

    def report(self, now: float) -> Mapping[str, Any]:  # noqa: ARG002  # a count has no age
        return {
            "upstream": self.upstream,
            "outcomes": dict(self.outcomes),
            "saved": round(self.saved, 2),
        }


@dataclass(frozen=True, slots=True)
class Learned:
    """What the ledger keeps per route: what its answers took of late."""

    upstream: str
    route: str
    sketch: Sketch

    section: ClassVar[str] = "hedge_delays"

    def report(self, now: float) -> Mapping[str, Any]:
        """`after_seconds` is null while too few answers are known."""
        after = self.sketch.percentile(now)
        return {"upstream": self.upstream, "route": self.route, "after_seconds": after}


class Hedge:
    """One route's, after a fixed time. Outcomes: `sent`, and then `won` or `lost`; `no_budget`."""

    __slots__ = ("_account", "_after", "_least", "_methods", "_share")

    def __init__(self, spec: HedgeSpec, account: Account) -> None:
        self._account = account
        self._methods = frozenset(method.encode() for method in spec.methods)
        self._share = spec.max_extra
        self._least = spec.min
        self._after = max(spec.min, spec.after.seconds)

    def hedge(self, exchange: Exchange, now: float) -> float:
        """Seconds to wait for the first attempt alone; 0.0: there will be no second."""
        if exchange.method not in self._methods or exchange.tunnel:
            return 0.0
        if not exchange.fresh:  # not the same attempt once more
            self._account.save(self._share)
        return self._wait(now)

    def _wait(self, now: float) -> float:  # noqa: ARG002  # what is fixed has no age
        return self._after

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:
        if exchange.method not in self._methods or exchange.tunnel:
            yield Step("no second attempt beside the first: not for this method")
            return
        after = self._peek(now)
        if after is None:
            yield Step("no second attempt beside the first yet: too few answers are known")
            return
        saved = self._account.saved + self._share >= 1.0 - 1e-9
        room = "one is saved up" if saved else "none is saved up: not this time"
        says = f"a second attempt elsewhere after {after * 1000:.4g} ms without an answer; {room}"
        yield Step(says, data={"after_seconds": after, "saved": round(self._account.saved, 2)})

    def tries(self, exchange: Exchange) -> Tries:
        return Tries(beside=int(exchange.method in self._methods and not exchange.tunnel))

    def _peek(self, now: float) -> float | None:  # noqa: ARG002  # what is fixed has no age
        return self._after

    def rival(self, exchange: Exchange, now: float) -> bool:
        """Whether a second attempt may go out now."""
        if exchange.deadline and now >= exchange.deadline:
            return False  # what cannot finish in time is not sent
        account = self._account
        if not account.spend():
            account.count("no_budget")
            return False
        account.count("sent")
        exchange.defer(lambda _: account.count(_outcome(exchange, now)))
        return True


def _outcome(exchange: Exchange, sent: float) -> str:
    """Whether the answer was that of the attempt which was sent then."""
    return "won" if exchange.answered and exchange.sent_at == sent else "lost"


class LearnedHedge(Hedge):
    """After a percentile of what this route's first attempts took of late."""

    __slots__ = ("_failed", "_sketch")

    def __init__(
        self, spec: HedgeSpec, account: Account, sketch: Sketch, classifier: Classifier
    ) -> None:
        super().__init__(spec, account)
        self._sketch = sketch
        self._failed = classifier.failed

    def _wait(self, now: float) -> float:
        learned = self._sketch.percentile(now)
        return 0.0 if learned is None else max(self._least, learned)

    def _peek(self, now: float) -> float | None:
        learned = self._sketch.peek(now)
        return None if learned is None else max(self._least, learned)

    def settle(self, exchange: Exchange, now: float) -> None:
        """Learn from first attempts alone: a second one goes out when things are slow."""
        if exchange.attempts != 1 or exchange.method not in self._methods or exchange.tunnel:
            return
        failure = exchange.failure
        if failure in _UNFINISHED or (failure is None and not self._failed(exchange)):
            self._sketch.add(now - exchange.sent_at, now)
