"""A key says who asks, in the words of `per`, and cannot be made to equal another's."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis.strategies import lists, text

from meshproxy.policies import keys

from .limits_scene import exchange

FIELD_TEXT = text(alphabet="ab,; |\t", max_size=6)


@pytest.mark.parametrize(
    ("per", "key"),
    [
        (["ip"], b"192.0.2.1"),
        (["method"], b"GET"),
        (["route"], b"default"),
        (["header:X-Client-Id"], b"me"),
        (["header:x-missing"], b""),
        (["header:x-client-id", "ip"], b"me\n192.0.2.1"),
        (["ip", "header:x-missing", "method"], b"192.0.2.1\n\nGET"),
    ],
)
def test_each_word_adds_its_part(per: list[str], key: bytes) -> None:
    assert keys.read(per, hops=0)(exchange(x_client_id="me")) == key


@pytest.mark.parametrize(
    ("hops", "trusted", "key"),
    [(0, True, b"192.0.2.1"), (1, True, b"203.0.113.7"), (1, False, b"192.0.2.1")],
)
def test_the_address_is_what_trusted_hops_vouch_for(hops: int, trusted: bool, key: bytes) -> None:
    asked = exchange(trusted=trusted, x_forwarded_for="6.6.6.6, 203.0.113.7")
    assert keys.read(["ip"], hops)(asked) == key


def test_only_the_fields_that_are_needed_are_asked_for() -> None:
    assert set(keys.fields(["method", "route", "ip"], hops=0)) == set()
    assert set(keys.fields(["header:X-Key", "ip"], hops=2)) == {b"x-key", b"x-forwarded-for"}


def test_credentials_are_not_shown() -> None:
    shown = keys.shown(["header:x-api-key", "ip"], b"secret\n192.0.2.1")
    assert "secret" not in shown
    assert shown != keys.shown(["header:x-api-key", "ip"], b"other\n192.0.2.1")
    assert keys.shown(["ip", "method"], b"192.0.2.1\nGET") == "192.0.2.1 GET"
    assert keys.shown(["method"], b"\xff") == "\\xff"


@given(one=lists(FIELD_TEXT, min_size=2, max_size=2), two=lists(FIELD_TEXT, min_size=2, max_size=2))
def test_different_callers_have_different_keys(one: list[str], two: list[str]) -> None:
    read = keys.read(["header:a", "header:b"], hops=0)
    first, second = (read(exchange(a=pair[0], b=pair[1])) for pair in (one, two))
    assert (first == second) == (one == two)


@pytest.mark.parametrize("word", ["ip", "route", "header:x-a", "header:X_b.1"])
def test_the_pattern_knows_the_words(word: str) -> None:
    assert re.match(keys.PATTERN, word)


@pytest.mark.parametrize("word", ["", "host", "header:", "header:a b", "header:a:b", "ips", "IP"])
def test_the_pattern_knows_no_other_words(word: str) -> None:
    assert not re.match(keys.PATTERN, word)
