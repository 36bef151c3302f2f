"""Heads that are no answer, or that have more than one meaning: none of them is passed on.

Not HTTP at all, bad first lines, lengths and codings, broken fields, heads without end, heads
that are cut. RFC 9112 sections 2.2, 4, 5 and 6.
"""

from __future__ import annotations

from tests.conformance.answers_case import GET_OK, LATE, LOST, REFUSED, Case, End


def _bad(name: str, data: bytes, rfc: str, threat: str = "T19", end: End = End.STAYS) -> Case:
    return Case(name, data, REFUSED, rfc, threat, end)


def _start(line: bytes) -> Case:
    """A bad first line over a good answer."""
    data = line + b"\r\nContent-Length: 6\r\n\r\npoison"
    return _bad(f"first line: {line.decode('latin-1')}", data, "9112 4")


def _length(value: bytes) -> Case:
    data = GET_OK + b"Content-Length:" + value + b"\r\n\r\npoison"
    return _bad(f"length: {value.decode('latin-1')}", data, "9112 6.3")


def _coding(value: bytes) -> Case:
    data = GET_OK + b"Transfer-Encoding:" + value + b"\r\n\r\n6\r\npoison\r\n0\r\n\r\n"
    return _bad(f"coding: {value.decode('latin-1')}", data, "9112 6.1")


def _field(name: str, line: bytes, rfc: str, threat: str = "T23") -> Case:
    data = GET_OK + line + b"\r\nContent-Length: 6\r\n\r\npoison"
    return _bad(f"field: {name}", data, rfc, threat)


