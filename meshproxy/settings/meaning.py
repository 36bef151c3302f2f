"""What a file means as a whole: routes that never match, names and addresses used twice, loops.

Every check takes a valid model and yields the paths and sentences of what a person would want
to be told. It changes nothing and knows no YAML; places come from the document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshproxy.logic.match import Rule, read_pattern, shadows
from meshproxy.policies.registry import REGISTRY
from meshproxy.settings.addresses import Address
from meshproxy.settings.errors import Path, Problem
from meshproxy.settings.inherit import Inherited
from meshproxy.settings.load import Document
from meshproxy.settings.schema import OFF, File, InboundRoute, OutboundRoute, Timeouts

APP = "app"
"""The name of the cluster that is the application itself."""

HOP_FIELDS = frozenset(
    {"host", "connection", "content-length", "expect", "http2-settings", "keep-alive",
     "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
     "via"}
)  # fmt: skip
"""Request fields that this hop reads and writes itself (RFC 9110 section 7.6.1, and framing)."""

Finding = tuple[Path, str]
Check = Callable[["Context"], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Context:
    """The model and what helps to say where its parts stand."""

    file: File
    document: Document
    listeners: tuple[tuple[Path, Address], ...] = field(default=())

    def says(self, path: Path) -> bool:
        return path in self.document.keys

    def line(self, path: Path) -> str:
        number = self.document.key_mark(path)[0]
        return f"line {number}" if number else "its default"


def problems(file: File, document: Document, inherited: Inherited) -> list[Problem]:
    """All that the checks find, each at its place in the file."""
    context = Context(file, document, tuple(_listeners(file)))
    found = [finding for check in CHECKS for finding in check(context)]
    placed = ((inherited.origin(path), message) for path, message in found)
    return [Problem(*document.mark(path), path, message) for path, message in placed]


def _listeners(file: File) -> Iterator[tuple[Path, Address]]:
    if file.inbound is not None:
        yield ("inbound", "listen"), file.inbound.listen
    if file.outbound is not None:
        yield ("outbound", "listen"), file.outbound.listen
        for name, service in file.outbound.services.items():
            if service.listen is not None:
                yield ("outbound", "services", name, "listen"), service.listen
    yield ("metrics", "listen"), file.metrics.listen
    yield ("admin", "listen"), file.admin.listen


def _places(file: File) -> Iterator[tuple[Path, Timeouts]]:
    if file.inbound is not None:
        yield ("inbound",), file.inbound
        for index, inner in enumerate(file.inbound.routes):
            yield ("inbound", "routes", index), inner
    if file.outbound is not None:
        yield ("outbound", "defaults"), file.outbound.defaults
        for name, service in file.outbound.services.items():
            yield ("outbound", "services", name), service
            for index, route in enumerate(service.routes):
                yield ("outbound", "services", name, "routes", index), route


def _route_lists(file: File) -> Iterator[tuple[Path, Sequence[InboundRoute | OutboundRoute]]]:
    if file.inbound is not None:
        yield ("inbound", "routes"), file.inbound.routes
    if file.outbound is not None:
        for name, service in file.outbound.services.items():
            yield ("outbound", "services", name, "routes"), service.routes


def something_to_do(context: Context) -> Iterator[Finding]:
    if context.file.inbound is None and context.file.outbound is None:
        yield (), "nothing to do: write inbound (with app), outbound (with services), or both"


def reachable_routes(context: Context) -> Iterator[Finding]:
    for path, routes in _route_lists(context.file):
        seen = _Seen()
        for index, route in enumerate(routes):
            earlier = seen.taker(route.match.rule())
            if earlier is None:
                seen.add(index, route.match.rule())
                continue
            where = f"routes[{earlier}] ({context.line((*path, earlier))})"
            yield (
                (*path, index, "match"),
                f"can never match: {where} takes all of its requests",
            )


class _Seen:
    """Rules met so far, by what a later rule must share with one to be taken by it."""

    __slots__ = ("_exact", "_patterns")

    def __init__(self) -> None:
        self._exact: dict[bytes, list[tuple[int, Rule]]] = {}
        self._patterns: dict[bytes, list[tuple[int, Rule]]] = {}

    def add(self, index: int, rule: Rule) -> None:
        pattern = read_pattern(rule.path)
        if pattern.is_literal():
            self._exact.setdefault(rule.path, []).append((index, rule))
        else:
            first = pattern.segments[0] if pattern.segments else b"*"
            self._patterns.setdefault(first, []).append((index, rule))

    def taker(self, rule: Rule) -> int | None:
        pattern = read_pattern(rule.path)
        first = pattern.segments[0] if pattern.segments else b"*"
        near = [*self._exact.get(rule.path, ()), *self._patterns.get(b"*", ())]
        if first != b"*":
            near += self._patterns.get(first, ())
        taken = [index for index, earlier in near if shadows(earlier, rule)]
        return min(taken, default=None)


def distinct_labels(context: Context) -> Iterator[Finding]:
    for path, routes in _route_lists(context.file):
        first: dict[str, int] = {}
        for index, route in enumerate(routes):
            label = route.label()
            earlier = first.setdefault(label, index)
            if earlier != index and route.name is not None:
                where = context.line((*path, earlier))
                yield (*path, index, "name"), f"a second route named {label!r}, first on {where}"


def distinct_hosts(context: Context) -> Iterator[Finding]:
    if context.file.outbound is None:
        return
    first: dict[str, str] = {}
    for name, service in context.file.outbound.services.items():
        place: Path = ("outbound", "services", name)
        for index, host in enumerate(service.hosts or [name.lower()]):
            owner = first.setdefault(host, name)
            path = (*place, "hosts", index) if service.hosts else place
            if owner != name:
                yield path, f"host {host!r} is already a host of service {owner!r}"
            elif host in (service.hosts or [])[:index]:
                yield path, f"host {host!r} is written twice"


def distinct_prefixes(context: Context) -> Iterator[Finding]:
    if context.file.outbound is None:
        return
    first: dict[str, str] = {}
    for name, service in context.file.outbound.services.items():
        if service.prefix is not None:
            owner = first.setdefault(service.prefix, name)
            if owner != name:
                yield (
                    ("outbound", "services", name, "prefix"),
                    f"prefix {service.prefix!r} is already the prefix of service {owner!r}",
                )


def distinct_endpoints(context: Context) -> Iterator[Finding]:
    if context.file.outbound is None:
        return
    for name, service in context.file.outbound.services.items():
        seen: set[Address] = set()
        for index, endpoint in enumerate(service.endpoints):
            if endpoint.address in seen:
                path = ("outbound", "services", name, "endpoints", index)
                yield path, f"endpoint {endpoint.address} is written twice: use weight"
            seen.add(endpoint.address)


def distinct_listeners(context: Context) -> Iterator[Finding]:
    by_port: dict[int, list[tuple[Path, Address]]] = {}
    for path, address in context.listeners:
        for other, taken in by_port.setdefault(address.port, []):
            if address.clashes(taken):
                # Told at the one that the file says; a default cannot be edited.
                at, against = (path, other) if context.says(path) else (other, path)
                where = f"{_dotted(against)} ({context.line(against)})"
                yield at, f"{address} is already the address of {where}"
                break
        by_port[address.port].append((path, address))


def no_loops(context: Context) -> Iterator[Finding]:
    if context.file.inbound is not None:
        yield from _loop(context, ("inbound", "app"), context.file.inbound.app, "")
    if context.file.outbound is None:
        return
    for name, service in context.file.outbound.services.items():
        for index, endpoint in enumerate(service.endpoints):
            path: Path = ("outbound", "services", name, "endpoints", index)
            # A call to one's own inbound ends at the app: a detour, no loop.
            yield from _loop(context, path, endpoint.address, "inbound")


def _loop(context: Context, path: Path, target: Address, allowed: str) -> Iterator[Finding]:
    for listener, address in context.listeners:
        if listener[0] != allowed and target.reaches(address):
            yield path, f"a loop: {target} is this sidecar's own {_dotted(listener)}"
            return


def times_fit(context: Context) -> Iterator[Finding]:
    """Only where the inner time is written: an inherited one is cut to the call's by itself."""
    for place, model in _places(context.file):
        for key, name in (("retry", "per_try_timeout"), ("concurrency", "queue_timeout")):
            inner = getattr(getattr(model, key, None), name, None) or 0.0
            path = (*place, key, name)
            if context.says(path) and model.timeout and inner > model.timeout:
                whole = f"{model.timeout:g}s"
                yield path, f"longer than the whole call, whose timeout is {whole}"


