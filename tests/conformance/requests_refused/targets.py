"""Request targets with bytes or forms that do not belong, and paths that servers read two ways."""

from __future__ import annotations

from tests.conformance.case import METHOD, About

FORM = About("9112 3.2", "T12")
BYTES = About("9112 3.2", "T12")
ABSOLUTE = About("9112 3.2.2", "T11")
USER = About("9110 4.2.4", "T11")
ASTERISK = About("9112 3.2.4", "T12")
AUTHORITY = About("9112 3.2.3", "T12")
PATH = About("3986 2.1", "T41")
TWO_WAYS = About("stricter: servers read this path in different ways", "T41")
ABOVE = About("stricter: 3986 5.2.4 would cut such a path short; nobody means it", "T41")

_BYTES = {
    "NUL": b"\x00",
    "control": b"\x01",
    "tab": b"\t",
    "vertical tab": b"\x0b",
    "form feed": b"\x0c",
    "DEL": b"\x7f",
    "high byte": b"\xe4",
    "letter in UTF-8": b"\xc3\xa4",
    "hash": b"#b",
    "backslash": b"\\b",
}

TARGETS = (
    *(BYTES.first(f"{name} in the target", b"GET /a" + byte + b" HTTP/1.1")
      for name, byte in _BYTES.items()),
    BYTES.first("hash in the query", b"GET /?a#b HTTP/1.1"),
    BYTES.first("NUL in the query", b"GET /?a\x00 HTTP/1.1"),
    BYTES.first("high byte in the query", b"GET /?\xe4 HTTP/1.1"),
    FORM.first("space in the target", b"GET /a b HTTP/1.1"),
    FORM.first("two spaces before the target", b"GET  / HTTP/1.1"),
    FORM.first("two spaces after the target", b"GET /  HTTP/1.1"),
    FORM.first("tab before the target", b"GET\t/ HTTP/1.1"),
    FORM.first("tab before the version", b"GET /\tHTTP/1.1"),
    FORM.first("space after the version", b"GET / HTTP/1.1 "),
    FORM.first("no target", b"GET HTTP/1.1"),
    FORM.first("empty target", b"GET  HTTP/1.1"),
    FORM.first("relative target", b"GET a HTTP/1.1"),
    FORM.first("dot segment as target", b"GET ../a HTTP/1.1"),
    FORM.first("query alone", b"GET ?a HTTP/1.1"),
    FORM.first("escape for the first slash", b"GET %2fa HTTP/1.1"),
    FORM.first("semicolon first", b"GET ;/a HTTP/1.1"),
    FORM.first("at sign first", b"GET @a/ HTTP/1.1"),
    ASTERISK.first("asterisk for GET", b"GET * HTTP/1.1"),
    ASTERISK.first("asterisk for POST", b"POST * HTTP/1.1"),
    ASTERISK.first("asterisk and a query", b"OPTIONS *?a HTTP/1.1"),
    ASTERISK.first("two asterisks", b"OPTIONS ** HTTP/1.1"),
    AUTHORITY.first("authority form for GET", b"GET a:80 HTTP/1.1"),
    About("9112 3.2.3", "T12", METHOD).first("origin form for CONNECT", b"CONNECT / HTTP/1.1"),
)  # fmt: skip

ABSOLUTES = (
    USER.first("absolute form with a user", b"GET http://u@a/ HTTP/1.1"),
    USER.first("absolute form with user and password", b"GET http://u:p@a/ HTTP/1.1"),
    USER.first("absolute form with two at signs", b"GET http://a@b@c/ HTTP/1.1"),
    ABSOLUTE.first("absolute form without a host", b"GET http:///x HTTP/1.1"),
    ABSOLUTE.first("absolute form with a query for a host", b"GET http://?x HTTP/1.1"),
    ABSOLUTE.first("absolute form with one slash", b"GET http:/a HTTP/1.1"),
    ABSOLUTE.first("absolute form without slashes", b"GET http:a HTTP/1.1"),
    ABSOLUTE.first("absolute form with a port of letters", b"GET http://a:b/ HTTP/1.1"),
    ABSOLUTE.first("absolute form with a list of hosts", b"GET http://a,b/ HTTP/1.1"),
    ABSOLUTE.first("absolute form with an escaped slash", b"GET http://a%2fb/ HTTP/1.1"),
    ABSOLUTE.first("absolute form with an open bracket", b"GET http://[::1/ HTTP/1.1"),
    ABSOLUTE.first("absolute form of FTP", b"GET ftp://a/ HTTP/1.1"),
    ABSOLUTE.first("absolute form of a file", b"GET file:///etc/passwd HTTP/1.1"),
    ABSOLUTE.first("absolute form of HTTPS", b"GET https://a/ HTTP/1.1"),
    ABSOLUTE.first("absolute form with a path that climbs", b"GET http://a/../x HTTP/1.1"),
    ABSOLUTE.raw("absolute form and no Host field", b"GET http://a/ HTTP/1.1\r\n\r\n"),
    ABSOLUTE.raw("absolute form and a bad Host", b"GET http://a/ HTTP/1.1\r\nHost: a,b\r\n\r\n"),
    ABSOLUTE.raw(
        "absolute form and two Hosts", b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"
    ),
)

PATHS = (
    PATH.path("percent sign alone", b"/a%"),
    PATH.path("escape of one digit", b"/a%4"),
    PATH.path("escape of other letters", b"/a%zz"),
    PATH.path("two percent signs", b"/a%%41"),
    PATH.path("escape of the old kind", b"/%u002e%u002e/a"),
    TWO_WAYS.path("escaped NUL", b"/a%00"),
    TWO_WAYS.path("escaped NUL and an ending", b"/a%00.html"),
    TWO_WAYS.path("escaped slash", b"/a%2fb"),
    TWO_WAYS.path("escaped slash in capitals", b"/a%2Fb"),
    TWO_WAYS.path("escaped backslash", b"/a%5cb"),
    TWO_WAYS.path("escaped backslash in capitals", b"/a%5Cb"),
    TWO_WAYS.path("climbing with an escaped slash", b"/a/..%2fadmin"),
    TWO_WAYS.path("climbing with all escaped", b"/a%2f%2e%2e%2fadmin"),
    TWO_WAYS.path("climbing with an escaped backslash", b"/a/..%5cadmin"),
    TWO_WAYS.path("dots with a parameter", b"/a/..;/b"),
    TWO_WAYS.path("dots with a named parameter", b"/a/..;x=1/b"),
    TWO_WAYS.path("dots with a parameter at the end", b"/a/..;"),
    TWO_WAYS.path("escaped dots with a parameter", b"/a/%2e%2e;/b"),
    TWO_WAYS.path("dot with a parameter", b"/a/.;/b"),
    TWO_WAYS.path("dots with an escaped parameter", b"/a/..%3b/b"),
    ABOVE.path("above the root", b"/.."),
    ABOVE.path("above the root after a while", b"/a/../.."),
    ABOVE.path("above the root and down again", b"/a/../../b"),
    ABOVE.path("above the root in escapes", b"/%2e%2e/x"),
    ABOVE.path("above the root in mixed escapes", b"/.%2E/x"),
)

CASES = (*TARGETS, *ABSOLUTES, *PATHS)
