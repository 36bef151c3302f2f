"""What checks say of a server, and when the next one is due; time and chance are numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.logic import health
from meshproxy.logic.health import Health, Rules

RULES = Rules()


def after(*passed: bool) -> Health:
    state = Health()
    for each in passed:
        health.learn(state, RULES, each)
    return state


def test_nobody_is_unhealthy_before_a_check_said_so() -> None:
    state = Health()
    assert (state.healthy, state.known) == (True, False)


def test_the_third_failure_in_a_row_takes_it_out() -> None:
    state = Health()
    assert [health.learn(state, RULES, False) for _ in range(4)] == [False, False, True, False]
    assert not state.healthy


def test_a_pass_ends_a_row_of_failures() -> None:
    assert after(False, False, True, False, False).healthy


def test_the_second_pass_in_a_row_brings_it_back() -> None:
    state = after(False, False, False)
    turns = [health.learn(state, RULES, passed) for passed in (True, False, True, True)]
    assert turns == [False, False, False, True]
    assert state.healthy


def test_the_first_pass_is_enough_for_one_that_was_never_out() -> None:
    assert after(True).known


def test_two_failures_of_a_new_one_leave_it_unknown() -> None:
    assert not after(False, False).known


@pytest.mark.parametrize(
    ("passed", "well"),
    [((), True), ((False,), False), ((False, True), True), ((True, False), True),
     ((False, False, False), False)],
)  # fmt: skip
def test_readiness_doubts_who_fails_from_the_start(passed: tuple[bool, ...], well: bool) -> None:
    assert health.seems_well(after(*passed)) is well


def test_an_unknown_one_is_asked_each_second_and_a_known_one_each_interval() -> None:
    assert health.pause(RULES, Health(), 0.5) == pytest.approx(1.0)
    assert health.pause(RULES, after(True), 0.5) == pytest.approx(10.0)
    assert health.pause(RULES, after(False, False, False), 0.5) == pytest.approx(10.0)


def test_a_short_interval_is_not_made_longer_at_the_start() -> None:
    assert health.pause(Rules(interval=0.2), Health(), 0.5) == pytest.approx(0.2)


@given(draw=st.floats(0.0, 1.0, exclude_max=True), jitter=st.floats(0.0, 1.0))
def test_jitter_stays_within_its_share(draw: float, jitter: float) -> None:
    pause = health.pause(Rules(jitter=jitter), after(True), draw)
    assert 10.0 * (1.0 - jitter) - 1e-9 <= pause <= 10.0 * (1.0 + jitter) + 1e-9


def test_statuses_are_numbers_and_ranges_with_both_ends() -> None:
    assert health.read_statuses(["200-202", 418, "204"]) == {200, 201, 202, 204, 418}


@pytest.mark.parametrize("word", ["", "2xx", "399-200", "600", 99, "200-", True, None, 200.0])
def test_what_is_no_status_is_told_how_to_write_one(word: object) -> None:
    with pytest.raises(ValueError, match="write a status as 200 or a range as 200-399"):
        health.read_statuses([word])


@given(st.lists(st.booleans(), max_size=60))
def test_a_verdict_follows_from_the_last_results_alone(results: list[bool]) -> None:
    """Against a model that looks back over the whole history."""
    state, healthy = Health(), True
    for count, passed in enumerate(results, 1):
        health.learn(state, RULES, passed)
        if healthy and count >= 3 and not any(results[count - 3 : count]):
            healthy = False
        elif not healthy and all(results[count - 2 : count]):
            healthy = True
        assert state.healthy is healthy
