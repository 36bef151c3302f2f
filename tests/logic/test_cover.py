"""A rule that can never match is told, and none that can, however many there are before it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.logic.cover import Cover
from meshproxy.logic.match import Pattern, RouteIndex, Rule, read_pattern
from tests.logic.test_match import HEADERS, PATHS, RULES, rule


def taker(earlier: list[Rule], later: Rule) -> int | None:
    seen = Cover()
    for index, one in enumerate(earlier):
        seen.add(index, one)
    return seen.taker(later)


def shadows(earlier: Rule, later: Rule) -> bool:
    return taker([earlier], later) == 0


def plainly(earlier: Rule, later: Rule) -> bool:
    """The same, of two rules, as one would say it."""
    if earlier.methods and not (later.methods and later.methods <= earlier.methods):
        return False
    if not set(earlier.headers) <= set(later.headers):
        return False
    return covers(read_pattern(earlier.path), read_pattern(later.path))


def covers(wide: Pattern, narrow: Pattern) -> bool:
    fewest = len(narrow.segments) + narrow.open
    if wide.open:
        if wide.segments and len(wide.segments) + 1 > fewest:
            return False
    elif narrow.open or len(wide.segments) != fewest:
        return False
    pairs = zip(wide.segments, narrow.segments, strict=False)
    return all(ours == theirs or (ours == b"*" and theirs != b"") for ours, theirs in pairs)


@given(rules=st.lists(RULES, max_size=15), later=RULES)
def test_it_finds_the_first_that_a_comparison_with_each_would(
    rules: list[Rule], later: Rule
) -> None:
    expected = next((i for i, one in enumerate(rules) if plainly(one, later)), None)
    assert taker(rules, later) == expected


def test_many_header_rules_of_one_match_are_compared_as_well() -> None:
    many = tuple((b"x-%d" % number, b"1") for number in range(12))
    rules = [Rule(headers=((b"y", b"1"),)), Rule(headers=many[3:9]), Rule(headers=many[:2])]
    assert taker(rules, Rule(headers=many)) == 1


def test_ten_thousand_rules_that_look_alike_are_no_ten_thousand_comparisons() -> None:
    """Quadratic, this would be a minute: tests have no such patience."""
    seen = Cover()
    chance = random.Random(1)
    for number in range(10_000):
        shape = (f"/api/v1/thing{number}/*", f"/*/orders{number}", "/r/*")[chance.randrange(3)]
        one = rule(shape, x_tenant=str(number))
        assert seen.taker(one) is None
        seen.add(number, one)


@given(
    earlier=RULES,
    later=RULES,
    method=st.sampled_from([b"GET", b"POST", b"PUT"]),
    path=PATHS,
    headers=HEADERS,
)
def test_no_request_reaches_a_rule_that_is_called_shadowed(
    earlier: Rule, later: Rule, method: bytes, path: str, headers: dict[bytes, bytes]
) -> None:
    if shadows(earlier, later):
        assert RouteIndex([earlier, later]).find(method, path.encode(), headers.get) != 1


@pytest.mark.parametrize(
    ("earlier", "later", "shadowed"),
    [
        (rule(""), rule("/a", "GET"), True),
        (rule("/a/*"), rule("/a/b"), True),
        (rule("/a/*"), rule("/a"), False),
        (rule("/a/*"), rule("/a/*/b/*"), True),
        (rule("/a/*/c"), rule("/a/b/c"), True),
        (rule("/a/b/c"), rule("/a/*/c"), False),
        (rule("/a", "GET"), rule("/a"), False),
        (rule("/a", "GET POST"), rule("/a", "POST"), True),
        (rule("/a", x="1"), rule("/a"), False),
        (rule("/a"), rule("/a", x="1"), True),
        (rule("/a/*"), rule(""), False),
        (rule("/*"), rule(""), True),
    ],
)
def test_what_is_shadowed_is_told(earlier: Rule, later: Rule, shadowed: bool) -> None:
    assert shadows(earlier, later) is shadowed