def admin_is_local(context: Context) -> Iterator[Finding]:
    listen = context.file.admin.listen
    if not listen.is_loopback():
        local = f"the admin port is for this machine only: write 127.0.0.1:{listen.port}"
        yield ("admin", "listen"), f"{local}, found {str(listen)!r}"


def hops_have_peers(context: Context) -> Iterator[Finding]:
    if context.says(("trust", "hops")) and not context.file.trust.forwarded_from:
        yield ("trust", "hops"), "counts nothing without forwarded_from: say which peers to believe"


def no_tunnels(context: Context) -> Iterator[Finding]:
    for path, routes in _route_lists(context.file):
        for index, route in enumerate(routes):
            if "CONNECT" in route.match.methods:
                yield (*path, index, "match"), "not supported yet: CONNECT tunnels"


def distinct_limits(context: Context) -> Iterator[Finding]:
    """Two limits of one name on one walk could not be told apart in the answer."""
    for key in (spec.key for spec in REGISTRY if spec.adds_up):
        for chain in _chains(context.file):
            first: dict[str, Path] = {}
            for place, model in chain:
                for index, item in enumerate(_items(model, key)):
                    path = (*place, key, index)
                    name = getattr(item, "name", None)
                    earlier = first.setdefault(name, path) if name else path
                    if earlier != path:
                        where = context.line(earlier)
                        yield path, f"a second limit named {name!r}, first on {where}"


