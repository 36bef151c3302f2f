"""A filter as people write it, read into what `filter` means by it.

Bounded in length, depth and comparisons, so that nobody can make a filter that costs much to
ask. Whatever is wrong is one sentence with a place in the text and, where there is one, the
right word.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from meshproxy.logic.filter import (
    FIELDS,
    KEYWORDS,
    LIKE,
    OPERATORS,
    And,
    Compare,
    Filter,
    In,
    Not,
    Or,
    why_not,
)

MOST_CHARACTERS = 1000
MOST_DEPTH = 16
"""Parentheses and `not` inside each other."""
MOST_VALUES = 32
"""Comparisons, each value of a list counted."""

ELSEWHERE = {
    "code": "status",
    "status_code": "status",
    "flags": "reason",
    "flag": "reason",
    "verb": "method",
    "url": "path",
    "uri": "path",
    "target": "path",
    "service": "upstream",
    "cluster": "upstream",
    "host": "upstream",
    "address": "endpoint",
    "latency": "duration",
    "time": "duration",
    "duration_ms": "duration",
    "ttfb": "first_byte",
    "first_byte_ms": "first_byte",
    "tries": "attempts",
    "retries": "attempts",
    "ip": "client",
    "peer": "client",
    "id": "request_id",
    "x-request-id": "request_id",
    "trace": "trace_id",
    "traceparent": "trace_id",
}
"""What the fields are called in other tools."""

_TOKEN = re.compile(
    r"""(?P<blank>\s+)
    |(?P<sign>==|!=|<=|>=|[<>~])
    |(?P<mark>[(),])
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<word>[^\s"'()=!<>~,&|]+)""",
    re.VERBOSE | re.DOTALL,
)
_STRAY = {
    "=": "write == to compare",
    "!": "write not, or != to compare",
    "&": "write and",
    "|": "write or",
    '"': "this quote has no end",
    "'": "this quote has no end",
}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class FilterError(ValueError):
    """What is wrong with a filter; `position` counts its characters from 0."""

    def __init__(self, sentence: str, position: int) -> None:
        super().__init__(sentence)
        self.position = position


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse(text: str) -> Filter:
    """The filter that is written there. Raises FilterError."""
    if len(text) > MOST_CHARACTERS:
        raise FilterError(f"a filter has at most {MOST_CHARACTERS} characters", MOST_CHARACTERS)
    return _Parser(_tokens(text), len(text)).whole()


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise FilterError(_STRAY[text[at]], at)
        kind, raw = str(match.lastgroup), match[0]
        if kind == "text":
            raw = _unescaped(raw[1:-1], at + 1)
        if kind != "blank":
            found.append(_Token(kind, raw, at))
        at = match.end()
    return found


def _unescaped(inside: str, at: int) -> str:
    for escape in _ESCAPE.finditer(inside):
        if escape[1] not in "\\\"'":
            raise FilterError(
                "in quotes a backslash stands before a quote or a backslash: write \\\\",
                at + escape.start(),
            )
    return _ESCAPE.sub(r"\1", inside)


