"""Chunked bodies that are not, or that are more words about a body than body."""

from __future__ import annotations

from tests.conformance.case import END, About

SIZE = About("9112 7.1", "T7")
EXTENSION = About("9112 7.1.1", "T7")
TRAILER = About("9112 7.1.2", "T9")
_ZEROS = About("stricter: no size needs more than 16 digits", "T7")
_MUCH = About("9112 7.1.1", "T8")
_TINY = About("stricter: such a body costs a hundred times what it costs to send", "T8")

SIZES = (
    SIZE.chunked("bare LF after the size", b"5\n01234\r\n" + END),
    SIZE.chunked("lone CR after the size", b"5\r01234\r\n" + END),
    SIZE.chunked("CR CR LF after the size", b"5\r\r\n01234\r\n" + END),
    SIZE.chunked("bare LF after the data", b"5\r\n01234\n" + END),
    SIZE.chunked("lone CR after the data", b"5\r\n01234\r" + END),
    SIZE.chunked("bare LF after the last size", b"5\r\n01234\r\n0\n\r\n"),
    SIZE.chunked("bare LF ends the body", b"5\r\n01234\r\n0\r\n\n"),
    SIZE.chunked("space before the size", b" 5\r\n01234\r\n" + END),
    SIZE.chunked("space after the size", b"5 \r\n01234\r\n" + END),
    SIZE.chunked("tab after the size", b"5\t\r\n01234\r\n" + END),
    SIZE.chunked("0x", b"0x5\r\n01234\r\n" + END),
    SIZE.chunked("plus sign", b"+5\r\n01234\r\n" + END),
    SIZE.chunked("minus sign", b"-5\r\n01234\r\n" + END),
    SIZE.chunked("minus zero", b"-0\r\n\r\n"),
    SIZE.chunked("underscore", b"0_5\r\n01234\r\n" + END),
    SIZE.chunked("not hexadecimal", b"g\r\n01234\r\n" + END),
    SIZE.chunked("digit of another script", b"\xd9\xa5\r\n01234\r\n" + END),
    SIZE.chunked("NUL after the size", b"5\x00\r\n01234\r\n" + END),
    SIZE.chunked("empty size", b"\r\n01234\r\n" + END),
    SIZE.chunked("empty size behind a chunk", b"5\r\n01234\r\n\r\n" + END),
    SIZE.chunked("more than 64 bits", b"10000000000000005\r\n01234\r\n" + END),
    SIZE.chunked("no CRLF after the data", b"5\r\n01234" + END),
    SIZE.chunked("data longer than its size", b"5\r\n012345\r\n" + END),
    SIZE.chunked("data shorter than its size", b"6\r\n01234\r\n" + END),
    _ZEROS.chunked("leading zeros without end", b"0" * 200 + b"5\r\n01234\r\n" + END),
    _ZEROS.chunked("seventeen digits of a small size", b"5".zfill(17) + b"\r\n01234\r\n" + END),
)

EXTENSIONS = (
    EXTENSION.chunked("LF in an extension", b"5;a\nb\r\n01234\r\n" + END),
    EXTENSION.chunked("LF in a quoted extension", b'5;a="\n"\r\n01234\r\n' + END),
    EXTENSION.chunked("lone CR in an extension", b"5;a\rb\r\n01234\r\n" + END),
    EXTENSION.chunked("NUL in an extension", b"5;a\x00\r\n01234\r\n" + END),
    EXTENSION.chunked("control in an extension", b"5;a=\x01\r\n01234\r\n" + END),
    EXTENSION.chunked("blank before an extension", b"5 ;a\r\n01234\r\n" + END),
    EXTENSION.chunked("extension without a semicolon", b"5 a=b\r\n01234\r\n" + END),
    EXTENSION.chunked("LF in the last extension", b"5\r\n01234\r\n0;a\n\r\n\r\n"),
    _TINY.chunked("18,000 of one byte", b"1\r\nx\r\n" * 18_000 + END),
    _MUCH.chunked("extension of 100 kB", b"5;" + b"a" * 100_000 + b"\r\n01234\r\n" + END),
    _MUCH.chunked("extensions of 60 kB", b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n" * 2000 + END),
)

TRAILERS = (
    TRAILER.chunked("trailers of 40 kB", b"0\r\n" + b"X: aaaaaaaaaaaaaa\r\n" * 2000 + b"\r\n"),
    TRAILER.chunked("one trailer of 40 kB", b"0\r\nX: " + b"a" * 40_000 + b"\r\n\r\n"),
    TRAILER.chunked("trailer without a colon", b"0\r\nwords\r\n\r\n"),
    TRAILER.chunked("bare LF in the trailers", b"0\r\nX: a\n\r\n"),
    TRAILER.chunked("lone CR in the trailers", b"0\r\nX: a\rb\r\n\r\n"),
    TRAILER.chunked("NUL in a trailer", b"0\r\nX: a\x00\r\n\r\n"),
    TRAILER.chunked("folded trailer", b"0\r\nX: a\r\n b\r\n\r\n"),
    TRAILER.chunked("blank before a trailer's colon", b"0\r\nX : a\r\n\r\n"),
    TRAILER.chunked("trailer with an empty name", b"0\r\n: a\r\n\r\n"),
    TRAILER.chunked(
        "a request in place of the trailers", END[:3] + b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
    ),
)

CASES = (*SIZES, *EXTENSIONS, *TRAILERS)
