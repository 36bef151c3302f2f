"""Lines that do not end in CRLF, are folded, or have a blank where none may be."""

from __future__ import annotations

from tests.conformance.case import END, About

_BARE = About("stricter: a bare LF may be taken (9112 2.2), and not all do", "T5")
_LONE = About("9112 2.2", "T5")
_FOLD = About("9112 5.2", "T5")
_COLON = About("9112 5.1", "T5")

CASES = (
    _BARE.raw("bare LF after the first line", b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    _BARE.raw("bare LF after a field", b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"),
    _BARE.raw("bare LF everywhere", b"GET / HTTP/1.1\nHost: a\n\n"),
    _BARE.raw("bare LF ends the head", b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    _BARE.raw("bare LF hides a coding", b"POST / HTTP/1.1\r\nHost: a\nTransfer-Encoding: chunked"
              b"\r\nContent-Length: 5\r\n\r\n" + END),
    _BARE.raw("bare LF before the request", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    _LONE.get("lone CR in a value", b"X: a\rb"),
    _LONE.get("lone CR between fields", b"X: a\rY: b"),
    _LONE.get("lone CR before a coding", b"X: a\rTransfer-Encoding: chunked"),
    _LONE.get("CR CR LF", b"X: a\r"),
    _LONE.raw("lone CR in the first line", b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"),
    _LONE.raw("CR CR LF after the first line", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    _LONE.raw("lone CR before the request", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    _LONE.raw("lone CR for every line end", b"GET / HTTP/1.1\rHost: a\r\r"),
    _FOLD.get("folded with a space", b"X: a\r\n b"),
    _FOLD.get("folded with a tab", b"X: a\r\n\tb"),
    _FOLD.get("folded onto an empty line", b"X: a\r\n \r\nY: b"),
    _FOLD.raw("folded host", b"GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n"),
    _FOLD.get("folded coding", b"X: a\r\n Transfer-Encoding: chunked"),
    _COLON.get("space before the colon", b"X : a"),
    _COLON.get("tab before the colon", b"X\t: a"),
    _COLON.get("vertical tab before the colon", b"X\x0b: a"),
    _COLON.get("space before the coding's colon", b"Transfer-Encoding : chunked"),
    _COLON.post("space before the length's colon", b"Content-Length : 5", b"01234"),
    _COLON.raw("space before the host's colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    About("9112 2.2", "T5").raw(
        "space before the first field", b"GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n"
    ),
    About("9112 2.2", "T5").raw(
        "tab before the first field", b"GET / HTTP/1.1\r\n\tX: a\r\nHost: a\r\n\r\n"
    ),
    About("9112 2.2", "T5").raw(
        "blank line before the first field", b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n"
    ),
)  # fmt: skip
