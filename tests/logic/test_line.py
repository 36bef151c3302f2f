"""The important go first and leave last; among equals it is who came first."""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import integers, lists

from meshproxy.logic.line import Line


@given(lists(integers(0, 4)))
def test_they_come_out_by_rank_and_then_in_order(ranks: list[int]) -> None:
    line: Line[int] = Line()
    for number, rank in enumerate(ranks):
        line.join(number, rank)
    assert line.size == len(ranks)
    came_out = [line.first() for _ in ranks]
    assert came_out == sorted(range(len(ranks)), key=lambda n: (min(ranks[n], 2), n))
    assert line.size == 0


def test_the_last_of_the_least_important_gives_way_and_never_to_an_equal() -> None:
    line: Line[str] = Line()
    for one, rank in (("normal", 1), ("low", 2), ("later", 2)):
        line.join(one, rank)
    assert [line.give_way(to) for to in (2, 1, 0, 0, 0)] == [None, "later", "low", "normal", None]
    assert line.size == 0


def test_one_steps_out_once() -> None:
    line: Line[str] = Line()
    line.join("one", 7)
    assert [line.leave("one"), line.leave("one"), line.size] == [True, False, 0]


@given(lists(integers(0, 3)), integers(0, 3))
def test_whether_somebody_would_give_way_is_told_before(ranks: list[int], to: int) -> None:
    line: Line[int] = Line()
    for number, rank in enumerate(ranks):
        line.join(number, rank)
    foreseen = line.would_give_way(to)
    assert line.size == len(ranks)
    assert (line.give_way(to) is not None) == foreseen
