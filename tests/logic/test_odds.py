"""Chances of a choice: they add up, go to the able alone, and are right where one can count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.logic.odds import by_weight, two_choices

weights_and_able = st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=2, max_size=6)


def lower(one: int, other: int) -> float:
    """The lower index is the better one."""
    return float(other < one)


@given(weights_and_able)
def test_they_add_up_and_the_unable_have_none(pairs: list[tuple[int, bool]]) -> None:
    weights = [weight for weight, _ in pairs]
    able = {index for index, (_, may) in enumerate(pairs) if may}
    if not able:
        return
    for chances in (by_weight(weights, able), two_choices(weights, lower, able)):
        assert sum(chances) == pytest.approx(1.0)
        assert all(chance == 0.0 for at, chance in enumerate(chances) if at not in able)


def test_the_lost_share_of_one_goes_to_the_others_by_weight() -> None:
    assert by_weight([1, 2, 1], {0, 1}) == pytest.approx([1 / 3, 2 / 3, 0.0])


def test_of_two_the_better_one_is_certain() -> None:
    assert two_choices([1, 1], lower, {0, 1}) == [1.0, 0.0]


def test_the_worst_of_three_is_never_the_better_of_two() -> None:
    assert two_choices([1, 1, 1], lower, {0, 1, 2}) == pytest.approx([2 / 3, 1 / 3, 0.0])


def test_whoever_is_left_gets_all() -> None:
    assert two_choices([1, 1, 1, 1], lower, {3}) == pytest.approx([0.0, 0.0, 0.0, 1.0])
