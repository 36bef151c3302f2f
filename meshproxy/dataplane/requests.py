"""Request heads: from bytes to an exchange, and on to an upstream's bytes.

Decides everything that llhttp leaves to its user (RFC 9112 framing, Host, the target, the
version) before anything is dialled. Knows no policy: which fields are taken or dropped for
one stands in `kinds`, compiled from what the policies declare.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from meshproxy.core.exchange import CHUNKED, Exchange
from meshproxy.core.route import Plan
from meshproxy.core.verdict import Refusal
from meshproxy.dataplane import refusals
from meshproxy.dataplane.kinds import (
    BAD,
    CONNECTION,
    DROP,
    ENCODING,
    EXPECT,
    HOST,
    LENGTH,
    ORIGIN,
    PROTECTED,
    READ,
    UNFRAMED,
    UPGRADE,
    VIA,
)
from meshproxy.logic.path import canonical

# Of the methods that are registered, those that need no tunnel; CONNECT is not supported yet.
_METHODS = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"ACL", b"BIND",
     b"CHECKOUT", b"COPY", b"LINK", b"LOCK", b"MERGE", b"MKACTIVITY", b"MKCALENDAR", b"MKCOL",
     b"MOVE", b"NOTIFY", b"PROPFIND", b"PROPPATCH", b"PURGE", b"QUERY", b"REBIND", b"REPORT",
     b"SEARCH", b"SUBSCRIBE", b"UNBIND", b"UNLINK", b"UNLOCK", b"UNSUBSCRIBE", b"M-SEARCH"}
)  # fmt: skip
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

# RFC 9112 section 3.2 with RFC 3986: visible ASCII without the fragment mark and backslash.
_TARGET_BYTES = bytes(c for c in range(0x21, 0x7F) if c not in b"#\\")
_HOST = re.compile(rb"(?:\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._~-]+)(?::[0-9]{1,5})?")

# What was found valid before is not looked at again: 0.2 us for a host, 1.5 for a first line.
MAX_REMEMBERED = 1024
LONGEST_REMEMBERED = 128
_hosts: dict[bytes, bytes] = {}
_starts: dict[bytes, tuple[bytes, bytes, bytes, int]] = {}


MAX_VIA_HOPS = 32
VIA_LINE = b"\r\nvia: 1.1 meshproxy"


def read_request(exchange: Exchange, head: bytes, plan: Plan) -> Refusal | None:
    """Fill the exchange from a whole head, its empty line included, or say why not.

    What this takes must still pass `heads.Check`: names and values are not looked at here.
    """
    parts = plan.kinds.split(head[:-4])
    start, _, before = parts[0].partition(b"\r\n")
    known = _starts.get(start)
    if known is not None:
        exchange.method, exchange.target, exchange.path, exchange.minor = known
    else:
        refusal = _read_start(exchange, start, plan)
        if refusal is not None:
            return refusal
    if not exchange.minor:
        exchange.keep_alive = False
    limits = plan.limits
    if head.count(b"\r\n") - 2 > limits.headers:
        return refusals.MANY_FIELDS
    if len(head) > limits.header_bytes:
        return refusals.LONG_HEAD
    if before:
        exchange.lines.append(before)
    if len(parts) > 1:
        return _read_fields(exchange, parts, plan)
    exchange.lines.append(exchange.peer.forwarded + exchange.host + VIA_LINE)
    return _read_host_asked(exchange, None, exchange.host)


def _read_start(exchange: Exchange, start: bytes, plan: Plan) -> Refusal | None:
    """The request line (RFC 9112 section 3): exactly three words, one blank apart."""
    words = start.split(b" ")
    if len(words) != 3:
        return refusals.BAD_SYNTAX
    exchange.method, target, version = words
    if version != b"HTTP/1.1":
        if version != b"HTTP/1.0":
            return refusals.BAD_VERSION if version[:5] == b"HTTP/" else refusals.BAD_SYNTAX
        exchange.minor = 0
    if exchange.method not in _METHODS:
        return refusals.BAD_METHOD if _TOKEN.fullmatch(exchange.method) else refusals.BAD_SYNTAX
    if len(target) > plan.limits.uri_bytes:
        return refusals.LONG_TARGET
    if target.translate(None, _TARGET_BYTES):
        return refusals.BAD_TARGET
    if target[:1] == b"/":
        return _read_path(exchange, target, start)
    if target == b"*" and exchange.method == b"OPTIONS":
        exchange.target = exchange.path = target
        return None
    return _read_absolute(exchange, target)


def _read_path(exchange: Exchange, target: bytes, start: bytes) -> Refusal | None:
    """The canonical path, by which routes are found and which is what goes on."""
    clean = canonical(target)
    if clean is None:
        return refusals.BAD_PATH
    mark = clean.find(b"?")
    exchange.target, exchange.path = clean, clean if mark < 0 else clean[:mark]
    if 0 < len(start) <= LONGEST_REMEMBERED:
        if len(_starts) >= MAX_REMEMBERED:
            _starts.clear()
        _starts[start] = exchange.method, exchange.target, exchange.path, exchange.minor
    return None


def _read_absolute(exchange: Exchange, target: bytes) -> Refusal | None:
    """RFC 9112 section 3.2.2: the target's authority replaces the Host field."""
    if target[:7].lower() != b"http://":
        return refusals.BAD_TARGET
    rest = target[7:]
    end = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    if _read_host(authority) is None:
        return refusals.BAD_TARGET
    exchange.host = authority
    return _read_path(exchange, path if path[:1] == b"/" else b"/" + path, b"")


