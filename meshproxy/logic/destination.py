"""Where a forward proxy may go: how a host is written, which are listed, which addresses never.

Pure: names are resolved elsewhere, and every address that a name leads to comes back here to
be judged. An address that carries another one inside is judged as both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Ours = Callable[[str], bool]
"""Whether an address is one of this machine."""

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,254}}\Z){_LABEL}(\.{_LABEL})*\.?")
_PORT = re.compile(r"[0-9]{1,5}")
# The URL standard's "ends in a number": whatever ends so is an IPv4 address or nothing.
_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)\.?")

HOW = "write a host or host:port, as in api.example.com, *.example.com or 10.0.3.7:8080"


# ---- hosts


@dataclass(frozen=True, slots=True)
class Destination:
    """A name, or an IP address without brackets; and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read(authority: str, port: int) -> Destination | str:
    """What a lower-case `host` or `host:port` means, or a sentence that says why nothing.

    `port` is the one that is meant where none is written.
    """
    host, digits = _split(authority)
    if digits:
        port = int(digits) if _PORT.fullmatch(digits) else 0
    if not 0 < port < 65536:
        return f"{_shown(authority)} has no port that can be called"
    name, wrong = _read_host(host)
    return wrong or Destination(name, port)


def _split(authority: str) -> tuple[str, str]:
    """Host and port; the brackets of an IPv6 address stay with it."""
    at = authority.find(":", authority.find("]") + 1)
    return (authority, "") if at < 0 else (authority[:at], authority[at + 1 :] or "?")


def _read_host(host: str) -> tuple[str, str]:
    """The host as it is dialled, or what is wrong with it."""
    if host.startswith("["):
        ip = _literal(host[1:-1]) if host.endswith("]") else None
        if ip is None or ip.version != 6:
            return "", f"{_shown(host)} is no IPv6 address"
        return str(ip), ""
    if _NUMBER.fullmatch(host):
        # What inet_aton takes for 127.0.0.1: 0x7f.1, 2130706433, 017700000001, 127.1, ...
        if _literal(host) is None:
            return "", f"{_shown(host)} is no IPv4 address: it has four decimal numbers"
        return host, ""
    if not _NAME.fullmatch(host):
        return "", f"{_shown(host)} is not a name that can be called"
    return host, ""


def _shown(text: str) -> str:
    return repr(text[:100])


