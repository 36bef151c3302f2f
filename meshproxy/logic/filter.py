"""Filters over named fields: what one means, and how it is written.

    status>=500 and route==create-order

A filter is a tree of comparisons. It knows the fields by name and by kind; where a field's value
comes from is for the readers that the caller gives. There are no regular expressions: `~` looks
for a part, or with `*` for a shape, in time that grows with the text alone. Reading the written
form is `filter_text`'s.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias, TypeVar

from meshproxy.logic import units

Subject = TypeVar("Subject")
Reader: TypeAlias = Callable[[Subject, float], Any]
"""The value of a field at `now`: text, or a number; nan where a number is not there."""
Predicate: TypeAlias = Callable[[Subject, float], bool]


class Kind(Enum):
    """What the values of a field are."""

    STATUS = "a status such as 503, or a class such as 5xx"
    COUNT = "a whole number"
    SIZE = "a size such as 64KiB"
    DURATION = "a duration such as 250ms"
    TEXT = "text"
    UPPER = "text in capitals"
    CODES = "reason codes, separated by commas"
    DIRECTION = "inbound or outbound"


FIELDS: Mapping[str, Kind] = {
    "status": Kind.STATUS,
    "reason": Kind.CODES,
    "method": Kind.UPPER,
    "path": Kind.TEXT,
    "route": Kind.TEXT,
    "upstream": Kind.TEXT,
    "endpoint": Kind.TEXT,
    "direction": Kind.DIRECTION,
    "duration": Kind.DURATION,
    "first_byte": Kind.DURATION,
    "attempts": Kind.COUNT,
    "bytes_in": Kind.SIZE,
    "bytes_out": Kind.SIZE,
    "client": Kind.TEXT,
    "request_id": Kind.TEXT,
    "trace_id": Kind.TEXT,
}

ORDERED = frozenset({Kind.STATUS, Kind.COUNT, Kind.SIZE, Kind.DURATION})
"""Kinds of numbers: the only ones that `<` compares, and the only ones that `~` does not."""

OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
LIKE = "~"
KEYWORDS = frozenset({"and", "or", "not", "in"})
SPECIAL = frozenset(" \t\r\n\"'()=!<>~,&|")
"""Characters that end a word that is not quoted."""


@dataclass(frozen=True, slots=True)
class Compare:
    """A field and a value; `value` is as it was written, without quotes."""

    field: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class In:
    """A field and the values of which it equals one."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Filter


@dataclass(frozen=True, slots=True)
class And:
    """Two parts or more."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Two parts or more."""

    parts: tuple[Filter, ...]


Filter: TypeAlias = Compare | In | Not | And | Or


# What is wrong with one


def why_not(field: str, sign: str, value: str) -> str | None:
    """Why these do not go together, in a sentence for people; None if they do."""
    kind = FIELDS[field]
    if sign == LIKE:
        numbers = f"~ looks into text, and {field} is {kind.value}: write ==, !=, <, <=, > or >="
        return numbers if kind in ORDERED else None
    if kind not in ORDERED and sign not in ("==", "!="):
        return f"{sign} compares numbers, and {field} is {kind.value}: write ==, != or ~"
    try:
        found = meaning(kind, value)
    except ValueError as error:
        return f"{field}: {error}"
    if isinstance(found, range) and sign not in ("==", "!="):
        return f"a class such as {value} goes with == and !=: write {field}{sign}{found.start}"
    return None


def meaning(kind: Kind, text: str) -> float | range | str:
    """A written value as its field has it; a status class is a range. ValueError says why not."""
    if kind is Kind.DURATION:
        return units.duration(text)
    if kind is Kind.SIZE:
        return units.size(text)
    if kind is Kind.COUNT:
        if not _is_number(text):
            raise ValueError(f"write a whole number, not {text!r}")
        return int(text)
    if kind is Kind.STATUS:
        return _status(text)
    if kind is Kind.DIRECTION and text not in ("inbound", "outbound"):
        raise ValueError(f"write inbound or outbound, not {text!r}")
    return text.upper() if kind in (Kind.UPPER, Kind.CODES) else text


def _status(text: str) -> int | range:
    if len(text) == 3 and text[0] in "12345" and text[1:].lower() == "xx":
        first = int(text[0]) * 100
        return range(first, first + 100)
    if not _is_number(text) or int(text) > 999:
        raise ValueError(f"write a status such as 503 or a class such as 5xx, not {text!r}")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15


