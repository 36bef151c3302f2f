"""Panic: when too few endpoints of a cluster are left, use them all, whatever is known of them.

Those that are left would be buried under the load of all, and maybe it is the network between
or the check itself that is broken. It is off unless the file says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from meshproxy.core.report import Sample
from meshproxy.logic import breaker
from meshproxy.logic.breaker import State
from meshproxy.policies.circuits import EndpointCircuit, Shifts, circuits_of, shifts_of
from meshproxy.policies.contract import Scope

if TYPE_CHECKING:
    from meshproxy.core.route import Endpoint


class Panic:
    """Whether a cluster panics, found out anew when something changed and somebody asks."""

    __slots__ = (
        "_circuits", "_endpoints", "_seen", "_share", "_shifts", "_tell", "on", "times",
        "upstream", "usable",
    )  # fmt: skip

    section = "panic"

    def __init__(
        self,
        upstream: str,
        endpoints: Collection[Endpoint],
        circuits: Mapping[Endpoint, EndpointCircuit],
        shifts: Shifts,
        share: float,
        tell: Callable[..., None],
    ) -> None:
        self.upstream = upstream
        self._endpoints = endpoints
        self._circuits = circuits
        self._shifts = shifts
        self._share = share
        self._tell = tell
        self._seen = -1
        self.on = False
        self.times = 0
        self.usable = len(endpoints)

    def reigns(self) -> bool:
        """Whether everyone is to be used now."""
        if self._seen != self._shifts.count:
            self._seen = self._shifts.count
            self._count()
        return self.on

    def would_reign(self) -> bool:
        """The same for those who only ask: nothing is noted and nobody is told."""
        if self._seen == self._shifts.count:
            return self.on
        return breaker.panics(len(self._endpoints), self._usable(), self._share)

    def _usable(self) -> int:
        circuits = self._circuits
        return sum(
            endpoint.healthy and circuits[endpoint].state is State.CLOSED
            for endpoint in self._endpoints
        )

    def _count(self) -> None:
        self.usable = self._usable()
        before, self.on = self.on, breaker.panics(len(self._endpoints), self.usable, self._share)
        if before is self.on:
            return
        self.times += self.on
        self._tell(
            "panic", level="warning" if self.on else "info", on=self.on, upstream=self.upstream,
            usable=self.usable, endpoints=len(self._endpoints),
        )  # fmt: skip

    def samples(self) -> Iterable[Sample]:
        where = (("upstream", self.upstream),)
        yield Sample("meshproxy_upstream_panic", where, float(self.reigns()))
        yield Sample("meshproxy_upstream_panics_total", where, float(self.times))

    def report(self, now: float) -> Mapping[str, Any]:  # noqa: ARG002  # it has no age
        return {
            "upstream": self.upstream,
            "on": self.reigns(),
            "below": self._share,
            "usable": self.usable,
            "endpoints": len(self._endpoints),
            "times": self.times,
        }


def panic_of(scope: Scope, share: float) -> Panic | None:
    """The cluster's, for one share; None where nobody is to panic.

    Its endpoints and the share are part of what it is: a reload that changes them makes a new
    one, which finds circuits and verdicts as they are.
    """
    if not share:
        return None
    cluster = scope.cluster
    names = tuple(endpoint.name for endpoint in cluster.endpoints)
    circuits = circuits_of(scope)
    shifts = shifts_of(scope)
    endpoints = tuple(cluster.endpoints)
    return scope.draft.state(
        ("panic", cluster.name, names, share),
        lambda: Panic(cluster.name, endpoints, circuits, shifts, share, scope.tell),
    )
