"""Quantiles of histograms: where they lie, and how they agree with what was observed."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.logic.quantile import difference, quantile, total

BOUNDS = (0.005, 0.01, 0.05, 0.1, 1.0)

counts_lists = st.lists(st.integers(0, 1000), min_size=len(BOUNDS) + 1, max_size=len(BOUNDS) + 1)


def counted(values: list[float]) -> list[int]:
    counts = [0] * (len(BOUNDS) + 1)
    for value in values:
        counts[bisect_left(BOUNDS, value)] += 1
    return counts


@pytest.mark.parametrize(
    ("share", "counts", "value"),
    [
        (0.5, [10, 0, 0, 0, 0, 0], 0.0025),  # even spread from 0
        (0.5, [0, 10, 0, 0, 0, 0], 0.0075),
        (0.99, [0, 0, 100, 0, 0, 0], 0.01 + 0.04 * 0.99),
        (0.5, [5, 5, 0, 0, 0, 0], 0.005),  # on the border of two
        (0.75, [5, 0, 0, 5, 0, 0], 0.075),  # an empty bucket is passed over
        (0.95, [9, 0, 0, 0, 0, 1], 1.0),  # above all bounds: the highest
        (0.5, [0, 0, 0, 0, 0, 3], 1.0),
        (1.0, [0, 0, 4, 0, 0, 0], 0.05),
        (0.0, [0, 0, 4, 0, 0, 0], 0.01),
    ],
)
def test_it_lies_within_its_bucket(share: float, counts: list[int], value: float) -> None:
    assert quantile(share, BOUNDS, counts) == pytest.approx(value)


def test_of_nothing_there_is_none() -> None:
    assert quantile(0.5, BOUNDS, [0] * 6) is None
    assert quantile(0.5, BOUNDS, ()) is None


@given(st.lists(st.floats(0, 3), min_size=1, max_size=200), st.floats(0.01, 1))
def test_it_is_in_the_bucket_of_the_real_one(values: list[float], share: float) -> None:
    found = quantile(share, BOUNDS, counted(values))
    rank = share * len(values)
    real = next(value for place, value in enumerate(sorted(values), 1) if place >= rank - 1e-9)
    assert found is not None
    slot = bisect_left(BOUNDS, real)
    assert found <= (BOUNDS[slot] if slot < len(BOUNDS) else BOUNDS[-1]) + 1e-9
    assert found >= (BOUNDS[slot - 1] if slot > 0 else 0.0) - 1e-9


@given(counts_lists, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_is_never_a_smaller_value(counts: list[int], one: float, two: float) -> None:
    low, high = sorted((one, two))
    below, above = quantile(low, BOUNDS, counts), quantile(high, BOUNDS, counts)
    assert (below is None) == (above is None) == (sum(counts) == 0)
    if below is not None and above is not None:
        assert 0.0 <= below <= above + 1e-12 <= BOUNDS[-1] + 1e-9


@given(counts_lists, st.floats(0, 1), st.integers(2, 9))
def test_more_of_the_same_changes_nothing(counts: list[int], share: float, times: int) -> None:
    once = quantile(share, BOUNDS, counts)
    again = quantile(share, BOUNDS, [count * times for count in counts])
    assert again == pytest.approx(once) if once is not None else again is None


@given(counts_lists, counts_lists)
def test_what_came_since_and_what_was_before_are_all(old: list[int], new: list[int]) -> None:
    both = total([old, new])
    assert difference(both, old) == tuple(new)
    assert difference(both, ()) == both
    assert difference(both, both) == (0,) * len(both)


def test_the_total_of_no_histogram_is_none() -> None:
    assert total([]) == ()
