"""A second opinion: reads HTTP/1 with regular expressions alone, straight from RFC 9112.

Shares no line and no parser with the proxy. It takes what the grammar takes and no leniency,
so what it cannot read must not have been passed on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TEXT = rb"[\t -~\x80-\xff]*"
_FIELDS = rb"((?:" + _TOKEN + rb":" + _TEXT + rb"\r\n)*)\r\n"

_REQUEST = re.compile(rb"(" + _TOKEN + rb") ([!-~]+) HTTP/1\.([01])\r\n" + _FIELDS)
# What a reason phrase holds is of no interest: nobody passes it on unseen.
_ANSWER = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([^\r\n]*))?\r\n" + _FIELDS)
_LENGTH = re.compile(rb"(?im)^content-length:[ \t]*(.*?)[ \t]*\r$")
_CODING = re.compile(rb"(?im)^transfer-encoding:[ \t]*(.*?)[ \t]*\r$")
_HOST = re.compile(rb"(?im)^host:[ \t]*(.*?)[ \t]*\r$")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,16})(;" + _TEXT + rb")?\r\n")
_TRAILERS = re.compile(_FIELDS)
_DIGITS = re.compile(rb"[0-9]{1,19}")

CHUNKED = -1
UNTIL_CLOSE = -2
INVALID = -3


@dataclass(slots=True)
class Message:
    """One message as far as it goes; `body` is decoded, `end` is where the next one begins.

    `plain` says whether its chunks came without extensions and trailers.
    """

    start: int
    end: int
    first: tuple[bytes, ...]
    fields: bytes
    length: int
    body: bytes = b""
    complete: bool = False
    plain: bool = True

    @property
    def status(self) -> int:
        return int(self.first[1])


def _framing(fields: bytes, minor: bytes, unframed: int) -> int:
    """RFC 9112 section 6.3, taken strictly."""
    lengths, codings = _LENGTH.findall(fields), _CODING.findall(fields)
    if codings:
        alone = len(codings) == 1 and not lengths and minor == b"1"
        return CHUNKED if alone and codings[0].lower() == b"chunked" else INVALID
    if not lengths:
        return unframed
    return int(lengths[0]) if len(lengths) == 1 and _DIGITS.fullmatch(lengths[0]) else INVALID


def _read_body(message: Message, data: bytes) -> bool:
    """Fill in the body; False if its bytes are no chunked body."""
    at = message.end
    if message.length == CHUNKED:
        return _read_chunks(message, data)
    if message.length == UNTIL_CLOSE:
        message.body, message.end = data[at:], len(data)
        return True
    message.end = min(at + message.length, len(data))
    message.body = data[at : message.end]
    message.complete = len(message.body) == message.length
    return True


def _read_chunks(message: Message, data: bytes) -> bool:
    at, pieces = message.end, []
    valid = True
    while True:
        found = _CHUNK.match(data, at)
        if found is None:
            valid = data.find(b"\n", at) < 0
            break
        message.plain = message.plain and not found[2]
        size, at = int(found[1], 16), found.end()
        if not size:
            end = _TRAILERS.match(data, at)
            if end is not None:
                message.complete, at = True, end.end()
                message.plain = message.plain and not end[1]
            break
        pieces.append(data[at : at + size])
        at += size
        if data[at : at + 2] != b"\r\n":
            valid = len(data) < at + 2 and b"\r\n".startswith(data[at:])
            break
        at += 2
    message.body = b"".join(pieces)
    message.end = at if message.complete else len(data)
    return valid


def read_requests(data: bytes, *, forgiving: bool = False) -> list[Message]:
    """Every request of a stream up to the first that is not one; the last may be a part.

    `forgiving` skips the empty lines before a request that RFC 9112 section 2.2 lets pass.
    """
    found: list[Message] = []
    at = 0
    while True:
        while forgiving and data.startswith(b"\r\n", at):
            at += 2
        match = _REQUEST.match(data, at)
        if match is None:
            return found
        method, target, minor, fields = match.groups()
        length = _framing(fields, minor, 0)
        hosts = len(_HOST.findall(fields))
        if length == INVALID or hosts > 1 or (not hosts and minor == b"1"):
            return found
        message = Message(at, match.end(), (method, target, minor), fields, length)
        valid = _read_body(message, data)
        found.append(message)
        if not valid or not message.complete:
            return found
        at = message.end


def read_answer(data: bytes, at: int, method: bytes) -> tuple[list[Message], Message | None]:
    """The interim answers from `at` on, and the final one, if its head is here."""
    interim: list[Message] = []
    while True:
        match = _ANSWER.match(data, at)
        if match is None:
            return interim, None
        minor, status, reason, fields = match.groups()
        length = _framing(fields, minor, UNTIL_CLOSE)
        if length == INVALID:
            return interim, None
        bare = method == b"HEAD" or status[:1] == b"1" or status in (b"204", b"304")
        first = (minor, status, reason or b"")
        message = Message(at, match.end(), first, fields, 0 if bare else length)
        if status[:1] != b"1" or status == b"101":
            valid = _read_body(message, data)
            return interim, message if valid or not message.complete else None
        interim.append(message)
        at = match.end()
