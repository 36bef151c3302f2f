"""What fuzzing has found, each with what was wrong; replayed by the tests for ever.

A case is as `python -m tests.fuzz` printed it, shrunk to what it takes.
"""

from __future__ import annotations

from tests.fuzz.scripts import Script

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

FOUND: dict[str, Script] = {
    "an upstream that reads no more was never gone": Script(
        0,
        (
            ("say", b"PUT /p HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
            ("answer", b"HTTP/1.1 204 No Content\r\n\r\n"),
            ("clog", None),
            ("say", b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("answer", b"HTTP/1.1 200 OK\r\n\r\nx"),
        ),
    ),
    "a body behind another request was never read": Script(
        0,
        (
            ("say", GET + b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nhe"),
            ("say", b"re"),
            ("answer", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ),
    ),
    "a client blamed for an upstream that did not read": Script(
        0,
        (
            ("say", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nh"),
            ("dial", None),
            ("clog", None),
            ("say", b"er"),
        ),
    ),
    "the far end of a tunnel that reads no more": Script(
        1,
        (
            ("narrow", None),
            ("say", b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
            ("dial", None),
            ("clog", None),
            ("say", b"0123456789"),
        ),
    ),
    "an endless answer cut by half a close": Script(
        0,
        (
            ("say", b"GET / HTTP/1.0\r\n\r\n"),
            ("answer", b"HTTP/1.1 200 \r\nContent-Type: text/event-stream\r\n\r\n"),
            ("shut", None),
        ),
    ),
}

OPEN: dict[str, str] = {}
"""Those that are not mended yet, with the reason."""
