"""Somebody looks at memory after so many bytes, and then allows more or is not asked again."""

from __future__ import annotations

from meshproxy.dataplane.intake import Intake


def test_nobody_looks_until_somebody_wants_to() -> None:
    intake, looks = Intake(), list[int]()
    intake.look = lambda: looks.append(1)
    intake.took(1 << 50)
    assert looks == []


def test_a_look_comes_with_the_first_byte_too_many() -> None:
    intake, looks = Intake(), list[int]()

    def look() -> None:
        looks.append(1)
        intake.allow(100)

    intake.look = look
    intake.allow(100)
    intake.took(60)
    intake.took(40)
    assert looks == []
    intake.took(1)
    assert len(looks) == 1
    intake.took(150)
    assert len(looks) == 2


def test_who_allows_nothing_more_is_not_asked_again() -> None:
    intake, looks = Intake(), list[int]()
    intake.look = lambda: looks.append(1)
    intake.allow(0)
    for _ in range(10):
        intake.took(1000)
    assert len(looks) == 1
