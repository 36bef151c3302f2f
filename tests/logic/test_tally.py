"""The tally remembers what lies within the window, to half a second, and nothing else."""

from __future__ import annotations

import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshproxy.logic.tally import SLICE, SPAN, Tally

Event = tuple[float, bool]
GAPS = st.floats(0.0, 7.0) | st.floats(0.0, 400.0)


def told(events: list[Event]) -> Tally:
    tally = Tally()
    for at, good in events:
        tally.add_good(at) if good else tally.add_bad(at)
    return tally


def test_it_counts_good_and_bad_apart() -> None:
    tally = told([(10.0, True), (10.1, False), (10.2, True), (12.0, False)])
    assert tally.totals(10.0, 12.0) == (2, 2)


def test_what_is_older_than_the_window_is_not_counted() -> None:
    tally = told([(10.0, False), (15.0, True)])
    assert tally.totals(2.0, 15.0) == (1, 0)
    assert tally.totals(10.0, 15.0) == (1, 1)
    assert tally.totals(10.0, 30.0) == (0, 0)


def test_clearing_forgets_everything() -> None:
    tally = told([(10.0, False), (11.0, True)])
    tally.forget()
    assert tally.totals(SPAN, 11.0) == (0, 0)
    tally.add_good(11.2)
    assert tally.totals(SPAN, 11.2) == (1, 0)


def test_a_day_without_traffic_leaves_nothing_behind() -> None:
    tally = told([(10.0, False)] * 5)
    assert tally.totals(SPAN, 86410.0) == (0, 0)


def kept(tally: Tally) -> int:
    """Bytes, beside those of the tally itself."""
    parts = [getattr(tally, name) for name in Tally.__slots__]
    return sum(sys.getsizeof(part) for part in parts if part is not None)


def test_it_takes_no_more_memory_after_a_full_span_than_after_a_second() -> None:
    young = told([(at * 0.25, True) for at in range(4)])
    old = told([(at * 0.01, at % 2 == 0) for at in range(int(SPAN * 200))])
    assert kept(old) <= 2 * kept(young) < 6000, "a ring more, for what was bad"


def test_a_full_span_is_counted_over_and_over() -> None:
    tally = told([(at * 0.25, at % 4 > 0) for at in range(int(SPAN * 8))])
    good, bad = tally.totals(SPAN, SPAN * 2 - 0.25)
    assert (good, bad) == (SPAN * 3, SPAN)


@example(gaps=[(0.0, False), (2.75, False)], window=2.7, start=0.0)
@given(
    gaps=st.lists(
        st.tuples(st.floats(0.0, 7.0) | st.floats(0.0, 400.0), st.booleans()), max_size=60
    ),
    window=st.sampled_from([1.0, 2.5, 2.7, 10.0, 60.0, SPAN]),
    start=st.floats(0.0, 1e6),
)
def test_a_window_is_exact_to_one_slice(
    gaps: list[tuple[float, bool]], window: float, start: float
) -> None:
    now, events = start, []
    for gap, good in gaps:
        now += gap
        events.append((now, good))
    good, bad = told(events).totals(window, now)
    for kind, count in ((True, good), (False, bad)):
        ages = [now - at for at, was in events if was is kind]
        # A float's worth of slack: at 1e6 s the edges of slices are rounded.
        assert sum(age < window - SLICE - 1e-6 for age in ages) <= count
        assert count <= sum(age <= window + 1e-6 for age in ages)


@pytest.mark.parametrize("window", [1.0, 10.0, SPAN])
def test_the_last_moment_is_always_within(window: float) -> None:
    tally = told([(99.999, False)])
    assert tally.totals(window, 99.999) == (0, 1)


def test_a_peek_into_the_future_forgets_nothing() -> None:
    tally = Tally()
    for number in range(20):
        tally.add_good(100.0 + number)
    now = tally.totals(10.0, 119.0)
    assert tally.peek(10.0, 119.0) == now
    assert tally.peek(10.0, 125.0) < now
    assert tally.totals(10.0, 119.0) == now
