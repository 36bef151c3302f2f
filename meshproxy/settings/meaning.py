"""What a file means as a whole: routes that never match, names and addresses used twice, loops.

Every check takes a valid model and yields the paths and sentences of what a person would want
to be told. It changes nothing and knows no YAML; places come from the document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from meshproxy.logic import units
from meshproxy.logic.cover import Cover
from meshproxy.policies.registry import REGISTRY
from meshproxy.settings import wiring
from meshproxy.settings.errors import Path, Problem
from meshproxy.settings.inherit import Inherited
from meshproxy.settings.load import Document
from meshproxy.settings.schema import OFF, File, Timeouts
from meshproxy.settings.views import Check, Context, Finding, chains, listeners, places, route_lists

HOP_FIELDS = frozenset(
    {"host", "connection", "content-length", "expect", "http2-settings", "keep-alive",
     "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
     "via"}
)  # fmt: skip
"""Request fields that this hop reads and writes itself (RFC 9110 section 7.6.1, and framing)."""


def problems(file: File, document: Document, inherited: Inherited) -> list[Problem]:
    """All that the checks find, each at its place in the file."""
    context = Context(file, document, tuple(listeners(file)))
    found = [finding for check in CHECKS for finding in check(context)]
    placed = ((inherited.origin(path), message) for path, message in found)
    return [Problem(*document.mark(path), path, message) for path, message in placed]


def something_to_do(context: Context) -> Iterator[Finding]:
    if context.file.inbound is None and context.file.outbound is None:
        yield (), "nothing to do: write inbound (with app), outbound (with services), or both"


def reachable_routes(context: Context) -> Iterator[Finding]:
    for path, routes in route_lists(context.file):
        seen = Cover()
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


def distinct_labels(context: Context) -> Iterator[Finding]:
    for path, routes in route_lists(context.file):
        first: dict[str, int] = {}
        for index, route in enumerate(routes):
            label = route.label()
            earlier = first.setdefault(label, index)
            # Two matches alike are told as a route that can never match.
            if earlier != index and (route.name or routes[earlier].name):
                key = "name" if route.name else "match"
                where = context.line((*path, earlier))
                yield (*path, index, key), f"a second route named {label!r}, first on {where}"


def times_fit(context: Context) -> Iterator[Finding]:
    """Only where the inner time is written: an inherited one is cut to the call's by itself."""
    for place, model in places(context.file):
        for key, name in (("retry", "per_try_timeout"), ("concurrency", "queue_timeout")):
            inner = getattr(getattr(model, key, None), name, None) or 0.0
            path = (*place, key, name)
            if context.says(path) and model.timeout and inner > model.timeout:
                whole = units.write_duration(model.timeout)
                yield path, f"longer than the whole call, whose timeout is {whole}"


def no_routes_for_tunnels(context: Context) -> Iterator[Finding]:
    for path, routes in route_lists(context.file):
        for index, route in enumerate(routes):
            if "CONNECT" in route.match.methods:
                yield (
                    (*path, index, "match"),
                    "CONNECT has no path: outbound.connect says where it may go",
                )


def distinct_limits(context: Context) -> Iterator[Finding]:
    """Two limits of one name on one walk could not be told apart in the answer."""
    for key in (spec.key for spec in REGISTRY if spec.adds_up):
        for chain in chains(context.file):
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


def balancer_is_on(context: Context) -> Iterator[Finding]:
    for place, model in places(context.file):
        path = (*place, "load_balancer")
        if getattr(model, "load_balancer", None) == OFF and context.says(path):
            yield path, "cannot be off: somebody has to pick; write round_robin for the plainest"


def checks_are_of_services(context: Context) -> Iterator[Finding]:
    """An endpoint is well or not, whatever route leads there."""
    for place, _ in places(context.file):
        path = (*place, "health_check")
        if "routes" in place[-2:-1] and context.says(path):
            yield path, "not of a route but of all that lead there: write it one level further out"


def hedges_have_elsewhere(context: Context) -> Iterator[Finding]:
    for place, model in places(context.file):
        path = (*place, "hedge")
        on = getattr(model, "hedge", OFF) != OFF
        if place[0] == "inbound" and on and context.says(path):
            yield path, "needs another endpoint to go to, and the app is only one"


def matchable_headers(context: Context) -> Iterator[Finding]:
    for path, routes in route_lists(context.file):
        for index, route in enumerate(routes):
            for name in filter(_rewritten, route.match.headers):
                at = (*path, index, "match", "headers")
                yield at, f"{name!r} is rewritten at this hop and cannot be matched"


def countable_headers(context: Context) -> Iterator[Finding]:
    """A key or tier by a field that no policy gets to see would put all callers into one."""
    for place, model in places(context.file):
        for index, item in enumerate(_items(model, "rate_limits")):
            per = [word.removeprefix("header:") for word in item.per if word.startswith("header:")]
            tier = [item.tiers.header] if item.tiers else []
            for name in filter(_rewritten, (*per, *tier)):
                at = (*place, "rate_limits", index)
                hint = ", use ip" if name.lower() == "x-forwarded-for" else ""
                yield at, f"{name!r} is rewritten at this hop and cannot tell callers apart{hint}"


def sticks_to_something(context: Context) -> Iterator[Finding]:
    for place, model in places(context.file):
        path = (*place, "sticky")
        if place[0] == "inbound" and getattr(model, "sticky", OFF) != OFF and context.says(path):
            yield path, "nothing to stick to: your app is one endpoint"


def hashable_headers(context: Context) -> Iterator[Finding]:
    for place, model in places(context.file):
        path = (*place, "load_balancer", "hash")
        word = getattr(getattr(model, "load_balancer", None), "hash", None) or ""
        name = word.removeprefix("header:")
        if name != word and context.says(path) and _rewritten(name):
            yield path, f"{name!r} is rewritten at this hop and cannot tell callers apart"


def readable_priorities(context: Context) -> Iterator[Finding]:
    for place, model in places(context.file):
        name = getattr(getattr(model, "priority", None), "header", None)
        if name and _rewritten(name):
            at = (*place, "priority", "header")
            yield at, f"{name!r} is rewritten at this hop and cannot say a priority"


def _rewritten(name: str) -> bool:
    lower = name.lower()
    return lower in HOP_FIELDS or lower.startswith(("x-forwarded-", "x-meshproxy-"))


CHECKS: tuple[Check, ...] = (
    something_to_do,
    reachable_routes,
    distinct_labels,
    times_fit,
    no_routes_for_tunnels,
    distinct_limits,
    balancer_is_on,
    checks_are_of_services,
    hedges_have_elsewhere,
    matchable_headers,
    countable_headers,
    readable_priorities,
    hashable_headers,
    sticks_to_something,
    *wiring.CHECKS,
)
