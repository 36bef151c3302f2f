"""The door of a control port: who gets in, with what, and for how long.

Stands in front of aiohttp: lets in one request per connection, whose head has one meaning and
whose body is small and counted, with the few fields that a page may look at and nothing of
what comes after it. Bounds how many stand here; when it is full, the next one takes the place
of the one who has been silent longest.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple, cast

import orjson

GUESTS = 64
"""Connections of one port at a time; a scrape, some probes and a person need few."""
HEAD_SECONDS = 5.0
"""Until the head is whole."""
LIFE = 30.0
"""Seconds for all of a request and its answer after that."""
LINGER = 1.0
"""Seconds in which a refused sender may read why, before the connection is cut."""
MAX_HEAD = 8 * 1024
"""No more than aiohttp takes in one line, so that it never has anything to refuse."""
MAX_BODY = 8 * 1024
"""Of a question, which needs none at all."""
MAX_FIELDS = 100

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "meshproxy",
}
"""On every answer: nothing here is for a browser to keep, guess, frame or hand on."""

# RFC 9112 sections 3 and 5, without what a control port has no use for: no absolute or
# authority form, no line folding, no blank before a colon, no bare CR, LF or NUL.
_START = re.compile(rb"([A-Z]{1,32}) /[!\"$-~]* HTTP/1\.[01]")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_METHODS = frozenset(b"GET HEAD POST PUT DELETE OPTIONS TRACE PATCH".split())
_TAKEN = frozenset({b"host", b"origin", b"sec-fetch-site", b"content-length", b"expect", b"accept"})
"""Fields that go in, once each but for Accept: no parser trips over what it is not given."""
_END = b"\r\n\r\n"

_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


class Trouble(NamedTuple):
    """Why somebody is not let in."""

    status: int
    detail: str


CROWDED = Trouble(503, "too many connections to this port")
SILENT = Trouble(408, "the request's head did not come")
NO_HTTP = Trouble(400, "the request is not valid HTTP/1.1")
LONG_HEAD = Trouble(431, f"the request's head is larger than {MAX_HEAD} bytes")


class Question(NamedTuple):
    """A head as it may go in, and the length of the body that follows it."""

    head: bytes
    length: int


def judge(head: bytes) -> Question | Trouble:
    """What is asked, or what is wrong with it."""
    start, *lines = head.split(b"\r\n")
    asked = _START.fullmatch(start)
    if asked is None:
        return NO_HTTP
    if asked[1] not in _METHODS:
        return Trouble(501, "this method is not supported")
    if len(lines) > MAX_FIELDS:
        return Trouble(431, f"the request has more than {MAX_FIELDS} fields")
    taken: dict[bytes, bytes] = {}
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            return NO_HTTP
        name = found[1].lower()
        if name == b"transfer-encoding":
            # RFC 9112 section 6.3: a body may be refused that does not say how long it is.
            return Trouble(411, "a body must say its Content-Length; no question here needs one")
        if name in taken and name != b"accept":
            return Trouble(400, f"{name.decode()} came more than once")
        if name in _TAKEN:
            # RFC 9110 section 5.3: the lines of a list field are one list.
            taken[name] = b", ".join((taken[name], found[2])) if name in taken else found[2]
    if b"host" not in taken and start.endswith(b"1.1"):
        return Trouble(400, "an HTTP/1.1 request needs a Host field")
    length = _length(taken)
    if isinstance(length, Trouble):
        return length
    fields = [b"%b: %b" % pair for pair in taken.items()]
    return Question(b"\r\n".join([start, *fields, b"", b""]), length)


def _length(taken: dict[bytes, bytes]) -> int | Trouble:
    if not all(value.isascii() for value in taken.values()):
        return NO_HTTP
    if taken.get(b"expect", b"100-continue").lower() != b"100-continue":
        return Trouble(417, "the only expectation met is 100-continue")
    length = taken.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 19:
        return Trouble(400, "Content-Length must be one plain number")
    if int(length) > MAX_BODY:
        return Trouble(413, f"the body is larger than {MAX_BODY} bytes; no question needs one")
    return int(length)


class Room:
    """The connections of one port. `make` gives a Protocol for a request that may come in."""

    __slots__ = ("_guests", "_most", "_silent", "loop", "make")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make: Callable[[], asyncio.BaseProtocol],
        most: int = GUESTS,
    ) -> None:
        self.loop = loop
        self.make = make
        self._most = most
        self._guests: set[Door] = set()
        # Those who may be shown out, the longest here first.
        self._silent: dict[Door, None] = {}

    def __len__(self) -> int:
        return len(self._guests)

    def enter(self, door: Door) -> bool:
        """Count one in, if need be in the place of a silent one; False if there is none."""
        if len(self._guests) >= self._most:
            if not self._silent:
                return False
            self._show_out(next(iter(self._silent)))
        self._guests.add(door)
        self._silent[door] = None
        return True

    def speaks(self, door: Door) -> None:
        """This one has asked something, and stays until it is answered."""
        self._silent.pop(door, None)

    def leave(self, door: Door) -> None:
        self._guests.discard(door)
        self._silent.pop(door, None)

    def close(self) -> None:
        """Nobody who is silent is waited for."""
        for door in tuple(self._silent):
            self._show_out(door)

    def _show_out(self, door: Door) -> None:
        self.leave(door)
        door.abort()


class Door(asyncio.Protocol):
    """One connection: judges its first head, then carries its bytes to and fro."""

    __slots__ = ("_gone", "_head", "_inner", "_left", "_refused", "_room", "_timer", "_transport")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until connected
        self._timer: asyncio.TimerHandle | None = None
        self._head = b""
        self._refused = False
        self._inner: asyncio.Protocol | None = None
        self._left = 0
        self._gone: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._room.enter(self):
            self._wait(HEAD_SECONDS, lambda: self._refuse(SILENT))
        else:
            self._refused = True
            self._transport.write(_spelled(CROWDED))
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._inner is not None:
            self._body_received(data)
            return
        self._head += data
        end = self._head.find(_END, 0, MAX_HEAD)
        if end >= 0:
            self._let_in(end)
        elif len(self._head) >= MAX_HEAD:
            self._refuse(LONG_HEAD)
        elif not self._head[:1].isupper():
            self._refuse(NO_HTTP)

    def eof_received(self) -> bool:
        """Whoever has asked in full may close this side and still gets the answer, if it ends."""
        return self._inner is not None and not self._left and self._gone is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._room.leave(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._inner is not None:
            self._inner.connection_lost(exc)
        if self._gone is not None:
            self._gone()

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def abort(self) -> None:
        self._transport.abort()

    def stay(self, gone: Callable[[], None] = lambda: None) -> None:
        """The answer goes on for as long as it is read; `gone` is called when the reader left."""
        self._gone = gone
        if self._timer is not None:
            self._timer.cancel()

    def finish(self) -> None:
        """The answer that went on has ended: what is left of it has as long as any other."""
        self._gone = None
        if not self._transport.is_closing():
            self._wait(LIFE, self.abort)

    def take_time(self, seconds: float) -> None:
        """The answer takes so long by what was asked; LIFE comes on top."""
        self._wait(LIFE + seconds, self.abort)

    def _let_in(self, end: int) -> None:
        verdict = judge(self._head[:end])
        if isinstance(verdict, Trouble):
            self._refuse(verdict)
            return
        self._room.speaks(self)
        self._wait(LIFE, self.abort)
        rest = self._head[end + len(_END) :]
        self._head, self._left = b"", verdict.length
        self._inner = cast("asyncio.Protocol", self._room.make())
        self._inner.connection_made(self._transport)
        self._inner.data_received(verdict.head)
        self._body_received(rest)

    def _body_received(self, data: bytes) -> None:
        """As much as the head has announced: what follows is no second request."""
        data = data[: self._left]
        if data and self._inner is not None:
            self._left -= len(data)
            self._inner.data_received(data)

    def _refuse(self, trouble: Trouble) -> None:
        """Say why, and read on for a moment: closing on unread bytes would lose the answer."""
        self._refused = True
        self._head = b""
        self._wait(LINGER, self.abort)
        self._transport.write(_spelled(trouble))
        self._transport.write_eof()

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._room.loop.call_later(seconds, then)


def _spelled(trouble: Trouble) -> bytes:
    body = orjson.dumps({"error": trouble.detail}, option=_OPTIONS)
    status = trouble.status
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        *(f"{name}: {value}" for name, value in HEADERS.items()),
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
