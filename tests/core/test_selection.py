"""A listener gets what its filter, its lot and its rate let through, in this order."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.core.exchange import Exchange
from meshproxy.core.selection import RATE, SMOOTH, Selection, SelectionError, read_selection
from meshproxy.logic.filter import FIELDS

READERS = {name: (lambda exchange, now, name=name: getattr(exchange, name)) for name in FIELDS}


def selection(draws: list[float] | None = None, **words: str) -> Selection:
    left = iter(draws or [])
    return read_selection(words, READERS, lambda: next(left), 10.0)


def exchange(**fields: Any) -> Exchange:
    return cast(Exchange, SimpleNamespace(**fields))


GOOD, BAD = exchange(status=200), exchange(status=503)


def test_without_words_everything_is_taken() -> None:
    assert selection().takes(GOOD, 10.0)
    assert selection(filter=" ").takes(GOOD, 10.0)
    assert (selection().limit, selection().rate) == (0, RATE)


def test_the_filter_chooses() -> None:
    chosen = selection(filter="status>=500")
    assert chosen.takes(BAD, 10.0)
    assert not chosen.takes(GOOD, 10.0)
    assert chosen.left_out == 0


def test_a_lot_is_drawn_only_among_those_that_are_chosen() -> None:
    chosen = selection([0.05, 0.15], filter="status>=500", sample="10%")
    assert not chosen.takes(GOOD, 10.0)
    assert chosen.takes(BAD, 10.0)
    assert not chosen.takes(BAD, 10.0)
    assert chosen.left_out == 0, "a lot that was lost leaves nothing out"


def test_what_exceeds_the_rate_is_counted() -> None:
    chosen = selection(rate="20/s", filter="status>=500")
    assert [chosen.takes(BAD, 10.0) for _ in range(4)] == [True, True, False, False]
    assert not chosen.takes(GOOD, 10.0)
    assert chosen.left_out == 2
    assert chosen.takes(BAD, 10.05)
    assert not chosen.takes(BAD, 10.05)


def test_a_low_rate_lets_one_in_at_once() -> None:
    chosen = selection(rate="6/m")
    assert [chosen.takes(BAD, at) for at in (10.0, 15.0, 20.0)] == [True, False, True]


@given(gaps=st.lists(st.floats(0, 0.2), max_size=200), rate=st.integers(1, 1000))
def test_never_more_than_the_rate_and_one_burst(gaps: list[float], rate: int) -> None:
    chosen, now, taken = selection(rate=f"{rate}/s"), 10.0, 0
    for gap in gaps:
        now += gap
        taken += chosen.takes(GOOD, now)
    assert taken <= max(1.0, rate * SMOOTH) + rate * (now - 10.0) + 1e-3
    assert taken + chosen.left_out == len(gaps)


@pytest.mark.parametrize(
    ("words", "word", "position", "said"),
    [
        ({"filter": "status>=500 and rout==a"}, "filter", 16, "did you mean route?"),
        ({"sample": "10"}, "sample", None, "add a unit: write 10%"),
        ({"sample": "0%"}, "sample", None, "above 0%"),
        ({"sample": "101%"}, "sample", None, "at most 100%"),
        ({"rate": "100"}, "rate", None, "write 100/s"),
        ({"rate": "0/s"}, "rate", None, "above zero"),
        ({"rate": "10001/s"}, "rate", None, "at most 10000/s"),
        ({"rate": "1000000/10s"}, "rate", None, "at most 10000/s"),
        ({"limit": "0"}, "limit", None, "how many requests"),
        ({"limit": "-1"}, "limit", None, "how many requests"),
        ({"limit": "ten"}, "limit", None, "how many requests"),
        ({"limit": "9" * 5000}, "limit", None, "how many requests"),
        ({"limit": "\u0661"}, "limit", None, "how many requests"),
    ],
)
def test_what_is_wrong_is_told_by_its_word(
    words: Mapping[str, str], word: str, position: int | None, said: str
) -> None:
    with pytest.raises(SelectionError) as wrong:
        selection(**words)
    assert (wrong.value.word, wrong.value.position) == (word, position)
    assert said in str(wrong.value)
