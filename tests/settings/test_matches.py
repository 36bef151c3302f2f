"""What a route matches, in its short form and in full."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from meshproxy.logic.match import Rule
from meshproxy.settings.matches import Match


def match(value: object) -> Match:
    return Match.model_validate(value)


def test_the_short_form_is_a_method_and_a_path_or_a_path() -> None:
    assert match("POST /orders") == Match(methods=["POST"], path="/orders")
    assert match("/reports/*") == Match(path="/reports/*")


def test_a_match_is_called_as_it_is_written() -> None:
    assert match("POST /orders").label() == "POST /orders"
    assert match("/a/*/b").label() == "/a/*/b"
    full = {"methods": ["GET", "HEAD"], "path": "/r/*", "headers": {"X-Tenant": "premium"}}
    assert match(full).label() == "GET,HEAD /r/* x-tenant=premium"


def test_the_matcher_gets_bytes_and_lower_case_names() -> None:
    full = {"methods": ["GET"], "path": "/r/*", "headers": {"X-Tenant": "premium"}}
    rule = Rule(frozenset({b"GET"}), b"/r/*", ((b"x-tenant", b"premium"),))
    assert match(full).rule() == rule


@pytest.mark.parametrize(
    "value",
    ["", "GET", "GET orders", "get /a", "/a*", "/a?b", "/a#b", "/a/../b", "/a//b", "/a;v/b",
     "/%61", "/%zz", "/ü", {}, {"methods": []}, {"path": "a"},
     {"methods": ["G T"]}, {"headers": {"": "a"}}],
)  # fmt: skip
def test_what_no_request_can_be_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        match(value)
