"""Which exchanges somebody asks to see: those of a filter, by lot, and no more than so many.

    read_selection({"filter": "status>=500", "sample": "10%", "rate": "100/s"}, ...)

What it looks at costs in this order: the filter first, so that neither lot nor rate is spent on
what nobody wants. What the values of the fields are is for the readers to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from meshproxy.logic import units
from meshproxy.logic.bucket import Rate
from meshproxy.logic.filter import Predicate, Reader, compile_filter
from meshproxy.logic.filter_text import FilterError, parse

if TYPE_CHECKING:
    from meshproxy.core.exchange import Exchange

RATE = 1000.0
"""Exchanges per second, if nobody says."""
MOST_RATE = 10_000.0
SMOOTH = 0.1
"""Seconds' worth of the rate that may come at once."""
MOST = 10**9

WORDS = ("filter", "sample", "rate", "limit")


class SelectionError(ValueError):
    """What is wrong with one of WORDS; `position` is set where it is a place in the filter."""

    def __init__(self, word: str, sentence: str, position: int | None = None) -> None:
        super().__init__(sentence)
        self.word = word
        self.position = position


class Selection:
    """What one listener asked for, and how much of its rate is spent.

    `limit` is how many exchanges it wants in all, 0 for no end; `left_out` those that it would
    have got but for its rate.
    """

    __slots__ = ("_chooses", "_level", "_random", "_rate", "_sample", "left_out", "limit")

    def __init__(
        self,
        chooses: Predicate[Exchange] | None,
        sample: float,
        rate: float,
        limit: int,
        random: Callable[[], float],
        now: float,
    ) -> None:
        self._chooses = chooses
        self._sample = sample
        self._rate = Rate(rate, max(1.0, rate * SMOOTH))
        self._level = self._rate.fresh(now)
        self._random = random
        self.limit = limit
        self.left_out = 0

    @property
    def rate(self) -> float:
        return self._rate.per_second

    def takes(self, exchange: Exchange, now: float) -> bool:
        """Whether this one is for the listener; asked once for each."""
        if self._chooses is not None and not self._chooses(exchange, now):
            return False
        if self._sample < 1.0 and self._random() >= self._sample:
            return False
        if self._rate.take(self._level, now):
            self.left_out += 1
            return False
        return True


def read_selection(
    words: Mapping[str, str],
    readers: Mapping[str, Reader[Exchange]],
    random: Callable[[], float],
    now: float,
) -> Selection:
    """What these words ask for. Raises SelectionError."""
    text = words.get("filter", "")
    chooses: Predicate[Exchange] | None = None
    if text and not text.isspace():
        try:
            chooses = compile_filter(parse(text), readers)
        except FilterError as error:
            raise SelectionError("filter", str(error), error.position) from None
    return Selection(
        chooses,
        _sample(words.get("sample", "100%")),
        _rate(words.get("rate", "")),
        _limit(words.get("limit", "")),
        random,
        now,
    )


def _sample(text: str) -> float:
    try:
        share = units.percent(text)
    except ValueError as error:
        raise SelectionError("sample", str(error)) from None
    if not share:
        raise SelectionError("sample", "a sample must be above 0%")
    return share


def _rate(text: str) -> float:
    if not text:
        return RATE
    try:
        count, seconds = units.rate(text)
    except ValueError as error:
        raise SelectionError("rate", str(error)) from None
    if count / seconds > MOST_RATE:
        raise SelectionError("rate", f"at most {MOST_RATE:.0f}/s")
    return count / seconds


def _limit(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 10 and 0 < int(text) <= MOST):
        raise SelectionError("limit", f"write how many requests you want, such as 10, not {text!r}")
    return int(text)
