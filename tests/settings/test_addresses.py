"""Addresses: how they are read, and which of them are the same place."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.settings.addresses import Address, app, parse, upstream


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("users.shop.svc:80", Address("users.shop.svc", 80)),
        ("Users:80", Address("users", 80)),
        ("[::1]:80", Address("::1", 80)),
        ("[0:0::1]:80", Address("::1", 80)),
        ("0.0.0.0:0", Address("0.0.0.0", 0)),
    ],
)
def test_a_host_and_a_port_are_read(text: str, address: Address) -> None:
    assert parse(text) == address


def test_an_address_reads_back_as_it_is_written() -> None:
    for text in ("127.0.0.1:80", "[::1]:80", "users:80"):
        assert str(parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "80", ":80", "a:", "a:x", "a:65536", "a:-1", "::1:80", "[::1]", "[a]:80", "a b:80",
     "-a:80", "300.1.1.1:80", "1.2.3:80", "a/b:80", 80, None, "[::1:80", "a:8 0", "a:٣"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: object) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_a_port_alone_is_this_machine_where_something_is_called() -> None:
    assert upstream(":80") == Address("127.0.0.1", 80)
    with pytest.raises(ValueError, match="port 0"):
        upstream("a:0")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("http://localhost/", Address("localhost", 80)),
        ("http://[::1]", Address("::1", 80)),
        (":8080", Address("127.0.0.1", 8080)),
        ("app:1", Address("app", 1)),
    ],
)
def test_the_app_may_be_written_as_a_url(text: str, address: Address) -> None:
    assert app(text) == address


@pytest.mark.parametrize(
    "text", ["https://a:1", "ftp://a:1", "http://a:1/x", "http://a:1?x", "http://u@a:1", "http://"]
)
def test_only_the_origin_of_an_http_url_is_an_app(text: str) -> None:
    with pytest.raises(ValueError):
        app(text)


@pytest.mark.parametrize(
    ("target", "listener", "same"),
    [
        ("127.0.0.1:1", "127.0.0.1:1", True),
        ("127.0.0.1:1", "0.0.0.0:1", True),
        ("localhost:1", "127.0.0.1:1", True),
        ("127.0.0.2:1", "0.0.0.0:1", True),
        ("127.0.0.1:1", "127.0.0.1:2", False),
        ("10.0.0.1:1", "127.0.0.1:1", False),
        ("10.0.0.1:1", "0.0.0.0:1", False),
        ("[::1]:1", "[::]:1", True),
    ],
)
def test_a_target_reaches_a_listener_of_this_machine(
    target: str, listener: str, same: bool
) -> None:
    assert parse(target).reaches(parse(listener)) is same


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("127.0.0.1:1", "127.0.0.1:1", True),
        ("127.0.0.1:1", "0.0.0.0:1", True),
        ("127.0.0.1:1", "127.0.0.2:1", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        ("127.0.0.1:1", "127.0.0.1:2", False),
    ],
)
def test_two_listeners_clash_on_one_port_of_one_host(one: str, other: str, clash: bool) -> None:
    assert parse(one).clashes(parse(other)) is clash
    assert parse(other).clashes(parse(one)) is clash


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused_with_a_sentence(text: str) -> None:
    for read in (parse, upstream, app):
        outcome = _outcome(read, text)
        assert isinstance(outcome, Address) or outcome


def _outcome(read: Callable[[str], Address], text: str) -> Address | str:
    try:
        return read(text)
    except ValueError as error:
        return str(error)
