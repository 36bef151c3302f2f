"""Everyone in turn, as often as its weight says, and evenly apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.logic.turns import Turns


@dataclass
class Server:
    weight: int


def weighing(*weights: int) -> list[Server]:
    return [Server(weight) for weight in weights]


draws = st.floats(0.0, 1.0, exclude_max=True)
weights = st.lists(st.integers(1, 1000), min_size=2, max_size=50)


@given(weights, draws)
def test_every_round_of_turns_gives_each_exactly_its_weight(
    weights: list[int], start: float
) -> None:
    turns = Turns(weighing(*weights), start)
    for _ in range(2):
        taken = Counter(turns.take() for _ in range(sum(weights)))
        assert [taken[index] for index in range(len(weights))] == weights


def test_turns_of_a_heavy_one_lie_apart() -> None:
    turns = Turns(weighing(5, 1, 1), 0.0)
    assert "".join("abc"[turns.take()] for _ in range(14)) == "aaabcaa" * 2


@pytest.mark.parametrize("count", [2, 3, 7])
def test_equal_weights_are_plain_round_robin_from_anywhere(count: int) -> None:
    for first in range(count):
        turns = Turns(weighing(*[1] * count), first / count + 0.01)
        expected = [(first + turn) % count for turn in range(3 * count)]
        assert [turns.take() for _ in range(3 * count)] == expected


@given(st.lists(st.integers(1, 5), min_size=2, max_size=5), st.floats(0.0, 0.99), st.integers(0, 9))
def test_turns_that_are_told_are_those_that_come(
    weights: list[int], start: float, taken: int
) -> None:
    turns = Turns(weighing(*weights), start)
    assert turns.is_new()
    for _ in range(taken):
        turns.take()
    told = turns.upcoming()
    foreseen = [next(told) for _ in range(12)]
    assert turns.is_new() == (taken == 0)
    assert [turns.take() for _ in range(12)] == foreseen


def test_weights_are_read_at_the_first_turn() -> None:
    several = weighing(1, 1)
    turns = Turns(several, 0.0)
    several[1].weight = 999
    assert Counter(turns.take() for _ in range(1000)) == {0: 1, 1: 999}
