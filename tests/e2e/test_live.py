"""Figures of a running sidecar are exactly those of the traffic that a test has made."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from meshproxy.commands.events import events

from .harness import Client, Message, Origin, Sidecar, answering, eventually, fetch, reply

CONFIG = """
inbound:
  listen: <inbound>
  app: http://<app>
  routes:
    - {name: limited, match: GET /limited, rate_limits: [{limit: 1/m, burst: 2}]}
outbound:
  listen: <outbound>
  services:
    payments:
      endpoints: [{address: <app>, version: v1}, {address: <canary>, version: v2}]
      load_balancer: round_robin
      retry: off
      circuit_breaker: off
    patient:
      endpoints: [<app>]
      retry: {attempts: 2, when: [503], backoff: {base: 1ms}}
      circuit_breaker: off
shutdown: {drain: 20s}
"""

Stream = Generator[dict[str, Any], None, None]


def status(message: Message) -> bytes:
    """What the path asks for: /503 is a 503."""
    last = message.target.partition("?")[0].rpartition("/")[2]
    return reply(int(last) if last.isdigit() else 200)


@pytest.fixture(scope="module")
def canary() -> Iterator[Origin]:
    with Origin.running(answering(reply(500))) as running:
        yield running


@pytest.fixture
def sidecar(app: Origin, canary: Origin) -> Iterator[Sidecar]:
    """One of its own for each test, so that counts begin at none."""
    app.script = answering(status)
    with Sidecar.running(CONFIG, app=app.address, canary=canary.address) as running:
        yield running


@contextmanager
def live(sidecar: Sidecar) -> Iterator[Stream]:
    stream = events(sidecar.admin, "/live?every=250ms", 20.0)
    try:
        yield stream
    finally:
        stream.close()


def until_now(sidecar: Sidecar, stream: Stream) -> list[dict[str, Any]]:
    """The events up to the first look that is later than this call."""
    now = sidecar.admin_json("/info")["uptime_seconds"]
    told = [next(stream)]
    while told[-1]["uptime_seconds"] <= now:
        told.append(next(stream))
    return told


def traffic(sidecar: Sidecar) -> None:
    """20 requests to the app, 6 to payments (3 fail), 4 to patient (1 fails after 2 retries)."""
    for path, times in (("/ok?token=SECRET", 9), ("/404", 2), ("/500?token=SECRET", 4)):
        for _ in range(times):
            fetch(sidecar.inbound, path)
    for _ in range(5):
        fetch(sidecar.inbound, "/limited")
    for _ in range(6):
        fetch(sidecar.outbound, "/a", headers={"Host": "payments"})
    for path in ("/ok", "/503", "/ok", "/ok"):
        fetch(sidecar.outbound, path, headers={"Host": "patient"})


def totals(told: list[dict[str, Any]]) -> dict[tuple[str, str], Counter[str]]:
    """The sums over some events, by upstream and route."""
    sums: dict[tuple[str, str], Counter[str]] = {}
    for event in told:
        for route in event["routes"]:
            counts = {name: route[name] for name in ("requests", "errors", "limited", "retries")}
            sums.setdefault((route["upstream"], route["route"]), Counter()).update(counts)
    return sums


EXACT = {
    ("app", "default"): {"requests": 15, "errors": 4, "limited": 0, "retries": 0},
    ("app", "limited"): {"requests": 5, "errors": 0, "limited": 3, "retries": 0},
    ("payments", "default"): {"requests": 6, "errors": 3, "limited": 0, "retries": 0},
    ("patient", "default"): {"requests": 4, "errors": 1, "limited": 0, "retries": 2},
}


def test_what_came_while_one_listened_is_told_once_and_whole(sidecar: Sidecar) -> None:
    with live(sidecar) as stream:
        told = [next(stream)]
        assert all(route["requests"] == 0 for route in told[0]["routes"])
        traffic(sidecar)
        told += until_now(sidecar, stream)
    assert totals(told) == EXACT
    attempts = Counter[str]()
    for event in told:
        for one in event["upstreams"]:
            attempts[one["name"]] += one["attempts"]
            attempts[f"{one['name']} failed"] += one["failures"]
            attempts[f"{one['name']} retried"] += one["retries"]
    assert attempts == {
        "app": 17, "app failed": 4, "payments": 6, "payments failed": 3, "patient": 6,
        "patient failed": 3, "patient retried": 2, "app retried": 0, "payments retried": 0,
    }  # fmt: skip
    versions = Counter[str]()
    for event in told:
        for one in event["versions"]:
            versions[one["version"]] += one["requests"]
            versions[f"{one['version']} failed"] += one["errors"]
    assert versions == {"v1": 3, "v1 failed": 0, "v2": 3, "v2 failed": 3}
    busy = [route for event in told for route in event["routes"] if route["requests"]]
    for route in busy:
        assert 0 < route["p50_ms"] <= route["p95_ms"] <= route["p99_ms"]
        assert route["success"] == pytest.approx(1 - route["errors"] / route["requests"], abs=1e-6)


def test_failures_are_told_once_and_without_secrets(sidecar: Sidecar) -> None:
    with live(sidecar) as stream:
        next(stream)
        traffic(sidecar)
        told = until_now(sidecar, stream)
    failures = [one for event in told for one in event["failures"]]
    seen = Counter((one["upstream"], one["status"], one["reason"]) for one in failures)
    assert seen == {
        ("app", 500, ""): 4,
        ("app", 429, "RL"): 3,
        ("payments", 500, ""): 3,
        ("patient", 503, "URX"): 1,
    }
    assert {one["path"] for one in failures} == {"/500", "/limited", "/a", "/503"}
    assert len({one["request_id"] for one in failures}) == 11
    (limited,) = {one["rule"] for one in failures if one["reason"] == "RL"}
    assert limited.startswith("inbound.routes[0].rate_limits[0] (")
    shown: Any = sidecar.admin_json("/failures")
    assert [one["request_id"] for one in shown] == [one["request_id"] for one in failures][::-1]
    assert "SECRET" not in repr((failures, shown))


def test_stats_are_the_sums_since_the_start_and_of_the_last_minute(sidecar: Sidecar) -> None:
    traffic(sidecar)
    stats = sidecar.admin_json("/stats")
    assert (stats["requests"], stats["attempts"]) == (30, 29)
    for told in (stats, stats["last_minute"]):
        services = {one["service"]: one for one in told["services"]}
        found = {
            name: (one["direction"], one["requests"], one["errors"], one["error_rate"])
            for name, one in services.items()
        }
        assert found == {
            "app": ("inbound", 20, 4, 0.2),
            "payments": ("outbound", 6, 3, 0.5),
            "patient": ("outbound", 4, 1, 0.25),
        }
        versions = [
            (one["version"], one["requests"], one["errors"], one["error_rate"])
            for one in services["payments"]["versions"]
        ]
        assert versions == [("v1", 3, 0, 0.0), ("v2", 3, 3, 1.0)]
        assert 0 < services["app"]["p50_ms"] <= services["app"]["p99_ms"]
        assert sum(one["requests"] for one in told["routes"]) == 30
    assert stats["last_minute"]["window_seconds"] <= stats["uptime_seconds"]


def test_versions_are_in_the_metrics_and_among_the_endpoints(sidecar: Sidecar) -> None:
    traffic(sidecar)
    name = "meshproxy_version_requests_total"
    assert sidecar.samples(name, version="v1", code_class="2xx", upstream="payments") == [3]
    assert sidecar.samples(name, version="v2", code_class="5xx", upstream="payments") == [3]
    assert sidecar.total(name) == 6
    duration = "meshproxy_version_request_duration_seconds_count"
    assert sidecar.total(duration) == 6
    clusters: Any = sidecar.admin_json("/clusters")
    told = {one["name"]: [end["version"] for end in one["endpoints"]] for one in clusters}
    assert told == {"app": [None], "payments": ["v1", "v2"], "patient": [None]}


def test_a_reload_keeps_the_counts_of_versions_and_takes_up_new_ones(sidecar: Sidecar) -> None:
    traffic(sidecar)
    sidecar.write(CONFIG.replace("version: v1", "version: v3"))
    assert sidecar.reload().status == 200
    for _ in range(2):
        fetch(sidecar.outbound, "/a", headers={"Host": "payments"})
    services = {one["service"]: one for one in sidecar.admin_json("/stats")["services"]}
    told = {one["version"]: one["requests"] for one in services["payments"]["versions"]}
    assert told == {"v1": 3, "v2": 4, "v3": 1}
    assert services["payments"]["requests"] == 8


def test_a_failed_reload_and_a_new_config_are_told(sidecar: Sidecar) -> None:
    with live(sidecar) as stream:
        assert next(stream)["reload"]["ok"] is True
        sidecar.write(CONFIG + "nonsense: 1\n")
        assert sidecar.reload().status == 422
        told = next(event for event in stream if not event["reload"]["ok"])
        assert (told["generation"], "nonsense" in told["reload"]["errors"][0]) == (1, True)
        sidecar.write(CONFIG.replace("limit: 1/m", "limit: 2/m"))
        assert sidecar.reload().status == 200
        told = next(event for event in stream if event["reload"]["ok"])
        assert told["generation"] == 2
        (limit,) = told["limits"]
        assert (limit["limit"], limit["use"]) == ("2/m", 0.0)


def test_a_stream_ends_with_the_sidecar_and_does_not_keep_it(sidecar: Sidecar) -> None:
    with live(sidecar) as stream:
        next(stream)
        sidecar.signal(signal.SIGTERM)
        with pytest.raises(OSError, match="has ended"):
            list(stream)
    assert sidecar.process.wait(10) == 0


def test_a_drain_is_told_while_it_lasts(sidecar: Sidecar, app: Origin) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slowly(message: Message) -> bytes:
        asked.set()
        go_on.wait(10)
        return reply()

    app.script = answering(slowly)
    with live(sidecar) as stream, Client(sidecar.inbound) as client:
        next(stream)
        client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        assert asked.wait(10)
        sidecar.signal(signal.SIGTERM)
        event = next(event for event in stream if event["draining"])
        assert [one["in_flight"] for one in event["routes"]] == [1, 0, 0, 0]
        go_on.set()
        assert client.response().status == 200
        with pytest.raises(OSError, match="has ended"):
            list(stream)
    assert sidecar.process.wait(10) == 0


def test_those_who_leave_cost_nothing(sidecar: Sidecar) -> None:
    files = sidecar.open_files()
    for _ in range(20):
        with live(sidecar) as stream:
            next(stream)
    eventually(lambda: sidecar.open_files() <= files, what="the end of the streams")
