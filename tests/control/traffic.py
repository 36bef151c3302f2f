"""A sidecar as the control ports see it, with routes, endpoints and traffic that a test makes."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from meshproxy.core.exchange import Exchange
from meshproxy.core.route import Cluster, Endpoint, Limits, Phases, Plan, Route, Snapshot

from .ports import Stage

ONE, TWO = Endpoint("10.0.0.1:1", "10.0.0.1", 1), Endpoint("10.0.0.2:1", "10.0.0.2", 1)


class Shown:
    """State of any section."""

    def __init__(self, section: str, **report: Any) -> None:
        self.section = section
        self.shown = report

    def report(self, now: float) -> Mapping[str, Any]:
        return self.shown


def exchange(status: int = 200, flags: str = "", endpoint: Endpoint = ONE) -> Exchange:
    made = SimpleNamespace(
        method=b"GET", status=status, flags=flags, refusal=None, began=100.0, first_byte=0.0,
        endpoint=endpoint, tried=(), extras=None,
    )  # fmt: skip
    return cast(Exchange, cast(Any, made))


class Busy(Stage):
    """Inbound `GET /a` and `default`, outbound `default` to two versions of payments."""

    def __post_init__(self) -> None:
        super().__post_init__()
        series = self.telemetry.cluster_series
        app = Cluster("app", (Endpoint("127.0.0.1:8080", "127.0.0.1", 8080),), series("app"))
        versions = {ONE: "v1", TWO: "v2"}
        payments = Cluster("payments", (ONE, TWO), series("payments"), (), versions)
        self.routes = {
            ("inbound", "default"): self._route("inbound", "default", app),
            ("inbound", "GET /a"): self._route("inbound", "GET /a", app),
            ("outbound", "default"): self._route("outbound", "default", payments),
        }
        plans = {
            name: self._plan(name, [r for (way, _), r in self.routes.items() if way == name])
            for name in ("inbound", "outbound")
        }
        self.snapshot = Snapshot(3, "abc", plans, (app, payments))

    def _route(self, direction: str, name: str, cluster: Cluster | None) -> Route:
        upstream = cluster.name if cluster else name
        row: Any = self.telemetry.series(direction, name, upstream)
        if cluster and cluster.versions:
            row = self.telemetry.versions.counting(row, upstream, cluster.versions)
        never = cast(Any, None)
        return Route(
            name=name, direction=direction, cluster=cluster, phases=Phases(), pick=never,
            classifier=never, series=row.series, row=row.place,
        )  # fmt: skip

    def _plan(self, name: str, routes: list[Route]) -> Plan:
        never = cast(Any, None)
        refusing = self._route(name, "__unmatched__", None)
        return Plan(
            name, name, "::1", 1, never, refusing, never, Limits(), never,
            (refusing, *routes),
        )  # fmt: skip

    def ends(self, direction: str, route: str, *exchanges: Exchange, took: float = 0.02) -> None:
        """These requests end now on that route."""
        for each in exchanges:
            found = self.routes[direction, route]
            found.series.ended(found.row, each, 100.0 + took)
