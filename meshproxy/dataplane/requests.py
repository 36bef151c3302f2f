"""Request heads: from bytes to an exchange, and on to an upstream's bytes.

Decides with `targets` and `rare` everything that llhttp leaves to its user (RFC 9112 framing,
Host, the target, the version) before anything is dialled. Knows no policy: which fields are
taken or dropped for one stands in `kinds`, compiled from what the policies declare.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshproxy.core.exchange import CHUNKED, Exchange
from meshproxy.core.route import Plan
from meshproxy.core.verdict import Refusal
from meshproxy.dataplane import refusals, targets
from meshproxy.dataplane.kinds import (
    CONNECTION,
    DROP,
    ENCODING,
    HOST,
    LENGTH,
    PROTECTED,
    READ,
    UNFRAMED,
)
from meshproxy.dataplane.rare import VIA_LINE, Rare, take


def read_request(exchange: Exchange, head: bytes, plan: Plan) -> Refusal | None:
    """Fill the exchange from a whole head, its empty line included, or say why not.

    What this takes must still pass `heads.Check`: names and values are not looked at here.
    """
    parts = plan.kinds.split(head[:-4])
    start, _, before = parts[0].partition(b"\r\n")
    known = plan.starts.get(start)
    if known is not None:
        exchange.start = known
        exchange.method, exchange.minor = known.method, known.minor
        exchange.target = exchange.path = known.path
    else:
        refusal = targets.read_start(exchange, start, plan)
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
    return targets.read_host_asked(exchange, None, exchange.host)


def _read_fields(exchange: Exchange, parts: list[bytes], plan: Plan) -> Refusal | None:
    """The fields that matter, and between them what passes as it is."""
    kinds = plan.kinds
    table = kinds.table
    lines = exchange.lines
    host: bytes | None = None
    framing = UNFRAMED
    rare: Rare | None = None
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
            lower = name.lower()
            if lower in exchange.taken:
                take(exchange.taken, lower, given.strip(b" \t"))
            else:  # nearly all, and without a call
                exchange.taken[lower] = given.strip(b" \t")
            if kind == READ:
                lines.append(name + b": " + given)
        elif kind == CONNECTION:
            if given == b"keep-alive":
                exchange.keep_alive = True
            else:
                refusal, nominated, upgrade = _read_connection(exchange, given, table)
                if refusal is not None:
                    return refusal
                if nominated:
                    return _without(nominated, exchange, parts, plan)
                if upgrade:
                    rare = rare or Rare()
                    rare.asked = True
        elif kind in (LENGTH, ENCODING):
            refusal = _read_framing(exchange, kind, name, given.strip(b" \t"), framing)
            if refusal is not None:
                return refusal
            framing |= kind
        elif kind != DROP:
            rare = rare or Rare()
            refusal = rare.read(exchange, kind, name, given.strip(b" \t"))
            if refusal is not None:
                return refusal
        if between:
            lines.append(between[2:])
    asked = host or b""
    known = targets.known_hosts.get(asked)
    if known is not None and not exchange.host:
        exchange.host = known
    else:
        asked = exchange.host or asked
        refusal = targets.read_host_asked(exchange, host, asked)
        if refusal is not None:
            return refusal
    if rare is not None:
        return rare.end(exchange, asked)
    lines.append(exchange.peer.forwarded + asked + VIA_LINE)
    return None


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
) -> tuple[Refusal | None, frozenset[bytes], bool]:
    """Note close and keep-alive; return the fields that the sender nominated for removal.

    The last of the three says whether it nominated Upgrade, which is read on its own.
    """
    tokens = {token.strip() for token in value.lower().split(b",")}
    if b"close" in tokens:
        exchange.keep_alive = False
    elif exchange.minor == 0 and b"keep-alive" in tokens:
        exchange.keep_alive = True
    named = tokens - {b"close", b"keep-alive", b"upgrade", b"te", b""}
    upgrade = b"upgrade" in tokens
    if not named:
        return None, frozenset(), upgrade
    if any(_is_protected(name, table) for name in named):
        return refusals.BAD_NOMINATION, frozenset(), upgrade
    return None, frozenset(name for name in named if table.get(name) != DROP), upgrade


def _is_protected(name: bytes, table: Mapping[bytes, int]) -> bool:
    """Whether dropping it would change what the message means here, or whom it speaks for."""
    return (
        name in PROTECTED
        or table.get(name, 0) >= READ
        or name.startswith((b"x-forwarded-", b"x-b3-"))
    )


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
        base = exchange.base = b"%b %b HTTP/1.1\r\n%b\r\n" % (
            exchange.method,
            target,
            b"\r\n".join(lines),
        )
    return base + b"".join(exchange.added) + b"\r\n"
