"""The client's address is what trusted hops say, and nothing that others wrote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers

from meshproxy.logic.forwarded import client_address

PEER = "10.0.0.9"


@pytest.mark.parametrize(
    ("header", "hops", "address"),
    [
        (b"203.0.113.7", 1, "203.0.113.7"),
        (b"198.51.100.1, 203.0.113.7", 1, "203.0.113.7"),
        (b"198.51.100.1, 203.0.113.7", 2, "198.51.100.1"),
        (b"6.6.6.6,198.51.100.1 ,\t203.0.113.7", 2, "198.51.100.1"),
        (b"203.0.113.7", 2, PEER),
        (b"203.0.113.7", 0, PEER),
        (b"203.0.113.7:4711", 1, "203.0.113.7"),
        (b"2001:DB8::1", 1, "2001:db8::1"),
        (b'"[2001:db8::1]:4711"', 1, "2001:db8::1"),
        (b"unknown", 1, PEER),
        (b"_hidden", 1, PEER),
        (b"deadbeef", 1, PEER),
        (b"", 1, PEER),
        (b"1.2.3.4,", 1, PEER),
        (b"1." * 40, 1, PEER),
    ],
)
def test_the_entry_of_the_outermost_trusted_hop_counts(
    header: bytes, hops: int, address: str
) -> None:
    assert client_address(PEER, True, header, hops) == address


def test_a_peer_that_is_not_trusted_speaks_for_itself_alone() -> None:
    assert client_address(PEER, False, b"203.0.113.7", 1) == PEER


def test_without_the_header_the_peer_is_the_client() -> None:
    assert client_address(PEER, True, None, 3) == PEER


@given(header=binary(max_size=200), hops=integers(0, 5))
def test_whatever_is_sent_an_address_comes_out(header: bytes, hops: int) -> None:
    address = client_address(PEER, True, header, hops)
    assert set(address) <= set("0123456789abcdef.:")
    assert 2 <= len(address) <= 45
