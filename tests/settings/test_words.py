"""Words of the file as types."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from meshproxy.settings.words import Failure, Host, Label, Name, Network, Prefix, Version


def read(kind: Any, value: object) -> object:
    return TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    ("kind", "value", "meaning"),
    [
        (Failure, "5xx", "5xx"),
        (Failure, 429, "429"),
        (Failure, "connect-failure", "connect-failure"),
        (Network, "10.0.0.0/8", ip_network("10.0.0.0/8")),
        (Network, "10.0.0.1", ip_network("10.0.0.1/32")),
        (Network, "fd00::/8", ip_network("fd00::/8")),
        (Host, "Payments.Shop", "payments.shop"),
        (Host, "payments:80", "payments"),
        (Host, "payments:8080", "payments:8080"),
        (Label, "create order", "create order"),
        (Name, "a", "a"),
        (Name, "a-b.c_d", "a-b.c_d"),
        (Prefix, "/a/b-c", "/a/b-c"),
        (Version, "v2", "v2"),
        (Version, "1.4.0-rc1+7_a", "1.4.0-rc1+7_a"),
    ],
)
def test_a_word_is_read(kind: Any, value: object, meaning: object) -> None:
    assert read(kind, value) == meaning


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Failure, "6xx"), (Failure, 200), (Failure, True), (Failure, "client-gone"),
        (Network, "10.0.0.1/8"), (Network, "10"), (Network, 10), (Network, ""),
        (Host, ""), (Host, "a b"), (Host, "http://a"), (Host, "a/b"), (Host, "*"),
        (Label, ""), (Label, "x" * 101), (Label, "ü"), (Label, "a\nb"), (Label, "__unmatched__"),
        (Name, ""), (Name, "-a"), (Name, "a-"), (Name, "a b"), (Name, "x" * 64),
        (Version, ""), (Version, 2), (Version, 1.4), (Version, "x" * 41), (Version, "a b"),
        (Version, "__none__"), (Version, "-a"), (Version, 'a"b'), (Version, "v2\n"),
        (Prefix, "/"), (Prefix, "a"), (Prefix, "/a/"), (Prefix, "/a//b"), (Prefix, "/a*"),
    ],
)  # fmt: skip
def test_what_is_no_such_word_is_refused(kind: Any, value: object) -> None:
    with pytest.raises(ValidationError):
        read(kind, value)
