"""Answer heads: from an upstream's fields to the client's bytes, and the answers we make.

Decides how an answer is framed (RFC 9112 section 6.3), whether its connection may be used
again, and refuses what has no single meaning. Every reply the proxy makes itself is spelled
here as well, so that no other file writes a status line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus

import orjson

from meshproxy.core.exchange import CHUNKED, Exchange
from meshproxy.core.verdict import Refusal, Served
from meshproxy.dataplane.fields import splitter

MAX_FIELDS = 256
"""Fields of an answer; more is no answer that anybody meant."""

UNTIL_CLOSE = -2
"""`length` of an answer whose end is the end of its connection."""

KEEP, DROP, LENGTH, ENCODING, CONNECTION, KEEP_ALIVE, RETRY_AFTER = range(7)

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
}
_split = splitter(_KINDS)
_KINDS |= {name.title(): kind for name, kind in _KINDS.items()}

_PHRASES = {int(status): status.phrase.encode() for status in HTTPStatus}


def _timing(tenths: int) -> bytes:
    return b"server-timing: meshproxy;dur=%d.%d\r\n\r\n" % divmod(tenths, 10)


_TIMINGS = [_timing(tenths) for tenths in range(1000)]
"""The end of the head of an answer that took less than 100 ms, by tenths of a millisecond.

Formatting a float for each would be 0.3 us.
"""
_PRINTABLE = bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100)) + b"\t"

CLOSE = b"connection: close\r\n"
STAY = b"connection: keep-alive\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class Answer:
    """What the upstream's head says; `lines` are the fields to pass on, as they came."""

    __slots__ = ("idle_for", "keep_alive", "length", "lines", "start", "status")

    def __init__(self, start: Start) -> None:
        self.status, self.keep_alive, self.start = start
        self.lines: list[bytes] = []
        self.length = UNTIL_CLOSE
        self.idle_for = 0.0


Start = tuple[int, bool, bytes]
"""Status, whether its version keeps connections, and the first line of the head we send."""

MAX_REMEMBERED = 256
_starts: dict[bytes, Start] = {}


def _read_start(line: bytes) -> Start | None:
    """The first line of an answer's head; remembered, as a server has few of them."""
    version, _, rest = line.partition(b" ")
    code, _, reason = rest.partition(b" ")
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or len(code) != 3 or not code.isdigit():
        return None
    status = int(code)
    if not 100 <= status <= 599:
        return None
    # RFC 9112 section 4: a reason phrase with control characters could end the line early.
    if reason.translate(None, _PRINTABLE):
        reason = _PHRASES.get(status, b"")
    start = status, version == b"HTTP/1.1", b"HTTP/1.1 %d %b\r\n" % (status, reason)
    if len(_starts) >= MAX_REMEMBERED:
        _starts.clear()
    _starts[line] = start
    return start


def read_answer(exchange: Exchange, head: bytes) -> Answer | str:
    """Read a whole head, its empty line included; or say why it must not be passed on.

    What this takes must still pass `heads.Check`: names and values are not looked at here.
    """
    parts = _split(head[:-4])
    line, _, before = parts[0].partition(b"\r\n")
    start = _starts.get(line) or _read_start(line)
    if start is None:
        return "a first line that is no status line of HTTP/1"
    if head.count(b"\r\n") > MAX_FIELDS:
        return f"more than {MAX_FIELDS} fields"
    answer = Answer(start)
    if before:
        answer.lines.append(before)
    if len(parts) > 1 and not _read_fields(exchange, answer, parts):
        return "a framing without a single meaning (RFC 9112 section 6.3)"
    status = answer.status
    if exchange.method == b"HEAD" or status == 204 or status == 304 or status < 200:
        if not _bodiless(answer):
            return "an interim answer with a body"
        answer.length = 0
    return answer


def _bodiless(answer: Answer) -> bool:
    """Whether an answer without a body may be passed on (RFC 9112 section 6.3, rule 1).

    A length or a coding is meant for the body of a GET in answers to HEAD and in a 304. In the
    rest it announces bytes that would be taken for the next answer (RFC 9110 section 8.6).
    """
    framed = answer.length not in (UNTIL_CLOSE, 0)
    if framed and answer.status == 204:
        answer.keep_alive = False
    return not (framed and answer.status < 200)


def _read_fields(exchange: Exchange, answer: Answer, parts: list[bytes]) -> bool:
    """The fields that matter, and between them what passes as it is."""
    lines = answer.lines
    framing = 0
    nominated: set[bytes] | None = None
    pieces = iter(parts)
    next(pieces)
    for name, given, between in zip(pieces, pieces, pieces, strict=True):
        kind = _KINDS.get(name)
        if kind is None:
            kind = _KINDS.get(name.lower(), KEEP)
        if kind == LENGTH:
            value = given.strip(b" \t")
            if framing or not value.isdigit() or len(value) > 19:
                return False
            framing = LENGTH
            answer.length = int(value)
            if value[:1] == b"0":
                value = b"%d" % answer.length
            if answer.status != 204 and answer.status >= 200:  # RFC 9110 section 8.6
                lines.append(name + b": " + value)
        elif kind == CONNECTION:
            if given == b"keep-alive":
                answer.keep_alive = True
            else:
                nominated = _read_connection(answer, given)
        elif kind == ENCODING:
            value = given.strip(b" \t")
            if framing or value.lower() != b"chunked" or parts[0].startswith(b"HTTP/1.0"):
                return False
            framing = ENCODING
            answer.length = CHUNKED
        elif kind == KEEP_ALIVE:
            answer.idle_for = _learned(given)
        elif kind != DROP:
            if kind == RETRY_AFTER:
                value = given.strip(b" \t")
                exchange.retry_after = float(value) if value.isdigit() and len(value) < 7 else -1.0
            lines.append(name + b": " + given)
        if between:
            lines.append(between[2:])
    if nominated:
        _drop(nominated, answer)
    return True


