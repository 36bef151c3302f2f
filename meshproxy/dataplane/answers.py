"""Answer heads: from an upstream's fields to the client's bytes, and the answers we make.

Decides how an answer is framed (RFC 9112 section 6.3), whether its connection may be used
again, and refuses what has no single meaning. Every reply the proxy makes itself is spelled
here as well, so that no other file writes a status line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus

import orjson

from meshproxy.core.exchange import CHUNKED, Exchange
from meshproxy.core.verdict import Refusal

UNTIL_CLOSE = -2
"""`length` of an answer whose end is the end of its connection."""

PLAIN, DROP, LENGTH, ENCODING, CONNECTION, KEEP_ALIVE, RETRY_AFTER = range(7)

_KINDS: dict[bytes, int] = {
    b"content-length": LENGTH,
    b"transfer-encoding": ENCODING,
    b"connection": CONNECTION,
    b"keep-alive": KEEP_ALIVE,
    b"retry-after": RETRY_AFTER,
    b"proxy-connection": DROP,
    b"upgrade": DROP,
    b"trailer": DROP,
    b"te": DROP,
    b"x-request-id": DROP,  # ours is written anew; an upstream sidecar sends the same one
    **dict.fromkeys(
        (b"server", b"date", b"content-type", b"cache-control", b"etag", b"last-modified",
         b"vary", b"set-cookie", b"location", b"content-encoding", b"accept-ranges"),
        PLAIN,
    ),
}  # fmt: skip
_KINDS |= {name.title(): kind for name, kind in _KINDS.items()}

_PHRASES = {int(status): status.phrase.encode() for status in HTTPStatus}
_STATUS_LINES = {
    status: b"HTTP/1.1 %d %s\r\n" % (status, phrase) for status, phrase in _PHRASES.items()
}
_TIMINGS = [
    b"server-timing: meshproxy;dur=%d.%d\r\n\r\n" % divmod(tenths, 10) for tenths in range(1000)
]
"""The end of the head of an answer that took less than 100 ms, by tenths of a millisecond.

Formatting a float for each would be 0.3 us.
"""
_PRINTABLE = bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100)) + b"\t"

CLOSE = b"connection: close\r\n"
KEEP = b"connection: keep-alive\r\n"
LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Answer:
    """What the upstream's head says; `lines` are the pieces of the fields to pass on."""

    __slots__ = ("idle_for", "keep_alive", "length", "lines", "minor", "reason", "status")

    def __init__(self, status: int, minor: int, reason: bytes) -> None:
        self.status = status
        self.minor = minor
        self.reason = reason
        self.lines: list[bytes] = []
        self.length = UNTIL_CLOSE
        self.keep_alive = minor == 1
        self.idle_for = 0.0


def read_answer(exchange: Exchange, answer: Answer, fields: Sequence[tuple[bytes, bytes]]) -> bool:
    """Fill the answer from its fields; False if it is not valid and must not be passed on."""
    lines = answer.lines
    length: bytes | None = None
    encoding = False
    nominated: set[bytes] | None = None
    for name, value in fields:
        kind = _KINDS.get(name)
        if kind is None:
            kind = _KINDS.get(name.lower(), PLAIN)
        if kind == PLAIN:
            lines += (name, b": ", value, b"\r\n")
        elif kind == LENGTH:
            if length is not None or not value.isdigit() or len(value) > 19:
                return False
            length = value
            answer.length = int(value)
            if answer.status != 204:
                lines += (name, b": %d" % answer.length, b"", b"\r\n")
        elif kind == ENCODING:
            if encoding or value.lower() != b"chunked" or answer.minor == 0:
                return False
            encoding = True
            answer.length = CHUNKED
        elif kind == CONNECTION:
            nominated = _read_connection(answer, value)
        elif kind == KEEP_ALIVE:
            answer.idle_for = _learned(value)
        elif kind == RETRY_AFTER:
            exchange.retry_after = float(value) if value.isdigit() and len(value) < 7 else -1.0
            lines += (name, b": ", value, b"\r\n")
    if nominated:
        answer.lines = _without(nominated, lines)
    if length is not None and encoding:
        return False
    status = answer.status
    if exchange.method == b"HEAD" or status in (204, 304):
        answer.length = 0
    return 100 <= status <= 599


