"""Who looks at the sidecar now and then, and tells what happened in between.

One observer for all who look equally often: it remembers only its own last look. What it tells
is plain data, the event of /live; who hears it, and when, is not its business.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from meshproxy.control.summary import milliseconds, named, reported, shown, versions
from meshproxy.control.view import View
from meshproxy.core.route import Cluster, Endpoint
from meshproxy.core.verdict import Failure
from meshproxy.telemetry import process
from meshproxy.telemetry.figures import NONE, Count, Reading, total

NO_FAILURES = frozenset(
    {"success", *(each.condition for each in Failure if not each.upstream_fault)}
)
"""Results of attempts that are not the upstream's fault."""


ENDPOINTS = 200
"""Most that are told of one upstream."""

PAGE = "/live"
"""Under which name workers tell each other what is theirs of an event."""


def parts(view: View) -> dict[str, Any]:
    """What of an event each worker has its own share of, as it is now."""
    known = {one.family: int(one.value) for group in process.samples() for one in group}
    circuits, _ = _verdicts(view)
    return {
        "process": {
            "rss_bytes": known.get("process_resident_memory_bytes", 0),
            "open_files": known.get("process_open_fds", 0),
            "cpu_seconds": time.process_time(),  # finer than what the kernel's file says
            "loop_lag_ms": milliseconds(view.loop_lag()),
            "connections": view.stats().get("connections", {}),
        },
        "endpoints": [
            list(_endpoints(cluster, circuits))
            for cluster in (view.snapshot.clusters if view.snapshot else ())
        ],
        "limits": list(reported(view, "rate-limits")),
        "concurrency": list(reported(view, "concurrency")),
        "retries": [
            {"upstream": each["upstream"], "route": route, "retries": count}
            for each in reported(view, "route_retries")
            for route, count in each["routes"].items()
        ],
    }


