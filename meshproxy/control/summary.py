"""Figures of traffic as the admin port spells them: per route, and per service.

A service is an upstream in one direction: the app itself inbound, what the app calls outbound,
and `__unmatched__` for what no route took.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from meshproxy.control.view import View
from meshproxy.core.report import Reported
from meshproxy.telemetry.figures import NONE, Count, Key, Reading, total

UNMATCHED = "__"
"""How names begin that stand for what has no route or no counter of its own."""


def keys(view: View) -> list[Key]:
    """The routes in force, in the order of the file; each once, as listeners share them."""
    found: dict[Key, None] = {}
    for plan in view.snapshot.plans.values() if view.snapshot else ():
        for route in plan.routes:
            upstream = route.cluster.name if route.cluster else route.name
            found[plan.direction, route.name, upstream] = None
    return list(found)


def shown(view: View, reading: Reading) -> list[Key]:
    """Those worth a line: the routes in force, and whatever else was asked for in this reading."""
    own = keys(view)
    named = [key for key in own if not key[1].startswith(UNMATCHED)]
    busy = [
        key
        for key, count in reading.routes.items()
        if count.requests or view.readings.in_flight(key)
    ]
    return list(dict.fromkeys((*named, *busy)))


def spelled(count: Count) -> dict[str, Any]:
    """Requests, errors, and percentiles in milliseconds."""
    return {
        "requests": count.requests,
        "errors": count.errors,
        "error_rate": round(count.errors / count.requests, 6) if count.requests else None,
        **{f"p{share}_ms": milliseconds(count.percentile(share / 100)) for share in (50, 95, 99)},
    }


def milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def services(view: View, reading: Reading) -> list[dict[str, Any]]:
    """The sums of their routes."""
    by_service: dict[tuple[str, str], list[Count]] = {}
    for key in shown(view, reading):
        by_service.setdefault((key[0], key[2]), []).append(reading.routes.get(key, NONE))
    kinds = versions(view, reading)
    return [
        {
            "service": name,
            "direction": direction,
            **spelled(total(counts)),
            "versions": [
                {"version": version or None, **spelled(count)}
                for (upstream, version), count in kinds.items()
                if upstream == name
            ],
        }
        for (direction, name), counts in by_service.items()
    ]


def versions(view: View, reading: Reading) -> dict[tuple[str, str], Count]:
    """By upstream and version, of those that have several now, or had requests in this reading."""
    clusters = view.snapshot.clusters if view.snapshot else ()
    own = [(one.name, version) for one in clusters for version in one.versions.values()]
    busy = [key for key, count in reading.versions.items() if count.requests]
    return {key: reading.versions.get(key, NONE) for key in dict.fromkeys((*own, *busy))}


def routes(view: View, reading: Reading) -> list[dict[str, Any]]:
    found = []
    for key in shown(view, reading):
        count = reading.routes.get(key, NONE)
        found.append({**named(key), **spelled(count), "limited": count.limited})
    return found


def named(key: Key) -> dict[str, str]:
    return dict(zip(("direction", "route", "upstream"), key, strict=True))


def summary(view: View) -> Mapping[str, Any]:
    """Since the start, and over the last minute."""
    now = view.readings.take(view.now())
    minute = now.since(view.readings.a_minute_ago())
    return {
        "services": services(view, now),
        "routes": routes(view, now),
        "last_minute": {
            "window_seconds": round(minute.at, 3),
            "services": services(view, minute),
            "routes": routes(view, minute),
        },
    }


def reported(view: View, section: str) -> Iterable[Mapping[str, Any]]:
    """What state of one section says of itself."""
    now = view.now()
    for cell in view.cells():
        if isinstance(cell, Reported) and cell.section == section:
            yield cell.report(now)
