"""Answers with more than was asked for: a second answer, stray bytes, bodies where none may be.

The client gets its own answer and nothing of the rest; the connection is not used again.
RFC 9112 sections 6.3 and 9.2, RFC 9110 sections 8.6 and 15.
"""

from __future__ import annotations

from dataclasses import replace

from tests.conformance.answers_case import GET_OK, REFUSED, SECOND, WHOLE, Case

EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
MAX_INTERIM = 8

GOOD = {
    "a length": (GET_OK + b"Content-Length: 4\r\n\r\ngood", "GET", 200, b"good"),
    "a length of 0": (GET_OK + b"Content-Length: 0\r\n\r\n", "GET", 200, b""),
    "chunks": (
        GET_OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
        "GET",
        200,
        b"good",
    ),
    "trailers": (
        GET_OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\nX: 1\r\n\r\n",
        "GET",
        200,
        b"good",
    ),
    "204": (b"HTTP/1.1 204 No\r\n\r\n", "GET", 204, b""),
    "304": (b"HTTP/1.1 304 No\r\nETag: x\r\n\r\n", "GET", 304, b""),
    "304 with a length": (b"HTTP/1.1 304 No\r\nContent-Length: 4\r\n\r\n", "GET", 304, b""),
    "HEAD": (GET_OK + b"Content-Length: 4\r\n\r\n", "HEAD", 200, b""),
    "HEAD with a coding": (GET_OK + b"Transfer-Encoding: chunked\r\n\r\n", "HEAD", 200, b""),
    "a failure": (b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\ngood", "GET", 500, b"good"),
}
"""Whole answers: bytes, and the method, status and body that go with them."""

EXTRA = {
    "a second answer": SECOND,
    "one byte": b"p",
    "noise": b"poison",
    "an empty line": b"\r\n",
    "an empty line and an answer": b"\r\n" + SECOND,
    "a late 100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "a timeout of its own": b"HTTP/1.1 408 Late\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "half a head": SECOND[:20],
}


def _more(kind: str, what: str) -> Case:
    data, method, status, body = GOOD[kind]
    return Case(
        f"{what} after {kind}",
        data + EXTRA[what],
        WHOLE,
        "9112 9.2",
        "T17",
        method=method,
        status=status,
        body=body,
    )


def _late(kind: str, what: str) -> Case:
    data = GOOD[kind][0]
    more = _more(kind, what)
    return replace(more, name=f"{what} late after {kind}", data=data, late=EXTRA[what])


EXTRA_BYTES = tuple(_more(kind, what) for kind in GOOD for what in EXTRA)
LATE_BYTES = tuple(_late(kind, what) for kind in GOOD for what in EXTRA)


def _bodiless(name: str, data: bytes, status: int, rfc: str, method: str = "GET") -> Case:
    return Case(name, data, WHOLE, rfc, "T18", method=method, status=status)


_NONE = b"HTTP/1.1 204 No\r\n"
_SAME = b"HTTP/1.1 304 No\r\n"
_CODED = b"Transfer-Encoding: chunked\r\n\r\n"

BODILESS = (
    _bodiless("204 with a length", _NONE + b"Content-Length: 6\r\n\r\n", 204, "9110 8.6"),
    _bodiless("204 with a coding", _NONE + _CODED, 204, "9112 6.1"),
    _bodiless("204 and a body", _NONE + b"Content-Length: 6\r\n\r\npoison", 204, "9110 15.3.5"),
    _bodiless("204 and chunks", _NONE + _CODED + b"6\r\npoison\r\n0\r\n\r\n", 204, "9110 15.3.5"),
    _bodiless("204 and no chunk", _NONE + _CODED + b"0\r\n\r\n", 204, "9110 15.3.5"),
    _bodiless("304 and a body", _SAME + b"Content-Length: 6\r\n\r\npoison", 304, "9110 15.4.5"),
    _bodiless("304 and chunks", _SAME + _CODED + b"6\r\npoison\r\n0\r\n\r\n", 304, "9110 15.4.5"),
    _bodiless("304 and no chunk", _SAME + _CODED + b"0\r\n\r\n", 304, "9110 15.4.5"),
    _bodiless("HEAD and a body", SECOND, 200, "9110 9.3.2", "HEAD"),
    _bodiless(
        "HEAD and chunks", GET_OK + _CODED + b"6\r\npoison\r\n0\r\n\r\n", 200, "9110 9.3.2", "HEAD"
    ),
    _bodiless("HEAD and no chunk", GET_OK + _CODED + b"0\r\n\r\n", 200, "9110 9.3.2", "HEAD"),
    _bodiless("HEAD and a body without framing", GET_OK + b"\r\npoison", 200, "9110 9.3.2", "HEAD"),
)


def _interim(name: str, data: bytes, interim: int = 0, rfc: str = "9110 15.2") -> Case:
    return Case(name, data, REFUSED, rfc, "T20", interim=interim)


_SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: "

INTERIM = (
    _interim("9 hints", EARLY * (MAX_INTERIM + 1) + SECOND, MAX_INTERIM),
    _interim("1000 hints", EARLY * 1000 + SECOND, MAX_INTERIM),
    _interim("1000 times continue", b"HTTP/1.1 100 Go\r\n\r\n" * 1000 + SECOND, MAX_INTERIM),
    _interim(
        "hints that change kind",
        b"".join(
            b"HTTP/1.1 %d Early\r\n\r\n" % status
            for status in (100, 102, 103, 104, 110, 150, 199, 103, 100)
        )
        + SECOND,
        MAX_INTERIM,
    ),
    _interim("101 unasked", b"HTTP/1.1 101 Switching\r\n\r\npoison", rfc="9110 15.2.2"),
    _interim("101 to websocket unasked", _SWITCH + b"websocket\r\n\r\npoison", rfc="9110 15.2.2"),
    _interim("101 to h2c unasked", _SWITCH + b"h2c\r\n\r\nPRI * HTTP/2.0", rfc="9110 7.8"),
    _interim("101 after a hint", EARLY + _SWITCH + b"x\r\n\r\npoison", 1, "9110 15.2.2"),
    _interim(
        "a hint with a length",
        b"HTTP/1.1 103 E\r\nContent-Length: 6\r\n\r\n" + SECOND,
        rfc="9110 8.6",
    ),
    _interim(
        "a hint with a body",
        b"HTTP/1.1 103 E\r\nContent-Length: 6\r\n\r\npoison" + SECOND,
        rfc="9110 8.6",
    ),
    _interim(
        "a hint with a coding",
        b"HTTP/1.1 103 E\r\n" + _CODED + b"0\r\n\r\n" + SECOND,
        rfc="9112 6.1",
    ),
    _interim("a hint, then noise", EARLY + b"poison", 1),
    _interim("a hint, then a bad head", EARLY + b"HTTP/1.1 600 No\r\n\r\npoison", 1),
    _interim("a bad hint", b"HTTP/1.1 103 E\r\nLink : poison\r\n\r\n" + SECOND, rfc="9112 5.1"),
    _interim("an endless hint", b"HTTP/1.1 103 E\r\n" + b"Link: poison\r\n" * 6_000),
)

ALL = (*EXTRA_BYTES, *LATE_BYTES, *BODILESS, *INTERIM)
