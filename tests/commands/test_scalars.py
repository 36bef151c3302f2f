"""Plain scalars are what kubectl takes them for."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from meshproxy.commands.scalars import doubtful, resolve


# The right side is what `kubectl label --local -o json` of 1.32 made of the left one.
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("y", True), ("n", False), ("On", True), ("OFF", False), ("yEs", "yEs"), ("tRUE", "tRUE"),
        ("~", None), ("Null", None), ("", None), ("nUll", "nUll"),
        ("017", 15), ("0o17", 15), ("0o440", 288), ("0_17", 15), ("-0o7", -7), ("08", 8.0),
        ("0x1F", 31), ("0X1f", 31), ("-0x1f", -31), ("0b11", 3), ("-0b1", -1), ("0b", "0b"),
        ("1_000", 1000), ("1__2", 12), ("_1", "_1"), ("+5", 5), ("0", 0),
        ("1e3", 1000.0), ("1e+3", 1000.0), ("1.", 1.0), (".5", 0.5), ("+.5", 0.5), (".", "."),
        ("18446744073709551615", 2**64 - 1), ("99999999999999999999", 1e20), ("9" * 5000, math.inf),
        ("12:30:45", "12:30:45"), ("1:30", "1:30"), ("2020-01-01", "2020-01-01"), ("=", "="),
        (".inf", math.inf), ("-.INF", -math.inf), ("text", "text"), ("-", "-"), ("0x", "0x"),
    ],
)  # fmt: skip
def test_it_means_what_kubectl_takes_it_for(text: str, value: Any) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_not_a_number_is_a_float() -> None:
    assert resolve(".nan") is resolve(".NaN")
    assert isinstance(resolve(".nan"), float)


@pytest.mark.parametrize(
    "text",
    ["y", "NO", "1e3", "1e+3", "0o17", "08", "1:30", "12:30:45", "", "~", "<<", "=", "2026-11-28",
     "nULL", "0x", "1_0", "1,000", ".5", "+1", ".NaN", "0b2", "1.27"],
)  # fmt: skip
def test_what_some_reader_takes_for_something_else_is_doubtful(text: str) -> None:
    assert doubtful(text)


@pytest.mark.parametrize("text", ["app", ":8080", "app:1", "100m", "96Mi", "yes please", "a1", "-"])
def test_what_every_reader_takes_for_text_is_not(text: str) -> None:
    assert not doubtful(text)


@example("")
@example("0_B0")
@given(st.text("0123456789abefoxynlusBOXYEt._:+-~=<", max_size=6))
def test_whatever_is_not_text_to_one_of_two_readers_is_doubtful(text: str) -> None:
    other = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))
    if other != "tag:yaml.org,2002:str" or not isinstance(resolve(text), str):
        assert doubtful(text)