def _drop(nominated: set[bytes], answer: Answer) -> None:
    """RFC 9110 section 7.6.1: the fields that Connection names end here."""
    fields = b"\r\n".join(answer.lines).split(b"\r\n") if answer.lines else []
    answer.lines = [one for one in fields if one.partition(b":")[0].lower() not in nominated]


def _read_connection(answer: Answer, value: bytes) -> set[bytes]:
    tokens = {token.strip() for token in value.lower().split(b",")}
    if b"close" in tokens:
        answer.keep_alive = False
    elif b"keep-alive" in tokens:
        answer.keep_alive = True
    return tokens - {b"close", b"keep-alive", b"content-length", b"transfer-encoding", b""}


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
        exchange.answer_lines.append(STAY)
    tenths = int((now - exchange.began) * 10000.0)
    ours = exchange.answer_lines
    ours.append(_TIMINGS[tenths] if tenths < 1000 else _timing(tenths))
    lines = answer.lines
    lines.append(b"".join(ours))
    return answer.start + b"\r\n".join(lines), chunked


ESTABLISHED: Start = (200, True, b"HTTP/1.1 200 Connection established\r\n")
_SWITCH = re.compile(rb"(?i)\r\nupgrade:[ \t]*([^\r\n]*)")
_EVENTS = re.compile(rb"(?i)(?:^|\r\n)content-type:[ \t]*text/event-stream")


def switches(head: bytes) -> bool:
    """Whether a 101 goes to WebSocket and nothing else (RFC 6455 section 4.1), unframed."""
    protocols = _SWITCH.findall(head)
    lower = head.lower()
    return (
        [one.strip().lower() for one in protocols] == [b"websocket"]
        and b"\r\ncontent-length:" not in lower
        and b"\r\ntransfer-encoding:" not in lower
    )


def is_events(answer: Answer) -> bool:
    """Whether this is a stream of server-sent events."""
    return any(_EVENTS.search(lines) for lines in answer.lines)


def switch_head(exchange: Exchange, answer: Answer) -> bytes:
    """The head of an answer after which nothing is HTTP any more."""
    if answer.status == 101:
        answer.lines.append(b"connection: upgrade\r\nupgrade: websocket")
    return b"".join(
        (answer.start, *(line + b"\r\n" for line in answer.lines), *exchange.answer_lines, b"\r\n")
    )


def interim_head(answer: Answer) -> bytes:
    """A 1xx answer as it is passed on."""
    return answer.start + b"\r\n".join([*answer.lines, b"", b""])


def refusal_bytes(exchange: Exchange, refusal: Refusal) -> bytes:
    """A whole answer that the proxy makes itself; its body is RFC 9457 problem details."""
    phrase = _PHRASES.get(refusal.status, b"")
    lines = [b"HTTP/1.1 %d %b\r\n" % (refusal.status, phrase), refusal.headers]
    seconds = 0
    if refusal.retry_after > 0.0:
        # RFC 9110 section 10.2.3: whole seconds; rounded up, so that who waits is let in.
        seconds = max(1, math.ceil(refusal.retry_after))
        lines.append(b"retry-after: %d\r\n" % seconds)
    if refusal.reason:
        lines.append(b"x-meshproxy-reason: %b\r\n" % refusal.reason.encode())
    body = refusal.body
    if body is None:
        lines.append(b"content-type: application/problem+json\r\n")
        body = _problem(exchange, refusal, phrase, seconds)
    lines += exchange.answer_lines
    if not exchange.keep_alive:
        lines.append(CLOSE)
    elif exchange.minor == 0:
        lines.append(STAY)
    lines.append(b"%bcontent-length: %d\r\n\r\n" % (_date(), len(body)))
    if exchange.method != b"HEAD":
        lines.append(body)
    return b"".join(lines)


def served_bytes(exchange: Exchange, served: Served) -> bytes:
    """A whole answer that was kept or written down before."""
    length = b"" if served.status == 304 else b"content-length: %d\r\n" % len(served.body)
    connection = (
        b"" if exchange.keep_alive and exchange.minor else (STAY if exchange.keep_alive else CLOSE)
    )
    phrase = _PHRASES.get(served.status, b"")
    bodiless = exchange.method == b"HEAD" or served.status in (204, 304)
    return b"".join(
        (
            b"HTTP/1.1 %d %b\r\n" % (served.status, phrase),
            served.fields,
            *exchange.answer_lines,
            b"" if b"date:" in served.fields.lower() else _date(),
            b"" if served.status == 204 else length,
            connection,
            b"\r\n",
            b"" if bodiless else served.body,
        )
    )


def _date() -> bytes:
    return b"date: %b\r\n" % formatdate(usegmt=True).encode()


def _problem(exchange: Exchange, refusal: Refusal, phrase: bytes, retry_after: int) -> bytes:
    problem: dict[str, object] = {
        "title": phrase.decode(),
        "status": refusal.status,
        "detail": refusal.detail,
        "reason": refusal.reason,
    }
    if refusal.rule:
        problem["rule"] = refusal.rule
    if retry_after:
        problem["retry_after"] = retry_after
    if exchange.request_id:
        problem["request_id"] = exchange.request_id.decode("latin-1")
    return orjson.dumps(problem)


def chunk(pieces: Sequence[bytes]) -> list[bytes]:
    """One chunk around what one read brought (RFC 9112 section 7.1)."""
    return [b"%x\r\n" % sum(map(len, pieces)), *pieces, b"\r\n"]
