"""Requests that must be refused: their bytes, and the statuses that say so.

One line each, grouped by what they abuse. The head of a refused request never reaches an origin;
where the fault lies in the body, its head may have, but never a request that looks complete.
RFC 9110 and 9112; where a line is stricter than they are, the strictest of the known proxies is
the model.
"""

from __future__ import annotations

from dataclasses import dataclass

BAD = frozenset({400})
CODING = frozenset({400, 501})
METHOD = frozenset({400, 405, 501})
VERSION = frozenset({400, 505})
FIELDS_TOO_LARGE = frozenset({400, 431})


@dataclass(frozen=True)
class Case:
    """One request: `data` is everything that the client sends."""

    name: str
    data: bytes
    statuses: frozenset[int] = BAD
    in_body: bool = False


def _get(name: str, lines: bytes, statuses: frozenset[int] = BAD) -> Case:
    return Case(name, b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n\r\n", statuses)


def _post(name: str, lines: bytes, body: bytes, statuses: frozenset[int] = BAD) -> Case:
    return Case(name, b"POST / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n\r\n" + body, statuses)


def _first(name: str, line: bytes, statuses: frozenset[int] = BAD) -> Case:
    return Case(name, line + b"\r\nHost: a\r\n\r\n", statuses)


def _host(name: str, lines: bytes) -> Case:
    return Case(f"host: {name}", b"GET / HTTP/1.1\r\n" + lines + b"\r\n")


def _chunked(name: str, body: bytes, statuses: frozenset[int] = BAD) -> Case:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    return Case(f"chunk: {name}", head + body, statuses, in_body=True)


_END = b"0\r\n\r\n"
_TE = b"Transfer-Encoding: "

BOTH_FRAMINGS = (
    _post("length, then coding", b"Content-Length: 5\r\nTransfer-Encoding: chunked", _END),
    _post("coding, then length", b"Transfer-Encoding: chunked\r\nContent-Length: 5", _END),
    _post("length of 0 and coding", b"Content-Length: 0\r\nTransfer-Encoding: chunked", _END),
    _post("length and odd case", b"content-length: 4\r\ntransfer-ENCODING: Chunked", _END),
    _post("length and unknown coding", b"Content-Length: 5\r\nTransfer-Encoding: x", b"01234"),
)

CODINGS = (
    _post("gzip, chunked", _TE + b"gzip, chunked", _END, CODING),
    _post("chunked, gzip", _TE + b"chunked, gzip", _END, CODING),
    _post("identity", _TE + b"identity", _END, CODING),
    _post("identity, chunked", _TE + b"identity, chunked", _END, CODING),
    _post("quoted chunked", _TE + b'"chunked"', _END, CODING),
    _post("xchunked", _TE + b"xchunked", _END, CODING),
    _post("chunked twice in a list", _TE + b"chunked, chunked", _END, CODING),
    _post("chunked on two lines", _TE + b"chunked\r\n" + _TE + b"chunked", _END, CODING),
    _post("identity, then chunked", _TE + b"identity\r\n" + _TE + b"chunked", _END, CODING),
    _post("chunked with a parameter", _TE + b"chunked;q=1", _END, CODING),
    _post("chunked with a comma", _TE + b"chunked,", _END, CODING),
    _post("vertical tab before chunked", _TE + b"\x0bchunked", _END, CODING),
    _post("vertical tab after chunked", _TE + b"chunked\x0b", _END, CODING),
    _post("space inside chunked", _TE + b"chunk ed", _END, CODING),
    _post("empty coding", _TE, _END, CODING),
    _post("gzip alone", _TE + b"gzip", _END, CODING),
    Case(
        "chunked in HTTP/1.0",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + _END,
        CODING,
    ),
)

LENGTHS = (
    _post("two that differ", b"Content-Length: 5\r\nContent-Length: 6", b"012345"),
    _post("two alike", b"Content-Length: 5\r\nContent-Length: 5", b"01234"),
    _post("a list", b"Content-Length: 5, 5", b"01234"),
    _post("plus sign", b"Content-Length: +5", b"01234"),
    _post("minus sign", b"Content-Length: -5", b"01234"),
    _post("empty length", b"Content-Length:", b""),
    _post("space inside length", b"Content-Length: 1 1", b"0" * 11),
    _post("hexadecimal length", b"Content-Length: 0x5", b"01234"),
    _post("exponent", b"Content-Length: 1e1", b"0" * 10),
    _post("fraction", b"Content-Length: 5.0", b"01234"),
    _post("underscore", b"Content-Length: 1_0", b"0" * 10),
    _post("more than 64 bits", b"Content-Length: 18446744073709551617", b"0"),
    _post("forty digits", b"Content-Length: " + b"9" * 40, b"0"),
    _post("digits of another script", b"Content-Length: \xd9\xa5", b"01234"),
    _post("semicolon", b"Content-Length: 5;", b"01234"),
)

LINES = (
    Case("bare LF after the first line", b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    Case("bare LF after a field", b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"),
    Case("bare LF everywhere", b"GET / HTTP/1.1\nHost: a\n\n"),
    Case("bare LF ends the head", b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    _get("lone CR in a value", b"X: a\rb"),
    _get("lone CR between fields", b"X: a\rY: b"),
    _get("CR CR LF", b"X: a\r"),
    _get("folded with a space", b"X: a\r\n b"),
    _get("folded with a tab", b"X: a\r\n\tb"),
    _get("space before the colon", b"X : a"),
    _get("tab before the colon", b"X\t: a"),
    _get("space before the coding's colon", b"Transfer-Encoding : chunked"),
    Case("space before the first field", b"GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n"),
)

NAMES_AND_VALUES = (
    _get("NUL in a value", b"X: a\x00b"),
    _get("control in a value", b"X: a\x01b"),
    _get("escape in a value", b"X: a\x1bb"),
    _get("DEL in a value", b"X: a\x7fb"),
    _get("NUL in a name", b"X\x00: a"),
    _get("empty name", b": a"),
    _get("space in a name", b"X Y: a"),
    _get("bracket in a name", b"X(: a"),
    _get("high byte in a name", b"X\xe4: a"),
    _get("slash in a name", b"X/Y: a"),
    _get("no colon", b"just words"),
    _get("vertical tab in a name", b"\x0bX: a"),
    _post("coding with an underscore", b"Transfer_Encoding: chunked", _END),
    _post("length with an underscore", b"Content_Length: 5", b"01234"),
)

CHUNKS = (
    _chunked("bare LF after the size", b"5\n01234\r\n" + _END),
    _chunked("bare LF after the data", b"5\r\n01234\n" + _END),
    _chunked("LF in an extension", b"5;a\nb\r\n01234\r\n" + _END),
    _chunked("lone CR in an extension", b"5;a\rb\r\n01234\r\n" + _END),
    _chunked("NUL in an extension", b"5;a\x00\r\n01234\r\n" + _END),
    _chunked("extension of 100 kB", b"5;" + b"a" * 100_000 + b"\r\n01234\r\n" + _END),
    _chunked("extensions of 60 kB", b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n" * 2000 + _END),
    _chunked("leading zeros without end", b"0" * 200 + b"5\r\n01234\r\n" + _END),
    _chunked("space before the size", b" 5\r\n01234\r\n" + _END),
    _chunked("space after the size", b"5 \r\n01234\r\n" + _END),
    _chunked("0x", b"0x5\r\n01234\r\n" + _END),
    _chunked("plus sign", b"+5\r\n01234\r\n" + _END),
    _chunked("minus sign", b"-5\r\n01234\r\n" + _END),
    _chunked("not hexadecimal", b"g\r\n01234\r\n" + _END),
    _chunked("empty size", b"\r\n01234\r\n" + _END),
    _chunked("more than 64 bits", b"10000000000000005\r\n01234\r\n" + _END),
    _chunked("no CRLF after the data", b"5\r\n01234" + _END),
    _chunked("data longer than its size", b"5\r\n012345\r\n" + _END),
    _chunked("trailers of 40 kB", b"0\r\n" + b"X: aaaaaaaaaaaaaa\r\n" * 2000 + b"\r\n"),
    _chunked("trailer without a colon", b"0\r\nwords\r\n\r\n"),
    _chunked("bare LF in the trailers", b"0\r\nX: a\n\r\n"),
)

HOSTS = (
    _host("none", b""),
    _host("two that differ", b"Host: a\r\nHost: b\r\n"),
    _host("two alike", b"Host: a\r\nHost: a\r\n"),
    _host("a list", b"Host: a, b\r\n"),
    _host("user", b"Host: u@a\r\n"),
    _host("slash", b"Host: a/b\r\n"),
    _host("space", b"Host: a b\r\n"),
    _host("question mark", b"Host: a?b\r\n"),
    _host("hash", b"Host: a#b\r\n"),
    _host("backslash", b"Host: a\\b\r\n"),
    _host("port of letters", b"Host: a:b\r\n"),
    _host("open bracket", b"Host: [::1\r\n"),
)

TARGETS = (
    _first("absolute form with a user", b"GET http://u@a/ HTTP/1.1"),
    _first("absolute form without a host", b"GET http:///x HTTP/1.1"),
    _first("space in the target", b"GET /a b HTTP/1.1"),
    _first("two spaces before the target", b"GET  / HTTP/1.1"),
    _first("two spaces after the target", b"GET /  HTTP/1.1"),
    _first("tab before the version", b"GET /\tHTTP/1.1"),
    _first("NUL in the target", b"GET /\x00 HTTP/1.1"),
    _first("control in the target", b"GET /\x01 HTTP/1.1"),
    _first("DEL in the target", b"GET /\x7f HTTP/1.1"),
    _first("high byte in the target", b"GET /\xe4 HTTP/1.1"),
    _first("hash in the target", b"GET /a#b HTTP/1.1"),
    _first("backslash in the target", b"GET /a\\b HTTP/1.1"),
    _first("asterisk for GET", b"GET * HTTP/1.1"),
    _first("authority form for GET", b"GET a:80 HTTP/1.1"),
    _first("relative target", b"GET a HTTP/1.1"),
    _first("origin form for CONNECT", b"CONNECT / HTTP/1.1", METHOD),
)

VERSIONS_AND_METHODS = (
    Case("HTTP/0.9 without a version", b"GET /\r\n\r\n", VERSION),
    _first("HTTP/0.9", b"GET / HTTP/0.9", VERSION),
    _first("HTTP/1.2", b"GET / HTTP/1.2", VERSION),
    _first("HTTP/2.0", b"GET / HTTP/2.0", VERSION),
    _first("HTTP/1.1.1", b"GET / HTTP/1.1.1", VERSION),
    _first("HTTP/11", b"GET / HTTP/11", VERSION),
    _first("HTTP/01.1", b"GET / HTTP/01.1", VERSION),
    _first("http/1.1", b"GET / http/1.1", VERSION),
    _first("HTTP/1,1", b"GET / HTTP/1,1", VERSION),
    _first("another protocol", b"GET / RTSP/1.0", VERSION),
    _first("ICE", b"SOURCE / ICE/1.0", VERSION | METHOD),
    Case("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VERSION | METHOD),
    _first("SOURCE", b"SOURCE / HTTP/1.1", METHOD),
    _first("lower-case method", b"get / HTTP/1.1", METHOD),
    _first("control in the method", b"G\x01T / HTTP/1.1", METHOD),
    _first("space before the method", b" GET / HTTP/1.1", METHOD),
    Case("CONNECT", b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", METHOD | {403, 404}),
    Case("not HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64),
)

SIZES = (
    _get("a value of 64 kB", b"X: " + b"a" * 65_536, FIELDS_TOO_LARGE),
    _get("a name of 64 kB", b"a" * 65_536 + b": x", FIELDS_TOO_LARGE),
    _get("200 fields", b"\r\n".join(b"X-%d: a" % i for i in range(200)), FIELDS_TOO_LARGE),
    _first("a target of 16 kB", b"GET /" + b"a" * 16_384 + b" HTTP/1.1", frozenset({414})),
    Case("empty lines without end", b"\r\n" * 50_000 + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    _get("Expect of something else", b"Expect: tea", frozenset({400, 417})),
    _get("Expect of a list", b"Expect: 100-continue, 100-continue", frozenset({400, 417})),
)

CASES = (
    *BOTH_FRAMINGS,
    *CODINGS,
    *LENGTHS,
    *LINES,
    *NAMES_AND_VALUES,
    *CHUNKS,
    *HOSTS,
    *TARGETS,
    *VERSIONS_AND_METHODS,
    *SIZES,
)
