"""A table of keys stays within its capacity, forgets nothing that matters, and is never fooled."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import binary, floats, integers, lists, sampled_from, tuples

from meshproxy.logic.bucket import Rate
from meshproxy.logic.keyed import LONGEST, PRESSED, Keyed, Overflow, Table
from meshproxy.logic.window import Quota

SLOW = Rate(per_second=0.001, burst=2.0)


class CountingRate:
    """A Rate that also counts how often a sweep asked it about a key."""

    def __init__(self, rate: Rate) -> None:
        self.asked = 0
        self.fresh, self.take, self.give_back = rate.fresh, rate.take, rate.give_back
        self.left, self._is_fresh = rate.left, rate.is_fresh

    def is_fresh(self, level: Any, now: float) -> bool:
        self.asked += 1
        return self._is_fresh(level, now)


def keyed(measure: Any, capacity: int, table: Table[Any] | None = None) -> Keyed[Any]:
    kept: Table[Any] = Table() if table is None else table
    return Keyed(measure, kept, capacity, Overflow(measure, measure.fresh(0.0)))


def admitted(limit: Keyed[Any], key: bytes, now: float, asks: int) -> int:
    return sum(limit.take(key, now) == 0.0 for _ in range(asks))


def test_every_key_has_a_level_of_its_own() -> None:
    limit = keyed(SLOW, 10)
    assert [admitted(limit, key, 1.0, 5) for key in (b"a", b"b", b"")] == [2, 2, 2]


def test_keys_without_a_place_share_one_level() -> None:
    limit = keyed(SLOW, 3)
    counts = [admitted(limit, b"%d" % n, 1.0, 2) for n in range(10)]
    assert counts == [2, 2, 2, 2, 0, 0, 0, 0, 0, 0]


def test_a_known_key_keeps_its_level_while_others_overflow() -> None:
    limit = keyed(Rate(1.0, 2.0), 2)
    assert admitted(limit, b"known", 0.0, 2) == 2
    for n in range(1000):
        limit.take(b"made up %d" % n, 0.5)
    assert limit.take(b"known", 0.5) == pytest.approx(0.5)
    assert limit.take(b"known", 1.0) == 0.0


def test_a_key_that_is_full_again_makes_room() -> None:
    limit = keyed(Rate(1.0, 2.0), 1)
    assert admitted(limit, b"first", 0.0, 2) == 2
    assert admitted(limit, b"second", 0.0, 3) == 2  # of the overflow
    assert admitted(limit, b"second", 2.0, 3) == 2
    assert limit.nearest(5, 10, 2.0) == [(b"second", 0.0)]


def test_a_key_with_a_debt_is_not_forgotten() -> None:
    limit = keyed(Rate(1.0, 2.0), 1)
    assert admitted(limit, b"first", 0.0, 2) == 2
    limit.take(b"second", 1.9)
    assert limit.nearest(5, 10, 1.9) == [(b"first", pytest.approx(1.9))]


def test_the_table_shrinks_when_the_crowd_is_gone() -> None:
    table: Table[Any] = Table()
    limit = keyed(Rate(10.0, 1.0), 1000, table)
    for n in range(1000):
        limit.take(b"crowd %d" % n, 0.0)
    for n in range(1000):
        limit.take(b"later %d" % n, 100.0 + n)
    assert len(table.levels) < 5
    assert len(table.ring) == len(table.levels)


def test_a_key_deep_in_debt_does_not_keep_others_from_being_forgotten() -> None:
    limit = keyed(Rate(1.0, 100.0), 3)
    assert admitted(limit, b"deep", 0.0, 100) == 100
    for key in (b"light", b"lighter"):
        limit.take(key, 0.0)
    assert admitted(limit, b"new", 5.0, 200) == 100
    assert {key for key, _ in limit.nearest(5, 10, 5.0)} == {b"deep", b"new"}


def test_no_request_looks_at_more_than_a_few_keys() -> None:
    measure = CountingRate(SLOW)
    limit = keyed(measure, 500)
    for n in range(2000):
        before = measure.asked
        limit.take(b"%d" % n, 0.0)
        assert measure.asked - before <= PRESSED


def test_a_lowered_capacity_takes_no_new_keys_and_forgets_none_in_debt() -> None:
    table: Table[Any] = Table()
    wide = keyed(SLOW, 10, table)
    for n in range(10):
        admitted(wide, b"%d" % n, 0.0, 2)
    narrow = keyed(SLOW, 3, table)
    assert [admitted(narrow, b"%d" % n, 0.0, 1) for n in range(10)] == [0] * 10
    assert admitted(narrow, b"new", 0.0, 5) == 2
    assert (len(table.levels), table.overflowed) == (10, 5)


def test_a_long_key_is_kept_as_a_digest_and_still_its_own() -> None:
    table: Table[Any] = Table()
    limit = keyed(SLOW, 10, table)
    one, two = b"x" * 5000, b"x" * 4999 + b"y"
    assert [admitted(limit, key, 0.0, 5) for key in (one, two, one, two)] == [2, 2, 0, 0]
    assert {len(key) for key in table.levels} == {LONGEST + 1}


def test_what_is_given_back_goes_where_it_came_from() -> None:
    limit = keyed(SLOW, 1)
    long, other = b"k" * 100, b"without a place"
    for key in (long, other):
        assert admitted(limit, key, 0.0, 2) == 2
        limit.give_back(key)
        assert admitted(limit, key, 0.0, 2) == 1


def test_the_nearest_keys_are_those_with_least_left() -> None:
    limit = keyed(Rate(1.0, 5.0), 10)
    for count, key in enumerate((b"a", b"b", b"c", b"d"), start=1):
        admitted(limit, key, 0.0, count)
    assert limit.nearest(2, 10, 0.0) == [(b"d", 1.0), (b"c", 2.0)]
    assert limit.nearest(2, 2, 0.0) == [(b"b", 3.0), (b"a", 4.0)]


@given(
    measure=sampled_from([Rate(0.5, 3.0), Quota(3, 6.0)]),
    capacity=integers(1, 5),
    asks=lists(tuples(integers(0, 30), floats(0.0, 2.0)), max_size=150),
)
def test_made_up_keys_get_no_more_than_the_places_and_the_overflow(
    measure: Any, capacity: int, asks: list[tuple[int, float]]
) -> None:
    limit, now, count = keyed(measure, capacity), 0.0, 0
    for key, gap in asks:
        now += gap
        count += limit.take(b"%d" % key, now) == 0.0
    # Each place behaves as one level would, whoever holds it, and so does the overflow.
    assert count <= (capacity + 1) * (3 + 0.5 * now) + 1e-6 * len(asks) + (
        (capacity + 1) * 3 if isinstance(measure, Quota) else 0
    )


@given(
    asks=lists(tuples(sampled_from([b"a", b"b", b"c"]), floats(0.0, 5.0)), max_size=80),
)
def test_forgetting_is_never_noticed(asks: list[tuple[bytes, float]]) -> None:
    """With room for all, the table answers as levels that are kept for ever would."""
    rate = Rate(0.5, 2.0)
    limit, apart, now = keyed(rate, 3), {k: rate.fresh(0.0) for k in (b"a", b"b", b"c")}, 0.0
    for key, gap in asks:
        now += gap
        assert limit.take(key, now) == pytest.approx(rate.take(apart[key], now), abs=1e-5)


@given(keys=lists(binary(max_size=80), max_size=60), capacity=integers(1, 20))
def test_the_capacity_is_never_exceeded(keys: list[bytes], capacity: int) -> None:
    table: Table[Any] = Table()
    limit = keyed(SLOW, capacity, table)
    for key in keys:
        limit.take(key, 0.0)
        assert len(table.levels) == len(table.ring) <= capacity


@pytest.mark.parametrize("measure", [Rate(1.0, 5.0), Quota(5, 60.0)])
def test_a_flood_of_keys_costs_a_bounded_piece_of_memory(measure: Any) -> None:
    limit = keyed(measure, 10_000)
    tracemalloc.start()
    try:
        for n in range(40_000):
            limit.take(b"client-%032d" % n, 1000.0 + n * 1e-4)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 16 * 2**20


@given(
    integers(1, 3),
    lists(tuples(sampled_from([b"a", b"b", b"c", b"d" * 99]), floats(0.0, 5.0)), max_size=40),
)
def test_what_is_found_is_what_is_then_spent_from(
    capacity: int, asks: list[tuple[bytes, float]]
) -> None:
    """Also where the look at others makes room first, and where there is none."""
    rate = Rate(per_second=1.0, burst=2.0)
    table: Table[Any] = Table()
    limit, now = keyed(rate, capacity, table), 0.0
    for key, pause in asks:
        now += pause
        before = (dict(table.levels), list(table.ring), table.overflowed)
        measure, level, shared = limit.find(key, now)
        foreseen = measure.peek(level, now)
        assert (dict(table.levels), list(table.ring), table.overflowed) == before
        assert limit.take(key, now) == foreseen
        assert shared == (table.overflowed > before[2])
