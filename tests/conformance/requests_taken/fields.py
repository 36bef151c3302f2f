"""Field lines and hosts that pass as the bytes they are."""

from __future__ import annotations

from tests.conformance.taken import HEAD, Seen, Taking

_LINE = Taking("9112 5", "T5")
_VALUE = Taking("9110 5.5", "T6")
_NAME = Taking("9110 5.1", "T6")
_HOST = Taking("9112 3.2", "T10")
_START = Taking("9112 2.2", "T16")

VALUES = (
    _LINE.get("order, case and repetition", [b"X-B: 1", b"x-a: 2", b"X-B: 3"]),
    _LINE.get("no blank after the colon", [b"X:a"]),
    _LINE.get("many blanks after the colon", [b"X: \t  a"]),
    _LINE.get("blanks after the value", [b"X: a \t "]),
    _LINE.get("an empty value", [b"X:"]),
    _LINE.get("a value of blanks", [b"X: \t "]),
    _VALUE.get("a tab inside a value", [b"X: a\tb"]),
    _VALUE.get("colons inside a value", [b"X: a: b: c"]),
    _VALUE.get("quotes and commas", [b'X: "a, b", c;d="e"']),
    _VALUE.get("high bytes", [b"X: \x80\xc3\xa9\xff"]),
    _VALUE.get("a value that looks like a field", [b"X: Transfer-Encoding: chunked"]),
    _VALUE.get("a value of 4 kB", [b"X: " + b"a" * 4096]),
    _VALUE.get("cookies on two lines", [b"Cookie: a=b", b"Cookie: c=d"]),
    _VALUE.get("credentials", [b"Authorization: Bearer a.b.c"]),
    _NAME.get("every byte that a name may have", [b"X!#$%&'*+-.^`|~09azAZ: a"]),
    _NAME.get("an underscore that imitates nothing", [b"my_field: a"]),
    _NAME.get("a name that begins like another", [b"Host-Name: b", b"Content-Lengthy: 9"]),
    _NAME.get("a name that ends like another", [b"X-Host: b", b"My-Transfer-Encoding: x"]),
    _NAME.get("a digit for a name", [b"1: a"]),
    _START.raw("an empty line before", b"\r\n" + HEAD + b"\r\n", Seen()),
    Taking("9110 10.1.1", "T15").raw(
        "an expectation",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\nhi",
        Seen(
            b"POST / HTTP/1.1",
            (b"Host: a", b"Expect: 100-Continue", b"Content-Length: 2"),
            b"hi",
        ),
    ),
    Taking("9110 10.1.1", "T15").raw(
        "an expectation in HTTP/1.0",
        b"POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        Seen(b"POST / HTTP/1.1", (b"Host: a", b"Content-Length: 2"), b"hi"),
    ),
)

HOSTS = (
    _HOST.host("a name", b"shop.example"),
    _HOST.host("capitals", b"Shop.Example"),
    _HOST.host("a port", b"shop:8080"),
    _HOST.host("the default port", b"shop:80"),
    _HOST.host("a dot at the end", b"shop.example."),
    _HOST.host("an underscore", b"my_service"),
    _HOST.host("an address", b"127.0.0.1:15006"),
    _HOST.host("an address of IPv6", b"[::1]"),
    _HOST.host("an address of IPv6 and a port", b"[2001:DB8::1]:8080"),
    _HOST.raw(
        "host: in odd case and last",
        b"GET / HTTP/1.1\r\nX: a\r\nhOST:b\r\n\r\n",
        Seen(fields=(b"X: a", b"hOST: b"), host=b"b"),
    ),
    _HOST.raw(
        "host: none in HTTP/1.0",
        b"GET / HTTP/1.0\r\nX: a\r\n\r\n",
        Seen(fields=(b"host: 127.0.0.1:8080", b"X: a"), host=b""),
    ),
)

CASES = (*VALUES, *HOSTS)
