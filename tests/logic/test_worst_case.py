"""The longest that a caller can wait."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.logic.worst_case import longest_call

times = st.sampled_from([0.0, 0.1, 0.8, 2.0, 60.0])


@pytest.mark.parametrize(
    ("attempts", "timeout", "per_try", "idle", "pauses", "seconds"),
    [
        (3, 2.0, 0.8, 300.0, [0.025, 0.075], 2.0),  # the whole call's time is final
        (3, 5.0, 0.8, 300.0, [0.025, 0.075], 2.5),  # tries and pauses end before it
        (1, 0.0, 0.8, 300.0, [9.0], 0.8),  # no pause after the last try
        (2, 0.0, 0.0, 300.0, [1.0], 601.0),  # silence ends each try
        (1, 0.0, 0.0, 0.0, [], inf),
        (5, 15.0, 0.0, 300.0, [], 15.0),
    ],
)
def test_it_is_what_one_would_count(
    attempts: int, timeout: float, per_try: float, idle: float, pauses: list[float], seconds: float
) -> None:
    found = longest_call(attempts, timeout, per_try, idle, pauses)
    assert found == pytest.approx(seconds)


@given(st.integers(1, 4), times, times, times)
def test_no_bound_is_passed(attempts: int, timeout: float, per_try: float, idle: float) -> None:
    found = longest_call(attempts, timeout, per_try, idle)
    assert found <= (timeout or inf)
    assert found <= attempts * (per_try or inf)
    assert (found == inf) == (not timeout and not per_try and not idle)
