"""What few requests have: an upgrade, an expectation, a way they came, a last hop.

Read apart from the fields of every request, so that those cost nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshproxy.core.exchange import Exchange
from meshproxy.core.verdict import Refusal
from meshproxy.dataplane import refusals
from meshproxy.dataplane.kinds import BAD, EXPECT, FOR_PROXY, MAX_FORWARDS, ORIGIN, UPGRADE, VIA

MAX_VIA_HOPS = 32
VIA_LINE = b"\r\nvia: 1.1 meshproxy"


class Rare:
    """Collects them while the fields are read; `end` acts on what they mean together."""

    __slots__ = ("_origin", "_upgrade", "asked")

    def __init__(self) -> None:
        self.asked = False  # `Connection: upgrade`, without which Upgrade says nothing
        self._origin: dict[bytes, bytes] = {}
        self._upgrade: bytes | None = None

    def read(self, exchange: Exchange, kind: int, name: bytes, value: bytes) -> Refusal | None:
        if kind == UPGRADE:
            self._upgrade = value if self._upgrade is None else b""
            return None
        if kind == ORIGIN:
            take(self._origin, name, value)
            return None
        if kind == BAD:
            return refusals.BAD_NAME
        if kind == VIA and value.count(b",") >= MAX_VIA_HOPS:
            return refusals.LOOP
        if kind == FOR_PROXY and exchange.host:
            return None  # RFC 9110 section 11.7.2: whoever names a target means us by it
        if kind == MAX_FORWARDS:
            return _count_down(exchange, name, value)
        if kind == EXPECT:
            # RFC 9110 section 10.1.1: an HTTP/1.0 client cannot expect anything.
            if not exchange.minor:
                return None
            if value.lower() != b"100-continue":
                return refusals.BAD_EXPECT
        exchange.lines.append(name + b": " + value)
        return None

    def end(self, exchange: Exchange, host: bytes) -> Refusal | None:
        if self._upgrade is not None:
            if exchange.length:
                # RFC 9931: bytes after such a head could be body or the new protocol.
                return refusals.BAD_UPGRADE
            self._ask_to_switch(exchange, self._upgrade)
        if self._origin and exchange.peer.trusted:
            _extend_origin(exchange, self._origin, host)
        else:
            exchange.lines.append(exchange.peer.forwarded + host + VIA_LINE)
        return None

    def _ask_to_switch(self, exchange: Exchange, protocol: bytes) -> None:
        """RFC 6455 section 4.1; every other protocol is not ours to tunnel, and is stripped.

        A client that sends bytes of the new protocol before it was agreed on must not have
        them read as a request: if the answer is not 101, its connection ends (RFC 9931).
        """
        if not (self.asked and exchange.minor and exchange.method == b"GET"):
            return
        if protocol.lower() == b"websocket":
            exchange.tunnel = True
            exchange.keep_alive = False
            exchange.lines.append(b"connection: upgrade\r\nupgrade: websocket")


def _count_down(exchange: Exchange, name: bytes, value: bytes) -> Refusal | None:
    """RFC 9110 section 7.6.2: whoever receives a 0 answers for itself."""
    if exchange.method not in (b"OPTIONS", b"TRACE"):
        exchange.lines.append(name + b": " + value)
        return None
    if not value.isdigit() or len(value) > 9:
        return refusals.BAD_SYNTAX
    left = int(value)
    if left:
        exchange.lines.append(b"%b: %d" % (name, left - 1))
        return None
    return refusals.NO_TRACE if exchange.method == b"TRACE" else refusals.OPTIONS_HERE


def take(taken: dict[bytes, bytes], name: bytes, value: bytes) -> None:
    """Keep a value by its lower-case name; more of one name are joined (RFC 9110 5.3)."""
    lower = name.lower()
    known = taken.get(lower)
    taken[lower] = value if known is None else known + b", " + value


def _extend_origin(exchange: Exchange, origin: Mapping[bytes, bytes], host: bytes) -> None:
    """A trusted peer speaks for others: extend what it says instead of starting anew."""
    peer = exchange.peer.address.encode()
    before = origin.get(b"x-forwarded-for")
    others = origin.keys() - {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}
    exchange.lines += [name + b": " + origin[name] for name in sorted(others)]
    exchange.taken[b"x-forwarded-for"] = before or b""
    exchange.lines.append(
        b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-host: %b\r\n"
        b"via: 1.1 meshproxy"
        % (
            peer if not before else before + b", " + peer,
            origin.get(b"x-forwarded-proto") or b"http",
            origin.get(b"x-forwarded-host") or host,
        )
    )
