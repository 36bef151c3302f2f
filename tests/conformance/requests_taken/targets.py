"""Targets in each form, and paths in the one spelling by which they are judged."""

from __future__ import annotations

from tests.conformance.taken import Seen, Taken, Taking

_FORM = Taking("9112 3.2", "T12")
_ABSOLUTE = Taking("9112 3.2.2", "T11")
_SAME = Taking("3986 6.2.2", "T41")
_DOTS = Taking("3986 5.2.4", "T41")
_METHOD = Taking("9110 9.1", "T13")

TARGETS = (
    _FORM.target("a path", b"/orders/7"),
    _FORM.target("a query", b"/a?b=c&d=e"),
    _FORM.target("an empty query", b"/a?"),
    _FORM.target("two question marks", b"/a?b?c"),
    _FORM.target("marks that may stand in a path", b"/a!$&'()*+,;=:@b-._~"),
    _FORM.target("brackets and bars in a query", b"/a?b=[1]|{2}"),
    _FORM.target("a query in escapes", b"/a?b=%2F..%2f%00%zz"),
    _FORM.target("a URL inside a path", b"/proxy/http://b/c"),
    _FORM.target("a path of 6 kB", b"/" + b"a" * 6000),
)

ABSOLUTES = (
    _ABSOLUTE.absolute(
        "absolute form", b"GET http://b/x?y HTTP/1.1", b"GET /x?y HTTP/1.1", b"b"
    ),
    _ABSOLUTE.absolute(
        "absolute form in capitals", b"GET HTTP://B/X HTTP/1.1", b"GET /X HTTP/1.1", b"B"
    ),
    _ABSOLUTE.absolute(
        "absolute form with a port", b"GET http://b:8080/ HTTP/1.1", b"GET / HTTP/1.1", b"b:8080"
    ),
    _ABSOLUTE.absolute(
        "absolute form without a path", b"GET http://b HTTP/1.1", b"GET / HTTP/1.1", b"b"
    ),
    _ABSOLUTE.absolute(
        "absolute form with a query alone", b"GET http://b?y HTTP/1.1", b"GET /?y HTTP/1.1", b"b"
    ),
    _ABSOLUTE.absolute(
        "absolute form with dots", b"GET http://b/x/../y HTTP/1.1", b"GET /y HTTP/1.1", b"b"
    ),
    _ABSOLUTE.absolute(
        "absolute form of IPv6", b"GET http://[::1]:80/ HTTP/1.1", b"GET / HTTP/1.1", b"[::1]:80"
    ),
    _ABSOLUTE.absolute(
        "absolute form with an at sign in its path",
        b"GET http://b/@c HTTP/1.1", b"GET /@c HTTP/1.1", b"b",
    ),
    _ABSOLUTE.raw(
        "absolute form in HTTP/1.0 without a Host",
        b"GET http://b/x HTTP/1.0\r\n\r\n",
        Seen(b"GET /x HTTP/1.1", (b"host: b",), host=b"b"),
    ),
)  # fmt: skip

PATHS = (
    _SAME.target("escaped letters", b"/%61dmin%2D%5f%7E", b"/admin-_~"),
    _SAME.target("escapes in small letters", b"/caf%c3%a9", b"/caf%C3%A9"),
    _SAME.target("an escaped percent sign", b"/a%252e%252e/b"),
    _SAME.target("an escaped blank", b"/a%20b"),
    _SAME.target("an escaped question mark", b"/a%3Fb"),
    _SAME.target("an escape of dots that is too long", b"/%c0%ae/b", b"/%C0%AE/b"),
    _SAME.target("empty segments", b"/a//b///"),
    _SAME.target("parameters", b"/a;v=1/b;w"),
    _SAME.target("dots that are no segment", b"/.a/..b/c../..."),
    _DOTS.target("one dot", b"/a/./b", b"/a/b"),
    _DOTS.target("two dots", b"/a/../b", b"/b"),
    _DOTS.target("two dots at the end", b"/a/b/..", b"/a/"),
    _DOTS.target("one dot at the end", b"/a/.", b"/a/"),
    _DOTS.target("escaped dots", b"/a/%2e%2E/b", b"/b"),
    _DOTS.target("dots beside empty segments", b"/a//../b", b"/a/b"),
    _DOTS.target("dots before a query of dots", b"/a/../b?c=/../d", b"/b?c=/../d"),
)


def _method(method: bytes) -> Taken:
    start = method + b" / HTTP/1.1"
    return _METHOD.raw(method.decode(), start + b"\r\nHost: a\r\n\r\n", Seen(start))


METHODS = (
    *(_method(method) for method in (
        b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE",
        b"PROPFIND", b"M-SEARCH", b"QUERY", b"PURGE",
    )),
    Taking("9112 3.2.4", "T12").raw(
        "OPTIONS of the server", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        Seen(b"OPTIONS * HTTP/1.1"),
    ),
    Taking("9112 3.2.4", "T12").absolute(
        "OPTIONS of another server", b"OPTIONS http://b:81 HTTP/1.1", b"OPTIONS * HTTP/1.1", b"b:81"
    ),
    Taking("9112 3.2.4", "T12").absolute(
        "OPTIONS of another server's root",
        b"OPTIONS http://b/ HTTP/1.1", b"OPTIONS / HTTP/1.1", b"b",
    ),
    Taking("9110 7.6.2").raw(
        "OPTIONS with hops to go", b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 2\r\n\r\n",
        Seen(b"OPTIONS / HTTP/1.1", (b"Host: a", b"Max-Forwards: 1")),
    ),
)  # fmt: skip

CASES = (*TARGETS, *ABSOLUTES, *PATHS, *METHODS)
