"""Istio's names: the counts that there are, under labels that its dashboards ask for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from meshproxy.telemetry.metrics import Telemetry
from meshproxy.telemetry.series import BOUNDS

from .counting import count
from .test_metrics import ended


def speaking(version: str = "1.2") -> Telemetry:
    telemetry = Telemetry()
    telemetry.speak(["istio"], SimpleNamespace(name="orders", version=version))
    return telemetry


def samples(telemetry: Telemetry, name: str) -> list[Any]:
    text = b"".join(telemetry.render(False, ())).decode()
    return [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    ]


def one_to(telemetry: Telemetry, route: str, upstream: str, direction: str = "outbound") -> None:
    count(telemetry.series(direction, route, upstream), ended(began=100.0), 100.2)


def test_what_callers_asked_of_us_is_reported_by_the_destination() -> None:
    telemetry = speaking()
    count(telemetry.series("inbound", "create", "app"), ended(b"POST", 503, "UF,URX"), 100.2)
    [sample] = samples(telemetry, "istio_requests_total")
    assert sample.value == 1
    assert sample.labels == {
        "reporter": "destination",
        "source_workload": "unknown",
        "source_workload_namespace": "unknown",
        "source_principal": "unknown",
        "source_app": "unknown",
        "source_version": "unknown",
        "source_cluster": "unknown",
        "source_canonical_service": "unknown",
        "source_canonical_revision": "unknown",
        "destination_workload": "orders",
        "destination_workload_namespace": "unknown",
        "destination_principal": "unknown",
        "destination_app": "orders",
        "destination_version": "1.2",
        "destination_cluster": "unknown",
        "destination_canonical_service": "orders",
        "destination_canonical_revision": "1.2",
        "destination_service": "orders",
        "destination_service_name": "orders",
        "destination_service_namespace": "unknown",
        "request_protocol": "http",
        "connection_security_policy": "none",
        "response_code": "503",
        "response_flags": "UF,URX",
    }


def test_what_the_app_asked_of_others_is_reported_by_the_source() -> None:
    telemetry = speaking(version="")
    one_to(telemetry, "default", "payments")
    [sample] = samples(telemetry, "istio_requests_total")
    labels = sample.labels
    assert (labels["reporter"], labels["response_code"], labels["response_flags"]) == (
        "source", "200", "-",
    )  # fmt: skip
    assert (labels["source_workload"], labels["source_version"]) == ("orders", "unknown")
    assert labels["destination_service_name"] == labels["destination_workload"] == "payments"
    assert labels["connection_security_policy"] == "unknown"


@pytest.mark.parametrize(
    ("upstream", "name"),
    [
        ("__unmatched__", "BlackHoleCluster"),
        ("__unknown_hosts__", "PassthroughCluster"),
        ("__connect__", "PassthroughCluster"),
        ("__other__", "unknown"),
    ],
)
def test_calls_to_no_service_of_the_file_have_istio_s_words(upstream: str, name: str) -> None:
    telemetry = speaking()
    one_to(telemetry, upstream, upstream)
    [sample] = samples(telemetry, "istio_requests_total")
    assert sample.labels["destination_service_name"] == name


def test_routes_and_methods_to_one_destination_are_one_series() -> None:
    telemetry = speaking()
    for route in ("a", "b"):
        for method in (b"GET", b"POST"):
            count(telemetry.series("outbound", route, "payments"), ended(method), 100.03)
    one_to(telemetry, "a", "users")
    found = {
        sample.labels["destination_service"]: sample.value
        for sample in samples(telemetry, "istio_requests_total")
    }
    assert found == {"payments": 4, "users": 1}
    buckets = {
        float(sample.labels["le"]): sample.value
        for sample in samples(telemetry, "istio_request_duration_milliseconds_bucket")
        if sample.labels["destination_service"] == "payments"
    }
    assert sorted(buckets) == [*(round(bound * 1000) for bound in BOUNDS), float("inf")]
    assert (buckets[25.0], buckets[50.0], buckets[float("inf")]) == (0, 4, 4)
    [total, other] = samples(telemetry, "istio_request_duration_milliseconds_sum")
    assert total.value == pytest.approx(120.0)
    assert other.value == pytest.approx(200.0)


def test_what_found_no_room_is_counted_as_unknown() -> None:
    telemetry = speaking()
    telemetry.numbers.left = 0
    series = telemetry.series("outbound", "a", "payments")
    series.series.left = 0
    count(series, ended(status=299), 100.2)
    [sample] = samples(telemetry, "istio_requests_total")
    assert (sample.labels["response_code"], sample.value) == ("unknown", 1)


def test_the_sums_of_both_languages_are_equal() -> None:
    telemetry = speaking()
    for number in range(30):
        series = telemetry.series("outbound", f"r{number % 7}", f"u{number % 3}")
        count(series, ended(status=200 + number, flags="UF" if number % 4 == 0 else ""), 100.2)
    ours, theirs = (
        sum(sample.value for sample in samples(telemetry, name))
        for name in ("meshproxy_requests_total", "istio_requests_total")
    )
    assert ours == theirs == 30


def test_nobody_speaks_it_unasked_and_a_reload_can_end_it() -> None:
    telemetry = speaking()
    one_to(telemetry, "a", "payments")
    telemetry.speak([], SimpleNamespace(name="orders", version=""))
    assert samples(telemetry, "istio_requests_total") == []
    one_to(quiet := Telemetry(), "a", "payments")
    assert samples(quiet, "istio_requests_total") == []
