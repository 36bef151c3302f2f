"""Inheritance on the raw tree."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from meshproxy.settings.inherit import at_path, settle

KEYS = ("timeout", "retry")


def test_the_nearest_place_wins_key_by_key() -> None:
    tree = {
        "outbound": {
            "defaults": {"timeout": "5s", "retry": {"attempts": 2, "backoff": {"base": "1s"}}},
            "services": {
                "a": {
                    "retry": {"backoff": {"max": "2s"}},
                    "routes": [{"timeout": "1s", "retry": {"attempts": 0}}],
                }
            },
        }
    }
    a = settle(tree, KEYS).tree["outbound"]["services"]["a"]
    assert a["timeout"] == "5s"
    assert a["retry"] == {"attempts": 2, "backoff": {"base": "1s", "max": "2s"}}
    assert a["routes"][0]["timeout"] == "1s"
    assert a["routes"][0]["retry"] == {"attempts": 0, "backoff": {"base": "1s", "max": "2s"}}


def test_off_switches_an_inherited_policy_off_and_a_mapping_on_again() -> None:
    tree = {
        "inbound": {
            "retry": {"attempts": 3},
            "routes": [{"retry": "off"}, {"retry": {"when": []}}],
        }
    }
    routes = settle(tree, KEYS).tree["inbound"]["routes"]
    assert routes[0]["retry"] == "off"
    assert routes[1]["retry"] == {"attempts": 3, "when": []}
    off_above = {"inbound": {"retry": "off", "routes": [{"retry": {"attempts": 1}}, {}]}}
    routes = settle(off_above, KEYS).tree["inbound"]["routes"]
    assert [route["retry"] for route in routes] == [{"attempts": 1}, "off"]


def test_other_keys_stay_where_they_are() -> None:
    tree = {"inbound": {"app": ":1", "routes": [{"match": "/a"}]}}
    assert settle(tree, KEYS).tree == tree


def test_an_inherited_value_knows_the_line_it_comes_from() -> None:
    tree = {
        "outbound": {
            "defaults": {"retry": {"backoff": {"base": 5}}},
            "services": {"a": {"retry": {"attempts": 1}, "routes": [{}]}},
        }
    }
    inherited = settle(tree, KEYS)
    route = ("outbound", "services", "a", "routes", 0)
    defaults = ("outbound", "defaults", "retry", "backoff", "base")
    assert inherited.origin((*route, "retry", "backoff", "base")) == defaults
    service = ("outbound", "services", "a", "retry", "attempts")
    assert inherited.origin((*route, "retry", "attempts")) == service
    assert inherited.origin(("inbound",)) == ("inbound",)


def test_the_tree_that_was_read_stays_as_it_is() -> None:
    tree: dict[str, Any] = {"inbound": {"timeout": "1s", "routes": [{}]}}
    settle(tree, KEYS)
    assert tree == {"inbound": {"timeout": "1s", "routes": [{}]}}


def test_of_keys_that_exclude_each_other_the_nearest_stands_alone() -> None:
    either = {"retry": ("one", "other")}
    outer = {"one": {"a": 1}, "both": 1}
    routes = [{"retry": {"other": 2}}, {"retry": {"one": {"b": 2}}}, {"retry": {"both": 2}}, {}]
    settled = settle({"inbound": {"retry": outer, "routes": routes}}, KEYS, either)
    assert [route["retry"] for route in settled.tree["inbound"]["routes"]] == [
        {"other": 2, "both": 1},
        {"one": {"a": 1, "b": 2}, "both": 1},
        {"one": {"a": 1}, "both": 2},
        outer,
    ]


def test_there_is_nothing_at_a_path_that_leads_nowhere() -> None:
    assert at_path({"a": [1]}, ("a", 1)) is None
    assert at_path({"a": 1}, ("a", "b")) is None
    assert at_path({"a": [{"b": 2}]}, ("a", 0, "b")) == 2


_values = st.recursive(
    st.none() | st.integers() | st.sampled_from(["off", "1s"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["inbound", "outbound", "services", "defaults", "routes", "retry", "timeout"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["inbound", "outbound"]), _values))
def test_any_tree_is_settled_and_settling_again_changes_nothing(tree: dict[str, Any]) -> None:
    once = settle(tree, KEYS).tree
    assert settle(once, KEYS).tree == once
