"""Concurrency: how many exchanges may run at once, and how many may wait for a place.

The limit is a number, or learned from how long answers take (`learner`). Who waits and who is
next is `places`; in shadow mode the same is `played` and refuses nobody. Why an exchange ends
is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isqrt
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from meshproxy.core.explanation import Step
from meshproxy.core.fields import Duration
from meshproxy.core.verdict import Hold, Refusal
from meshproxy.logic.gradient import Bounds
from meshproxy.logic.units import write_duration
from meshproxy.policies.contract import Scope, Spec
from meshproxy.policies.learner import Learner
from meshproxy.policies.places import Places, SharedPlaces, Ticket
from meshproxy.policies.played import Shadowed, ShadowedAdaptive
from meshproxy.policies.shadow import Mode
from meshproxy.policies.sheds import sheds

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange

ADAPTIVE: Literal["adaptive"] = "adaptive"
AUTO: Literal["auto"] = "auto"


class ConcurrencySpec(Spec):
    """How many requests may be in flight at once, and how many may wait for their turn."""

    key: ClassVar[str] = "concurrency"
    always: ClassVar[bool] = True

    max: int | Literal["adaptive"] = Field(
        default=1024, description="Requests in flight at once; adaptive learns it from answers."
    )
    min: int = Field(default=10, ge=1, description="adaptive never goes below.")
    ceiling: int = Field(default=1000, ge=1, description="adaptive never goes above.")
    queue: int | Literal["auto"] = Field(
        default=128,
        description="Requests that may wait; auto, the default of adaptive, is the limit's root.",
    )
    queue_timeout: Duration = Field(default=1.0, description="How long one may wait.")
    mode: Mode = "enforce"

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        # What waits is added to every answer: where latency is the measure, few may.
        if isinstance(value, dict) and value.get("max") == ADAPTIVE:
            return {"queue": AUTO, **value}
        return value

    @field_validator("max", "queue", mode="before")
    @classmethod
    def _is_enough(cls, value: Any, info: ValidationInfo) -> Any:
        word, least = (ADAPTIVE, 1) if info.field_name == "max" else (AUTO, 0)
        if value != word and not (isinstance(value, int) and not isinstance(value, bool)):
            raise PydanticCustomError("word", "write a whole number or {word}", {"word": word})
        if value != word and value < least:
            raise PydanticCustomError("least", "must be at least {least}", {"least": least})
        return value

    @model_validator(mode="after")
    def _agree(self) -> ConcurrencySpec:
        if self.queue and self.queue_timeout <= 0.0:
            raise PydanticCustomError(
                "queue_timeout", "queue_timeout must be above zero; queue: 0 does without a queue"
            )
        if self.ceiling < self.min:
            raise PydanticCustomError("bounds", "ceiling must not be below min")
        return self

    def build(self, scope: Scope) -> Concurrency | Shadowed | None:
        """Per owner and cluster: a rule written for every service counts each of them apart."""
        if self.mode == "off":
            return None
        upstream = scope.cluster.name
        written = (self.model_dump_json(), scope.rule)
        made = self._made(scope)  # in any case: it names the cells that it stands on
        return scope.state("concurrency", lambda: made, upstream, written)

    def _made(self, scope: Scope) -> Concurrency | Shadowed:
        if self.mode == "shadow":
            return (ShadowedAdaptive if self.max == ADAPTIVE else Shadowed)(self, scope)
        if scope.sharing is not None:
            return (SharedAdaptive if self.max == ADAPTIVE else Shared)(self, scope)
        return (Adaptive if self.max == ADAPTIVE else Concurrency)(self, scope)

    def room(self, most: int) -> int:
        """How many may wait where so many may run."""
        return isqrt(most) if self.queue == AUTO else self.queue


def _busy(most: int) -> str:
    return f"concurrency: all {most} places are taken"


def _full(most: int, room: int) -> str:
    full = f", and so is the queue of {room}" if room else ""
    return f"concurrency: all {most} places are taken{full}"


class Concurrency:
    """The rule of one generation of the file, over places that outlive it."""

    __slots__ = (
        "_direction", "_max", "_places", "_queue", "_release", "_rule", "_sheds", "_spec", "_wait",
    )  # fmt: skip

    section = "concurrency"

    def __init__(self, spec: ConcurrencySpec, scope: Scope) -> None:
        self._places = places = self._places_of(scope)
        self._spec = spec
        self._max = 0 if spec.max == ADAPTIVE else spec.max
        self._queue = spec.room(self._max)
        self._rule = scope.rule
        self._direction = scope.direction
        self._release = places.release
        self._sheds = sheds(scope)
        self._wait = Hold(spec.queue_timeout, again=True)

    def _places_of(self, scope: Scope) -> Places:
        upstream = scope.cluster.name
        return scope.state("places", lambda: Places(upstream, scope.owner), upstream)

    def admit(self, exchange: Exchange, now: float) -> Refusal | Hold | None:
        places = self._places
        if places.waiting:
            ticket = places.tickets.get(exchange)
            if ticket is not None:
                return self._called(exchange, ticket)
            # A reload may have made room: those who waited come first.
            places.most = self._max
            places.let_in(now)
        places.most = self._max
        if places.in_use < self._max and not places.line.size:
            places.in_use += 1
            exchange.deferred.append(self._release)
            return None
        if places.line.size >= self._queue and not (
            self._queue and places.give_way(exchange.priority, now)
        ):
            return self._refused(exchange)
        places.join(exchange, exchange.priority)
        return self._wait

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:  # noqa: ARG002  # a phase
        """Who waits comes first, and would have been let in by now."""
        places, most, room = self._places, self._most(), self._room()
        waiting, free = places.line.size, most - places.in_use
        let_in = max(0, min(waiting, free)) if places.waiting else 0
        waiting, free = waiting - let_in, free - let_in
        says = f"{most - free} of {most} places taken, {waiting} of {room} wait"
        verdict: Refusal | Hold | None = None
        if free <= 0 or waiting:
            full = waiting >= room and not (room and places.line.would_give_way(exchange.priority))
            verdict = self._refusal(_full(self._of_all(), room)) if full else self._wait
            timeout = write_duration(self._spec.queue_timeout)
            says += ": refused" if full else f": waits, {timeout} at most"
        data = {"max": most, "in_use": most - free, "queue": room, "queued": waiting,
                "queue_timeout_seconds": self._spec.queue_timeout}  # fmt: skip
        yield Step(says, verdict, data=data)

    def _most(self) -> int:
        """How many there are for this process."""
        return self._max

    def _of_all(self) -> int:
        """How many there are, for whoever is told so."""
        return self._most()

    def _room(self) -> int:
        return self._spec.room(self._most())

    def _called(self, exchange: Exchange, ticket: Ticket) -> Refusal | None:
        """One who waited: seated, put out, or its time is over."""
        self._places.forget(ticket)
        if ticket.seated:
            return None
        if ticket.put_out:
            return self._refused(exchange)
        self._count(exchange, "queue_timeout")
        return self._refusal(f"{_busy(self._max)}, and none came free in time")

    def _refused(self, exchange: Exchange) -> Refusal:
        self._count(exchange, "concurrency")
        return self._refusal(_full(self._of_all(), self._queue))

    def _count(self, exchange: Exchange, why: str) -> None:
        self._places.refused += 1
        self._sheds.count(self._direction, exchange.route.name, why)

    def _refusal(self, detail: str) -> Refusal:
        return Refusal(503, "UO", detail, self._rule, max(1.0, self._spec.queue_timeout))

    def report(self, now: float) -> Mapping[str, Any]:  # noqa: ARG002  # a count has no age
        places = self._places
        return {
            "upstream": places.upstream,
            "scope": places.owner,
            "rule": self._rule,
            "max": self._max,
            "in_use": places.in_use,
            "queue": self._queue,
            "queued": places.line.size,
            "refused": places.refused,
        }


class Adaptive(Concurrency):
    """The same with a limit that is learned."""

    __slots__ = ("_learner",)

    def __init__(self, spec: ConcurrencySpec, scope: Scope) -> None:
        super().__init__(spec, scope)
        self._learner = Learner(Bounds(spec.min, spec.ceiling), scope)

    def admit(self, exchange: Exchange, now: float) -> Refusal | Hold | None:
        self._max = most = self._learner.most()
        self._queue = self._spec.room(most)
        return super().admit(exchange, now)

    def _most(self) -> int:
        return self._learner.most()

    def settle(self, exchange: Exchange, now: float) -> None:
        self._learner.look(exchange, self._places.in_use, now)

    def report(self, now: float) -> Mapping[str, Any]:
        return {**super().report(now), **self._learner.report(), "adaptive": True}


class Shared(Concurrency):
    """The limit of all workers together."""

    __slots__ = ("_all",)

    _places: SharedPlaces

    def __init__(self, spec: ConcurrencySpec, scope: Scope) -> None:
        super().__init__(spec, scope)
        self._all = self._max

    def _places_of(self, scope: Scope) -> Places:
        return shared_places(scope)

    def admit(self, exchange: Exchange, now: float) -> Refusal | Hold | None:
        places = self._places
        self._max = places.own(self._all)
        verdict = super().admit(exchange, now)
        places.gauge.show(places.in_use)
        return verdict

    def _most(self) -> int:
        return self._places.own(self._all)

    def _of_all(self) -> int:
        return self._all

    def report(self, now: float) -> Mapping[str, Any]:
        return {**super().report(now), "max": self._all}


class SharedAdaptive(Adaptive):
    """What each worker learns is how many all of them together may have at once."""

    __slots__ = ()

    _places: SharedPlaces

    def _places_of(self, scope: Scope) -> Places:
        return shared_places(scope)

    def admit(self, exchange: Exchange, now: float) -> Refusal | Hold | None:
        places = self._places
        self._max = most = places.own(self._learner.most())
        self._queue = self._spec.room(most)
        verdict = Concurrency.admit(self, exchange, now)
        places.gauge.show(places.in_use)
        return verdict

    def _most(self) -> int:
        return self._places.own(self._learner.most())

    def _of_all(self) -> int:
        return self._learner.most()

    def settle(self, exchange: Exchange, now: float) -> None:
        places = self._places
        self._learner.look(exchange, places.in_use + places.gauge.others(), now)


def shared_places(scope: Scope) -> SharedPlaces:
    """Those of one owner and upstream, joined with the other workers'."""
    upstream, sharing = scope.cluster.name, scope.sharing
    assert sharing is not None  # noqa: S101  # asked only where there are several
    places = scope.state("places", lambda: SharedPlaces(upstream, scope.owner), upstream)
    places.gauge = sharing.gauge(scope.name("places", upstream))
    sharing.each_turn(places.look)
    return places
