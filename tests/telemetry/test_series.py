"""A row keeps few numbers and says many: what it adds up is what a plain list would say."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.telemetry.series import BOUNDS, BUCKETS, DENSE, Numbers, RouteSeries

from .counting import count
from .test_metrics import ended

NOW = 100.0


def new() -> Numbers:
    return Numbers(lambda: 0.0)


def row(numbers: Numbers | None = None) -> RouteSeries:
    return RouteSeries("", numbers or new(), {})


REQUESTS = st.builds(
    ended,
    method=st.sampled_from([b"GET", b"HEAD", b"POST"]),
    status=st.sampled_from([200, 304, 429, 502]),
    flags=st.sampled_from(["", "RL", "UF,URX"]),
    # Quarters and eighths add up exactly. 0.0 is no answer at all, NOW one that came at once.
    first_byte=st.one_of(st.just(0.0), st.just(NOW), st.integers(720, 800).map(lambda n: n / 8)),
    began=st.integers(340, 360).map(lambda n: n / 4),
)


def buckets(seconds: list[float]) -> list[int]:
    """How many are at most as long as each bound, and how many there are."""
    return [sum(one <= bound for one in seconds) for bound in (*BOUNDS, float("inf"))]


@given(st.lists(REQUESTS, max_size=30))
def test_a_row_says_what_a_list_of_all_requests_would(requests: list[Any]) -> None:
    series = row()
    for each in requests:
        count(series, each, NOW)
    took = [NOW - each.began for each in requests]
    first = [each.first_byte - each.began for each in requests if each.first_byte]
    assert series.counts() == Counter((each.method, each.status, each.flags) for each in requests)
    assert series.requests() == len(requests)
    assert list(accumulate(series.durations())) == buckets(took)
    assert list(accumulate(series.first_bytes())) == buckets(first)
    assert series.duration_sum == sum(took)
    assert series.first_byte_sum == sum(first)


@given(st.lists(st.floats(0, 30), max_size=30))
def test_each_duration_is_in_the_bucket_of_its_bound(durations: list[float]) -> None:
    series = row()
    for seconds in durations:
        count(series, ended(began=0.0), seconds)
    assert list(accumulate(series.durations())) == buckets(durations)


def test_one_number_is_raised_by_a_request_like_the_one_before() -> None:
    series = row()
    for _ in range(1000):
        count(series, ended(first_byte=NOW, began=NOW - 0.02), NOW)
    assert list(series.cells().values()) == [1000]
    assert list(series.times().firsts) == [0] * BUCKETS


@given(st.lists(st.tuples(st.integers(0, 2), REQUESTS), max_size=40), st.integers(0, 6))
def test_rows_count_apart_however_many_kinds_there_are(
    requests: list[tuple[int, Any]], dense: int
) -> None:
    """The last of three rows comes when the others have counted already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("meshproxy.telemetry.series.DENSE", dense)
        numbers = new()
        rows = [row(numbers), row(numbers)]
        for which, each in requests:
            if which == len(rows):
                rows.append(row(numbers))
            count(rows[min(which, len(rows) - 1)], each, NOW)
        rows.append(row(numbers))
    assert rows[-1].cells() == {}
    assert (rows[-1].duration_sum, rows[-1].first_byte_sum) == (0.0, 0.0)
    alone = [row() for _ in rows]
    known = 2
    for which, each in requests:
        known = max(known, which + 1)
        count(alone[min(which, known - 1)], each, NOW)
    assert [each.cells() for each in rows] == [each.cells() for each in alone]
    assert [each.times() for each in rows] == [each.times() for each in alone]


def test_kinds_that_come_late_take_no_room_of_rows_that_have_none_of_them() -> None:
    numbers = new()
    several = [row(numbers) for _ in range(50)]
    for status in range(100, 100 + DENSE + 10):
        count(several[0], ended(status=status), NOW)
    sizes = [len(column) for column in numbers.columns.values()]
    assert sizes == [50] * DENSE + [1] * 10


def test_rows_have_the_names_of_their_cells_in_common() -> None:
    numbers = new()
    rows = [row(numbers) for _ in range(3)]
    for series in rows:
        count(series, ended(), 101.0)
    assert len({id(cell) for series in rows for cell in series.cells()}) == 1


@pytest.mark.parametrize("seconds", [(0.001, 9.0), (0.001, 0.001)])
def test_a_counter_takes_room_once_however_long_its_requests_take(
    seconds: tuple[float, ...],
) -> None:
    numbers = new()
    left = numbers.left
    series = row(numbers)
    for took in seconds:
        count(series, ended(began=NOW - took), NOW)
    assert numbers.left == left - 1


def test_without_room_a_request_is_counted_among_the_others() -> None:
    numbers = new()
    numbers.left = 1
    series = row(numbers)
    for status in (200, 201, 200, 202):
        count(series, ended(status=status), 101.0)
    assert series.counts() == {(b"GET", 200, ""): 2, (b"__other__", 0, "__other__"): 2}
    assert numbers.dropped == 2
