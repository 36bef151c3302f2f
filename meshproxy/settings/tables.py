"""Which route a request takes: by the service's own rules, and before that by host or prefix.

Tables are made once per generation of the config and asked once per request. What refuses a
request that belongs to no service stands here too; how rules match is `logic.match`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from meshproxy.core.explanation import Step
from meshproxy.core.route import Route
from meshproxy.core.verdict import Refusal
from meshproxy.logic.match import RouteIndex, Rule
from meshproxy.logic.path import folded

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange, Start

MAX_REMEMBERED = 1024
LONGEST_REMEMBERED = 128
"""Bytes of all values together."""


class ServiceTable:
    """The routes of one service or of the app: the first that matches, else the default.

    A request line that is remembered keeps the route it came to. Where header fields have a say,
    it is remembered together with what they said.
    """

    __slots__ = ("_index", "_names", "_rows", "_seen")

    def __init__(self, rules: Sequence[Rule], routes: Sequence[Route], default: Route) -> None:
        self._index = RouteIndex(rules)
        self._rows = (*routes, default)
        self._names = sorted({name for rule in rules for name, _ in rule.headers})
        self._seen: dict[tuple[Start | bytes | None, ...], Route] = {}

    def match(self, exchange: Exchange) -> Route:
        start = exchange.start
        if start is None:
            return self.match_at(exchange, exchange.path)
        if start.table is not self:
            self._learn(exchange, start)
        route = start.route
        return route if route is not None else self._by_fields(exchange, start)

    def match_at(self, exchange: Exchange, path: bytes) -> Route:
        """The route of a request as if it had asked for `path`."""
        # What `exchange.header` reads, without its frame.
        found = self._index.find(exchange.method, folded(path), exchange.taken.get)
        return self._rows[-1 if found is None else found]

    def _by_fields(self, exchange: Exchange, start: Start) -> Route:
        """By the line and the values of all fields that any rule of this table asks for."""
        values = tuple(map(exchange.taken.get, self._names))
        route = self._seen.get((start, *values))
        if route is None:
            route = self.match_at(exchange, start.path)
            if sum(map(len, filter(None, values))) <= LONGEST_REMEMBERED:
                if len(self._seen) >= MAX_REMEMBERED:
                    self._seen.clear()
                self._seen[start, *values] = route
        return route

    def _learn(self, exchange: Exchange, start: Start) -> None:
        """Find its route, and whether that is the route of all requests that begin so."""
        asked = False

        def header(name: bytes) -> bytes | None:
            nonlocal asked
            asked = True
            return exchange.taken.get(name)

        found = self._index.find(exchange.method, folded(start.path), header)
        # Which fields are asked for is itself a matter of method and path.
        start.route = None if asked else self._rows[-1 if found is None else found]
        start.table = self


class OnlyRoute:
    """The table of a service, or of the app, that has no rules."""

    __slots__ = ("_route",)

    def __init__(self, route: Route) -> None:
        self._route = route

    def match(self, exchange: Exchange) -> Route:  # noqa: ARG002  # a RouteTable
        return self._route

    def match_at(self, exchange: Exchange, path: bytes) -> Route:  # noqa: ARG002  # a RouteTable
        return self._route


Table = ServiceTable | OnlyRoute


class OutboundTable:
    """Services by the host of the request, else by the longest prefix of its path.

    `unknown` is the route of what belongs to none, `connect` that of all tunnels: the host of
    a CONNECT is not the name of a service.
    """

    __slots__ = ("_connect", "_deepest", "_hosts", "_prefixes", "_unknown")

    def __init__(
        self,
        hosts: Mapping[bytes, Table],
        prefixes: Mapping[bytes, Table],
        unknown: Route,
        connect: Route,
    ) -> None:
        self._hosts = hosts
        self._prefixes = prefixes
        self._deepest = max((prefix.count(b"/") for prefix in prefixes), default=0)
        self._unknown = unknown
        self._connect = connect

    def match(self, exchange: Exchange) -> Route:
        if exchange.method == b"CONNECT":
            return self._connect
        host = exchange.host
        table = self._hosts.get(host) or self._hosts.get(_bare(host))
        if table is not None:
            return table.match(exchange)
        return self._by_prefix(exchange)

    def _by_prefix(self, exchange: Exchange) -> Route:
        path = exchange.path
        if self._deepest and path.startswith(b"/"):
            segments = path.split(b"/", self._deepest + 1)
            for end in range(min(len(segments), self._deepest + 1), 1, -1):
                prefix = b"/".join(segments[:end])
                table = self._prefixes.get(prefix)
                if table is not None:
                    return table.match_at(exchange, path[len(prefix) :] or b"/")
        return self._unknown


def _bare(host: bytes) -> bytes:
    """A host without its port and without the dot that ends a full name."""
    if host.startswith(b"["):
        return host.partition(b"]")[0] + b"]"
    return host.partition(b":")[0].removesuffix(b".")


class NoService:
    """The only policy of requests that belong to no service: refuse, and say what was asked."""

    __slots__ = ("_rule",)

    def __init__(self, rule: str) -> None:
        self._rule = rule

    def admit(self, exchange: Exchange, now: float) -> Refusal:  # noqa: ARG002  # a phase
        return self._refusal(exchange)

    def explain(self, exchange: Exchange, now: float) -> list[Step]:  # noqa: ARG002  # a phase
        return [Step("no service has this host or prefix", self._refusal(exchange))]

    def _refusal(self, exchange: Exchange) -> Refusal:
        host = exchange.host[:100].decode("ascii", "backslashreplace")
        return Refusal(404, "NR", f"no service for host {host!r}", self._rule)
