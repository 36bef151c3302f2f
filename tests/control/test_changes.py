"""A change is told by its path, shortly, and nothing else is told."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from meshproxy.control.changes import MOST, changes

PLAIN = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
)


@given(PLAIN)
def test_equal_configs_have_no_changes(config: Any) -> None:
    assert changes(config, config) == ()


@given(PLAIN, PLAIN)
def test_different_configs_have_some_and_not_too_many(old: Any, new: Any) -> None:
    assert 0 <= len(changes(old, new)) <= MOST + 1
    assert bool(changes({"a": old}, {"a": new})) == (old != new)


def test_a_changed_value_is_told_with_both() -> None:
    old = {"outbound": {"services": {"payments": {"timeout": "5s", "prefix": "/p"}}}}
    new = {"outbound": {"services": {"payments": {"timeout": "3s", "prefix": "/p"}}}}
    assert changes(old, new) == ("outbound.services.payments.timeout: 5s -> 3s",)


def test_what_is_new_or_gone_is_told() -> None:
    assert changes({"a": 1}, {"b": {"c": 2}}) == ("a: removed 1", 'b: added {"c": 2}')
    assert changes({"inbound": None}, {"inbound": {"app": ":1"}}) == (
        'inbound: added {"app": ":1"}',
    )


def test_a_route_put_first_is_one_addition() -> None:
    old = {"routes": [{"match": "GET /a", "timeout": "1s"}, {"match": "GET /b"}]}
    new = {
        "routes": [{"match": "GET /c"}, {"match": "GET /a", "timeout": "2s"}, *old["routes"][1:]]
    }
    assert changes(old, new) == (
        "routes[GET /a].timeout: 1s -> 2s",
        'routes[GET /c]: added {"match": "GET /c"}',
    )


def test_routes_with_matches_of_several_keys_are_told_apart() -> None:
    old = {"routes": [{"match": {"path": "/a"}, "t": 1}, {"match": {"path": "/b"}, "t": 1}]}
    new = {"routes": [{"match": {"path": "/a"}, "t": 1}, {"match": {"path": "/b"}, "t": 2}]}
    assert changes(old, new) == ('routes[{"path": "/b"}].t: 1 -> 2',)


def test_items_without_a_name_go_by_their_place() -> None:
    assert changes({"l": [{"x": 1}, {"x": 2}]}, {"l": [{"x": 1}, {"x": 3}]}) == ("l[1].x: 2 -> 3",)


def test_another_order_of_routes_is_a_change() -> None:
    first, second = {"match": "GET /a"}, {"match": "GET /b"}
    assert changes({"routes": [first, second]}, {"routes": [second, first]}) == (
        "routes: in another order",
    )


def test_lists_of_words_are_told_whole() -> None:
    assert changes({"when": ["reset"]}, {"when": ["reset", "502"]}) == (
        'when: ["reset"] -> ["reset", "502"]',
    )


def test_a_flood_is_cut_and_counted() -> None:
    old = {f"k{i:02}": 1 for i in range(50)}
    told = changes(old, dict.fromkeys(old, 2))
    assert len(told) == MOST + 1
    assert told[-1] == "and 30 more"


def test_a_long_value_is_cut() -> None:
    (line,) = changes({"a": "x"}, {"a": "y" * 500})
    assert len(line) < 120
    assert line.endswith("...")
