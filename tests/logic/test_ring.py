"""A ring gives every key its place, moves few of them, and shares by weight."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.logic.ring import MOST_POINTS, SPACE, Ring, place

KEYS = [place(b"user-%d" % number) for number in range(20_000)]


def ring(*names: str, weights: list[int] | None = None) -> Ring:
    return Ring(names, weights or [1] * len(names))


def named(count: int) -> list[str]:
    return [f"10.0.0.{number}:80" for number in range(count)]


def owners(names: list[str], weights: list[int] | None = None) -> list[str]:
    circle = ring(*names, weights=weights)
    return [names[next(circle.walk(key))] for key in KEYS]


def moved(before: list[str], after: list[str]) -> list[tuple[str, str]]:
    return [(one, other) for one, other in zip(before, after, strict=True) if one != other]


def test_a_place_is_the_same_in_every_process() -> None:
    assert place(b"user-1") == 0x88E1EA21865AAC9A
    first = [next(ring("a", "b", "c").walk(key)) for key in KEYS[:10]]
    assert first == [0, 0, 0, 1, 1, 1, 2, 1, 2, 0]


@pytest.mark.parametrize("count", [2, 3, 10, 50])
def test_one_more_takes_its_share_and_moves_nothing_else(count: int) -> None:
    names = named(count)
    gone = moved(owners(names), owners([*names, "new:80"]))
    assert {to for _, to in gone} == {"new:80"}
    assert len(gone) / len(KEYS) == pytest.approx(1 / (count + 1), rel=0.35)


@pytest.mark.parametrize("count", [3, 10, 50])
def test_one_less_moves_only_its_own_keys(count: int) -> None:
    names = named(count)
    gone = moved(owners(names), owners(names[:-1]))
    assert {was for was, _ in gone} == {names[-1]}
    assert len({to for _, to in gone}) > (count - 1) / 2, "they are spread over those that stay"


@given(st.integers(2, 12), st.randoms(use_true_random=False))
def test_the_order_in_which_servers_are_listed_does_not_matter(
    count: int, source: random.Random
) -> None:
    names = named(count)
    shuffled = source.sample(names, count)
    one, other = ring(*names), ring(*shuffled)
    for key in KEYS[:50]:
        walks = [names[i] for i in one.walk(key)], [shuffled[i] for i in other.walk(key)]
        assert walks[0] == walks[1]


@given(st.integers(1, 12), st.integers(0, SPACE - 1))
def test_a_walk_meets_each_once(count: int, start: int) -> None:
    assert sorted(ring(*named(count)).walk(start)) == list(range(count))


def test_shares_follow_the_weights() -> None:
    names = named(4)
    shares = Counter(owners(names, [1, 1, 2, 4]))
    for name, weight in zip(names, [1, 1, 2, 4], strict=True):
        assert shares[name] / len(KEYS) == pytest.approx(weight / 8, rel=0.25)


def test_a_heavier_one_takes_keys_and_those_that_it_has_stay() -> None:
    names = named(10)
    gone = moved(owners(names), owners(names, [1] * 9 + [2]))
    grown = [to for _, to in gone if to == names[9]]
    assert len(grown) / len(KEYS) == pytest.approx(1 / 11, rel=0.4)
    assert len(gone) - len(grown) < 0.12 * len(KEYS), "the others lose points, and few keys"


def test_equal_servers_have_equal_shares_more_or_less() -> None:
    shares = Counter(owners(named(10)))
    assert max(shares.values()) < 1.3 * len(KEYS) / 10
    assert min(shares.values()) > 0.7 * len(KEYS) / 10


def test_many_servers_have_fewer_points_each() -> None:
    circle = ring(*named(1000))
    assert sum(1 for _ in circle.walk(0)) == 1000
    assert len(circle._points) <= MOST_POINTS


def test_points_are_dealt_out_by_weight_to_the_last_one() -> None:
    circle = ring("a", "b", weights=[1, 2])
    assert len(circle._points) == 85 + 171


def test_a_ring_of_nobody_leads_nowhere() -> None:
    assert list(ring().walk(5)) == []
