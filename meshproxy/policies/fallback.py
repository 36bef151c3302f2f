"""Fallback: something else instead of a failure: a stale answer, a written one, another service.

Asked only where the client would see a failure: no try is left, or the breaker let none out.
The stale answer is the cache's to give, which is asked first; for how long and why stands here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from meshproxy.core.classify import CONDITIONS, STATUS_WORDS
from meshproxy.core.explanation import Step
from meshproxy.core.fields import Duration
from meshproxy.core.report import Sample
from meshproxy.core.verdict import Failure, Served
from meshproxy.logic.retry import may_repeat
from meshproxy.policies.contract import Scope, Spec

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange
    from meshproxy.core.route import Route
    from meshproxy.core.verdict import Refusal

BREAKER_OPEN, NO_ENDPOINT = "breaker-open", "no-endpoint"
OWN = (BREAKER_OPEN, NO_ENDPOINT, *CONDITIONS)
"""The proxy's own failures that concern the upstream."""

CAUSES = {("UO", 503): BREAKER_OPEN, ("UH", 503): NO_ENDPOINT} | {
    (each.reason, each.status): each.condition for each in Failure if each.upstream_fault
}
"""What a refusal is about; a client that stalled or a forbidden destination is none of them."""

KEY = b"idempotency-key"
MAX_BODY = 64 * 1024
_STATUSES = {word: STATUS_WORDS[word] for word in ("5xx", "gateway-error")}
_WORDS = (*OWN, *_STATUSES)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"([\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?)?")
_FRAMING = frozenset(
    {"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
     "x-fallback"}
)  # fmt: skip
"""Fields that are written for each answer (RFC 9112 section 6, RFC 9110 section 7.6.1)."""


def _word(value: Any) -> str:
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word in _WORDS or re.fullmatch("5[0-9][0-9]", word):
        return word
    message = f"write one of {', '.join(_WORDS)}, or a status from 500 to 599"
    raise PydanticCustomError("on", "{message}", {"message": message})


def _fields(fields: dict[str, str]) -> dict[str, str]:
    for name, value in fields.items():
        if not _TOKEN.fullmatch(name) or name.lower() in _FRAMING:
            raise PydanticCustomError("field", "not a field to write here: {name}", {"name": name})
        if not _VALUE.fullmatch(value):
            message = "a value is printable ASCII in one line: {name}"
            raise PydanticCustomError("field", message, {"name": name})
    return fields


def _body(text: str) -> str:
    if len(text.encode()) > MAX_BODY:
        raise PydanticCustomError("body", "larger than 64 KiB")
    return text


On = Annotated[
    str,
    BeforeValidator(_word),
    WithJsonSchema(
        {"anyOf": [{"enum": list(_WORDS)}, {"type": "integer", "minimum": 500, "maximum": 599}]}
    ),
]


class Static(BaseModel):
    """An answer that is written down."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: int = Field(default=200, ge=200, le=599)
    headers: Annotated[dict[str, str], AfterValidator(_fields)] = Field(
        default={}, description="Fields of the answer."
    )
    body: Annotated[str, AfterValidator(_body)] = Field(
        default="", description="Up to 64 KiB; file:PATH reads it from there."
    )

    @model_validator(mode="after")
    def _agree(self) -> Static:
        # RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5.
        if self.status in (204, 205, 304) and self.body:
            raise PydanticCustomError("body", "an answer of this status has no body")
        return self

    def served(self) -> Served:
        fields = dict(self.headers)
        if self.body and "content-type" not in {name.lower() for name in fields}:
            fields["content-type"] = "text/plain; charset=utf-8"
        lines = [f"{name}: {value}\r\n" for name, value in fields.items()]
        lines.append("x-fallback: static\r\n")
        return Served(self.status, "".join(lines).encode(), self.body.encode())


class FallbackSpec(Spec):
    """What callers get instead of a failure: a stale answer, a written one, another service's."""

    key: ClassVar[str] = "fallback"
    of_route: ClassVar[bool] = True
    either: ClassVar[frozenset[str]] = frozenset({"static", "service"})

    on: tuple[On, ...] = Field(
        default=(*OWN, "gateway-error"),
        min_length=1,
        description="Failures, and statuses among those that `failures` counts.",
    )
    static: Static | None = Field(default=None, description="An answer that is written here.")
    service: str | None = Field(
        default=None, description="Another service of this file, asked the same once."
    )
    stale: Duration | None = Field(
        default=None,
        gt=0.0,
        description="What the cache has, so long after its time; before the other two.",
    )

    @model_validator(mode="after")
    def _agree(self) -> FallbackSpec:
        if self.static is not None and self.service is not None:
            raise PydanticCustomError("fallback", "write either static or service")
        if self.static is None and self.service is None and self.stale is None:
            raise PydanticCustomError("fallback", "write static, service or stale")
        return self

    def build(self, scope: Scope) -> Stand | Detour | None:
        if self.service is not None:
            return Detour(self.on, self.service, scope)
        return None if self.static is None else Stand(self.on, self.static, scope)

    def causes_of_stale(self, scope: Scope) -> Causes | None:
        """When the cache's stale answer stands in; None: the cache has rules of its own."""
        return None if self.stale is None else Causes(self.on, "stale", scope)


