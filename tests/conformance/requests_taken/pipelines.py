"""Several requests on one connection, and where the row ends."""

from __future__ import annotations

from tests.conformance.case import END
from tests.conformance.taken import Seen, Taking

_ROW = Taking("9112 9.3.2", "T16")
_END = Taking("9112 9.6", "T16")


def _get(path: bytes, line: bytes = b"") -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n"


def _seen(path: bytes) -> Seen:
    return Seen(b"GET " + path + b" HTTP/1.1")


_COUNTED = b"POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
_CHUNKED = b"POST /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + END
_SEEN_COUNTED = Seen(b"POST /c HTTP/1.1", (b"Host: a", b"Content-Length: 5"), b"hello")
_SEEN_CHUNKED = Seen(b"POST /t HTTP/1.1", (b"Host: a", b"Transfer-Encoding: chunked"), b"hello")

CASES = (
    _ROW.raw("two in a row", _get(b"/1") + _get(b"/2"), _seen(b"/1"), _seen(b"/2")),
    _ROW.raw(
        "ten in a row",
        b"".join(_get(b"/%d" % i) for i in range(10)),
        *(_seen(b"/%d" % i) for i in range(10)),
    ),
    _ROW.raw(
        "a thousand in a row",
        b"".join(_get(b"/%d" % i) for i in range(1000)),
        *(_seen(b"/%d" % i) for i in range(1000)),
    ),
    _ROW.raw("behind a counted body", _COUNTED + _get(b"/2"), _SEEN_COUNTED, _seen(b"/2")),
    _ROW.raw("behind chunks", _CHUNKED + _get(b"/2"), _SEEN_CHUNKED, _seen(b"/2")),
    _ROW.raw("before a counted body", _get(b"/1") + _COUNTED, _seen(b"/1"), _SEEN_COUNTED),
    _ROW.raw("before chunks", _get(b"/1") + _CHUNKED, _seen(b"/1"), _SEEN_CHUNKED),
    _ROW.raw("chunks, then a length", _CHUNKED + _COUNTED, _SEEN_CHUNKED, _SEEN_COUNTED),
    _ROW.raw("a length, then chunks", _COUNTED + _CHUNKED, _SEEN_COUNTED, _SEEN_CHUNKED),
    _ROW.raw(
        "an empty line between", _COUNTED + b"\r\n" + _get(b"/2"), _SEEN_COUNTED, _seen(b"/2")
    ),
    _ROW.raw(
        "behind a HEAD",
        b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + _get(b"/2"),
        Seen(b"HEAD / HTTP/1.1"),
        _seen(b"/2"),
    ),
    _ROW.raw(
        "two of HTTP/1.0 that are kept alive",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n" + _get(b"/2"),
        Seen(),
        _seen(b"/2"),
    ),
    _END.raw("nothing after close", _get(b"/1", b"Connection: close\r\n") + _get(b"/2"),
             _seen(b"/1")),
    _END.raw("nothing after close on a second line",
             _get(b"/1", b"Connection: x\r\nConnection: Close\r\n") + _get(b"/2"), _seen(b"/1")),
    _END.raw("nothing after HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\n\r\n" + _get(b"/2"), Seen()),
)  # fmt: skip
