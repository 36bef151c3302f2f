"""Whole heads: where one ends, and whether llhttp takes it.

A head is given to the parser whole and once, so one read or twenty make no difference, and
what is forwarded is cut from the very bytes that were checked. llhttp says whether they are
HTTP; what they mean is decided by `requests` and `answers`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httptools

END = b"\r\n\r\n"

_PRELUDE = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"

MAX_TRAILERS = 8 * 1024
MAX_OVERHEAD = 16 * 1024
"""Bytes of trailers, and of chunk sizes and extensions beyond eight for each byte of body."""


def may_go_on(part: bytes, start: bytes = b"") -> bool:
    """Whether what has come of a head can still become one: no line ends in LF or CR alone.

    RFC 9112 section 2.2 lets a receiver take a bare LF; whoever does so meets those who do not.
    """
    if part[: len(start)] != start[: len(part)]:
        return False
    ends = part.count(b"\r\n")
    returns = part.count(b"\r") - (part[-1:] == b"\r")
    return ends == part.count(b"\n") and ends == returns


class Check:
    """llhttp as a judge of whole messages; `make` is one of httptools' two parsers.

    One judge serves any number of connections: after each message it is at the beginning
    again, or is replaced.
    """

    __slots__ = ("_make", "_open", "_parser", "on_message_complete")

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make
        self._open: list[None] = []
        # A method of C as the callback: no frame of Python is made for it.
        self.on_message_complete = self._open.clear
        self._parser = make(self)

    def passes(self, message: bytes) -> bool:
        """Whether `message`, a head with all of its body or none, is valid HTTP/1."""
        self._open.append(None)
        try:
            self._parser.feed_data(message)
        except httptools.HttpParserUpgrade:
            # We take no upgrade; without it the head stands.
            self._parser = self._make(self)
            return True
        except httptools.HttpParserError:
            return self._passes_afresh(message)
        if self._open:
            self._renew()
        return True

    def _passes_afresh(self, message: bytes) -> bool:
        """Ask again from the beginning: after `connection: close` a parser takes no more."""
        self._renew()
        try:
            self._parser.feed_data(message)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            return False
        finally:
            self._renew()
        return True

    def _renew(self) -> None:
        self._open.clear()
        self._parser = self._make(self)


class Dechunker:
    """Decodes one chunked body with llhttp and finds where it ends (RFC 9112 section 7.1).

    Chunk extensions and trailers are dropped, as section 7.1.1 and RFC 9110 section 6.5.1 allow.
    """

    __slots__ = ("_overhead", "_parser", "_pieces", "_tail", "_trailers", "done")

    def __init__(self) -> None:
        self.done = False
        self._pieces: list[bytes] = []
        self._tail = b""
        self._overhead = 0
        self._trailers = 0
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(_PRELUDE)
        self._trailers = 0

    def feed(self, data: bytes) -> tuple[list[bytes], bytes] | None:
        """The body in `data` and what follows its end; None if this is no chunked body."""
        at = 0
        while at < len(data) and not self.done:
            end = self._next_end(data, at)
            try:
                self._parser.feed_data(data[at:end] if at or end < len(data) else data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade):
                return None
            self._tail = data[max(at, end - 3) : end]
            self._overhead += end - at
            at = end
        pieces, self._pieces = self._pieces, []
        self._overhead -= 9 * sum(map(len, pieces))
        if self._overhead > MAX_OVERHEAD or self._trailers > MAX_TRAILERS:
            return None
        return pieces, data[at:]

    def _next_end(self, data: bytes, at: int) -> int:
        """Where the body may end next: every body ends in an empty line, though not only there."""
        if at == 0 and self._tail:
            straddling = (self._tail + data[:3]).find(END)
            if straddling >= 0:
                return straddling + 4 - len(self._tail)
        found = data.find(END, at)
        return len(data) if found < 0 else found + 4

    def on_header(self, name: bytes, value: bytes) -> None:
        self._trailers += len(name) + len(value)

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        self.done = True
