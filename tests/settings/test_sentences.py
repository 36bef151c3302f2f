"""pydantic's findings as sentences."""

from __future__ import annotations

import pytest

from meshproxy.settings.sentences import is_echo, keys_at, sentence, show


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({}, "a mapping"),
        ([1], "a list"),
        (True, "true"),
        (5, "5"),
        ("a b", "'a b'"),
        ("x" * 100, "'" + "x" * 56 + "..."),
    ],
)
def test_what_was_found_is_shown_as_one_writes_it(found: object, text: str) -> None:
    assert show(found) == text


def test_the_keys_of_a_place_are_known() -> None:
    assert {"inbound", "outbound", "tracing"} <= keys_at(())
    assert "match" in keys_at(("inbound", "routes", 3))
    assert keys_at(("outbound", "services", "any", "endpoints", 0)) == {
        "address", "tier", "version", "weight",
    }  # fmt: skip
    assert "attempts" in keys_at(("outbound", "services", "any", "routes", 0, "retry"))


def test_keys_of_ones_own_are_not_guessed() -> None:
    assert keys_at(("inbound", "rate_limits", 0, "tiers", "gold")) == set()


def test_a_sentence_says_what_is_wrong_what_was_found_and_what_is_near() -> None:
    error = {
        "type": "literal_error",
        "input": "inf",
        "ctx": {"expected": "'debug', 'info' or 'error'"},
        "msg": "",
    }
    told = sentence(error, ("logs", "level"), "inf")
    assert told == "write debug, info or error, found 'inf', did you mean 'info'?"


def test_a_mapping_is_found_only_where_no_mapping_belongs() -> None:
    whole = {"type": "value_error", "input": {}, "msg": "Value error, a and b disagree, got {}"}
    assert sentence(whole, ("x",), {"a": 1}) == "a and b disagree"
    shape = {"type": "list_type", "input": {}, "msg": ""}
    assert sentence(shape, ("x",), {"a": 1}) == "write a list, as in [a, b], found a mapping"


def test_a_list_is_only_too_short_if_it_was_written_so() -> None:
    error = {"type": "too_short", "ctx": {"min_length": 1}}
    assert is_echo(error, ["wrong"])
    assert not is_echo(error, [])
