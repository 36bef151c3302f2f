"""Each look tells exactly what happened since the one before."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from meshproxy.control.observer import ENDPOINTS, Observer
from meshproxy.control.reload import Standing
from meshproxy.core.route import Cluster, Endpoint, Snapshot
from tests.telemetry.counting import begin

from .traffic import ONE, TWO, Busy, Shown, exchange


def route(event: dict[str, Any], name: str, direction: str = "inbound") -> dict[str, Any]:
    (found,) = [
        one for one in event["routes"] if (one["direction"], one["route"]) == (direction, name)
    ]
    return found


def upstream(event: dict[str, Any], name: str = "payments") -> dict[str, Any]:
    (found,) = [one for one in event["upstreams"] if one["name"] == name]
    return found


def looked(view: Busy) -> Observer:
    """An observer whose first look was half a second ago."""
    observer = Observer(view)
    observer.look()
    view.clock += 0.5
    return observer


def test_the_first_look_is_at_everything_since_the_start() -> None:
    view = Busy()
    view.ends("inbound", "GET /a", *[exchange()] * 5)
    event = Observer(view).look()
    assert event["seconds"] == event["uptime_seconds"] == 12.5
    assert (route(event, "GET /a")["requests"], route(event, "GET /a")["rps"]) == (5, 0.4)


def test_the_next_look_is_at_what_came_since() -> None:
    view = Busy()
    view.ends("inbound", "GET /a", *[exchange(500)] * 5)
    observer = looked(view)
    view.ends("inbound", "GET /a", *[exchange()] * 3, exchange(503, "UF"), exchange(429, "RL"))
    begin(view.telemetry.series("inbound", "GET /a", "app"), 2)
    event = observer.look()
    assert event["seconds"] == 0.5
    assert route(event, "GET /a") == {
        "direction": "inbound",
        "route": "GET /a",
        "upstream": "app",
        "requests": 5,
        "rps": 10.0,
        "errors": 1,
        "success": 0.8,
        "p50_ms": 17.5,
        "p95_ms": 24.25,
        "p99_ms": 24.85,
        "limited": 1,
        "retries": 0,
        "in_flight": 2,
    }
    quiet = route(event, "default")
    assert (quiet["requests"], quiet["rps"], quiet["success"], quiet["p99_ms"]) == (
        0,
        0,
        None,
        None,
    )


def test_retries_are_those_since_the_last_look_even_if_they_begin_anew() -> None:
    view = Busy()
    granted = Shown("route_retries", upstream="payments", routes={"default": 7})
    view.state.append(granted)
    observer = looked(view)
    granted.shown["routes"] = {"default": 9}
    event = observer.look()
    assert route(event, "default", "outbound")["retries"] == 2
    assert upstream(event)["retries"] == 2
    assert route(event, "default")["retries"] == upstream(event, "app")["retries"] == 0
    granted.shown["routes"] = {"default": 1}
    assert upstream(observer.look())["retries"] == 0


def test_only_what_is_the_upstreams_fault_is_a_failure() -> None:
    view = Busy()
    series = view.telemetry.cluster_series("payments")
    series.attempted("503")
    observer = looked(view)
    series.successes += 4
    for result in ("503", "connect-failure", "stale", "forbidden"):
        series.attempted(result)
    told = upstream(observer.look())
    assert (told["attempts"], told["failures"]) == (8, 2)
    assert told["results"]["stale"] == 1


def test_endpoints_are_told_as_they_are() -> None:
    view = Busy()
    view.state += [
        Shown("breakers", upstream="payments", endpoint=TWO.name, state="open"),
        Shown("breakers", upstream="payments", endpoint=ONE.name, state="open", mode="shadow"),
        Shown("panic", upstream="payments", on=True),
        Shown("panic", upstream="app", on=False),
    ]
    TWO.version, TWO.healthy = "v2", False
    try:
        event = Observer(view).look()
    finally:
        TWO.version, TWO.healthy = "", True
    one, two = upstream(event)["endpoints"]
    assert (one["circuit"], one["healthy"], one["version"]) == (None, True, None)
    assert (two["circuit"], two["healthy"], two["version"]) == ("open", False, "v2")
    assert two["connections"] == {"open": 0, "idle": 0, "dialling": 0, "waiting": 0}
    assert (upstream(event)["panic"], upstream(event, "app")["panic"]) == (True, False)


def test_a_crowd_of_endpoints_is_told_in_part() -> None:
    view = Busy()
    many = tuple(Endpoint(f"h{n}:1", f"h{n}", 1) for n in range(ENDPOINTS + 9))
    view.snapshot = Snapshot(1, "", {}, (Cluster("u", many, view.telemetry.cluster_series("u")),))
    assert len(upstream(Observer(view).look(), "u")["endpoints"]) == ENDPOINTS


def test_versions_are_told_side_by_side() -> None:
    view = Busy()
    observer = looked(view)
    view.ends("outbound", "default", exchange(endpoint=ONE), exchange(500, endpoint=TWO))
    one, two = observer.look()["versions"]
    assert (one["upstream"], one["version"], one["rps"], one["success"]) == (
        "payments", "v1", 2.0, 1.0,
    )  # fmt: skip
    assert (two["version"], two["errors"], two["success"]) == ("v2", 1, 0.0)


@pytest.mark.parametrize(
    ("limit", "use"),
    [
        ({"limit": "10/s", "burst": 20.0, "left": 5}, 0.75),
        ({"limit": "60/m", "burst": None, "left": 60}, 0.0),
        ({"limit": "60/m", "burst": None, "left": 0}, 1.0),
        ({"limit": "10/s", "burst": 10.0, "nearest": []}, 0.0),
        ({"limit": "10/s", "burst": 10.0, "nearest": [{"left": 9}, {"left": 1}]}, 0.9),
    ],
)
def test_a_limit_says_how_much_of_it_is_used(limit: dict[str, Any], use: float) -> None:
    view = Busy(state=[Shown("rate-limits", **limit), Shown("concurrency", max=3)])
    event = Observer(view).look()
    assert event["limits"] == [{**limit, "use": use}]
    assert event["concurrency"] == [{"max": 3}]


def test_a_failure_is_told_once() -> None:
    view = Busy()
    view.recent.add({"time": "t0", "reason": "UF", "path": "/0"})
    observer = Observer(view)
    assert [one["path"] for one in observer.look()["failures"]] == ["/0"]
    assert observer.look()["failures"] == []
    view.recent.add({"time": "t1", "reason": "UF", "path": "/1"})
    # Whoever comes later hears first what the others have heard already.
    late = Observer(view, observer.failure)
    assert [one["path"] for one in late.look()["failures"]] == ["/0"]
    assert [one["path"] for one in observer.look()["failures"]] == ["/1"]


def test_the_state_of_the_sidecar_is_told() -> None:
    errors = ("f.yaml:3:5: wrong",)
    view = Busy(draining=True, standing=Standing(3, "abc", False, "file", 2000.0, 1000.0, errors))
    event = Observer(view).look()
    assert event["service"] == {"name": "orders", "version": "1.2"}
    assert (event["generation"], event["draining"]) == (3, True)
    assert event["reload"] == {
        "ok": False, "at": "1970-01-01T00:33:20.000+00:00", "errors": errors,
    }  # fmt: skip
    assert event["process"]["loop_lag_ms"] == 2.0
    assert event["process"]["rss_bytes"] > 0


def test_an_event_is_plain_data_even_before_the_first_config() -> None:
    view = Busy()
    view.snapshot = None
    event = Observer(view).look()
    assert (event["generation"], event["routes"], event["upstreams"]) == (0, [], [])
    assert orjson.loads(orjson.dumps(event))["reload"]["ok"] is True
