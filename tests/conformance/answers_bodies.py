"""Bodies that end too early, in every framing, and chunks that are none.

No client may take one of them for whole. RFC 9112 sections 6.3, 7.1 and 8.
"""

from __future__ import annotations

from tests.conformance.answers_case import BROKEN, GET_OK, LATE, Case, End, Fate

LENGTH = GET_OK + b"Content-Length: 10\r\n\r\n"
CHUNKED = GET_OK + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = GET_OK + b"X-Kind: until close\r\n\r\n"
OLD = b"HTTP/1.0 200 OK\r\n\r\n"

_CUT = frozenset({Fate.CUT})

PARTS = {
    "no byte of the length": (LENGTH, b""),
    "half of the length": (LENGTH + b"01234", b"0123456789"),
    "all but one of the length": (LENGTH + b"012345678", b"0123456789"),
    "a length beyond 2^32": (GET_OK + b"Content-Length: 5000000000\r\n\r\nab", b"ab"),
    "no chunk": (CHUNKED, b""),
    "in a size": (CHUNKED + b"1", b""),
    "after a size": (CHUNKED + b"5\r\n", b""),
    "between CR and LF of a size": (CHUNKED + b"5\r", b""),
    "in an extension": (CHUNKED + b"5;a=", b""),
    "in a chunk": (CHUNKED + b"5\r\nhel", b"hello"),
    "after the data of a chunk": (CHUNKED + b"5\r\nhello", b"hello"),
    "at the edge of a chunk": (CHUNKED + b"5\r\nhello\r\n", b"hello"),
    "in the second size": (CHUNKED + b"5\r\nhello\r\n1", b"hello"),
    "in the last size": (CHUNKED + b"5\r\nhello\r\n0", b"hello"),
    "after the last size": (CHUNKED + b"5\r\nhello\r\n0\r\n", b"hello"),
    "in the last line": (CHUNKED + b"5\r\nhello\r\n0\r\n\r", b"hello"),
    "in a trailer": (CHUNKED + b"5\r\nhello\r\n0\r\nX: 1", b"hello"),
    "after a trailer": (CHUNKED + b"5\r\nhello\r\n0\r\nX: 1\r\n", b"hello"),
}
"""What is said, and what the body would have been."""

CUT_BODIES = (
    *(
        Case(f"body cut: {where}, {end.value}", part, _CUT, "9112 8", "T24", end, body=body)
        for where, (part, body) in PARTS.items()
        for end in (End.FIN, End.RST)
    ),
    *(
        Case(f"body stalls: {where}", part, _CUT, "9112 8", "T24", body=body, told=LATE, waits=True)
        for where, (part, body) in PARTS.items()
    ),
    *(
        Case(f"{name} until close, rst", data, _CUT, "9112 8", "T24", End.RST, body=b"hello")
        for name, data in {
            "a body": ENDLESS + b"hello",
            "nothing": ENDLESS,
            "an old body": OLD + b"hello",
            "an old nothing": OLD,
        }.items()
    ),
)


def _chunk(name: str, data: bytes, body: bytes = b"", rfc: str = "9112 7.1") -> Case:
    return Case(f"chunk: {name}", CHUNKED + data, BROKEN, rfc, "T7", body=body)


_END = b"0\r\n\r\n"

BAD_CHUNKS = (
    _chunk("a size of letters", b"xyz\r\nhello\r\n" + _END),
    _chunk("no size", b"\r\nhello\r\n" + _END),
    _chunk("a signed size", b"+5\r\nhello\r\n" + _END),
    _chunk("a negative size", b"-5\r\nhello\r\n" + _END),
    _chunk("0x before a size", b"0x5\r\nhello\r\n" + _END),
    _chunk("a space before a size", b" 5\r\nhello\r\n" + _END),
    _chunk("a space after a size", b"5 \r\nhello\r\n" + _END),
    _chunk("an underscore in a size", b"0_5\r\nhello\r\n" + _END),
    _chunk("a size of 17 digits", b"10000000000000005\r\nhello\r\n" + _END),
    _chunk("a size of 1000 zeros", b"0" * 1000 + b"5\r\nhello\r\n" + _END),
    _chunk("a second size with garbage", b"5\r\nhello\r\n5g\r\nworld\r\n" + _END, b"hello"),
    _chunk("more data than its size", b"3\r\nhello\r\n" + _END, b"hel"),
    _chunk("less data than its size", b"7\r\nhello\r\n" + _END, b"hello\r\n"),
    _chunk("no CRLF after the data", b"5\r\nhello" + _END, b"hello"),
    _chunk("bare LF after a size", b"5\nhello\r\n" + _END),
    _chunk("bare CR after a size", b"5\rhello\r\n" + _END),
    _chunk("bare LF after the data", b"5\r\nhello\n" + _END, b"hello"),
    _chunk("bare LF after the last size", b"5\r\nhello\r\n0\n\r\n", b"hello"),
    _chunk("bare LF at the end", b"5\r\nhello\r\n0\r\n\n", b"hello"),
    _chunk("LF in an extension", b"5;a\nb\r\nhello\r\n" + _END, rfc="9112 7.1.1"),
    _chunk("CR in an extension", b"5;a\rb\r\nhello\r\n" + _END, rfc="9112 7.1.1"),
    _chunk("NUL in an extension", b"5;a\x00b\r\nhello\r\n" + _END, rfc="9112 7.1.1"),
    _chunk("an extension of 20 kB", b"5;" + b"a" * 20_000 + b"\r\nhello\r\n" + _END),
    _chunk("an extension without end", b"5;" + b"a" * 20_000),
    _chunk("9 kB of trailers", b"5\r\nhello\r\n0\r\n" + b"X: 1\r\n" * 1500 + b"\r\n", b"hello"),
    _chunk("a trailer without a colon", b"5\r\nhello\r\n0\r\nX\r\n\r\n", b"hello", "9112 7.1.2"),
    _chunk("a folded trailer", b"5\r\nhello\r\n0\r\nX: 1\r\n 2\r\n\r\n", b"hello", "9112 7.1.2"),
    _chunk("NUL in a trailer", b"5\r\nhello\r\n0\r\nX: \x00\r\n\r\n", b"hello", "9112 7.1.2"),
    _chunk("bare LF in a trailer", b"5\r\nhello\r\n0\r\nX: 1\nY: 2\r\n\r\n", b"hello"),
    _chunk("a length as a trailer", b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n", b"hello"),
    _chunk("no chunks at all", b"hello"),
    _chunk("an answer in place of a size", GET_OK + b"\r\n"),
)

ALL = (*CUT_BODIES, *BAD_CHUNKS)
