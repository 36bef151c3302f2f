"""Which endpoint may be tried: what every policy that has a say makes of it together."""

from __future__ import annotations

from meshproxy.core.exchange import Exchange
from meshproxy.core.route import Endpoint, Route
from meshproxy.core.verdict import Refusal


def pick(exchange: Exchange, now: float) -> Endpoint | None:
    """The endpoint of the next attempt; None if there is none that may be tried."""
    route = exchange.route
    endpoint, allowed = route.lone, route.phases.allowed
    if endpoint is None:
        return route.pick(exchange, allowed, now)
    return endpoint if allowed(endpoint, now) else None


def someone_left(route: Route, now: float) -> bool:
    """Whether another attempt would find an endpoint; if not, what is in hand is the answer."""
    allowed = route.phases.allowed
    endpoints = route.cluster.endpoints if route.cluster is not None else ()
    return any(allowed(endpoint, now) for endpoint in endpoints)


def barred(exchange: Exchange, route: Route, now: float) -> Refusal:
    """Why no endpoint could be picked: a policy's word for it, or that there is none."""
    for ask in route.phases.barred:
        refusal = ask(exchange, now)
        if refusal is not None:
            return refusal
    return Refusal(503, "UH", "no endpoint of this service can be used", route.rule)
