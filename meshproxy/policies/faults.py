"""Faults on purpose: delays, refusals, lost connections and slow answers, for a share of calls.

What callers make of a bad upstream is found out this way. Nothing happens that the file or, if
it says so, a trusted caller's own `x-fault-*` field did not ask for, and never to more than so
many requests at once. Retries and breakers of this sidecar see nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from meshproxy.core.explanation import Step
from meshproxy.core.fields import Duration, Percent, Throughput
from meshproxy.core.report import Sample
from meshproxy.core.verdict import Hold, Refusal, Reset
from meshproxy.logic import units
from meshproxy.policies.contract import Random, Scope, Spec

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange

T = TypeVar("T")

DELAY, ABORT, RESET, BANDWIDTH = FIELDS = (
    b"x-fault-delay", b"x-fault-abort", b"x-fault-reset", b"x-fault-bandwidth",
)  # fmt: skip


class FaultSpec(BaseModel):
    """One fault, and how often."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    delay: Duration = Field(default=0.0, description="Wait so long before anything is done.")
    abort: int = Field(default=0, description="Refuse with this status, 400 to 599.")
    reset: bool = Field(default=False, description="End the caller's connection with RST.")
    bandwidth: Throughput = Field(default=0.0, description="Pass the answer on no faster.")
    percent: Percent = Field(default=1.0, description="Share of the requests.")

    @model_validator(mode="after")
    def _agree(self) -> FaultSpec:
        if self.abort and not 400 <= self.abort <= 599:
            raise PydanticCustomError("abort", "abort must be a status from 400 to 599")
        named = {"delay", "abort", "reset", "bandwidth"} & self.model_fields_set
        asked = [name for name in named if getattr(self, name)]
        if not asked:
            raise PydanticCustomError("fault", "write delay, abort, reset or bandwidth")
        if self.reset and len(asked) > 1:
            raise PydanticCustomError("fault", "reset goes with no other fault")
        if self.abort and self.bandwidth:
            raise PydanticCustomError("fault", "abort leaves no answer for bandwidth to slow down")
        return self


class FaultsSpec(Spec):
    """Delay, refuse, cut off or slow down a share of the requests, to see what callers do."""

    key: ClassVar[str] = "faults"

    inject: tuple[FaultSpec, ...] = Field(
        default=(), description="Each is drawn for by itself; of two of a kind the first counts."
    )
    headers: bool = Field(
        default=False,
        description="Let trusted callers ask: x-fault-delay, -abort, -reset, -bandwidth.",
    )
    max_active: int = Field(default=100, ge=1, description="Requests under a fault at once.")

    def build(self, scope: Scope) -> Faults | None:
        if not self.inject and not self.headers:
            return None
        name = scope.cluster.name
        active = scope.state("faults", lambda: Active(scope.direction, name), name)
        return Faults(self, active, scope)


class Active:
    """What the ledger keeps: how many requests are under a fault, and how many ever were."""

    __slots__ = ("count", "counts", "direction", "upstream")

    section = "faults"

    def __init__(self, direction: str, upstream: str) -> None:
        self.direction = direction
        self.upstream = upstream
        self.count = 0
        self.counts: dict[tuple[str, str], int] = {}

    def add(self, route: str, fault: str) -> None:
        self.counts[route, fault] = self.counts.get((route, fault), 0) + 1

    def release(self, now: float) -> None:  # noqa: ARG002  # a deferred release
        self.count -= 1

    def samples(self) -> Iterable[Sample]:
        for (route, fault), count in self.counts.items():
            labels = (("direction", self.direction), ("route", route),
                      ("upstream", self.upstream), ("fault", fault))  # fmt: skip
            yield Sample("meshproxy_faults_total", labels, float(count))

    def report(self, now: float) -> Mapping[str, Any]:  # noqa: ARG002  # a count has no age
        faults: dict[str, dict[str, int]] = {}
        for (route, fault), count in self.counts.items():
            faults.setdefault(route, {})[fault] = count
        return {"upstream": self.upstream, "active": self.count, "faults": faults}


@dataclass(slots=True)
class Asked:
    """What one request is to suffer; 0 is nothing of the kind."""

    delay: float = 0.0
    abort: int = 0
    reset: bool = False
    bandwidth: float = 0.0

    def add(self, fault: FaultSpec | Asked) -> None:
        """What it does not suffer yet."""
        self.delay = self.delay or fault.delay
        self.abort = self.abort or fault.abort
        self.reset = self.reset or fault.reset
        self.bandwidth = self.bandwidth or fault.bandwidth

    def names(self) -> list[str]:
        """In the order in which they are suffered; who is cut off suffers nothing else."""
        if self.reset:
            return ["reset"]
        named = {"delay": self.delay, "abort": self.abort}
        if not self.abort:
            named["bandwidth"] = self.bandwidth
        return [name for name, value in named.items() if value]