NOT_HTTP = (
    _bad("noise", b"\x00\x01\x02 poison\r\n\r\n", "9112 2.2"),
    _bad("SSH", b"SSH-2.0-OpenSSH_9.2\r\n", "9112 2.1"),
    _bad("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "9113 3.4"),
    _bad("HTTP/2 settings", b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00d", "9113"),
    _bad("a TLS alert", b"\x15\x03\x01\x00\x02\x02\x0a", "9112 2.1"),
    _bad("HTTP/0.9", b"<html>poison</html>", "9112 appendix C.1", end=End.FIN),
    _bad("a request", b"GET /poison HTTP/1.1\r\nHost: a\r\n\r\n", "9112 2.1"),
    _bad("an empty line before", b"\r\n" + GET_OK + b"Content-Length: 0\r\n\r\n", "9112 2.2"),
    _bad("two empty lines before", b"\r\n\r\n" + GET_OK + b"\r\n", "9112 2.2"),
    _bad("a space before", b" " + GET_OK + b"Content-Length: 0\r\n\r\n", "9112 4"),
    _bad("only an empty head", b"\r\n\r\n", "9112 4"),
)

FIRST_LINES = tuple(
    _start(line)
    for line in (
        b"HTTP/2.0 200 OK",
        b"HTTP/2 200 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/0.9 200 OK",
        b"HTTP/11 200 OK",
        b"HTTP/1.10 200 OK",
        b"http/1.1 200 OK",
        b"ICY 200 OK",
        b"HTTP/1.1200 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/1.1 000 OK",
        b"HTTP/1.1 600 OK",
        b"HTTP/1.1 999 OK",
        b"HTTP/1.1 -20 OK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/1.1 abc OK",
        b"HTTP/1.1 2\xb20 OK",
        b"HTTP/1.1 OK",
        b"HTTP/1.1 ",
        b"HTTP/1.1",
    )
)

LENGTHS = (
    *(
        _length(value)
        for value in (
            b"",
            b" -6",
            b" +6",
            b" 6.0",
            b" 0x6",
            b" 6 6",
            b" 6, 6",
            b" 6,7",
            b" 6;",
            b" six",
            b' "6"',
            b" 18446744073709551615",
            b" 18446744073709551622",
            b" 99999999999999999999999",
            b" \xb2",
            b" 6\x0b",
        )
    ),
    _field("two lengths that agree", b"Content-Length: 6", "9112 6.3", "T19"),
    _field("two lengths that differ", b"Content-Length: 3", "9112 6.3", "T19"),
    _field("two lengths, one in odd case", b"cOnTeNt-LeNgTh: 3", "9112 6.3", "T19"),
)

CODINGS = (
    *(
        _coding(value)
        for value in (
            b"",
            b" gzip, chunked",
            b" chunked, gzip",
            b" identity",
            b" identity, chunked",
            b" chunked, chunked",
            b" x",
            b" xchunked",
            b" chunkedx",
            b" chunked;q=1",
            b' "chunked"',
            b" \x0bchunked",
            b" chunked,",
            b" ,chunked",
            b" chunked\r\nTransfer-Encoding: chunked",
            b" chunked\r\nTransfer-Encoding: identity",
            b" chunked\r\nContent-Length: 6",
            b" chunked\r\nContent-Length: 0",
            b"\r\n chunked",
        )
    ),
    _field("length after coding", b"Transfer-Encoding: chunked", "9112 6.1", "T19"),
    _bad(
        "coding: chunked in HTTP/1.0",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n",
        "9112 6.1",
    ),
)

FIELDS = (
    _field("bare LF after a value", b"X: a\nY: poison", "9112 2.2"),
    _field("bare LF before the name", b"\nX: poison", "9112 2.2"),
    _field("lone CR in a value", b"X: a\rSet-Cookie: poison=1", "9112 2.2"),
    _field("an answer behind lone CRs", b"X: a\r\rHTTP/1.1 200 OK\r\rpoison", "9112 11.1"),
    _field("CR twice at the end of a line", b"X: poison\r", "9112 2.2"),
    _field("folded with a space", b"X: a\r\n poison", "9112 5.2"),
    _field("folded with a tab", b"X: a\r\n\tpoison", "9112 5.2"),
    _field("folded before any field", b" X: poison", "9112 5.2"),
    _field("space before the colon", b"X : poison", "9112 5.1"),
    _field("tab before the colon", b"X\t: poison", "9112 5.1"),
    _field("no colon", b"poison", "9112 5"),
    _field("no name", b": poison", "9112 5"),
    _field("space in a name", b"X Y: poison", "9110 5.1"),
    _field("NUL in a name", b"X\x00Y: poison", "9110 5.1"),
    _field("high byte in a name", b"X\xe9: poison", "9110 5.1"),
    _field("bracket in a name", b"X[: poison", "9110 5.1"),
    _field("NUL in a value", b"X: a\x00poison", "9110 5.5"),
    _field("BEL in a value", b"X: a\x07poison", "9110 5.5"),
    _field("ESC in a value", b"X: \x1b[31mpoison", "9110 5.5"),
    _field("DEL in a value", b"X: a\x7fpoison", "9110 5.5"),
    _bad("bare LF everywhere", b"HTTP/1.1 200 OK\nContent-Length: 6\n\npoison", "9112 2.2"),
    _bad("bare LF at the end of the head", GET_OK + b"X: 1\r\n\npoison", "9112 2.2"),
    _bad("bare LF after the first line", b"HTTP/1.1 200 OK\nX: poison\r\n\r\n", "9112 2.2"),
    _bad("CR in the reason", b"HTTP/1.1 200 O\rX: poison\r\n\r\n", "9112 4", "T23"),
    _bad("a space before the length", GET_OK + b" Content-Length: 6\r\n\r\npoison", "9112 2.2"),
)

SIZES = (
    _bad("a field of 200 kB", GET_OK + b"X: " + b"a" * 200_000 + b"\r\n\r\n", "9110 5.4"),
    _bad("300 fields", GET_OK + b"X: poison\r\n" * 300 + b"\r\n", "9110 5.4"),
    _bad("a head without end", GET_OK + b"X: poison\r\n" * 7_000, "9110 5.4"),
    _bad("a name without end", GET_OK + b"x" * 70_000, "9110 5.4"),
    _bad("a reason without end", b"HTTP/1.1 200 " + b"a" * 70_000, "9112 4"),
)

PARTS = {
    "in the version": b"HTTP/1",
    "in the status": b"HTTP/1.1 20",
    "in the reason": b"HTTP/1.1 200 O",
    "after the first line": GET_OK,
    "in a name": GET_OK + b"Content-Len",
    "in a value": GET_OK + b"Content-Length: 1",
    "before the empty line": GET_OK + b"Content-Length: 6\r\n",
    "in the empty line": GET_OK + b"Content-Length: 6\r\n\r",
}

CUT_HEADS = (
    *(
        Case(f"head cut {where}, {end.value}", part, REFUSED, "9112 8", "T24", end)
        for where, part in PARTS.items()
        for end in (End.FIN, End.RST)
    ),
    *(
        Case(f"no word, {end.value}", b"", REFUSED, "9112 8", "T24", end, told=LOST)
        for end in (End.FIN, End.RST)
    ),
    *(
        Case(f"silence {where}", part, REFUSED, "9112 9.5", "T29", told=LATE, waits=True)
        for where, part in {"at once": b"", **PARTS}.items()
    ),
)

ALL = (*NOT_HTTP, *FIRST_LINES, *LENGTHS, *CODINGS, *FIELDS, *SIZES, *CUT_HEADS)
