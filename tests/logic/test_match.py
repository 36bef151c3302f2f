"""The index finds what a plain search in file order would find, however many rules there are."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshproxy.logic.match import Pattern, RouteIndex, Rule, read_pattern


def no_headers(name: bytes) -> bytes | None:
    return None


def rule(path: str = "", methods: str = "", **headers: str) -> Rule:
    return Rule(
        frozenset(method.encode() for method in methods.split()),
        path.encode(),
        tuple((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
    )


def found(rules: list[Rule], path: str, method: str = "GET", **headers: str) -> int | None:
    given_fields = {name.replace("_", "-").encode(): v.encode() for name, v in headers.items()}
    return RouteIndex(rules).find(method.encode(), path.encode(), given_fields.get)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/orders", "/orders", True),
        ("/orders", "/orders/", False),
        ("/orders", "/orders/1", False),
        ("/orders/", "/orders", False),
        ("/reports/*", "/reports", False),
        ("/reports/*", "/reports/", True),
        ("/reports/*", "/reports/x", True),
        ("/reports/*", "/reports/x/y/z", True),
        ("/reports/*", "/reportsx", False),
        ("/users/*/orders", "/users/7/orders", True),
        ("/users/*/orders", "/users//orders", False),
        ("/users/*/orders", "/users/7/8/orders", False),
        ("/users/*/orders", "/users/7/orders/", False),
        ("/users/*/orders", "/users/7/orders/1", False),
        ("/users/*/orders/*", "/users/7/orders/1/2", True),
        ("/users/*/orders/*", "/users/7/orders", False),
        ("/*/x", "/a/x", True),
        ("/*", "/", True),
        ("/*", "/anything/at/all", True),
        ("/*", "*", True),
        ("", "*", True),
        ("/*/x", "a/x", False),
        ("/", "/", True),
        ("/", "//", False),
        ("//x", "//x", True),
    ],
)
def test_a_pattern_takes_exactly_the_paths_it_says(pattern: str, path: str, matches: bool) -> None:
    assert (found([rule(pattern)], path) == 0) is matches


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("orders", "begin with /"),
        ("/a?b=1", "no query"),
        ("/a#b", "no query"),
        ("/files/*.js", "whole segment"),
        ("/files/**", "whole segment"),
    ],
)
def test_a_pattern_outside_the_grammar_is_refused_with_a_reason(
    pattern: str, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_pattern(pattern.encode())


def test_the_first_rule_of_the_file_wins_whatever_kind_it_is_of() -> None:
    orders = [rule("/a/*"), rule("/a/b"), rule("/*/b"), rule("")]
    assert found(orders, "/a/b") == 0
    assert found(orders[1:], "/a/b") == 0
    assert found(orders[2:], "/a/b") == 0
    assert found(list(reversed(orders)), "/a/b") == 0


def test_a_later_rule_is_found_when_an_earlier_one_asks_for_another_method() -> None:
    rules = [rule("/orders", "POST"), rule("/orders", "GET HEAD"), rule("/orders")]
    assert found(rules, "/orders", "GET") == 1
    assert found(rules, "/orders", "DELETE") == 2


def test_get_does_not_take_head() -> None:
    assert found([rule("/x", "GET")], "/x", "HEAD") is None


def test_every_header_that_a_rule_names_must_have_its_value() -> None:
    rules = [rule("/r/*", x_tenant="gold", x_beta="1"), rule("/r/*", x_tenant="gold"), rule("/r/*")]
    assert found(rules, "/r/1", x_tenant="gold", x_beta="1") == 0
    assert found(rules, "/r/1", x_tenant="gold") == 1
    assert found(rules, "/r/1", x_tenant="Gold") == 2
    assert found(rules, "/r/1") == 2


def test_nothing_matches_an_empty_list() -> None:
    assert found([], "/") is None


def test_ten_thousand_rules_on_one_path_ask_for_the_header_once() -> None:
    rules = [rule("/t/*", x_tenant=str(number)) for number in range(10_000)]
    asked: list[bytes] = []

    def header(name: bytes) -> bytes | None:
        asked.append(name)
        return b"9999"

    assert RouteIndex(rules).find(b"GET", b"/t/1", header) == 9999
    assert asked == [b"x-tenant"]


def test_a_path_of_very_many_segments_is_read_only_as_deep_as_the_patterns_go() -> None:
    deep = "/a" + "/x" * 4000
    assert found([rule("/b/*/c"), rule("/a/*")], deep) == 1


SEGMENTS = st.sampled_from(["a", "b", "*", ""])
PATHS = st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
PATTERNS = st.one_of(
    st.just(""), st.lists(SEGMENTS, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
)
RULES = st.builds(
    lambda path, methods, headers: Rule(methods, path.encode(), headers),
    PATTERNS,
    st.frozensets(st.sampled_from([b"GET", b"POST"]), max_size=2),
    st.lists(st.sampled_from([(b"x", b"1"), (b"x", b"2"), (b"y", b"1")]), max_size=2).map(tuple),
)
HEADERS = st.dictionaries(st.sampled_from([b"x", b"y"]), st.sampled_from([b"1", b"2"]))


def _fits(pattern: Pattern, path: str) -> bool:
    segments = path.encode()[1:].split(b"/")
    count = len(pattern.segments)
    if pattern.open and count == 0:
        return True
    if len(segments) <= count if pattern.open else len(segments) != count:
        return False
    return all(
        want == have or (want == b"*" and have != b"")
        for want, have in zip(pattern.segments, segments, strict=False)
    )


def _takes(one: Rule, method: bytes, path: str, headers: dict[bytes, bytes]) -> bool:
    return (
        (not one.methods or method in one.methods)
        and all(headers.get(name) == value for name, value in one.headers)
        and _fits(read_pattern(one.path), path)
    )


@given(
    rules=st.lists(RULES, max_size=12),
    method=st.sampled_from([b"GET", b"POST", b"PUT"]),
    path=PATHS,
    headers=HEADERS,
)
def test_the_index_agrees_with_a_search_in_order(
    rules: list[Rule], method: bytes, path: str, headers: dict[bytes, bytes]
) -> None:
    expected = next((i for i, one in enumerate(rules) if _takes(one, method, path, headers)), None)
    assert RouteIndex(rules).find(method, path.encode(), headers.get) == expected


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20)
def test_the_index_agrees_with_a_search_in_order_of_very_many_rules(seed: int) -> None:
    """Deep ones too, where stars stand beside literals at every segment."""
    chance = random.Random(seed)
    asked_for = [(b"x", b"1"), (b"x", b"2"), (b"y", b"1")]

    def path(words: str, most: int) -> str:
        return "/" + "/".join(
            chance.choice(words.split(",")) for _ in range(chance.randint(1, most))
        )

    rules = [
        Rule(
            frozenset(chance.sample([b"GET", b"POST", b"PUT"], chance.choice((0, 0, 1, 2)))),
            path("a,b,c,*,*,", 6).encode(),
            tuple(chance.sample(asked_for, chance.choice((0, 0, 1, 2)))),
        )
        for _ in range(300)
    ]
    index = RouteIndex(rules)
    for _ in range(60):
        asked, method = path("a,b,c,d,", 7), chance.choice([b"GET", b"POST", b"HEAD"])
        fields = {b"x": chance.choice([b"1", b"2", b"3"])} if chance.random() < 0.5 else {}
        expected = (i for i, one in enumerate(rules) if _takes(one, method, asked, fields))
        assert index.find(method, asked.encode(), fields.get) == next(expected, None)