def _read_fields(exchange: Exchange, parts: list[bytes], plan: Plan) -> Refusal | None:
    """The fields that matter, and between them what passes as it is."""
    kinds = plan.kinds
    table = kinds.table
    lines = exchange.lines
    host: bytes | None = None
    framing = UNFRAMED
    rare: _Rare | None = None
    pieces = iter(parts)
    next(pieces)
    for name, given, between in zip(pieces, pieces, pieces, strict=True):
        kind = table.get(name)
        if kind is None:
            kind = kinds.of(name)
        if kind == HOST:
            if host is not None:
                return refusals.NO_HOST
            host = given.strip(b" \t")
            lines.append(name + b": " + (exchange.host or host))
        elif kind >= READ:
            _take(exchange.taken, name, given.strip(b" \t"))
            if kind == READ:
                lines.append(name + b": " + given)
        elif kind == CONNECTION:
            if given == b"keep-alive":
                exchange.keep_alive = True
            else:
                refusal, nominated = _read_connection(exchange, given, table)
                if refusal is not None:
                    return refusal
                if nominated:
                    return _without(nominated, exchange, parts, plan)
        elif kind in (LENGTH, ENCODING):
            refusal = _read_framing(exchange, kind, name, given.strip(b" \t"), framing)
            if refusal is not None:
                return refusal
            framing |= kind
        elif kind != DROP:
            rare = rare or _Rare()
            refusal = rare.read(exchange, kind, name, given.strip(b" \t"))
            if refusal is not None:
                return refusal
        if between:
            lines.append(between[2:])
    asked = host or b""
    known = _hosts.get(asked)
    if known is not None and not exchange.host:
        exchange.host = known
    else:
        asked = exchange.host or asked
        refusal = _read_host_asked(exchange, host, asked)
        if refusal is not None:
            return refusal
    if rare is not None:
        return rare.end(exchange, asked)
    lines.append(exchange.peer.forwarded + asked + VIA_LINE)
    return None


def _read_host_asked(exchange: Exchange, host: bytes | None, asked: bytes) -> Refusal | None:
    """A host not seen before, none at all, or one besides that of an absolute target."""
    if host is None:
        if exchange.minor:
            return refusals.NO_HOST
        if asked:
            exchange.lines.insert(0, b"host: " + asked)
    elif _read_host(host) is None:
        return refusals.BAD_HOST
    exchange.host = _read_host(asked) or b""
    return None


class _Rare:
    """What few requests have: an upgrade, an expectation, a way they came."""

    __slots__ = ("_origin", "_upgrade")

    def __init__(self) -> None:
        self._origin: dict[bytes, bytes] = {}
        self._upgrade = False

    def read(self, exchange: Exchange, kind: int, name: bytes, value: bytes) -> Refusal | None:
        if kind == UPGRADE:
            self._upgrade = True
            return None
        if kind == ORIGIN:
            _take(self._origin, name, value)
            return None
        if kind == BAD:
            return refusals.BAD_NAME
        if kind == VIA and value.count(b",") >= MAX_VIA_HOPS:
            return refusals.LOOP
        if kind == EXPECT:
            # RFC 9110 section 10.1.1: an HTTP/1.0 client cannot expect anything.
            if not exchange.minor:
                return None
            if value.lower() != b"100-continue":
                return refusals.BAD_EXPECT
        exchange.lines.append(name + b": " + value)
        return None

    def end(self, exchange: Exchange, host: bytes) -> Refusal | None:
        if self._upgrade and exchange.length:
            # RFC 9931: bytes after such a head could be read as body or as the new protocol.
            return refusals.BAD_UPGRADE
        if self._origin and exchange.peer.trusted:
            _extend_origin(exchange, self._origin, host)
        else:
            exchange.lines.append(exchange.peer.forwarded + host + VIA_LINE)
        return None


