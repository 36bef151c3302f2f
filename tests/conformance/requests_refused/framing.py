"""Where a body ends, said twice, in an unknown way, or with a number that is none."""

from __future__ import annotations

from tests.conformance.case import CODING, END, About

BOTH = About("9112 6.1", "T1")
BOTH_CASES = (
    BOTH.post("length, then coding", b"Content-Length: 5\r\nTransfer-Encoding: chunked", END),
    BOTH.post("coding, then length", b"Transfer-Encoding: chunked\r\nContent-Length: 5", END),
    BOTH.post("length of 0 and coding", b"Content-Length: 0\r\nTransfer-Encoding: chunked", END),
    BOTH.post("length and odd case", b"content-length: 4\r\ntransfer-ENCODING: Chunked", END),
    BOTH.post("length and unknown coding", b"Content-Length: 5\r\nTransfer-Encoding: x", b"01234"),
    BOTH.post("length and empty coding", b"Content-Length: 5\r\nTransfer-Encoding:", b"01234"),
    BOTH.post(
        "length and coding with a request inside",
        b"Content-Length: 45\r\nTransfer-Encoding: chunked",
        END + b"GET /inner HTTP/1.1\r\nHost: a\r\nX: 123456\r\n\r\n",
    ),
)

_TE = b"Transfer-Encoding: "
UNKNOWN = About("9112 6.1", "T2", CODING)
FOLDED = About("9112 5.2", "T2", CODING)
TAB = About("stricter: a tab there is a blank (9110 5.6.3), and nobody sends one", "T2")
OLD = About("9112 6.1", "T3")
CODINGS = (
    UNKNOWN.post("gzip, chunked", _TE + b"gzip, chunked", END),
    UNKNOWN.post("chunked, gzip", _TE + b"chunked, gzip", END),
    UNKNOWN.post("identity", _TE + b"identity", END),
    UNKNOWN.post("identity, chunked", _TE + b"identity, chunked", END),
    UNKNOWN.post("quoted chunked", _TE + b'"chunked"', END),
    UNKNOWN.post("single quotes around chunked", _TE + b"'chunked'", END),
    UNKNOWN.post("xchunked", _TE + b"xchunked", END),
    UNKNOWN.post("chunkedx", _TE + b"chunkedx", END),
    UNKNOWN.post("chunked twice in a list", _TE + b"chunked, chunked", END),
    UNKNOWN.post("chunked on two lines", _TE + b"chunked\r\n" + _TE + b"chunked", END),
    UNKNOWN.post("identity, then chunked", _TE + b"identity\r\n" + _TE + b"chunked", END),
    UNKNOWN.post("chunked, then identity", _TE + b"chunked\r\n" + _TE + b"identity", END),
    UNKNOWN.post("chunked, then an empty line of it", _TE + b"chunked\r\n" + _TE, END),
    UNKNOWN.post("chunked with a parameter", _TE + b"chunked;q=1", END),
    UNKNOWN.post("chunked with a comma", _TE + b"chunked,", END),
    UNKNOWN.post("comma before chunked", _TE + b",chunked", END),
    UNKNOWN.post("high byte before chunked", _TE + b"\xefchunked", END),
    UNKNOWN.post("no-break space after chunked", _TE + b"chunked\xa0", END),
    UNKNOWN.post("space inside chunked", _TE + b"chunk ed", END),
    UNKNOWN.post("empty coding", _TE, END),
    UNKNOWN.post("gzip alone", _TE + b"gzip", END),
    UNKNOWN.get("coding on a GET without body", _TE + b"identity"),
    UNKNOWN.post("vertical tab before chunked", _TE + b"\x0bchunked", END),
    UNKNOWN.post("vertical tab after chunked", _TE + b"chunked\x0b", END),
    UNKNOWN.post("form feed before chunked", _TE + b"\x0cchunked", END),
    UNKNOWN.post("NUL after chunked", _TE + b"chunked\x00", END),
    FOLDED.post("chunked on a folded line", b"Transfer-Encoding:\r\n chunked", END),
    TAB.post("tab after chunked", _TE + b"chunked\t", END),
    OLD.raw(
        "chunked in HTTP/1.0",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    ),
    OLD.raw(
        "chunked in HTTP/1.0 that is kept alive",
        b"POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + END,
    ),
)

LENGTH = About("9112 6.3", "T4")
LENGTHS = (
    LENGTH.post("two that differ", b"Content-Length: 5\r\nContent-Length: 6", b"012345"),
    LENGTH.post("a second that is empty", b"Content-Length: 5\r\nContent-Length:", b"01234"),
    LENGTH.post("a list of two that differ", b"Content-Length: 5, 6", b"012345"),
    LENGTH.post("plus sign", b"Content-Length: +5", b"01234"),
    LENGTH.post("minus sign", b"Content-Length: -5", b"01234"),
    LENGTH.post("minus zero", b"Content-Length: -0"),
    LENGTH.post("empty length", b"Content-Length:"),
    LENGTH.post("space inside length", b"Content-Length: 1 1", b"0" * 11),
    LENGTH.post("tab inside length", b"Content-Length: 1\t1", b"0" * 11),
    LENGTH.post("hexadecimal length", b"Content-Length: 0x5", b"01234"),
    LENGTH.post("hexadecimal digit", b"Content-Length: a", b"0" * 10),
    LENGTH.post("exponent", b"Content-Length: 1e1", b"0" * 10),
    LENGTH.post("fraction", b"Content-Length: 5.0", b"01234"),
    LENGTH.post("underscore", b"Content-Length: 1_0", b"0" * 10),
    LENGTH.post("quoted length", b'Content-Length: "5"', b"01234"),
    LENGTH.post("more than 64 bits", b"Content-Length: 18446744073709551617", b"0"),
    LENGTH.post("forty digits", b"Content-Length: " + b"9" * 40, b"0"),
    LENGTH.post("digits of another script", b"Content-Length: \xd9\xa5", b"01234"),
    LENGTH.post("superscript digit", b"Content-Length: \xb2", b"01"),
    LENGTH.post("semicolon", b"Content-Length: 5;", b"01234"),
    LENGTH.post("comma after length", b"Content-Length: 5,", b"01234"),
    LENGTH.post("NUL after length", b"Content-Length: 5\x00", b"01234"),
    LENGTH.post("vertical tab before length", b"Content-Length: \x0b5", b"01234"),
    LENGTH.post("folded length", b"Content-Length:\r\n 5", b"01234"),
    LENGTH.get("bad length on a GET", b"Content-Length: x"),
    About("stricter: a sender that repeats itself is confused or hiding", "T4").post(
        "two alike", b"Content-Length: 5\r\nContent-Length: 5", b"01234"
    ),
    About("stricter: a list of equal lengths may be taken, and is never needed", "T4").post(
        "a list", b"Content-Length: 5, 5", b"01234"
    ),
    About("stricter: no length needs more than 19 digits", "T4").post(
        "twenty digits of a small number", b"Content-Length: " + b"5".zfill(20), b"01234"
    ),
)

CASES = (*BOTH_CASES, *CODINGS, *LENGTHS)