def _literal(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


# ---- what is listed


@dataclass(frozen=True, slots=True)
class Pattern:
    """A host, `*.` and a name for all that is below it, or `*`; and a port, None for any."""

    host: str
    port: int | None


def read_pattern(text: str, port: int) -> Pattern:
    """One entry of a list; `port` where it says none. ValueError says how to write it."""
    host, digits = _split(text.lower())
    below = "*." if host.startswith("*.") else ""
    if host != "*":
        name, wrong = _read_host(host.removeprefix(below))
        if wrong and _NUMBER.fullmatch(host):
            raise ValueError("an IPv4 address has four decimal numbers")
        if wrong or (below and _literal(name) is not None):
            raise ValueError(HOW)
        host = name.removesuffix(".")
    if digits == "*":
        return Pattern(below + host, None)
    if digits and not digits.isdigit():
        raise ValueError(HOW)
    if digits and not (_PORT.fullmatch(digits) and 0 < int(digits) < 65536):
        raise ValueError("a port is a number from 1 to 65535, or *")
    return Pattern(below + host, int(digits) if digits else port)


class AllowList:
    """Destinations that may be asked for."""

    __slots__ = ("_listed",)

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._listed = frozenset((each.host, each.port) for each in patterns)

    def holds(self, destination: Destination) -> bool:
        listed, port = self._listed, destination.port
        return any((host, port) in listed or (host, None) in listed for host in _hosts(destination))


ANYWHERE = AllowList([Pattern("*", None)])


def _hosts(destination: Destination) -> Iterator[str]:
    """Every host of a pattern that this destination would meet."""
    host = destination.host.removesuffix(".")
    yield host
    yield "*"
    if _literal(host) is None:
        while "." in host:
            host = host.partition(".")[2]
            yield f"*.{host}"


# ---- what is never called

_CLOSED: tuple[tuple[str, tuple[Network, ...]], ...] = tuple(
    (what, tuple(ip_network(one) for one in networks.split()))
    for what, networks in (
        ("a loopback address", "127.0.0.0/8 ::1"),
        # First, because most of these lie in a range that is named below: the clouds' own.
        ("a metadata service", "169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16"),
        ("a metadata service", "192.0.0.192 fd00:ec2::254 fd00:ec2::23 fd20:ce::254"),
        ("a link-local address", "169.254.0.0/16 fe80::/10"),
        ("an unspecified address", "0.0.0.0/8 ::"),
        ("a multicast address", "224.0.0.0/4 ff00::/8"),
        ("the broadcast address", "255.255.255.255"),
        ("a reserved address", "240.0.0.0/4"),
        # RFC 8215: where in it the IPv4 address stands is known to its network alone.
        ("a local translation address", "64:ff9b:1::/48"),
    )
)

_CARRIERS: tuple[tuple[IPv6Network, int, int], ...] = (
    (IPv6Network("::ffff:0:0/96"), 0, 0),  # IPv4-mapped, RFC 4291 section 2.5.5.2
    (IPv6Network("::ffff:0:0:0/96"), 0, 0),  # IPv4-translated, RFC 2765
    (IPv6Network("::/96"), 0, 0),  # IPv4-compatible, RFC 4291 section 2.5.5.1
    (IPv6Network("64:ff9b::/96"), 0, 0),  # NAT64, RFC 6052
    (IPv6Network("2002::/16"), 80, 0),  # 6to4, RFC 3056
    (IPv6Network("2001::/32"), 64, 0),  # Teredo's server, RFC 4380
    (IPv6Network("2001::/32"), 0, 0xFFFFFFFF),  # Teredo's client, each bit turned round
)
"""IPv6 prefixes with an IPv4 address inside: how far it is to be shifted, and turned."""

_ISATAP, _ISATAP_MASK = 0x00005EFE, 0xFDFFFFFF  # RFC 5214: bits 64 to 95, under any prefix


class Guard:
    """Says of an address that a name leads to why it must not be called, if that is so.

    `opened` are ranges that may be called though they are closed by themselves; `own_ports`
    are never called on this machine, whatever is open.
    """

    __slots__ = ("_opened", "_own_ports")

    def __init__(self, opened: Iterable[Network] = (), own_ports: Iterable[int] = ()) -> None:
        self._opened = tuple(opened)
        self._own_ports = frozenset(own_ports)

    def why_not(self, ip: str, port: int, ours: Ours) -> str | None:
        """The end of a sentence that begins with the destination."""
        faces = tuple(_faces(ip_address(ip)))
        if port in self._own_ports and (any(map(_is_here, faces)) or ours(ip)):
            return "is a port of this sidecar itself"
        for face in faces:
            what = _closed(face)
            if what and not any(face in network for network in self._opened):
                verb = "is" if len(faces) == 1 else "holds"
                return f"{verb} {what}, which networks does not open"
        return None


def _closed(ip: Address) -> str:
    for what, networks in _CLOSED:
        if any(ip in network for network in networks):
            return what
    return ""


def _is_here(ip: Address) -> bool:
    # To call the unspecified address is to call oneself.
    return ip.is_loopback or ip.is_unspecified


def _faces(ip: Address) -> Iterator[Address]:
    """An address and those that it carries inside."""
    yield ip
    number = int(ip)
    # Not by is_loopback, which newer Pythons also say of a mapped address.
    if ip.version == 4 or number in (0, 1):
        return
    for network, shift, turn in _CARRIERS:
        if ip in network:
            yield IPv4Address(number >> shift & 0xFFFFFFFF ^ turn)
    if number >> 32 & _ISATAP_MASK == _ISATAP:
        yield IPv4Address(number & 0xFFFFFFFF)
