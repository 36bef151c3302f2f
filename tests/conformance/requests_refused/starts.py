"""Versions and methods that are not spoken here, and first bytes that are no request."""

from __future__ import annotations

from tests.conformance.case import BAD, METHOD, VERSION, About

_OTHER = About("9112 2.3", "T13", VERSION)
_NONE = About("9112 3", "T13", BAD)
_METHOD = About("9110 9.1", "T13", METHOD)
_TOKEN = About("9110 9.1", "T13", BAD)

VERSIONS = (
    _NONE.raw("HTTP/0.9 without a version", b"GET /\r\n\r\n"),
    _OTHER.first("HTTP/0.9", b"GET / HTTP/0.9"),
    _OTHER.first("HTTP/1.2", b"GET / HTTP/1.2"),
    _OTHER.first("HTTP/2.0", b"GET / HTTP/2.0"),
    _OTHER.first("HTTP/3", b"GET / HTTP/3"),
    _OTHER.first("HTTP/1", b"GET / HTTP/1"),
    _OTHER.first("HTTP/1.1.1", b"GET / HTTP/1.1.1"),
    _OTHER.first("HTTP/11", b"GET / HTTP/11"),
    _OTHER.first("HTTP/01.1", b"GET / HTTP/01.1"),
    _OTHER.first("HTTP/1.01", b"GET / HTTP/1.01"),
    _OTHER.first("HTTP/1,1", b"GET / HTTP/1,1"),
    _OTHER.first("HTTP/-1.1", b"GET / HTTP/-1.1"),
    _OTHER.first("a version without a number", b"GET / HTTP/"),
    _NONE.first("http/1.1", b"GET / http/1.1"),
    _NONE.first("a version in another alphabet", b"GET / \xd0\x9dTTP/1.1"),
    _NONE.first("another protocol", b"GET / RTSP/1.0"),
    _NONE.first("HTTPS/1.1", b"GET / HTTPS/1.1"),
    _NONE.first("ICE", b"SOURCE / ICE/1.0"),
    _OTHER.raw("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
)

METHODS = (
    _METHOD.first("SOURCE", b"SOURCE / HTTP/1.1"),
    _METHOD.first("PRI", b"PRI / HTTP/1.1"),
    _METHOD.first("lower-case method", b"get / HTTP/1.1"),
    _METHOD.first("method with a letter more", b"GETT / HTTP/1.1"),
    _METHOD.first("method with a dot", b"GE.T / HTTP/1.1"),
    _METHOD.first("made-up method", b"FROBNICATE / HTTP/1.1"),
    _TOKEN.first("control in the method", b"G\x01T / HTTP/1.1"),
    _TOKEN.first("NUL in the method", b"G\x00ET / HTTP/1.1"),
    _TOKEN.first("high byte in the method", b"G\xcbT / HTTP/1.1"),
    _TOKEN.first("colon in the method", b"GET: / HTTP/1.1"),
    _TOKEN.first("bracket in the method", b"GET( / HTTP/1.1"),
    _TOKEN.first("space before the method", b" GET / HTTP/1.1"),
    _TOKEN.first("method that begins with a digit", b"1GET / HTTP/1.1"),
    _TOKEN.first("no method", b"/ HTTP/1.1"),
    _METHOD.raw("CONNECT", b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
)

OTHERS = (
    _NONE.raw("the hello of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64),
    _NONE.raw("an answer", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    _NONE.raw("the header of the PROXY protocol", b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"
              b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    _NONE.raw("two spaces alone", b"  \r\n\r\n"),
    _NONE.raw("mail", b"EHLO a\r\n\r\n"),
)  # fmt: skip

CASES = (*VERSIONS, *METHODS, *OTHERS)
