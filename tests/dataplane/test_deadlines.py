"""One timer for all exchanges: each is told in time, and nothing runs when nobody waits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from meshproxy.dataplane.deadlines import LOOK, Deadlines
from tests.fakes import FakeTime


def made() -> tuple[FakeTime, Deadlines, list[tuple[Any, float]]]:
    time = FakeTime()
    told: list[tuple[Any, float]] = []
    deadlines = Deadlines(time, time.later, lambda exchange, now: told.append((exchange, now)))
    return time, deadlines, told


class Waiting(SimpleNamespace):
    __hash__ = object.__hash__


def test_each_is_told_at_most_one_look_late() -> None:
    time, deadlines, told = made()
    began = time.now
    waiting = [Waiting(due=began + due) for due in (0.5, 0.2, 0.9)]
    for one in waiting:
        deadlines.watch(one)  # type: ignore[arg-type]
    while time.now < began + 1.0:
        time.pass_by(LOOK)
        for one, _ in told:
            deadlines.forget(one)
    for one in waiting:
        (late,) = [now - one.due for who, now in told if who is one][:1]
        assert 0.0 <= late <= 2 * LOOK


def test_a_new_due_counts() -> None:
    time, deadlines, told = made()
    one = Waiting(due=time.now + 5.0)
    deadlines.watch(one)  # type: ignore[arg-type]
    one.due = time.now + 0.1
    deadlines.watch(one)  # type: ignore[arg-type]
    time.pass_by(0.2)
    assert told[0][0] is one


def test_one_that_was_forgotten_is_not_told() -> None:
    time, deadlines, told = made()
    one = Waiting(due=time.now + 0.1)
    deadlines.watch(one)  # type: ignore[arg-type]
    deadlines.forget(one)  # type: ignore[arg-type]
    time.pass_by(1.0)
    assert told == []


def test_one_that_another_ended_is_not_told() -> None:
    time = FakeTime()
    told: list[Any] = []
    both = [Waiting(due=time.now + 0.1), Waiting(due=time.now + 0.1)]

    def end_both(exchange: Any, now: float) -> None:
        told.append(exchange)
        for one in both:
            deadlines.forget(one)  # type: ignore[arg-type]

    deadlines = Deadlines(time, time.later, end_both)
    for one in both:
        deadlines.watch(one)  # type: ignore[arg-type]
    time.pass_by(0.2)
    assert len(told) == 1


def test_nothing_runs_when_nobody_waits() -> None:
    time, deadlines, _ = made()
    one = Waiting(due=time.now + 9.0)
    deadlines.watch(one)  # type: ignore[arg-type]
    time.pass_by(LOOK)
    assert time.pending == 1
    deadlines.forget(one)  # type: ignore[arg-type]
    time.pass_by(2 * LOOK)
    assert time.pending == 0
