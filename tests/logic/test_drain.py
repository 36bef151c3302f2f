"""When a sidecar may go, in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from meshproxy.logic.drain import MOMENT, Drain, Scene

IDLE = Scene(0, 0, None)


def test_new_callers_come_for_a_moment_and_then_an_idle_one_leaves() -> None:
    drain = Drain(100.0, 30.0)
    assert drain.welcomes_until == 100.0 + MOMENT
    assert not drain.may_leave(IDLE, 104.9)
    assert drain.may_leave(IDLE, 105.0)


def test_a_short_drain_has_a_short_moment() -> None:
    assert Drain(100.0, 2.0).welcomes_until == 100.5


@pytest.mark.parametrize("scene", [Scene(1, 0, True), Scene(0, 1, True)])
def test_who_has_something_in_flight_stays(scene: Scene) -> None:
    drain = Drain(100.0, 20.0)
    assert not drain.may_leave(scene, 119.9)
    assert drain.may_leave(scene, 120.0)


def test_the_app_may_call_out_to_its_end() -> None:
    drain = Drain(100.0, 20.0)
    assert not drain.may_leave(Scene(0, 0, False), 110.0)
    assert drain.may_leave(Scene(0, 0, True), 110.0)


def test_somebody_at_a_terminal_is_not_kept_waiting() -> None:
    drain = Drain(100.0, 20.0, in_haste=True)
    assert drain.may_leave(Scene(0, 0, False), 100.0)
    assert not drain.may_leave(Scene(1, 0, False), 100.0)


@given(
    seconds=some.floats(0.0, 600.0),
    inbound=some.integers(0, 3),
    outbound=some.integers(0, 3),
    gone=some.sampled_from([True, False, None]),
    haste=some.booleans(),
)
def test_nobody_stays_longer_than_the_file_says(
    seconds: float, inbound: int, outbound: int, gone: bool | None, haste: bool
) -> None:
    drain = Drain(50.0, seconds, haste)
    assert drain.welcomes_until <= drain.ends
    assert drain.may_leave(Scene(inbound, outbound, gone), 50.0 + seconds)


@given(seconds=some.floats(0.0, 600.0), haste=some.booleans(), callers=some.booleans())
def test_the_app_hears_of_the_end_while_there_is_time_left(
    seconds: float, haste: bool, callers: bool
) -> None:
    drain = Drain(50.0, seconds, haste, callers)
    assert drain.welcomes_until <= drain.dismisses_at <= drain.ends
    assert drain.ends - drain.dismisses_at == pytest.approx(min(MOMENT, seconds / 4))


def test_where_no_callers_come_nobody_is_waited_for() -> None:
    drain = Drain(100.0, 20.0, has_callers=False)
    assert drain.may_leave(IDLE, 100.0)
    assert not drain.may_leave(Scene(0, 1, None), 100.0)
    assert not drain.may_leave(Scene(0, 0, False), 119.9)
