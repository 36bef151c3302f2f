"""Figures between two readings are exact, whatever was counted before the first."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.telemetry.figures import KEEP_EVERY, NONE, WINDOW, Count, Readings, total
from meshproxy.telemetry.metrics import Telemetry

from .counting import begin, count
from .test_metrics import ended
from .test_versions import ONE, TWO
from .test_versions import ended as answered

KEY = ("inbound", "r", "app")


def seen(telemetry: Telemetry, *exchanges: Any, took: float = 0.02) -> None:
    series = telemetry.series(*KEY)
    for exchange in exchanges:
        count(series, exchange, 100.0 + took)


def test_between_two_readings_is_what_came_after_the_first() -> None:
    telemetry = Telemetry()
    readings = Readings(lambda: telemetry, 0.0)
    seen(telemetry, ended(), ended(status=503, flags="UF"))
    first = readings.take(10.0)
    seen(telemetry, ended(), ended(status=500), ended(status=429, flags="RL"), took=0.2)
    since = readings.take(12.0).since(first)
    assert since.at == 2.0
    count = since.routes[KEY]
    assert (count.requests, count.errors, count.limited) == (3, 1, 1)
    assert count.success == pytest.approx(2 / 3)
    assert count.percentile(0.5) == pytest.approx(0.1 + 0.15 / 2)


def test_since_the_start_is_everything() -> None:
    telemetry = Telemetry()
    readings = Readings(lambda: telemetry, 5.0)
    seen(telemetry, ended(), ended(status=499, flags="DC"), ended(status=404))
    count = readings.take(6.0).since(readings.start).routes[KEY]
    assert (count.requests, count.errors, count.limited, count.success) == (3, 0, 0, 1.0)


def test_nothing_has_no_success_and_no_percentile() -> None:
    assert NONE.success is None
    assert NONE.percentile(0.99) is None
    assert total([]) == NONE


@pytest.mark.parametrize(
    ("status", "flags", "errors", "limited"),
    [
        (200, "", 0, 0),
        (499, "DC", 0, 0),
        (500, "", 1, 0),
        (599, "", 1, 0),
        (504, "UT,URX", 1, 0),
        (429, "RL", 0, 1),
        (429, "", 0, 0),  # the upstream's own
        (503, "FI,RL", 1, 1),
        (200, "UC", 0, 0),
    ],
)
def test_an_error_is_a_status_of_500_or_above(
    status: int, flags: str, errors: int, limited: int
) -> None:
    telemetry = Telemetry()
    seen(telemetry, ended(status=status, flags=flags))
    count = Readings(lambda: telemetry, 0.0).take(1.0).routes[KEY]
    assert (count.errors, count.limited) == (errors, limited)


def test_what_did_not_move_is_not_copied() -> None:
    telemetry = Telemetry()
    readings = Readings(lambda: telemetry, 0.0)
    seen(telemetry, ended())
    first = readings.take(1.0)
    count(telemetry.series("inbound", "other", "app"), ended(), 101.0)
    second = readings.take(2.0)
    assert second.routes[KEY] is first.routes[KEY]
    assert second.since(first).routes[KEY] is NONE


def test_several_routes_are_one_service() -> None:
    one = Count(2, 1, 0, (1, 1, 0))
    assert total([one, NONE]) is one
    assert total([one, Count(3, 0, 2, (0, 0, 3))]) == Count(5, 1, 2, (1, 1, 3))


def test_attempts_are_told_by_result() -> None:
    telemetry = Telemetry()
    readings = Readings(lambda: telemetry, 0.0)
    cluster = telemetry.cluster_series("app")
    cluster.attempted("503")
    cluster.successes += 2
    first = readings.take(1.0)
    cluster.attempted("503")
    cluster.attempted("reset")
    cluster.successes -= 1  # an answer that broke off
    since = readings.take(2.0).since(first)
    assert since.attempts == {"app": {"503": 1, "reset": 1}}
    assert first.attempts == {"app": {"503": 1, "success": 2}}


def test_versions_are_read_like_routes_and_may_begin_anew() -> None:
    telemetry = Telemetry()
    readings = Readings(lambda: telemetry, 0.0)
    row = telemetry.series("outbound", "default", "u")
    both = telemetry.versions.counting(row, "u", {ONE: "v1", TWO: "v2"})
    for endpoint, status in ((ONE, 200), (ONE, 200), (TWO, 500)):
        count(both, answered(endpoint, status), 100.1)
    first = readings.take(1.0)
    count(both, answered(TWO, 502), 100.1)
    since = readings.take(2.0).since(first)
    assert since.versions["u", "v1"] is NONE
    assert (since.versions["u", "v2"].requests, since.versions["u", "v2"].errors) == (1, 1)
    telemetry.versions.series.clear()
    both = telemetry.versions.counting(row, "u", {ONE: "v1"})
    count(both, answered(ONE), 100.1)
    assert readings.take(3.0).since(first).versions["u", "v1"].requests == 1


def test_readings_reach_back_a_minute_and_not_much_more() -> None:
    telemetry = Telemetry()
    readings = Readings(lambda: telemetry, 0.0)
    now = 0.0
    while now < 300.0:
        now += 0.25
        readings.keep(now)
        age = now - readings.a_minute_ago().at
        assert age <= WINDOW + KEEP_EVERY
        assert age >= min(now, WINDOW)
    assert len(readings._kept) == WINDOW / KEEP_EVERY + 1


def test_requests_in_flight_are_those_of_the_moment() -> None:
    telemetry = Telemetry()
    readings = Readings(lambda: telemetry, 0.0)
    begin(telemetry.series(*KEY), 3)
    assert readings.in_flight(KEY) == 3
    assert readings.in_flight(("inbound", "nothing", "app")) == 0


statuses = st.lists(st.sampled_from([200, 204, 404, 429, 499, 500, 503]), max_size=30)


@given(st.lists(statuses, max_size=4))
def test_parts_make_the_whole(parts: list[list[int]]) -> None:
    telemetry = Telemetry()
    readings = Readings(lambda: telemetry, 0.0)
    last, found = readings.start, []
    for number, statuses in enumerate(parts, 1):
        seen(telemetry, *(ended(status=status) for status in statuses))
        reading = readings.take(float(number))
        found.append(reading.since(last).routes.get(KEY, NONE))
        last = reading
    everything = Counter(status for part in parts for status in part)
    whole = total(found)
    assert whole.requests == sum(everything.values())
    assert whole.errors == everything[500] + everything[503]
    assert whole == last.routes.get(KEY, NONE)
    assert sum(whole.durations) == whole.requests
