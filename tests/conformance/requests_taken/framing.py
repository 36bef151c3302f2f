"""Bodies that end where they say they do."""

from __future__ import annotations

from tests.conformance.case import END
from tests.conformance.taken import Seen, Taken, Taking

_LENGTH = Taking("9112 6.2", "T4")
_CHUNKED = Taking("9112 7.1", "T7")
_EXTENSION = Taking("9112 7.1.1", "T7")
_TRAILER = Taking("9110 6.5.1", "T9")
_CODING = Taking("9112 6.1", "T2")
_BYTES = bytes(range(256))
_LONG = b"0123456789" * 7000
_INNER = b"GET /inner HTTP/1.1\r\nHost: a\r\n\r\n"

LENGTHS = (
    _LENGTH.post("a length", b"Content-Length: 5", b"hello"),
    _LENGTH.post("a length of 0", b"Content-Length: 0", b""),
    _LENGTH.post("a name in odd case", b"cONTENT-lENGTH: 5", b"hello"),
    _LENGTH.post("leading zeros", b"Content-Length: 0005", b"hello", b"Content-Length: 5"),
    _LENGTH.post("no blank before the length", b"Content-Length:5", b"hello", b"Content-Length: 5"),
    _LENGTH.post(
        "blanks around the length", b"Content-Length: \t 5 \t", b"hello", b"Content-Length: 5"
    ),
    _LENGTH.post("every byte", b"Content-Length: 256", _BYTES),
    _LENGTH.post("70 kB", b"Content-Length: 70000", _LONG),
    _LENGTH.post("a request inside a body", b"Content-Length: %d" % len(_INNER), _INNER),
    _LENGTH.post("line ends inside a body", b"Content-Length: 8", b"\r\n\r\n\n\n\r\r"),
    _LENGTH.raw(
        "a GET with a body",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        Seen(fields=(b"Host: a", b"Content-Length: 2"), body=b"hi"),
    ),
    _LENGTH.raw(
        "a length in HTTP/1.0",
        b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        Seen(b"POST / HTTP/1.1", (b"Host: a", b"Content-Length: 2"), b"hi"),
    ),
)


def _coded(name: str, line: bytes, kept: bytes) -> Taken:
    return _CODING.post(name, line, b"hello", kept, sent=b"5\r\nhello\r\n" + END)


CODINGS = (
    _coded("chunked in capitals", b"TRANSFER-ENCODING: CHUNKED", b"TRANSFER-ENCODING: chunked"),
    _coded("no blank before chunked", b"Transfer-Encoding:chunked", b"Transfer-Encoding: chunked"),
    _coded(
        "blanks around chunked", b"Transfer-Encoding: \tchunked  ", b"Transfer-Encoding: chunked"
    ),
)

CHUNKS = (
    _CHUNKED.chunked("one", b"5\r\nhello\r\n" + END, b"hello"),
    _CHUNKED.chunked("none but the last", END, b""),
    _CHUNKED.chunked("several", b"2\r\nhe\r\n2\r\nll\r\n1\r\no\r\n" + END, b"hello"),
    _CHUNKED.chunked("fifty of one byte", b"1\r\nx\r\n" * 50 + END, b"x" * 50),
    _CHUNKED.chunked("70 kB in one", b"11170\r\n%b\r\n" % _LONG + END, _LONG),
    _CHUNKED.chunked("small letters", b"a\r\n0123456789\r\n" + END, b"0123456789"),
    _CHUNKED.chunked("capitals", b"A\r\n0123456789\r\n" + END, b"0123456789"),
    _CHUNKED.chunked("leading zeros", b"0005\r\nhello\r\n" + END, b"hello"),
    _CHUNKED.chunked("sixteen digits", b"5".zfill(16) + b"\r\nhello\r\n" + END, b"hello"),
    _CHUNKED.chunked("a last chunk of many zeros", b"5\r\nhello\r\n0000\r\n\r\n", b"hello"),
    _CHUNKED.chunked("line ends inside", b"8\r\n\r\n0\r\n\r\n\n\r\n" + END, b"\r\n0\r\n\r\n\n"),
    _CHUNKED.chunked("a request inside", b"%x\r\n%b\r\n" % (len(_INNER), _INNER) + END, _INNER),
    _CHUNKED.chunked("every byte", b"100\r\n" + _BYTES + b"\r\n" + END, _BYTES),
    _EXTENSION.chunked("an extension", b"5;a=b\r\nhello\r\n" + END, b"hello"),
    _EXTENSION.chunked("an extension without a value", b"5;a\r\nhello\r\n" + END, b"hello"),
    _EXTENSION.chunked("two extensions", b"5;a;b=1\r\nhello\r\n" + END, b"hello"),
    _EXTENSION.chunked("a quoted extension", b'5;a="b;c"\r\nhello\r\n' + END, b"hello"),
    _EXTENSION.chunked("an extension of the last", b"5\r\nhello\r\n0;a=b\r\n\r\n", b"hello"),
    _TRAILER.chunked("a trailer", b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", b"hello"),
    _TRAILER.chunked("an empty trailer", b"5\r\nhello\r\n0\r\nX-Sum:\r\n\r\n", b"hello"),
    _TRAILER.chunked("Host in a trailer", b"5\r\nhello\r\n0\r\nHost: evil\r\n\r\n", b"hello"),
    _TRAILER.chunked(
        "Authorization in a trailer", b"5\r\nhello\r\n0\r\nAuthorization: x\r\n\r\n", b"hello"
    ),
    _TRAILER.chunked(
        "our own names in a trailer",
        b"0\r\nX-Forwarded-For: 10.0.0.1\r\nX-Meshproxy-Attempt: 9\r\n\r\n",
        b"",
    ),
)  # fmt: skip

CASES = (*LENGTHS, *CODINGS, *CHUNKS)
