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


def may_go_on(part: bytes, start: bytes = b"", seen: int = 0) -> bool:
    """Whether what has come of a head can still become one: no line ends in LF or CR alone.

    RFC 9112 section 2.2 lets a receiver take a bare LF; whoever does so meets those who do not.
    The first `seen` bytes were found good before: a head that comes byte by byte is looked at
    once, not once for every byte.
    """
    if part[: len(start)] != start[: len(part)]:
        return False
    if seen:
        part = part[seen - (part[seen - 1 : seen] == b"\r") :]  # a CR may want its LF
    ends = part.count(b"\r\n")
    returns = part.count(b"\r") - (part[-1:] == b"\r")
    return ends == part.count(b"\n") and ends == returns


def request_check() -> Check:
    return Check(httptools.HttpRequestParser)


def answer_check() -> Check:
    return Check(httptools.HttpResponseParser)


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