# How one is written


def write(filter_: Filter) -> str:
    """The text that reads as this filter again."""
    if isinstance(filter_, Compare):
        return f"{filter_.field}{filter_.operator}{quoted(filter_.value)}"
    if isinstance(filter_, In):
        return f"{filter_.field} in ({', '.join(map(quoted, filter_.values))})"
    if isinstance(filter_, Not):
        return f"not {_enclosed(filter_.part)}"
    word = " and " if isinstance(filter_, And) else " or "
    return word.join(map(_enclosed, filter_.parts))


def _enclosed(part: Filter) -> str:
    return f"({write(part)})" if isinstance(part, And | Or) else write(part)


def quoted(value: str) -> str:
    """A value as a word, in quotes where it would be read as something else without."""
    if value and SPECIAL.isdisjoint(value) and value.lower() not in KEYWORDS and _no_blank(value):
        return value
    inside = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inside}"'


def _no_blank(value: str) -> bool:
    return not any(character.isspace() for character in value)


# What one means


def compile_filter(filter_: Filter, readers: Mapping[str, Reader[Subject]]) -> Predicate[Subject]:
    """A function that asks a subject; `readers` has one for each of FIELDS."""
    if isinstance(filter_, Compare):
        return _comparison(filter_, readers[filter_.field])
    if isinstance(filter_, In):
        return _membership(filter_, readers[filter_.field])
    if isinstance(filter_, Not):
        part = compile_filter(filter_.part, readers)
        return lambda subject, now: not part(subject, now)
    parts = tuple(compile_filter(each, readers) for each in filter_.parts)
    return _all(parts) if isinstance(filter_, And) else _any(parts)


def _all(parts: tuple[Predicate[Subject], ...]) -> Predicate[Subject]:
    if len(parts) == 2:
        first, second = parts
        return lambda subject, now: first(subject, now) and second(subject, now)

    def every(subject: Subject, now: float) -> bool:
        for part in parts:  # noqa: SIM110  # a generator costs 0.3 us more
            if not part(subject, now):
                return False
        return True

    return every


def _any(parts: tuple[Predicate[Subject], ...]) -> Predicate[Subject]:
    def some(subject: Subject, now: float) -> bool:
        for part in parts:  # noqa: SIM110  # a generator costs 0.3 us more
            if part(subject, now):
                return True
        return False

    return some


def _comparison(told: Compare, read: Reader[Subject]) -> Predicate[Subject]:
    kind, sign = FIELDS[told.field], told.operator
    if sign == LIKE:
        upper = kind in (Kind.UPPER, Kind.CODES)
        fits = like(told.value.upper() if upper else told.value)
        return lambda subject, now: fits(read(subject, now))
    value = meaning(kind, told.value)
    if isinstance(value, range) or kind is Kind.CODES:
        equal = _membership(In(told.field, (told.value,)), read)
        return equal if sign == "==" else lambda subject, now: not equal(subject, now)
    holds = OPERATORS[sign]
    return lambda subject, now: holds(read(subject, now), value)


def _membership(told: In, read: Reader[Subject]) -> Predicate[Subject]:
    kind = FIELDS[told.field]
    values = frozenset(_each(meaning(kind, text) for text in told.values))
    if kind is Kind.CODES:
        return lambda subject, now: not values.isdisjoint(read(subject, now).split(","))
    return lambda subject, now: read(subject, now) in values


def _each(meanings: Iterable[float | range | str]) -> Iterable[float | str]:
    for one in meanings:
        if isinstance(one, range):
            yield from one
        else:
            yield one


def like(pattern: str) -> Callable[[str], bool]:
    """Whether a text has this part; where there are stars, whether it has this shape as a whole.

    A star is any run of characters. Taking each piece where it is found first is enough: what
    follows it can only have more room.
    """
    if "*" not in pattern:
        return lambda text: pattern in text
    first, *middle, last = pattern.split("*")
    pieces = [piece for piece in middle if piece]

    def fits(text: str) -> bool:
        if len(text) < len(first) + len(last):
            return False
        if not text.startswith(first) or not text.endswith(last):
            return False
        at, end = len(first), len(text) - len(last)
        for piece in pieces:
            found = text.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True

    return fits
