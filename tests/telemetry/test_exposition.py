"""Lines of both formats, whatever the labels hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from meshproxy.core.report import Sample
from meshproxy.telemetry.exposition import Page, labelled, number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3.0, "3"),
        (0.25, "0.25"),
        (1.7e9, "1700000000"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers_are_written_as_scrapers_read_them(value: float, text: str) -> None:
    assert number(value) == text


@given(st.text(max_size=30).filter(lambda text: "\r" not in text))
def test_a_label_comes_back_as_it_went(value: str) -> None:
    page = Page(openmetrics=False)
    page.samples([Sample("meshproxy_in_flight_requests", (("route", value),), 1)])
    [found] = [
        sample.labels["route"]
        for family in text_string_to_metric_families("".join(page._lines))
        for sample in family.samples
    ]
    assert found == value


def test_labels_are_escaped() -> None:
    assert labelled([("a", 'x"\\\n')]) == 'a="x\\"\\\\\\n"'
