"""Settings to a snapshot that the data plane can serve: listeners, tables, routes, policies.

    compiled = compile_snapshot(settings, ledger.open(), tools, now, generation)

Pure: it opens nothing and changes nothing that a running snapshot uses. State comes from the
draft, so `check`, start and reload all run this code. Whoever swaps the snapshot in calls
`compiled.adopt()` right after, because an endpoint's weight lives in the endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from meshproxy.core.ledger import Draft
from meshproxy.core.route import (
    Cluster,
    ClusterSeries,
    Endpoint,
    FieldKinds,
    Limits,
    Plan,
    Route,
    RouteRow,
    RouteTable,
    Snapshot,
)
from meshproxy.core.sharing import Sharing
from meshproxy.policies.contract import Random, fields_read
from meshproxy.settings.addresses import Address
from meshproxy.settings.chains import Chain, Step
from meshproxy.settings.forward import Forward, NoTunnel, Permit, permits
from meshproxy.settings.matches import Match
from meshproxy.settings.origins import origin
from meshproxy.settings.routes import UNMATCHED, Routes
from meshproxy.settings.schema import (
    OFF,
    Inbound,
    InboundRoute,
    LimitsSpec,
    Outbound,
    OutboundRoute,
    Service,
    Trust,
)
from meshproxy.settings.tables import NoService, OnlyRoute, OutboundTable, ServiceTable, Table
from meshproxy.settings.targets import Target, tiers, versions
from meshproxy.settings.validate import Settings, redact
from meshproxy.settings.views import APP
from meshproxy.settings.words import CONNECT, UNKNOWN_HOSTS


@dataclass(frozen=True, slots=True)
class Tools:
    """What compiling needs from the rooms that settings may not import.

    `series(direction, route, upstream)` and `cluster_series(upstream)` give the hot side of
    telemetry, found again after a reload; `versioned(series, upstream, versions)` makes of a
    route's series one that counts by the version of each endpoint besides. `kinds(reads,
    replaces)` is the head reader's table of request fields. `tell(event, **fields)` writes to
    the log. `sharing` is there where this is one worker of several.
    """

    series: Callable[[str, str, str], RouteRow]
    cluster_series: Callable[[str], ClusterSeries]
    kinds: Callable[[Iterable[bytes], Iterable[bytes]], FieldKinds]
    random: Random
    tell: Callable[..., None]
    sharing: Sharing | None = None
    versioned: Callable[[Any, str, Mapping[Endpoint, str]], RouteRow] = lambda row, *_: row


@dataclass(frozen=True, slots=True)
class Compiled:
    """A snapshot, and what its endpoints are told of themselves when it is swapped in."""

    snapshot: Snapshot
    targets: tuple[tuple[Endpoint, Target], ...]

    def adopt(self) -> None:
        """Give the endpoints their weights; right after the swap and before the next pick."""
        for endpoint, target in self.targets:
            endpoint.weight = target.weight
            endpoint.tier = target.tier
            endpoint.version = target.version


def compile_snapshot(
    settings: Settings, draft: Draft, tools: Tools, now: float, generation: int
) -> Compiled:
    """Build everything the file says. `now` is monotonic seconds, for state that is new.

    Raises nothing for a valid file: what could be wrong was found by `validate`.
    """
    # Who joins later is let in slowly, where that is asked for; at the start all are new.
    joined = now if generation > 1 else 0.0
    return _Compiler(settings, draft, tools, now, joined).run(generation)


class _Compiler:
    """One run: collects plans and clusters while it walks the file."""

    __slots__ = (
        "_clusters", "_draft", "_joined", "_plans", "_routes", "_settings", "_targets", "_tools",
    )  # fmt: skip

    def __init__(
        self, settings: Settings, draft: Draft, tools: Tools, now: float, joined: float
    ) -> None:
        self._settings = settings
        self._joined = joined
        self._draft = draft
        self._tools = tools
        self._routes = Routes(settings, draft, tools, now)
        self._plans: dict[str, Plan] = {}
        self._clusters: list[Cluster] = []
        self._targets: list[tuple[Endpoint, Target]] = []

    def run(self, generation: int) -> Compiled:
        file = self._settings.file
        if file.inbound is not None:
            self._inbound(file.inbound)
        if file.outbound is not None:
            self._outbound(file.outbound)
        snapshot = Snapshot(
            generation=generation,
            digest=self._settings.digest,
            plans=self._plans,
            clusters=tuple(self._clusters),
            source=self._settings.effective(),
        )
        return Compiled(snapshot, tuple(self._targets))

    def _inbound(self, inbound: Inbound) -> None:
        cluster = self._cluster(APP, [Target(inbound.app)])
        unmatched = self._unmatched("inbound")
        chain = Chain("inbound", (Step(("inbound",), "inbound", inbound),))
        made = self._service(cluster, chain, inbound.routes)
        self._plan("inbound", inbound.listen, made.table(), unmatched, [made])

    def _outbound(self, outbound: Outbound) -> None:
        unmatched = self._unmatched("outbound")
        services = {
            name: self._outbound_service(outbound, name, service)
            for name, service in outbound.services.items()
        }
        self._routes.services |= {name: made.default for name, made in services.items()}
        hosts, tunnels = permits(outbound)
        unknown = self._forward(outbound, UNKNOWN_HOSTS, hosts) or unmatched
        connect = self._forward(outbound, CONNECT, tunnels) or self._routes.refusing(
            "outbound", tunnels.path, CONNECT, NoTunnel
        )
        table = _outbound_table(outbound, services, unknown, connect)
        made = [*services.values(), _Made(connect, (), ())]
        if unknown is not unmatched:
            made.append(_Made(unknown, (), ()))
        self._plan("outbound", outbound.listen, table, unmatched, made)
        for name, service in outbound.services.items():
            if service.listen is not None:
                one = services[name]
                key = f"outbound.services.{name}"
                self._plan(key, service.listen, one.table(), unmatched, [one])

    def _unmatched(self, direction: str) -> Route:
        return self._routes.refusing(direction, (direction,), UNMATCHED, NoService)

    def _forward(self, outbound: Outbound, label: str, permit: Permit) -> Route | None:
        """The route of hosts of the client's choice, with the policies of the defaults."""
        if permit.is_off():
            return None
        destinations = permit.destinations(self._settings.file, self._draft)
        cluster = Cluster(label, destinations, self._tools.cluster_series(label))
        self._clusters.append(cluster)
        way = Forward(permit, destinations, self._routes.rule(permit.path))
        place = ("outbound", "defaults")
        chain = Chain("outbound", (Step(place, f"outbound.defaults.{label}", outbound.defaults),))
        return self._routes.forward(chain, cluster, label, permit.path, way)

    def _outbound_service(self, outbound: Outbound, name: str, service: Service) -> _Made:
        targets = [
            Target(each.address, each.weight, each.tier, each.version or "")
            for each in service.endpoints
        ]
        cluster = self._cluster(name, targets)
        steps = (
            # Said in the defaults, a rule is each service's own: so the name of the service.
            Step(("outbound", "defaults"), f"outbound.defaults.{name}", outbound.defaults),
            Step(("outbound", "services", name), f"outbound.services.{name}", service),
        )
        return self._service(cluster, Chain("outbound", steps), service.routes)

    def _service(
        self,
        cluster: Cluster,
        chain: Chain,
        routes: Sequence[InboundRoute | OutboundRoute],
    ) -> _Made:
        default = self._routes.route(chain, cluster, "default")
        made = tuple(
            self._routes.route(chain.inner(index, route), cluster, self._label(route, index))
            for index, route in enumerate(routes)
        )
        return _Made(default, made, tuple(route.match for route in routes))

    def _label(self, route: InboundRoute | OutboundRoute, index: int) -> str:
        """What everyone may see; where a secret is hidden in it, the index keeps it apart."""
        label = route.label()
        shown: str = redact(label, self._settings.document.secrets)
        return label if shown == label else f"{shown} [{index}]"

    def _cluster(self, name: str, targets: list[Target]) -> Cluster:
        made = {self._endpoint(name, target.address): target for target in targets}
        self._targets += made.items()
        series = self._tools.cluster_series(name)
        cluster = Cluster(name, tuple(made), series, tiers(made), versions(made))
        self._clusters.append(cluster)
        return cluster

    def _endpoint(self, cluster: str, address: Address) -> Endpoint:
        return self._draft.state(
            ("endpoint", cluster, str(address)),
            lambda: Endpoint(str(address), address.host, address.port, since=self._joined),
        )

    def _plan(
        self, key: str, listen: Address, table: RouteTable, unmatched: Route, made: list[_Made]
    ) -> None:
        direction = key.partition(".")[0]
        routes = [unmatched, *(route for one in made for route in (one.default, *one.routes))]
        reads, replaces = fields_read(self._routes.policies(routes))
        matched = {name for one in made for name in one.header_names()}
        self._plans[key] = Plan(
            key=key,
            direction=direction,
            host=listen.host,
            port=listen.port,
            table=table,
            unmatched=unmatched,
            kinds=self._tools.kinds({*reads, *matched} - set(replaces), replaces),
            limits=_limits(self._settings.file.limits),
            trusts=_trusts(self._settings.file.trust, direction),
            routes=tuple(routes),
            rule=origin(self._settings, (*_where(key), "listen")),
        )


@dataclass(frozen=True, slots=True)
class _Made:
    """The compiled routes of one service."""

    default: Route
    routes: tuple[Route, ...]
    matches: tuple[Match, ...]

    def table(self, strip: int = 0) -> Table:
        """Its table, for requests from whose target `strip` bytes are to be cut."""
        default, routes = self.default, self.routes
        if strip:
            default = replace(default, strip=strip)
            routes = tuple(replace(route, strip=strip) for route in routes)
        if not self.matches:
            return OnlyRoute(default)
        return ServiceTable([match.rule() for match in self.matches], routes, default)

    def header_names(self) -> Iterable[bytes]:
        """The request fields by which these routes are told apart."""
        return (name.encode() for match in self.matches for name in match.headers)


def _where(key: str) -> tuple[str, ...]:
    """The place in the file of what listens under `key`."""
    service = key.removeprefix("outbound.services.")
    return (key,) if service == key else ("outbound", "services", service)


def _outbound_table(
    outbound: Outbound, services: Mapping[str, _Made], unknown: Route, connect: Route
) -> OutboundTable:
    hosts: dict[bytes, Table] = {}
    prefixes: dict[bytes, Table] = {}
    for name, service in outbound.services.items():
        table = services[name].table()
        for host in service.hosts or [name.lower()]:
            hosts[host.encode()] = table
        if service.prefix is not None:
            prefixes[service.prefix.encode()] = services[name].table(len(service.prefix))
    return OutboundTable(hosts, prefixes, unknown, connect)


def _limits(spec: LimitsSpec) -> Limits:
    said = spec.model_dump()
    if said["connections_per_client"] == OFF:
        said["connections_per_client"] = 0
    return Limits(**said)


def _trusts(trust: Trust, direction: str) -> Callable[[str], bool]:
    """Who may speak for others. The app behind `outbound` is this machine's own."""
    networks = tuple(trust.forwarded_from)
    own = direction == "outbound"

    def trusts(address: str) -> bool:
        try:
            peer = ip_address(address.partition("%")[0])
        except ValueError:
            return False  # a Unix socket or nothing at all has no address to believe
        # A dual-stack listener names IPv4 peers as ::ffff:10.0.0.1.
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return (own and peer.is_loopback) or any(peer in network for network in networks)

    return trusts
