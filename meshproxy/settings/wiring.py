"""Whether what the file wires together can work: hosts, prefixes, addresses and loops.

Checks of a valid model, in the manner of `settings.meaning`, which runs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from meshproxy.logic.destination import Guard, Pattern, read_pattern
from meshproxy.policies.tracing import TracingSpec
from meshproxy.settings.addresses import Address
from meshproxy.settings.allowed import Allow
from meshproxy.settings.errors import Path, nearest
from meshproxy.settings.forward import permits
from meshproxy.settings.schema import OFF, Timeouts, policy
from meshproxy.settings.views import APP, Check, Context, Finding, dotted, places

PORTS = {"http": 80, "https": 443}
OF_A_SERVICE = ("outbound", "services", "*")
"""Where services stand."""


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
                where = f"{dotted(against)} ({context.line(against)})"
                yield at, f"{address} is already the address of {where}"
                break
        by_port[address.port].append((path, address))


def no_loops(context: Context) -> Iterator[Finding]:
    if context.file.inbound is not None:
        yield from _loop(context, ("inbound", "app"), context.file.inbound.app, "")
    collector = _collector(context)
    if collector is not None:
        # Each batch of spans would be a request that has spans.
        yield from _loop(context, ("tracing", "export"), collector, "")
    if context.file.outbound is None:
        return
    for name, service in context.file.outbound.services.items():
        for index, endpoint in enumerate(service.endpoints):
            path: Path = ("outbound", "services", name, "endpoints", index)
            # A call to one's own inbound ends at the app: a detour, no loop.
            yield from _loop(context, path, endpoint.address, "inbound")


def _collector(context: Context) -> Address | None:
    """Where spans go, if they go anywhere."""
    said = policy(context.file, TracingSpec)
    if said is None or said.export == OFF:
        return None
    parts = urlsplit(said.export.url)
    return Address(parts.hostname or "", parts.port or PORTS[parts.scheme])


def _loop(context: Context, path: Path, target: Address, allowed: str) -> Iterator[Finding]:
    for listener, address in context.listeners:
        if listener[0] != allowed and target.reaches(address):
            yield path, f"a loop: {target} is this sidecar's own {dotted(listener)}"
            return


def fallbacks_lead_somewhere(context: Context) -> Iterator[Finding]:
    """To another service, and never round in a circle."""
    outbound = context.file.outbound
    services = outbound.services if outbound is not None else {}
    for place, model in places(context.file):
        other = _stand_in(model)
        path = (*place, "fallback", "service")
        # What is inherited is told of the service alone, not again of each of its routes.
        if not other or not (context.says(path) or len(place) == len(OF_A_SERVICE)):
            continue
        if place[0] == "inbound":
            yield path, "no service stands in for your own app: write static"
        elif other not in services:
            yield path, f"no service is named {other!r}{nearest(other, services)}"
        elif place[: len(OF_A_SERVICE) - 1] == OF_A_SERVICE[:-1]:
            yield from _circle(services, str(place[2]), other, path)


def stale_comes_from_a_cache(context: Context) -> Iterator[Finding]:
    """What is never stored cannot stand in."""
    for place, model in places(context.file):
        path = (*place, "fallback", "stale")
        fallback = getattr(model, "fallback", None)
        if getattr(fallback, "stale", None) is None or getattr(model, "cache", OFF) != OFF:
            continue
        # At the defaults it is for the services; each of them may have a cache.
        if place != ("outbound", "defaults") and (context.says(path) or len(place) == 3):
            yield path, "nothing is stored here: write a cache beside it, as in cache: {}"


def _circle(
    services: Mapping[str, Timeouts], name: str, other: str, path: Path
) -> Iterator[Finding]:
    way = [name]
    while other in services and other not in way:
        way.append(other)
        other = _stand_in(services[other])
    if other == name:
        what = " to ".join(repr(one) for one in (*way, name))
        yield path, f"a circle: {what}; write fallback: off where it should end"


def _stand_in(model: Timeouts) -> str:
    """The service that stands in at a place; empty if none does."""
    return getattr(getattr(model, "fallback", None), "service", None) or ""


def names_are_free(context: Context) -> Iterator[Finding]:
    if context.file.outbound is not None and APP in context.file.outbound.services:
        name = "another name, with hosts: [app]"
        yield ("outbound", "services", APP), f"{APP!r} is what your own app is called: write {name}"


def admin_is_local(context: Context) -> Iterator[Finding]:
    listen = context.file.admin.listen
    if not listen.is_loopback():
        local = f"the admin port is for this machine only: write 127.0.0.1:{listen.port}"
        yield ("admin", "listen"), f"{local}, found {str(listen)!r}"


def hops_have_peers(context: Context) -> Iterator[Finding]:
    if context.says(("trust", "hops")) and not context.file.trust.forwarded_from:
        yield ("trust", "hops"), "counts nothing without forwarded_from: say which peers to believe"


def allowed_can_be_called(context: Context) -> Iterator[Finding]:
    """An address that is listed and closed would be refused each time. Names are not known yet."""
    outbound = context.file.outbound
    if outbound is None:
        return
    for permit in permits(outbound):
        for index, text in enumerate(permit.says.allow if isinstance(permit.says, Allow) else ()):
            why_not = _why_not(permit.guard(context.file), read_pattern(text, permit.port))
            if why_not:
                yield (*permit.path, "allow", index), f"never called: {text} {why_not}"


def _why_not(guard: Guard, pattern: Pattern) -> str | None:
    try:
        return guard.why_not(pattern.host, pattern.port or 0, lambda _: False)
    except ValueError:
        return None  # a name


CHECKS: tuple[Check, ...] = (
    distinct_hosts,
    distinct_prefixes,
    distinct_endpoints,
    distinct_listeners,
    no_loops,
    fallbacks_lead_somewhere,
    stale_comes_from_a_cache,
    names_are_free,
    admin_is_local,
    hops_have_peers,
    allowed_can_be_called,
)