def _take(taken: dict[bytes, bytes], name: bytes, value: bytes) -> None:
    """Keep a value by its lower-case name; more of one name are joined (RFC 9110 5.3)."""
    lower = name.lower()
    known = taken.get(lower)
    taken[lower] = value if known is None else known + b", " + value


def _read_framing(
    exchange: Exchange, kind: int, name: bytes, value: bytes, framing: int
) -> Refusal | None:
    """RFC 9112 section 6.3, without any of its leniency: one plain length, or chunked."""
    if kind == LENGTH:
        if framing or not value.isdigit() or len(value) > 19:
            return refusals.BOTH_FRAMINGS if framing == ENCODING else refusals.BAD_LENGTH
        exchange.length = int(value)
        exchange.lines.append(b"%b: %d" % (name, exchange.length))
        return None
    if exchange.minor == 0:
        return refusals.OLD_CHUNKED
    if framing == LENGTH:
        return refusals.BOTH_FRAMINGS
    if framing or value.lower() != b"chunked":
        return refusals.BAD_ENCODING
    exchange.length = CHUNKED
    exchange.lines.append(name + b": chunked")
    return None


def _read_connection(
    exchange: Exchange, value: bytes, table: Mapping[bytes, int]
) -> tuple[Refusal | None, frozenset[bytes]]:
    """Note close and keep-alive; return the fields that the sender nominated for removal."""
    tokens = {token.strip() for token in value.lower().split(b",")}
    if b"close" in tokens:
        exchange.keep_alive = False
    elif exchange.minor == 0 and b"keep-alive" in tokens:
        exchange.keep_alive = True
    named = tokens - {b"close", b"keep-alive", b"upgrade", b"te", b""}
    if not named:
        return None, frozenset()
    if named & PROTECTED or any(name.startswith(b"x-forwarded-") for name in named):
        return refusals.BAD_NOMINATION, frozenset()
    return None, frozenset(name for name in named if table.get(name) != DROP)


def _without(
    nominated: frozenset[bytes], exchange: Exchange, parts: list[bytes], plan: Plan
) -> Refusal | None:
    """Read the head again without the fields that Connection nominated."""
    pieces = iter(parts)
    block = [next(pieces)]
    for name, value, between in zip(pieces, pieces, pieces, strict=True):
        kept = value
        if name.lower() == b"connection":
            kept = b",".join(t for t in value.split(b",") if t.strip().lower() not in nominated)
        block.append(b"\r\n%b: %b%b" % (name, kept, between))
    start, *fields = b"".join(block).split(b"\r\n")
    rest = [one for one in fields if one.partition(b":")[0].lower() not in nominated]
    exchange.lines.clear()
    exchange.taken.clear()
    exchange.length = 0
    again = plan.kinds.split(b"\r\n".join([start, *rest]))
    _, _, before = again[0].partition(b"\r\n")
    if before:
        exchange.lines.append(before)
    return _read_fields(exchange, again, plan)


def _read_host(value: bytes) -> bytes | None:
    """Lower-case, without the default port; remembered, because a sidecar sees few hosts."""
    if _HOST.fullmatch(value) is None:
        return None
    host = value.lower().removesuffix(b":80")
    if len(_hosts) >= MAX_REMEMBERED:
        _hosts.clear()
    _hosts[value] = host
    return host


def _extend_origin(exchange: Exchange, origin: Mapping[bytes, bytes], host: bytes) -> None:
    """A trusted peer speaks for others: extend what it says instead of starting anew."""
    peer = exchange.peer.address.encode()
    before = origin.get(b"x-forwarded-for")
    exchange.taken[b"x-forwarded-for"] = before or b""
    exchange.lines.append(
        b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\nx-forwarded-host: %b\r\n"
        b"via: 1.1 meshproxy"
        % (
            peer if before is None else before + b", " + peer,
            origin.get(b"x-forwarded-proto", b"http"),
            origin.get(b"x-forwarded-host", host),
        )
    )


def request_head(exchange: Exchange) -> bytes:
    """The head of this attempt as it goes to the upstream."""
    base = exchange.base
    if not base:
        lines = exchange.lines
        target = exchange.target
        if exchange.route.strip:
            target = target[exchange.route.strip :]
            if target[:1] != b"/":
                target = b"/" + target
        if not exchange.host and exchange.endpoint is not None:
            # An HTTP/1.0 client need not say a host; we speak HTTP/1.1 from here, and must.
            lines.insert(0, b"host: " + exchange.endpoint.name.encode())
        lines.append(b"")
        base = exchange.base = (
            exchange.method + b" " + target + b" HTTP/1.1\r\n" + b"\r\n".join(lines)
        )
    return base + b"".join(exchange.added) + b"\r\n"