class Observer:
    """The first look is at everything since the start. `failure` is the latest that was told."""

    __slots__ = ("_cpu", "_reading", "_retries", "_until", "_view", "failure")

    def __init__(self, view: View, until: int | None = None) -> None:
        """The first look tells failures no later than `until`, by their number."""
        self._view = view
        self._reading = view.readings.start
        self._cpu = 0.0
        self._until = until
        self.failure = 0
        self._retries: Mapping[tuple[str, str], int] = {}

    def look(self) -> dict[str, Any]:
        """What there is now, and what came since the last look."""
        view = self._view
        reading = view.readings.take(view.now())
        since, self._reading = reading.since(self._reading), reading
        seconds = max(since.at, 1e-3)
        all_ = view.company.added(PAGE, parts(view))
        retries = self._new_retries(all_["retries"])
        snapshot, standing = view.snapshot, view.standing
        until = view.recent.latest if self._until is None else self._until
        failures = view.recent.since(self.failure, until)
        self.failure, self._until = until, None
        return {
            "at": _text(time.time()),
            "seconds": round(since.at, 3),
            "service": asdict(view.identity),
            "uptime_seconds": round(view.uptime(), 3),
            "generation": snapshot.generation if snapshot else 0,
            "draining": view.draining,
            "reload": {"ok": standing.ok, "at": _text(standing.at), "errors": standing.errors},
            "process": self._told_process(all_["process"], seconds),
            "totals": _totals(since, seconds),
            "routes": self._routes(since, seconds, retries),
            "upstreams": self._upstreams(since, retries, all_["endpoints"]),
            "versions": [
                {"upstream": upstream, "version": version or None, **told(count, seconds)}
                for (upstream, version), count in versions(view, since).items()
            ],
            "limits": [_with_use(each) for each in all_["limits"]],
            "concurrency": all_["concurrency"],
            "failures": failures,
        }

    def _new_retries(self, told: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
        """By upstream and route."""
        now = {(each["upstream"], each["route"]): each["retries"] for each in told}
        before, self._retries = self._retries, now
        return {key: max(0, count - before.get(key, 0)) for key, count in now.items()}

    def _told_process(self, told: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        cpu = told["cpu_seconds"]
        # Less than before where a worker has been replaced.
        used, self._cpu = max(0.0, cpu - self._cpu), cpu
        return {
            "rss_bytes": told["rss_bytes"],
            "cpu": round(used / seconds, 4),
            "open_files": told["open_files"],
            "loop_lag_ms": told["loop_lag_ms"],
            "connections": told["connections"],
        }

    def _routes(
        self, since: Reading, seconds: float, retries: Mapping[tuple[str, str], int]
    ) -> list[dict[str, Any]]:
        view = self._view
        return [
            {
                **named(key),
                **told(count := since.routes.get(key, NONE), seconds),
                "limited": count.limited,
                "retries": retries.get((key[2], key[1]), 0),
                "in_flight": view.readings.in_flight(key),
            }
            for key in shown(view, since)
        ]

    def _upstreams(
        self, since: Reading, retries: Mapping[tuple[str, str], int],
        endpoints: Iterable[Iterable[Mapping[str, Any]]],
    ) -> list[dict[str, Any]]:  # fmt: skip
        view = self._view
        _, panics = _verdicts(view)
        found = []
        clusters = view.snapshot.clusters if view.snapshot else ()
        for cluster, its in zip(clusters, endpoints, strict=True):
            name = cluster.name
            results = since.attempts.get(name, {})
            found.append(
                {
                    "name": name,
                    "attempts": sum(results.values()),
                    "failures": sum(
                        count for word, count in results.items() if word not in NO_FAILURES
                    ),
                    "results": results,
                    "retries": sum(
                        count for (upstream, _), count in retries.items() if upstream == name
                    ),
                    **_latency(count for key, count in since.routes.items() if key[2] == name),
                    "panic": name in panics,
                    "endpoints": its,
                }
            )
        return found


def told(count: Count, seconds: float) -> dict[str, Any]:
    """What ended within so many seconds."""
    success = count.success
    return {
        "requests": count.requests,
        "rps": round(count.requests / seconds, 3),
        "errors": count.errors,
        "success": None if success is None else round(success, 6),
        **{f"p{share}_ms": milliseconds(count.percentile(share / 100)) for share in (50, 95, 99)},
    }


def _latency(counts: Iterable[Count]) -> dict[str, Any]:
    """Of all that these routes answered."""
    told = total(counts)
    return {f"p{share}_ms": milliseconds(told.percentile(share / 100)) for share in (50, 95, 99)}


def _totals(since: Reading, seconds: float) -> dict[str, Any]:
    """Of each direction, whatever the route."""
    directions = dict.fromkeys(key[0] for key in since.routes)
    return {
        direction: told(
            total([count for key, count in since.routes.items() if key[0] == direction]), seconds
        )
        for direction in directions
    }


def _verdicts(view: View) -> tuple[dict[tuple[str, str], tuple[str, str]], set[str]]:
    """Each circuit that is in force, with what an operator holds it to; who panics."""
    circuits = {
        (each["upstream"], each["endpoint"]): (each["state"], each.get("forced", ""))
        for each in reported(view, "breakers")
        if each.get("mode") != "shadow"
    }
    return circuits, {each["upstream"] for each in reported(view, "panic") if each["on"]}


def _endpoints(
    cluster: Cluster, circuits: Mapping[tuple[str, str], tuple[str, str]]
) -> Iterable[dict[str, Any]]:
    for one in islice(cluster.endpoints, ENDPOINTS):
        circuit, forced = circuits.get((cluster.name, one.name), (None, ""))
        yield {
            "address": one.name,
            "version": one.version or None,
            "healthy": one.healthy,
            "circuit": circuit,
            "forced": forced,
            "in_flight": one.load,
            "weight": one.weight,
            "tier": one.tier,
            "first_byte_ms": milliseconds(one.cost),
            "connections": _connections(one),
        }


def _connections(endpoint: Endpoint) -> dict[str, int]:
    return {
        "open": endpoint.connections,
        "idle": endpoint.idling,
        "dialling": endpoint.dials,
        "waiting": len(endpoint.waiters),
    }


def _with_use(limit: Mapping[str, Any]) -> dict[str, Any]:
    """How much of it is used up, 0 to 1: of all, or of the key that is nearest to its bound."""
    capacity = limit["burst"] or float(str(limit["limit"]).partition("/")[0])
    left = limit.get("left")
    if left is None:
        left = min((each["left"] for each in limit.get("nearest", ())), default=capacity)
    return {**limit, "use": round(min(1.0, max(0.0, 1.0 - left / capacity)), 3)}


def _text(seconds: float) -> str | None:
    return (
        datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds") if seconds else None
    )
