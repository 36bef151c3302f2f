"""What the ledger keeps of each endpoint's circuit, and what people are told of it.

A circuit belongs to a cluster and an address. One in shadow is another circuit than the one in
force: what a rule only tries out must not keep anybody's requests away. An operator may hold
one in force open or closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from meshproxy.core.report import Sample
from meshproxy.logic import breaker
from meshproxy.logic.breaker import Circuit, State
from meshproxy.policies.contract import Scope

if TYPE_CHECKING:
    from meshproxy.core.route import Endpoint
    from meshproxy.policies.shared_breaker import Link

ORDERS = {"open": State.OPEN, "closed": State.CLOSED}
"""What an operator may say."""

REPORTED = 10.0
"""Seconds that the admin port's figures look back."""


class Shifts:
    """How often anything changed in who of a cluster may be used, for those who remember sums."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


def shifts_of(scope: Scope) -> Shifts:
    """Those of the scope's cluster."""
    return scope.draft.state(("shifts", scope.cluster.name), Shifts)


def circuits_of(scope: Scope, shadow: bool = False) -> dict[Endpoint, EndpointCircuit]:
    """The circuits of a cluster, by cluster and address: what gives a circuit its meaning.

    One in force stands on its endpoint as well, where each attempt finds it.
    """
    cluster = scope.cluster
    shifts = shifts_of(scope)
    circuits = {
        endpoint: scope.draft.state(
            ("circuit", cluster.name, endpoint.name, *(("shadow",) if shadow else ())),
            lambda name=endpoint.name: EndpointCircuit(  # type: ignore[misc]  # a lambda's default has no type
                cluster.name, name, scope.now, shifts, shadow
            ),
        )
        for endpoint in cluster.endpoints
    }
    if not shadow:
        for endpoint, circuit in circuits.items():
            endpoint.circuit = circuit
    return circuits


class EndpointCircuit(Circuit):
    """A circuit with its names, and what people ask about it.

    `capped` counts how often it had to open and did not, as too many others were left out
    already; `ignored` how often an attempt went on that a circuit in force would have stopped.
    """

    __slots__ = (
        "capped", "endpoint", "ignored", "last_failure", "link", "opened", "shadow", "shifts",
        "turns", "upstream",
    )  # fmt: skip

    section = "breakers"

    def __init__(
        self, upstream: str, endpoint: str, now: float, shifts: Shifts, shadow: bool = False
    ) -> None:
        super().__init__(now)
        self.upstream = upstream
        self.endpoint = endpoint
        self.shifts = shifts
        self.shadow = shadow
        self.turns: dict[tuple[State, State], int] = {}
        self.opened = 0
        self.capped = 0
        self.ignored = 0
        self.last_failure = ""
        self.link: Link | None = None  # where there are other workers

    def turned(self, before: State) -> None:
        """Count the transition from `before` to the state it has now."""
        turn = (before, self.state)
        self.turns[turn] = self.turns.get(turn, 0) + 1
        self.opened += self.state is State.OPEN
        self.shifts.count += 1
        if self.link is not None:
            self.link.turned()

    @property
    def names(self) -> Mapping[str, str]:
        """What an operator calls it by."""
        return {"upstream": self.upstream, "endpoint": self.endpoint}

    @property
    def orders(self) -> tuple[str, ...]:
        """What it can be told; one in shadow stops nobody, and so needs no orders."""
        return () if self.shadow else tuple(ORDERS)

    @property
    def forced(self) -> str:
        return self.state.word if self.held else ""

    def steer(self, order: str, now: float) -> None:
        """Hold it open or closed; an empty order lets the rules decide again."""
        before = self.state
        if order:
            breaker.force(self, ORDERS[order], now)
        elif self.held:
            breaker.free(self, now)
        if self.state is not before:
            self.turned(before)

    def samples(self) -> Iterable[Sample]:
        """State as of the last transition: open lasts until a request comes and probes."""
        where: tuple[tuple[str, str], ...] = (
            ("upstream", self.upstream), ("endpoint", self.endpoint),
        )  # fmt: skip
        if self.shadow:
            where = (*where, ("mode", "shadow"))
        yield Sample("meshproxy_breaker_state", where, float(self.state.value))
        for (before, after), count in self.turns.items():
            labels = (*where, ("from", before.word), ("to", after.word))
            yield Sample("meshproxy_breaker_transitions_total", labels, float(count))
        if self.capped:
            yield Sample("meshproxy_breaker_capped_total", where, float(self.capped))

    def report(self, now: float) -> Mapping[str, Any]:
        good, bad = self.totals(REPORTED, now)
        report = {
            "upstream": self.upstream,
            "endpoint": self.endpoint,
            "state": self.state.word,
            "for_seconds": round(max(0.0, now - self.since), 3),
            "failures_in_a_row": self.streak,
            "last_10s": {"requests": good + bad, "failures": bad},
            "opened": self.opened,
            "kept_in": self.capped,
            "next_try_in_seconds": _seconds(self.until - now),
            "last_failure": self.last_failure,
        }
        if self.held:
            report["forced"] = self.forced
        if self.shadow:
            report |= {"mode": "shadow", "attempts_not_stopped": self.ignored}
        return report


def _seconds(until: float) -> float | None:
    """None for what waits for an operator."""
    return round(max(0.0, until), 3) if until < breaker.NEVER else None
