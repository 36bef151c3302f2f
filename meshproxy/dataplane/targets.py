"""What a request asks for: its first line, and the host it means (RFC 9112 section 3).

Decides which methods, versions, targets and hosts have a single meaning. A path is taken in
its canonical form, by which routes are found and which is what goes on.
"""

from __future__ import annotations

import re

from meshproxy.core.exchange import Exchange, Start
from meshproxy.core.route import Plan
from meshproxy.core.verdict import Refusal
from meshproxy.dataplane import refusals
from meshproxy.logic.path import canonical

METHODS = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"ACL", b"BIND",
     b"CHECKOUT", b"COPY", b"LINK", b"LOCK", b"MERGE", b"MKACTIVITY", b"MKCALENDAR", b"MKCOL",
     b"MOVE", b"NOTIFY", b"PROPFIND", b"PROPPATCH", b"PURGE", b"QUERY", b"REBIND", b"REPORT",
     b"SEARCH", b"SUBSCRIBE", b"UNBIND", b"UNLINK", b"UNLOCK", b"UNSUBSCRIBE", b"M-SEARCH"}
)  # fmt: skip
"""Of the methods that are registered, those that need no tunnel."""
_SAME = {name: name for name in METHODS}
"""One object for each, however many first lines are remembered."""

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

# RFC 9112 section 3.2 with RFC 3986: visible ASCII without the fragment mark and backslash.
_TARGET_BYTES = bytes(c for c in range(0x21, 0x7F) if c not in b"#\\")
_HOST = re.compile(rb"(?:\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._~-]+)(?::[0-9]{1,5})?")

# What was found valid before is not looked at again: 0.2 us for a host, 1.5 for a first line.
# Queries differ from request to request, so a line with one is known by what stands before it.
# Lines are remembered by the plan that was in force, as they lead to routes of it.
MAX_REMEMBERED = 1024
LONGEST_REMEMBERED = 128
known_hosts: dict[bytes, bytes] = {}


def read_start(exchange: Exchange, start: bytes, plan: Plan) -> Refusal | None:
    """The request line (RFC 9112 section 3): exactly three words, one blank apart."""
    before, mark, rest = start.partition(b"?")
    if mark and len(start) < plan.limits.uri_bytes:
        known = plan.paths.get(before)
        if known is not None and _read_query(exchange, known, rest):
            return None
    words = start.split(b" ")
    if len(words) != 3:
        return refusals.BAD_SYNTAX
    method, target, version = words
    exchange.method = _SAME.get(method, method)
    if version != b"HTTP/1.1":
        if version != b"HTTP/1.0":
            return refusals.BAD_VERSION if version[:5] == b"HTTP/" else refusals.BAD_SYNTAX
        exchange.minor = 0
    if method not in METHODS:
        return _read_other_method(exchange, target, plan)
    if len(target) > plan.limits.uri_bytes:
        return refusals.LONG_TARGET
    if target.translate(None, _TARGET_BYTES):
        return refusals.BAD_TARGET
    if target[:1] == b"/":
        return _read_path(exchange, target, start, plan)
    if target == b"*" and exchange.method == b"OPTIONS":
        exchange.target = exchange.path = target
        return None
    return _read_absolute(exchange, target, plan)


def _read_query(exchange: Exchange, known: Start, rest: bytes) -> bool:
    """What follows a path that is known; False if the line must be read from its beginning."""
    query = rest[:-9]
    if rest[-9:] != b" HTTP/1.1" or query.translate(None, _TARGET_BYTES):
        return False
    exchange.start, exchange.method, exchange.path = known, known.method, known.path
    exchange.target = known.path + b"?" + query
    return True


def _read_other_method(exchange: Exchange, target: bytes, plan: Plan) -> Refusal | None:
    """CONNECT has a form of its own (RFC 9112 section 3.2.3), and only the app may use it."""
    if exchange.method != b"CONNECT" or plan.key != "outbound":
        taken = TOKEN.fullmatch(exchange.method)
        return refusals.BAD_METHOD if taken else refusals.BAD_SYNTAX
    # Python's http.client says HTTP/1.0 here up to 3.12, and no Host: nothing hinges on either.
    _, colon, port = target.rpartition(b":")
    if not (colon and _HOST.fullmatch(target) and port.isdigit() and 0 < int(port) < 65536):
        return refusals.BAD_TARGET
    exchange.host = exchange.target = target
    # RFC 9110 section 9.3.6: whatever the answer, no other request follows on this connection.
    exchange.tunnel = exchange.fresh = True
    exchange.keep_alive = False
    return None


def _read_path(exchange: Exchange, target: bytes, start: bytes, plan: Plan) -> Refusal | None:
    """The canonical path, by which routes are found and which is what goes on."""
    clean = canonical(target)
    if clean is None:
        return refusals.BAD_PATH
    path, mark, _ = clean.partition(b"?")
    exchange.target, exchange.path = clean, path
    if mark:
        _remember(exchange, plan.paths, start.partition(b"?")[0])
    else:
        _remember(exchange, plan.starts, start)
    return None


def _remember(exchange: Exchange, known: dict[bytes, Start], line: bytes) -> None:
    """Its path by this line, unless that is too long; no line at all was no path alone."""
    if 0 < len(line) <= LONGEST_REMEMBERED:
        if len(known) >= MAX_REMEMBERED:
            known.clear()
        exchange.start = known[line] = Start(exchange.method, exchange.path, exchange.minor)


def _read_absolute(exchange: Exchange, target: bytes, plan: Plan) -> Refusal | None:
    """RFC 9112 section 3.2.2: the target's authority replaces the Host field."""
    if target[:7].lower() != b"http://":
        return refusals.BAD_TARGET
    rest = target[7:]
    end = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    if _read_host(authority) is None:
        return refusals.BAD_TARGET
    exchange.host = authority
    if not path and exchange.method == b"OPTIONS":
        exchange.target = exchange.path = b"*"  # RFC 9112 section 3.2.4
        return None
    return _read_path(exchange, path if path[:1] == b"/" else b"/" + path, b"", plan)


def read_host_asked(exchange: Exchange, host: bytes | None, asked: bytes) -> Refusal | None:
    """A host not seen before, none at all, or one besides that of the target."""
    if host is None:
        if exchange.minor:
            return refusals.NO_HOST
        if asked:
            exchange.lines.insert(0, b"host: " + asked)
    elif _read_host(host) is None:
        return refusals.BAD_HOST
    if exchange.method == b"CONNECT":
        exchange.host = asked.lower()
        return refusals.BAD_CONNECT if exchange.length else None
    exchange.host = _read_host(asked) or b""
    return None


def _is_port(host: bytes) -> bool:
    """Whether the port of a host, if there is one, is any."""
    _, colon, port = host.rpartition(b":")
    return not (colon and port.isdigit()) or 0 < int(port) < 65536


def _read_host(value: bytes) -> bytes | None:
    """Lower-case, without the default port; remembered, because a sidecar sees few hosts."""
    if _HOST.fullmatch(value) is None or not _is_port(value):
        return None
    host = value.lower().removesuffix(b":80")
    if len(known_hosts) >= MAX_REMEMBERED:
        known_hosts.clear()
    known_hosts[value] = host
    return host
