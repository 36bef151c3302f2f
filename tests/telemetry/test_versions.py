"""Requests are counted by the version of the endpoint that answered them, and only there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from prometheus_client.parser import text_string_to_metric_families as read_text

from meshproxy.core.exchange import Exchange
from meshproxy.core.route import Endpoint
from meshproxy.telemetry.metrics import Telemetry
from meshproxy.telemetry.series import BOUNDS
from meshproxy.telemetry.versions import MOST, Versioned, Versions

from .counting import begin, count, sample

ONE, TWO, OTHER = (Endpoint(f"10.0.0.{n}:1", f"10.0.0.{n}", 1) for n in (1, 2, 3))
ENDPOINTS = {ONE: "v1", TWO: "v2", OTHER: ""}


def ended(
    endpoint: Endpoint | None,
    status: int = 200,
    tried: tuple[Endpoint, ...] = (),
    rescued: bool | None = None,
) -> Exchange:
    extras = None if rescued is None else SimpleNamespace(rescued=rescued)
    made = SimpleNamespace(
        method=b"GET", status=status, flags="", refusal=None, began=100.0, first_byte=0.0,
        endpoint=endpoint, tried=tried, extras=extras,
    )  # fmt: skip
    return cast(Exchange, cast(Any, made))


def series(telemetry: Telemetry) -> Versioned:
    row = telemetry.series("outbound", "default", "payments")
    return telemetry.versions.counting(row, "payments", ENDPOINTS)


def counted(telemetry: Telemetry) -> dict[tuple[str, str], float]:
    families = read_text(b"".join(telemetry.render(False, ())).decode())
    return {
        (each.labels["version"], each.labels["code_class"]): each.value
        for family in families
        for each in family.samples
        if each.name == "meshproxy_version_requests_total"
    }


def test_each_counts_for_the_version_of_its_endpoint() -> None:
    telemetry = Telemetry()
    both = series(telemetry)
    for endpoint, status in ((ONE, 200), (ONE, 204), (TWO, 503), (TWO, 404), (OTHER, 302)):
        count(both, ended(endpoint, status), 100.02)
    assert counted(telemetry) == {
        ("v1", "2xx"): 2,
        ("v2", "5xx"): 1,
        ("v2", "4xx"): 1,
        ("__none__", "3xx"): 1,
    }
    assert telemetry.stats()["requests"] == 5
    assert telemetry.versions.series["payments", "v2"].errors == 1


def test_the_latest_attempt_says_whose_it_is() -> None:
    telemetry = Telemetry()
    both = series(telemetry)
    count(both, ended(TWO, tried=(ONE,)), 101.0)  # retried
    count(both, ended(None, 503, tried=(TWO, ONE)), 101.0)  # nobody was left for a third
    assert counted(telemetry) == {("v2", "2xx"): 1, ("v1", "5xx"): 1}


def test_what_never_came_to_an_endpoint_has_no_version() -> None:
    telemetry = Telemetry()
    count(series(telemetry), ended(None, 429), 101.0)
    assert counted(telemetry) == {}
    assert telemetry.stats()["requests"] == 1


def test_an_answer_that_was_replaced_is_an_error_of_its_version() -> None:
    telemetry = Telemetry()
    both = series(telemetry)
    count(both, ended(TWO, 200, rescued=True), 101.0)
    count(both, ended(ONE, 200, rescued=False), 101.0)
    assert counted(telemetry) == {("v2", "fallback"): 1, ("v1", "2xx"): 1}
    assert telemetry.versions.series["payments", "v2"].errors == 1


def test_odd_statuses_share_one_class() -> None:
    telemetry = Telemetry()
    for status in (0, 600, 999):
        count(series(telemetry), ended(ONE, status), 101.0)
    assert counted(telemetry) == {("v1", "other"): 3}


def test_requests_in_flight_are_those_of_the_route() -> None:
    telemetry = Telemetry()
    both = series(telemetry)
    begin(both, 2)
    begin(both, -1)
    assert telemetry.series("outbound", "default", "payments").in_flight == 1


def test_durations_are_told_with_their_version() -> None:
    telemetry = Telemetry()
    count(series(telemetry), ended(ONE), 100.02)
    text = b"".join(telemetry.render(False, ())).decode()
    name = "meshproxy_version_request_duration_seconds"
    assert f'{name}_bucket{{upstream="payments",version="v1",le="0.025"}} 1' in text
    assert f'{name}_bucket{{upstream="payments",version="v1",le="0.01"}} 0' in text
    assert f'{name}_count{{upstream="payments",version="v2"}}' not in text


def test_a_reload_finds_the_counts_again() -> None:
    telemetry = Telemetry()
    count(series(telemetry), ended(ONE), 101.0)
    count(series(telemetry), ended(ONE), 101.0)
    assert counted(telemetry) == {("v1", "2xx"): 2}


def test_of_too_many_the_one_goes_that_was_named_longest_ago() -> None:
    versions = Versions(BOUNDS)
    row = Telemetry().series("outbound", "default", "u")
    for number in range(MOST):
        versions.counting(row, "u", {ONE: f"v{number}"})
    versions.counting(row, "u", {ONE: "v0"})
    versions.counting(row, "u", {ONE: "new"})
    assert len(versions.series) == MOST
    assert ("u", "v0") in versions.series
    assert ("u", "v1") not in versions.series


def test_an_example_is_one_of_the_route() -> None:
    telemetry = Telemetry()
    one = ended(ONE)
    one.trace = (b"4b" * 16, b"00" * 8, True, None)
    sample(series(telemetry), one, 100.02)
    row = telemetry.series("outbound", "default", "payments")
    assert [example[0] for example in row.examples[0].values()] == [b"4b" * 16]
