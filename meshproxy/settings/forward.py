"""Calls to hosts that no service claims: whether the file allows one, and the endpoint it is.

The endpoints are made as hosts are asked for and are bounded in number. That a host is allowed
says nothing of where its name leads: each carries a guard, which the dial asks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshproxy.core.explanation import Choice, Step
from meshproxy.core.ledger import Draft
from meshproxy.core.route import Allowed, Endpoint
from meshproxy.core.route import Guard as AnyGuard
from meshproxy.core.verdict import Refusal
from meshproxy.logic.destination import ANYWHERE, AllowList, Guard, Network, read, read_pattern
from meshproxy.settings.allowed import Allow
from meshproxy.settings.errors import Path
from meshproxy.settings.schema import File, Outbound
from meshproxy.settings.views import listeners

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange

MOST = 1024
"""Hosts that are remembered; the one that was called longest ago makes room."""


class Destinations:
    """Endpoints by the host that the client wrote."""

    __slots__ = ("_endpoints", "_guard", "_port")

    def __init__(self, guard: AnyGuard, port: int) -> None:
        self._endpoints: OrderedDict[bytes, Endpoint] = OrderedDict()
        self._guard = guard
        self._port = port

    def find(self, host: bytes) -> Endpoint | None:
        """The endpoint of a host, made now if need be; None if that is no host."""
        endpoint = self._endpoints.get(host)
        if endpoint is not None:
            self._endpoints.move_to_end(host)
            return endpoint
        return self._make(host)

    def peek(self, host: bytes) -> Endpoint | None:
        """The same endpoint, or one like it that is not remembered."""
        return self._endpoints.get(host) or self._new(host)

    def _new(self, host: bytes) -> Endpoint | None:
        found = read(host.decode("latin-1"), self._port)
        if isinstance(found, str):
            return None
        endpoint = Endpoint(str(found), found.host, found.port)
        endpoint.guard = self._guard
        return endpoint

    def _make(self, host: bytes) -> Endpoint | None:
        endpoint = self._new(host)
        if endpoint is None:
            return None
        while len(self._endpoints) >= MOST:
            # Its idle connections grow old; busy ones close when they are free.
            self._endpoints.popitem(last=False)[1].retired = True
        self._endpoints[host] = endpoint
        return endpoint

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._endpoints.values())

    def __len__(self) -> int:
        return len(self._endpoints)

    def __contains__(self, endpoint: object) -> bool:
        return endpoint in self._endpoints.values()


@dataclass(frozen=True, slots=True)
class Permit:
    """What the file says under `key`; `port` is that of hosts which say none."""

    key: str
    port: int
    says: Allow | str

    @property
    def path(self) -> Path:
        return ("outbound", self.key)

    def is_off(self) -> bool:
        return self.says in ("off", "reject")

    def guard(self, file: File) -> Guard:
        """What keeps calls from closed ranges, and from this sidecar itself."""
        return Guard(self._opened, own_ports(file))

    def allow_list(self) -> AllowList:
        """Every destination for a word, those of the list for a list."""
        if isinstance(self.says, Allow):
            return AllowList(read_pattern(text, self.port) for text in self.says.allow)
        return ANYWHERE

    def destinations(self, file: File, draft: Draft) -> Destinations:
        """Found again after a reload, unless what is closed has changed."""
        return draft.state(
            ("destinations", self.key, self._opened, own_ports(file)),
            lambda: Destinations(self.guard(file), self.port),
        )

    @property
    def _opened(self) -> tuple[Network, ...]:
        return tuple(self.says.networks) if isinstance(self.says, Allow) else ()


def permits(outbound: Outbound) -> tuple[Permit, Permit]:
    """Those for unknown hosts and for CONNECT."""
    return (
        Permit("unknown_hosts", 80, outbound.unknown_hosts),
        Permit("connect", 443, outbound.connect),
    )


def own_ports(file: File) -> frozenset[int]:
    """The ports that this file has the sidecar listen on."""
    return frozenset(address.port for _, address in listeners(file) if address.port)


class Forward:
    """The only way of its route: what the list allows, to the host that was asked for."""

    __slots__ = ("_allowed", "_destinations", "_permit", "_rule")

    def __init__(self, permit: Permit, destinations: Destinations, rule: str) -> None:
        self._allowed = permit.allow_list()
        self._destinations = destinations
        self._permit = permit
        self._rule = rule

    def admit(self, exchange: Exchange, now: float) -> Refusal | None:  # noqa: ARG002  # a phase
        found = read(exchange.host.decode("latin-1"), self._permit.port)
        if isinstance(found, str):
            return Refusal(403, "FB", found, self._rule)
        if not self._allowed.holds(found):
            detail = f"{str(found)[:100]!r} is not in outbound.{self._permit.key}.allow"
            return Refusal(403, "FB", detail, self._rule)
        return None

    def explain(self, exchange: Exchange, now: float) -> list[Step]:
        refusal = self.admit(exchange, now)
        where = f"outbound.{self._permit.key}"
        if refusal is not None:
            return [Step(f"{where} does not let it through", refusal)]
        says = f"{where} lets it through; its address is judged when its name is looked up"
        return [Step(says)]

    def choose(self, exchange: Exchange, allowed: Allowed, now: float) -> Choice | None:
        endpoint = self._destinations.peek(exchange.host)
        if endpoint is None or not allowed(endpoint, now):
            return None
        return Choice(((endpoint, 1.0),), "the host that was asked for")

    def pick(self, exchange: Exchange, allowed: Allowed, now: float) -> Endpoint | None:
        endpoint = self._destinations.find(exchange.host)
        return endpoint if endpoint is not None and allowed(endpoint, now) else None


class NoTunnel:
    """The only policy of CONNECT where it is off."""

    __slots__ = ("_rule",)

    def __init__(self, rule: str) -> None:
        self._rule = rule

    def explain(self, exchange: Exchange, now: float) -> list[Step]:
        return [Step("no tunnels are made", self.admit(exchange, now))]

    def admit(self, exchange: Exchange, now: float) -> Refusal:  # noqa: ARG002  # a phase
        detail = "CONNECT is off; outbound.connect lists what may be reached"
        return Refusal(403, "FB", detail, self._rule)