class _Parser:
    """Recursive descent: or, and, not, comparison."""

    __slots__ = ("_depth", "_end", "_place", "_tokens", "_values")

    def __init__(self, tokens: list[_Token], end: int) -> None:
        self._tokens = tokens
        self._end = end
        self._place = 0
        self._depth = 0
        self._values = 0

    def whole(self) -> Filter:
        found = self._either()
        token = self._peek()
        if token.text == ")" and token.kind == "mark":
            raise FilterError("this parenthesis was never opened", token.at)
        if token.kind != "end":
            raise FilterError("write and, or, or nothing more here", token.at)
        return found

    def _either(self) -> Filter:
        parts = [self._both()]
        while self._take_word("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _both(self) -> Filter:
        parts = [self._part()]
        while self._take_word("and"):
            parts.append(self._part())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _part(self) -> Filter:
        token = self._peek()
        opens = token.kind == "mark" and token.text == "("
        if not opens and not self._is_word("not"):
            return self._comparison()
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise FilterError(f"at most {MOST_DEPTH} levels of parentheses and not", token.at)
        self._place += 1
        found: Filter
        if opens:
            found = self._either()
            self._take_mark(")", f"the parenthesis at character {token.at + 1} has no end")
        else:
            found = Not(self._part())
        self._depth -= 1
        return found

    def _comparison(self) -> Filter:
        field = self._field()
        if self._take_word("in"):
            return self._list(field)
        if self._is_word("not"):
            self._place += 1
            if not self._take_word("in"):
                raise FilterError("write in after not", self._peek().at)
            return Not(self._list(field))
        sign = self._next()
        if sign.kind != "sign":
            signs = ", ".join((*OPERATORS, LIKE))
            raise FilterError(f"write one of {signs} or in after {field}", sign.at)
        return Compare(field, sign.text, self._value(field, sign.text))

    def _list(self, field: str) -> In:
        opened = self._peek()
        self._take_mark("(", "write the values in parentheses: in (a, b)")
        values = [self._value(field, "==")]
        while self._is_mark(","):
            self._place += 1
            values.append(self._value(field, "=="))
        self._take_mark(")", f"the list at character {opened.at + 1} has no end")
        return In(field, tuple(values))

    def _field(self) -> str:
        token = self._next()
        if token.kind == "end":
            raise FilterError(f"a comparison is missing here; it begins with {_known()}", token.at)
        if token.kind != "word" or token.text.lower() in KEYWORDS:
            raise FilterError(f"a comparison begins with one of {_known()}", token.at)
        if token.text not in FIELDS:
            meant = nearest(token.text)
            hint = f"did you mean {meant}? " if meant else ""
            raise FilterError(
                f"there is no field {token.text!r}: {hint}the fields are {_known()}", token.at
            )
        return token.text

    def _value(self, field: str, sign: str) -> str:
        token = self._next()
        if token.kind not in ("word", "text"):
            raise FilterError(f"a value for {field} is missing here", token.at)
        if token.kind == "word" and token.text.lower() in KEYWORDS:
            raise FilterError(
                f"a value for {field} is missing here; if you mean the word, write it in quotes:"
                f' "{token.text}"',
                token.at,
            )
        self._values += 1
        if self._values > MOST_VALUES:
            raise FilterError(f"a filter compares with at most {MOST_VALUES} values", token.at)
        wrong = why_not(field, sign, token.text)
        if wrong is not None:
            raise FilterError(wrong, token.at)
        return token.text

    # ---- tokens

    def _peek(self) -> _Token:
        return self._tokens[self._place] if self._place < len(self._tokens) else self._nothing()

    def _next(self) -> _Token:
        token = self._peek()
        self._place += 1
        return token

    def _nothing(self) -> _Token:
        return _Token("end", "", self._end)

    def _is_word(self, word: str) -> bool:
        token = self._peek()
        return token.kind == "word" and token.text.lower() == word

    def _is_mark(self, mark: str) -> bool:
        token = self._peek()
        return token.kind == "mark" and token.text == mark

    def _take_word(self, word: str) -> bool:
        if not self._is_word(word):
            return False
        self._place += 1
        return True

    def _take_mark(self, mark: str, otherwise: str) -> None:
        if not self._is_mark(mark):
            raise FilterError(otherwise, self._peek().at)
        self._place += 1


def nearest(word: str) -> str | None:
    """The field that was meant by a word, as far as one can tell."""
    word = word.lower()
    if word in FIELDS or word in ELSEWHERE:
        return ELSEWHERE.get(word, word)
    from difflib import get_close_matches  # 3 ms, and only for who is mistaken

    close = get_close_matches(word, FIELDS, n=1, cutoff=0.6)
    return close[0] if close else None


def _known() -> str:
    return ", ".join(FIELDS)