class Faults:
    """One route's. Counted by kind, and as `capped` where too many were under a fault already."""

    __slots__ = ("_active", "_headers", "_inject", "_most", "_random", "_rule", "reads")

    def __init__(self, spec: FaultsSpec, active: Active, scope: Scope) -> None:
        self._inject = tuple(fault for fault in spec.inject if fault.percent)
        self._headers = spec.headers
        self._most = spec.max_active
        self._active = active
        self._rule = scope.rule
        self._random: Random = scope.random
        self.reads = frozenset(FIELDS) if spec.headers else frozenset()

    def admit(self, exchange: Exchange, now: float) -> Refusal | Hold | Reset | None:  # noqa: ARG002  # a phase
        asked = None
        for fault in self._inject:
            if fault.percent >= 1.0 or self._random.random() < fault.percent:
                asked = asked or Asked()
                asked.add(fault)
        if self._headers and not self.reads.isdisjoint(exchange.taken):
            # Where they mean nothing they are left alone: the next hop may be the one asked.
            exchange.drop(self.reads)
            if exchange.peer.trusted:
                asked = asked or Asked()
                asked.add(_from_fields(exchange.taken))
        if asked is None or not self._begin(exchange, asked.names()):
            return None
        if asked.bandwidth and not (asked.reset or asked.abort):
            exchange.more().throttle = asked.bandwidth
        return self._verdict(asked)

    def explain(self, exchange: Exchange, now: float) -> Iterable[Step]:  # noqa: ARG002  # a phase
        """What is certain is one verdict; each that is drawn for is told with its chance."""
        if self._active.count >= self._most:
            yield Step(f"{self._most} requests are under a fault already: no more faults")
            exchange.drop(self.reads)
            return
        sure = Asked()
        for fault in self._inject:
            if fault.percent >= 1.0:
                sure.add(fault)
            else:
                asked = Asked()
                asked.add(fault)
                says = f"{units.write_percent(fault.percent)} of the requests: {_told(asked)}"
                yield Step(says, self._verdict(asked), fault.percent)
        if self._headers and not self.reads.isdisjoint(exchange.taken):
            exchange.drop(self.reads)
            if exchange.peer.trusted:
                sure.add(_from_fields(exchange.taken))
            else:
                yield Step("the faults that the caller asks for are dropped: it is not trusted")
        if sure.names():
            yield Step(_told(sure), self._verdict(sure))

    def _begin(self, exchange: Exchange, names: list[str]) -> bool:
        active, route = self._active, exchange.route.name
        if not names:
            return False  # it had asked for nothing that could be read
        if active.count >= self._most:
            active.add(route, "capped")
            return False
        active.count += 1
        exchange.defer(active.release)
        exchange.flag("FI")
        for name in names:
            active.add(route, name)
        return True

    def _verdict(self, asked: Asked) -> Refusal | Hold | Reset | None:
        if asked.reset:
            return Reset()
        refusal = None
        if asked.abort:
            refusal = Refusal(asked.abort, "FI", "fault injection: refused on purpose", self._rule)
        return Hold(asked.delay, refusal) if asked.delay else refusal


def _told(asked: Asked) -> str:
    words = {
        "delay": f"delayed by {units.write_duration(asked.delay)}",
        "abort": f"refused with {asked.abort}",
        "reset": "cut off",
        "bandwidth": f"answered at {units.write_throughput(asked.bandwidth)}",
    }
    return "fault injection: " + ", then ".join(words[name] for name in asked.names())


def _from_fields(taken: Mapping[bytes, bytes]) -> Asked:
    """What the caller asks for; what cannot be read asks for nothing."""
    abort = taken.get(ABORT, b"")
    return Asked(
        delay=_read(taken, DELAY, units.duration, 0.0),
        abort=int(abort)
        if abort.isdigit() and b"400" <= abort <= b"599" and len(abort) == 3
        else 0,
        reset=taken.get(RESET) == b"on",
        bandwidth=_read(taken, BANDWIDTH, units.throughput, 0.0),
    )


def _read(
    taken: Mapping[bytes, bytes], name: bytes, read: Callable[[object], T], otherwise: T
) -> T:
    try:
        return read(taken[name].decode("latin-1"))
    except (KeyError, ValueError):
        return otherwise
