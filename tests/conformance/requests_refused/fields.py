"""Field names and values with bytes that may not stand there, and names that imitate others."""

from __future__ import annotations

from tests.conformance.case import END, About

VALUE = About("9110 5.5", "T6")
NAME = About("9110 5.1", "T6")
IMITATION = About("stricter: many servers read an underscore as a hyphen", "T26")

_CONTROLS = {
    "NUL": b"\x00",
    "control": b"\x01",
    "backspace": b"\x08",
    "vertical tab": b"\x0b",
    "form feed": b"\x0c",
    "escape": b"\x1b",
    "DEL": b"\x7f",
}
VALUES = (
    *(VALUE.get(f"{name} in a value", b"X: a" + byte + b"b") for name, byte in _CONTROLS.items()),
    VALUE.get("NUL before a value", b"X: \x00a"),
    VALUE.get("NUL after a value", b"X: a\x00"),
    VALUE.raw("NUL in the host", b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n"),
    VALUE.get("NUL in a field that is dropped", b"Keep-Alive: a\x00"),
    VALUE.get("control in a field that is replaced", b"X-Request-Id: a\x01"),
)

_IN_NAMES = {
    "NUL": b"\x00", "control": b"\x01", "DEL": b"\x7f", "high byte": b"\xe4", "space": b" ",
    "tab": b"\t", "quote": b'"', "bracket": b"(", "comma": b",", "slash": b"/",
    "semicolon": b";", "less-than sign": b"<", "equals sign": b"=", "question mark": b"?",
    "at sign": b"@", "square bracket": b"[", "backslash": b"\\", "brace": b"{",
}  # fmt: skip
NAMES = (
    *(NAME.get(f"{name} in a name", b"X" + byte + b"Y: a") for name, byte in _IN_NAMES.items()),
    NAME.get("empty name", b": a"),
    NAME.get("no colon", b"just words"),
    NAME.get("one word and no colon", b"word"),
    NAME.get("vertical tab before a name", b"\x0bX: a"),
    NAME.get("byte order mark before a name", b"\xef\xbb\xbfX: a"),
    NAME.post("NUL in the coding's name", b"Transfer-Encoding\x00: chunked", END),
    NAME.post("dotless i in the coding's name", b"Transfer-Encod\xc4\xb1ng: chunked", END),
)

IMITATIONS = (
    IMITATION.post("coding with an underscore", b"Transfer_Encoding: chunked", END),
    IMITATION.post("length with an underscore", b"Content_Length: 5", b"01234"),
    IMITATION.post("length in capitals with an underscore", b"CONTENT_LENGTH: 5", b"01234"),
    IMITATION.get("forwarded address with underscores", b"X_Forwarded_For: 10.0.0.1"),
    IMITATION.get("forwarded address with one underscore", b"X-Forwarded_For: 10.0.0.1"),
    IMITATION.get("forwarded host with underscores", b"X_Forwarded_Host: evil"),
    IMITATION.get("forwarded protocol with underscores", b"x_forwarded_proto: https"),
    IMITATION.get("request id with underscores", b"X_Request_Id: 1"),
    IMITATION.get("our own name with underscores", b"X_Meshproxy_Attempt: 9"),
    IMITATION.get("our own name with one underscore", b"X_Meshproxy-Attempt: 9"),
    IMITATION.get("proxy connection with an underscore", b"Proxy_Connection: close"),
    IMITATION.get("settings of HTTP/2 with an underscore", b"HTTP2_Settings: AAMAAABkAAQ"),
)

CASES = (*VALUES, *NAMES, *IMITATIONS)