def _items(model: Timeouts, key: str) -> Iterable[Any]:
    value = getattr(model, key, ())
    return value if isinstance(value, list) else ()


def _chains(file: File) -> Iterator[list[tuple[Path, Timeouts]]]:
    """Every way from an outermost place to a route, as the places on it."""
    by_path = dict(_places(file))
    for path in by_path:
        around = [path[:end] for end in range(1, len(path) + 1) if path[:end] in by_path]
        if path[0] == "outbound" and path[1] != "defaults":
            around.insert(0, ("outbound", "defaults"))
        yield [(one, by_path[one]) for one in around]


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path)


def names_are_free(context: Context) -> Iterator[Finding]:
    if context.file.outbound is not None and APP in context.file.outbound.services:
        name = "another name, with hosts: [app]"
        yield ("outbound", "services", APP), f"{APP!r} is what your own app is called: write {name}"


def balancer_is_on(context: Context) -> Iterator[Finding]:
    for place, model in _places(context.file):
        path = (*place, "load_balancer")
        if getattr(model, "load_balancer", None) == OFF and context.says(path):
            yield path, "cannot be off: somebody has to pick; write round_robin for the plainest"


def matchable_headers(context: Context) -> Iterator[Finding]:
    for path, routes in _route_lists(context.file):
        for index, route in enumerate(routes):
            for name in route.match.headers:
                if name in HOP_FIELDS or name.startswith(("x-forwarded-", "x-meshproxy-")):
                    at = (*path, index, "match", "headers")
                    yield at, f"{name!r} is rewritten at this hop and cannot be matched"


CHECKS: tuple[Check, ...] = (
    something_to_do,
    reachable_routes,
    distinct_labels,
    distinct_hosts,
    distinct_prefixes,
    distinct_endpoints,
    distinct_listeners,
    no_loops,
    times_fit,
    admin_is_local,
    hops_have_peers,
    no_tunnels,
    distinct_limits,
    names_are_free,
    balancer_is_on,
    matchable_headers,
)