def _read_connection(answer: Answer, value: bytes) -> set[bytes] | None:
    if value == b"keep-alive":
        answer.keep_alive = True
        return None
    tokens = {token.strip() for token in value.lower().split(b",")}
    if b"close" in tokens:
        answer.keep_alive = False
    elif b"keep-alive" in tokens:
        answer.keep_alive = True
    return tokens - {b"close", b"keep-alive", b"content-length", b"transfer-encoding", b""}


def _without(nominated: set[bytes], lines: list[bytes]) -> list[bytes]:
    """RFC 9110 section 7.6.1: drop the fields that Connection names. Lines are in fours."""
    kept: list[bytes] = []
    for at in range(0, len(lines), 4):
        if lines[at].lower() not in nominated:
            kept += lines[at : at + 4]
    return kept


def _learned(value: bytes) -> float:
    """Seconds of `Keep-Alive: timeout=N`; 0.0 when it does not say."""
    for part in value.lower().split(b","):
        name, _, seconds = part.strip().partition(b"=")
        if name == b"timeout" and seconds.isdigit() and len(seconds) < 6:
            return float(seconds)
    return 0.0


def answer_head(exchange: Exchange, answer: Answer, now: float) -> tuple[bytes, bool]:
    """The head for the client, and whether its body goes out in chunks.

    An HTTP/1.0 client cannot read chunks: its answer ends with the connection.
    """
    chunked = False
    if answer.length == CHUNKED or answer.length == UNTIL_CLOSE:
        if exchange.minor:
            chunked = True
            exchange.answer_lines.append(b"transfer-encoding: chunked\r\n")
        else:
            exchange.keep_alive = False
    if not exchange.keep_alive:
        exchange.answer_lines.append(CLOSE)
    elif exchange.minor == 0:
        exchange.answer_lines.append(KEEP)
    tenths = int((now - exchange.began) * 10000.0)
    lines = answer.lines
    lines += exchange.answer_lines
    lines.append(
        _TIMINGS[tenths]
        if tenths < 1000
        else b"server-timing: meshproxy;dur=%d.%d\r\n\r\n" % divmod(tenths, 10)
    )
    return _status_line(answer.status, answer.reason) + b"".join(lines), chunked


def interim_head(answer: Answer) -> bytes:
    """A 1xx answer as it is passed on."""
    return b"".join((_status_line(answer.status, answer.reason), *answer.lines, b"\r\n"))


def _status_line(status: int, reason: bytes) -> bytes:
    if reason == _PHRASES.get(status):
        return _STATUS_LINES[status]
    # RFC 9112 section 4: a reason phrase with control characters could end the line early.
    if reason.translate(None, _PRINTABLE):
        reason = _PHRASES.get(status, b"")
    return b"HTTP/1.1 %d %s\r\n" % (status, reason)


def refusal_bytes(exchange: Exchange, refusal: Refusal) -> bytes:
    """A whole answer that the proxy makes itself, as RFC 9457 problem details."""
    phrase = _PHRASES.get(refusal.status, b"")
    problem: dict[str, object] = {
        "title": phrase.decode(),
        "status": refusal.status,
        "detail": refusal.detail,
        "reason": refusal.reason,
    }
    if refusal.rule:
        problem["rule"] = refusal.rule
    lines = [
        _status_line(refusal.status, phrase),
        b"content-type: application/problem+json\r\nx-meshproxy-reason: ",
        refusal.reason.encode(),
        b"\r\n",
        refusal.headers,
    ]
    if refusal.retry_after > 0.0:
        # RFC 9110 section 10.2.3: whole seconds; rounded up, so that who waits is let in.
        seconds = max(1, math.ceil(refusal.retry_after))
        lines.append(b"retry-after: %d\r\n" % seconds)
        problem["retry_after"] = seconds
    if exchange.request_id:
        problem["request_id"] = exchange.request_id.decode("latin-1")
    body = orjson.dumps(problem)
    lines += exchange.answer_lines
    if not exchange.keep_alive:
        lines.append(CLOSE)
    elif exchange.minor == 0:
        lines.append(KEEP)
    lines.append(
        b"date: %s\r\ncontent-length: %d\r\n\r\n" % (formatdate(usegmt=True).encode(), len(body))
    )
    if exchange.method != b"HEAD":
        lines.append(body)
    return b"".join(lines)


def chunk(pieces: Sequence[bytes]) -> list[bytes]:
    """One chunk around what one read brought (RFC 9112 section 7.1)."""
    return [b"%x\r\n" % sum(map(len, pieces)), *pieces, b"\r\n"]
