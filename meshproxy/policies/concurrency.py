"""Concurrency: how many exchanges may run at once, and how many may wait for a place.

A place is handed from who leaves to who has waited longest. It is given back through the
exchange's deferred releases, so no end of an exchange can lose one; an exchange that left
the queue takes none. Why an exchange ends is not known here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from meshproxy.core.fields import Duration
from meshproxy.core.report import Sample
from meshproxy.core.verdict import Hold, Refusal
from meshproxy.policies.contract import Scope, Spec

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange


class ConcurrencySpec(Spec):
    """How many requests may be in flight at once, and how many may wait for their turn."""

    key: ClassVar[str] = "concurrency"
    always: ClassVar[bool] = True

    max: int = Field(default=1024, ge=1, description="Requests in flight at once.")
    queue: int = Field(default=128, ge=0, description="Requests that may wait for a place.")
    queue_timeout: Duration = Field(default=1.0, description="How long one may wait.")

    @model_validator(mode="after")
    def _agree(self) -> ConcurrencySpec:
        if self.queue and self.queue_timeout <= 0.0:
            raise PydanticCustomError(
                "queue_timeout", "queue_timeout must be above zero; queue: 0 does without a queue"
            )
        return self

    def build(self, scope: Scope) -> Concurrency:
        """Per owner and cluster: a rule written for every service counts each of them apart."""
        upstream = scope.cluster.name
        places = scope.state("concurrency", lambda: Places(upstream, scope.owner), upstream)
        written = (self.max, self.queue, self.queue_timeout, scope.rule)
        return scope.state(
            "concurrency", lambda: Concurrency(self, scope.rule, places), upstream, written
        )


class Places:
    """What the ledger keeps: how many places are taken, and who waits, longest first.

    `most` is how many there may be, as the generation of the file says that admitted last;
    exchanges of an older one give their places back under it too.
    """

    __slots__ = ("in_use", "letting_in", "most", "owner", "refused", "upstream", "waiting")

    def __init__(self, upstream: str, owner: str) -> None:
        self.upstream = upstream
        self.owner = owner
        self.most = 0
        self.in_use = 0
        self.refused = 0
        self.letting_in = False
        self.waiting: OrderedDict[Ticket, None] = OrderedDict()

    def release(self, now: float) -> None:
        """A place is free."""
        self.in_use -= 1
        if self.waiting:
            self.let_in(now)

    def let_in(self, now: float) -> None:
        """Seat those who waited longest, while there is room.

        An exchange that wakes may end at once and free its place again; the loop that is
        already running then goes on with the next, so a long queue is no deep recursion.
        """
        if self.letting_in:
            return
        self.letting_in = True
        try:
            while self.waiting and self.in_use < self.most:
                ticket, _ = self.waiting.popitem(last=False)
                wake = ticket.exchange.wake
                # Whoever is not parked any more (expired, concluded) has left the queue.
                if wake is not None and not ticket.exchange.concluded:
                    self.in_use += 1
                    ticket.seated = True
                    wake(now)
        finally:
            self.letting_in = False

    def samples(self) -> Iterable[Sample]:
        where = (("upstream", self.upstream), ("scope", self.owner))
        yield Sample("meshproxy_concurrency_in_use", where, float(self.in_use))
        yield Sample("meshproxy_concurrency_queued", where, float(len(self.waiting)))


class Ticket:
    """One exchange in the queue, and later in its place."""

    __slots__ = ("_places", "exchange", "seated")

    def __init__(self, places: Places, exchange: Exchange) -> None:
        self._places = places
        self.exchange = exchange
        self.seated = False

    def leave(self, now: float) -> None:
        """The exchange has ended: give the place back, or step out of the queue."""
        if self.seated:
            self._places.release(now)
        else:
            self._places.waiting.pop(self, None)


class Concurrency:
    """The rule of one generation of the file, over places that outlive it."""

    __slots__ = ("_full", "_hold", "_max", "_places", "_queue", "_release", "_rule")

    section = "concurrency"

    def __init__(self, spec: ConcurrencySpec, rule: str, places: Places) -> None:
        self._places = places
        self._max = spec.max
        self._queue = spec.queue
        self._rule = rule
        self._release = places.release
        wait = max(1.0, spec.queue_timeout)
        busy = f"concurrency: all {spec.max} places are taken"
        full = f"{busy}, and so is the queue of {spec.queue}" if spec.queue else busy
        late = Refusal(503, "UO", f"{busy}, and none came free in time", rule, wait)
        self._full = Refusal(503, "UO", full, rule, wait)
        self._hold = Hold(spec.queue_timeout, late)

    def admit(self, exchange: Exchange, now: float) -> Refusal | Hold | None:
        places = self._places
        places.most = self._max
        if places.waiting:
            # A reload may have made room: those who waited come first.
            places.let_in(now)
        if places.in_use < self._max and not places.waiting:
            places.in_use += 1
            exchange.deferred.append(self._release)
            return None
        if len(places.waiting) >= self._queue:
            places.refused += 1
            return self._full
        ticket = Ticket(places, exchange)
        places.waiting[ticket] = None
        exchange.defer(ticket.leave)
        return self._hold

    def report(self, now: float) -> Mapping[str, Any]:  # noqa: ARG002  # a count has no age
        places = self._places
        return {
            "upstream": places.upstream,
            "scope": places.owner,
            "rule": self._rule,
            "max": self._max,
            "in_use": places.in_use,
            "queue": self._queue,
            "queued": len(places.waiting),
            "refused": places.refused,
        }
