"""Lines of both formats, whatever the labels hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from meshproxy.core.report import Sample
from meshproxy.telemetry.exposition import PIECE, Page, labelled, number
from meshproxy.telemetry.families import Family


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
    assert (
        list(page.samples([[Sample("meshproxy_in_flight_requests", (("route", value),), 1)]])) == []
    )
    [found] = [
        sample.labels["route"]
        for family in text_string_to_metric_families("".join(page._lines))
        for sample in family.samples
    ]
    assert found == value


def test_labels_are_escaped() -> None:
    assert labelled([("a", 'x"\\\n')]) == 'a="x\\"\\\\\\n"'


FAMILY = Family("meshproxy_x_seconds", "histogram", "Told.")


def test_an_example_stands_behind_its_bucket_where_the_format_knows_of_it() -> None:
    example = {1: (b"4b" * 16, 0.25, 1_700_000_000.1234)}
    for openmetrics, said in (
        (True, ' # {trace_id="' + "4b" * 16 + '"} 0.25 1700000000.123'),
        (False, ""),
    ):
        page = Page(openmetrics)
        page.histogram(FAMILY, 'a="b"', (0.1, 0.5), (2, 1, 0), 0.4, example)
        assert "".join(page._lines) == (
            'meshproxy_x_seconds_bucket{a="b",le="0.1"} 2\n'
            f'meshproxy_x_seconds_bucket{{a="b",le="0.5"}} 3{said}\n'
            'meshproxy_x_seconds_bucket{a="b",le="+Inf"} 3\n'
            'meshproxy_x_seconds_sum{a="b"} 0.4\n'
            'meshproxy_x_seconds_count{a="b"} 3\n'
        )


def test_a_piece_is_full_after_so_many_lines_and_the_next_one_begins_empty() -> None:
    page = Page(openmetrics=False)
    for value in range(PIECE - 1):
        page.line(FAMILY, "", (), value)
        assert page.full() == ()
    page.line(FAMILY, "", (), 0)
    [piece] = page.full()
    assert piece.count(b"\n") == PIECE
    assert page.full() == ()


def test_work_without_a_line_fills_a_piece_too() -> None:
    page = Page(openmetrics=False)
    page.worked(PIECE)
    assert page.full() == (b"",)


def test_open_descriptors_of_several_workers_stay_below_what_they_may_open() -> None:
    page = Page(openmetrics=False)
    workers = [
        [Sample("process_open_fds", (), 700.0), Sample("process_max_fds", (), 1024.0)]
        for _ in range(3)
    ]
    assert list(page.samples(workers)) == []
    text = "".join(page._lines)
    assert "process_open_fds 2100\n" in text
    assert "process_max_fds 3072\n" in text
