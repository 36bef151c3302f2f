"""How a host is written, what a list holds, and which addresses are never called."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.logic.destination import (
    ANYWHERE,
    AllowList,
    Destination,
    Guard,
    Pattern,
    read,
    read_pattern,
)

CLOSED = "which networks does not open"


def nobody(ip: str) -> bool:
    """A machine without an address."""
    return False


def why_not(ip: str, *opened: str, port: int = 80, own: tuple[int, ...] = ()) -> str | None:
    return Guard(map(ip_network, opened), own).why_not(ip, port, nobody)


@pytest.mark.parametrize(
    ("authority", "host", "port"),
    [
        ("example.com", "example.com", 80),
        ("example.com:8080", "example.com", 8080),
        ("example.com.", "example.com.", 80),
        ("a_b-c.d", "a_b-c.d", 80),
        ("x", "x", 80),
        ("10.0.3.7:1", "10.0.3.7", 1),
        ("[::1]", "::1", 80),
        ("[fd00::0007]:65535", "fd00::7", 65535),
        ("1.2.3.4.in-addr.arpa", "1.2.3.4.in-addr.arpa", 80),
        ("0x7f.1.example", "0x7f.1.example", 80),
    ],
)
def test_a_host_is_a_name_or_an_address_and_has_a_port(
    authority: str, host: str, port: int
) -> None:
    assert read(authority, 80) == Destination(host, port)


@pytest.mark.parametrize(
    "host",
    [
        "0x7f.1", "0x7f000001", "2130706433", "017700000001", "127.1", "1.2.3", "0177.0.0.1",
        "127.0.0.1.", "127.0.0.01", "127.0.0.0x1", "0x", "a.0x", "example.1", "256.1.1.1",
        "1.2.3.4.5", "169.254.43518", "4294967296",
    ],
)  # fmt: skip
def test_an_odd_spelling_of_an_ipv4_address_is_none(host: str) -> None:
    assert read(host, 80) == f"{host!r} is no IPv4 address: it has four decimal numbers"


@pytest.mark.parametrize(
    "authority",
    ["", ".", "a..b", ".a", "-a.b", "a-.b", "a~b", "a" * 64, "a." * 127 + "b", "[::1", "[1.2.3.4]",
     "[::1]x", "[]", "[fe80::1%1]x", "é"],
)  # fmt: skip
def test_what_is_no_host_says_so(authority: str) -> None:
    assert isinstance(read(authority, 80), str)


@pytest.mark.parametrize("port", ["", "0", "65536", "99999", "http", "80:80", "-1", "1e3", "¹"])
def test_a_port_is_a_number_that_can_be_called(port: str) -> None:
    assert read(f"a:{port}", 80) == f"'a:{port}' has no port that can be called"


def test_a_long_host_is_not_repeated_in_full() -> None:
    assert len(str(read("a" * 8000 + "..", 80))) < 150


@given(st.from_regex(r"\A[0-9a-fx.:\[\]-]{1,24}\Z"))
def test_what_is_taken_for_an_address_has_one_spelling(authority: str) -> None:
    found = read(authority, 80)
    if isinstance(found, Destination) and not found.host.strip("0123456789."):
        assert str(ip_address(found.host)) == found.host


@pytest.mark.parametrize(
    ("pattern", "taken", "refused"),
    [
        (
            "api.stripe.com",
            ["api.stripe.com", "api.stripe.com."],
            ["stripe.com", "x.api.stripe.com"],
        ),
        ("api.stripe.com:443", ["api.stripe.com:443"], ["api.stripe.com"]),
        ("API.Stripe.com.", ["api.stripe.com"], []),
        ("*.example.com", ["a.example.com", "b.a.example.com"], ["example.com", "aexample.com"]),
        ("*.example.com:*", ["a.example.com:1"], ["example.com:1"]),
        ("*", ["a", "10.0.0.1", "[fd00::1]"], ["a:81"]),
        ("*:443", ["a:443"], ["a"]),
        ("10.0.3.7:8080", ["10.0.3.7:8080"], ["10.0.3.7", "10.0.3.8:8080"]),
        ("[fd00::0:1]:80", ["[fd00::1]"], ["[fd00::2]"]),
    ],
)
def test_a_list_holds_what_its_patterns_mean(
    pattern: str, taken: list[str], refused: list[str]
) -> None:
    listed = AllowList([read_pattern(pattern, 80)])
    for authority in (*taken, *refused):
        found = read(authority, 80)
        assert isinstance(found, Destination)
        assert listed.holds(found) is (authority in taken)


def test_a_pattern_has_the_port_of_its_list_unless_it_says_one() -> None:
    assert read_pattern("a", 443) == Pattern("a", 443)
    assert read_pattern("a:80", 443) == Pattern("a", 80)
    assert read_pattern("a:*", 443) == Pattern("a", None)


@pytest.mark.parametrize(
    "text",
    ["", "http://a", "a/b", "*a", "a.*", "*.*", "*.", "**", "a b", "a:", "a:0", "a:70000", "a:b",
     "*.1.2", "*.10.0.0.1", "*.[::1]", "[::1", "0x7f.1", "127.1", "1.2.3.4.5", "fd00::1"],
)  # fmt: skip
def test_a_pattern_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|port|decimal"):
        read_pattern(text, 80)


def test_anywhere_is_every_host_and_port() -> None:
    assert ANYWHERE.holds(Destination("a.b", 1))
    assert ANYWHERE.holds(Destination("::1", 65535))


@pytest.mark.parametrize(
    ("ip", "told"),
    [
        ("127.0.0.1", "is a loopback address"),
        ("127.255.255.254", "is a loopback address"),
        ("::1", "is a loopback address"),
        ("169.254.0.1", "is a link-local address"),
        ("fe80::1", "is a link-local address"),
        ("febf::1%eth0", "is a link-local address"),
        ("0.0.0.0", "is an unspecified address"),
        ("0.1.2.3", "is an unspecified address"),
        ("::", "is an unspecified address"),
        ("224.0.0.1", "is a multicast address"),
        ("ff02::1", "is a multicast address"),
        ("255.255.255.255", "is the broadcast address"),
        ("240.0.0.1", "is a reserved address"),
        ("169.254.169.254", "is a metadata service"),
        ("100.100.100.200", "is a metadata service"),
        ("168.63.129.16", "is a metadata service"),
        ("192.0.0.192", "is a metadata service"),
        ("fd00:ec2::254", "is a metadata service"),
        ("64:ff9b:1::7f00:1", "is a local translation address"),
    ],
)  # fmt: skip
def test_some_addresses_are_never_called(ip: str, told: str) -> None:
    assert why_not(ip) == f"{told}, {CLOSED}"


@pytest.mark.parametrize(
    "ip",
    [
        "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", "::ffff:0:127.0.0.1",
        "64:ff9b::169.254.169.254", "2002:7f00:1::", "2002:a9fe:a9fe:1::1",
        "2001:0:7f00:1::", "2001:0:808:808:0:0:80ff:fffe", "2001:db8::5efe:127.0.0.1",
        "fe00::200:5efe:127.0.0.1",
    ],
)  # fmt: skip
def test_an_address_inside_another_counts(ip: str) -> None:
    assert str(why_not(ip)).startswith("holds a ")


@pytest.mark.parametrize(
    "ip",
    ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "8.8.8.8", "fd00::1", "2001:db8::1",
     "::ffff:10.0.0.1", "64:ff9b::808:808", "2002:a00:1::", "1.0.0.0", "223.255.255.255"],
)  # fmt: skip
def test_where_services_live_may_be_called(ip: str) -> None:
    assert why_not(ip) is None


def test_a_range_that_is_opened_may_be_called_in_every_spelling_of_it() -> None:
    assert why_not("127.0.0.1", "127.0.0.0/8") is None
    assert why_not("::1", "::1/128") is None
    assert why_not("::ffff:127.0.0.1", "127.0.0.0/8") is None
    assert why_not("::1", "127.0.0.0/8") == f"is a loopback address, {CLOSED}"
    assert why_not("169.254.1.1", "127.0.0.0/8") == f"is a link-local address, {CLOSED}"


def test_the_sidecars_own_ports_stay_closed_in_an_open_range() -> None:
    for ip in ("127.0.0.1", "127.0.0.2", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"):
        told = why_not(ip, "0.0.0.0/0", "::/0", port=15000, own=(15000,))
        assert told == "is a port of this sidecar itself"
        assert why_not(ip, "0.0.0.0/0", "::/0", port=15001, own=(15000,)) is None


def test_its_own_ports_are_closed_on_each_of_the_machines_addresses_and_open_elsewhere() -> None:
    guard = Guard(own_ports=[15006])
    told = guard.why_not("10.0.0.5", 15006, lambda ip: ip == "10.0.0.5")
    assert told == "is a port of this sidecar itself"
    assert guard.why_not("10.0.0.6", 15006, lambda ip: ip == "10.0.0.5") is None


@given(st.integers(0, 2**32 - 1))
def test_a_closed_address_is_closed_inside_ipv6(number: int) -> None:
    ip = ip_address(number)
    mapped, nat64 = f"::ffff:{ip}", f"64:ff9b::{ip}"
    assert (why_not(str(ip)) is None) == (why_not(mapped) is None) == (why_not(nat64) is None)