class Fallbacks:
    """How often, of which kind and why: one cell for all, so that no series comes twice."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()

    def samples(self) -> Iterable[Sample]:
        for labels, count in self.counts.items():
            named = zip(("direction", "route", "upstream", "kind", "why"), labels, strict=True)
            yield Sample("meshproxy_fallbacks_total", tuple(named), float(count))


class Causes:
    """Why one route falls back, if it does, and how often it did."""

    __slots__ = ("_causes", "_counts", "_on", "_statuses", "_where")

    def __init__(self, on: Collection[str], kind: str, scope: Scope) -> None:
        self._on = tuple(on)
        self._causes = frozenset(on)
        self._statuses = {int(word) for word in on if word.isdigit()}.union(
            *(statuses for word, statuses in _STATUSES.items() if word in on)
        )
        fallbacks: Fallbacks = scope.draft.state(("fallbacks",), Fallbacks)
        self._counts = fallbacks.counts
        self._where = (scope.direction, scope.route, scope.cluster.name, kind)

    def why(self, exchange: Exchange, refusal: Refusal | None) -> str:
        """The cause; empty if nothing stands in for this."""
        if exchange.tunnel:
            return ""  # who asked for a tunnel would take an answer for one
        if refusal is None:
            return str(exchange.status) if exchange.status in self._statuses else ""
        cause = CAUSES.get((refusal.reason, refusal.status), "")
        return cause if cause in self._causes else ""

    def told(self) -> str:
        return ", ".join(self._on)

    def count(self, why: str) -> None:
        self._counts[(*self._where, why)] += 1


class Stand:
    """The written answer."""

    __slots__ = ("_causes", "_served")

    def __init__(self, on: Collection[str], static: Static, scope: Scope) -> None:
        self._causes = Causes(on, "static", scope)
        self._served = static.served()

    def rescue(self, exchange: Exchange, refusal: Refusal | None, now: float) -> Served | None:  # noqa: ARG002  # a phase
        why = self._causes.why(exchange, refusal)
        if not why:
            return None
        self._causes.count(why)
        return self._served

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:  # noqa: ARG002  # a phase
        yield Step(f"on {self._causes.told()}: the written answer, {self._served.status}")

    def stands_in(self, exchange: Exchange, refusal: Refusal, now: float) -> Step | None:  # noqa: ARG002  # a phase
        why = self._causes.why(exchange, refusal)
        return Step(f"{why}: the written answer instead", self._served) if why else None


class Detour:
    """The same request to another service, where it can do no harm and can be made whole."""

    __slots__ = ("_by_strip", "_causes", "_route_of", "_service")

    reads: ClassVar[frozenset[bytes]] = frozenset((KEY,))

    def __init__(self, on: Collection[str], service: str, scope: Scope) -> None:
        self._causes = Causes(on, "service", scope)
        self._service = service
        self._route_of: Callable[[str], Route] = scope.route_of
        self._by_strip: dict[int, Route] = {}

    @property
    def elsewhere(self) -> Route:
        """The route that stands in; there once all services are compiled."""
        return self._route_of(self._service)

    def rescue(self, exchange: Exchange, refusal: Refusal | None, now: float) -> Route | None:
        why = self._causes.why(exchange, refusal)
        if not why or not self._may_go(exchange, now):
            return None
        self._causes.count(why)
        exchange.answer_lines.append(b"x-fallback: service\r\n")
        return self._stripping(exchange.route.strip)

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:  # noqa: ARG002  # a phase
        yield Step(
            f"on {self._causes.told()}: the same request to {self._service}, once",
            elsewhere=self.elsewhere,
        )

    def stands_in(self, exchange: Exchange, refusal: Refusal, now: float) -> Step | None:
        why = self._causes.why(exchange, refusal)
        if not why or not self._may_go(exchange, now):
            return None
        elsewhere = self._stripping(exchange.route.strip)
        return Step(f"{why}: goes to {self._service} instead", elsewhere=elsewhere)

    def _may_go(self, exchange: Exchange, now: float) -> bool:
        late = exchange.extras is not None and 0.0 < exchange.extras.latest <= now
        repeats = may_repeat(exchange.method, exchange.sent_upstream, exchange.header(KEY))
        return exchange.replayable and repeats and not late

    def _stripping(self, strip: int) -> Route:
        """The path that the other service sees is the one that this one would have seen."""
        found = self._by_strip.get(strip)
        if found is None:
            found = self._by_strip[strip] = replace(self.elsewhere, strip=strip)
        return found
