"""Figures per service and per route, since the start and over the last minute."""

from __future__ import annotations

from typing import Any

from meshproxy.control.summary import summary
from tests.telemetry.counting import count

from .traffic import ONE, TWO, Busy, exchange

FIGURES = ("requests", "errors", "error_rate", "p50_ms", "p95_ms", "p99_ms")


def by_service(told: Any) -> dict[str, dict[str, Any]]:
    return {each["service"]: each for each in told["services"]}


def test_a_service_is_the_sum_of_its_routes() -> None:
    view = Busy()
    view.ends("inbound", "default", *[exchange()] * 8, took=0.02)
    view.ends("inbound", "GET /a", exchange(503, "UF"), exchange(499, "DC"), took=0.06)
    app = by_service(summary(view))["app"]
    assert app["direction"] == "inbound"
    assert [app[name] for name in FIGURES] == [10, 1, 0.1, 19.375, 68.75, 73.75]
    assert app["versions"] == []


def test_a_route_is_told_by_itself_in_the_order_of_the_file() -> None:
    view = Busy()
    view.ends("inbound", "GET /a", exchange(429, "RL"), exchange())
    routes = summary(view)["routes"]
    names = [(one["direction"], one["upstream"], one["route"]) for one in routes]
    assert names == [
        ("inbound", "app", "default"),
        ("inbound", "app", "GET /a"),
        ("outbound", "payments", "default"),
    ]
    assert (routes[1]["requests"], routes[1]["limited"], routes[1]["errors"]) == (2, 1, 0)
    assert [routes[0][name] for name in FIGURES] == [0, 0, None, None, None, None]


def test_what_no_route_took_is_told_once_it_happened() -> None:
    view = Busy()
    count(view.telemetry.series("inbound", "__unmatched__", "__unmatched__"), exchange(404), 101.0)
    told = summary(view)
    assert [one["route"] for one in told["routes"]][-1] == "__unmatched__"
    assert by_service(told)["__unmatched__"]["requests"] == 1


def test_versions_are_told_apart() -> None:
    view = Busy()
    view.ends("outbound", "default", *[exchange(endpoint=ONE)] * 3, exchange(500, endpoint=TWO))
    payments = by_service(summary(view))["payments"]
    assert payments["requests"] == 4
    one, two = payments["versions"]
    assert [one[name] for name in ("version", *FIGURES)] == [
        "v1", 3, 0, 0.0, 17.5, 24.25, 24.85,
    ]  # fmt: skip
    assert (two["version"], two["requests"], two["errors"], two["error_rate"]) == ("v2", 1, 1, 1.0)


def test_the_last_minute_leaves_out_what_was_before() -> None:
    view = Busy()
    view.ends("inbound", "default", *[exchange(500)] * 4)
    for second in range(50, 200):
        view.clock = float(second)
        view.readings.keep(view.clock)
    view.ends("inbound", "default", exchange())
    told = summary(view)
    assert by_service(told)["app"]["requests"] == 5
    minute = told["last_minute"]
    assert 60 <= minute["window_seconds"] <= 65
    app = by_service(minute)["app"]
    assert (app["requests"], app["errors"], app["error_rate"]) == (1, 0, 0.0)


def test_before_the_first_config_there_is_nothing() -> None:
    view = Busy()
    view.snapshot = None
    told = summary(view)
    assert (told["services"], told["routes"]) == ([], [])
