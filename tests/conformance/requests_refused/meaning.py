"""Well-formed requests that ask for what must not be done: nominations, upgrades, expectations."""

from __future__ import annotations

from tests.conformance.case import About

NOMINATION = About("stricter: who names such a field wants it lost (9110 7.6.1)", "T25")
_PROTECTED = (
    "Host", "Content-Length", "Transfer-Encoding", "Via", "X-Forwarded-For", "X-Forwarded-Proto",
    "X-Forwarded-Host", "X-Request-Id", "Authorization", "traceparent", "tracestate", "Forwarded",
)  # fmt: skip
NOMINATIONS = (
    *(
        NOMINATION.get(f"Connection names {name}", b"Connection: close, " + name.encode())
        for name in _PROTECTED
    ),
    NOMINATION.get("Connection names a field in capitals", b"Connection: X-FORWARDED-FOR"),
    NOMINATION.get("a second Connection line names", b"Connection: close\r\nConnection: Host"),
    NOMINATION.get("Connection names among blanks", b"Connection: ,, \tX-Request-Id\t ,"),
    NOMINATION.get("Connection names a field of the same kind", b"Connection: X-Forwarded-Port"),
)

UPGRADE = About("9931", "T21")
_SWITCH = b"Connection: upgrade\r\nUpgrade: "
UPGRADES = (
    UPGRADE.post("upgrade with a length", _SWITCH + b"x\r\nContent-Length: 3", b"abc"),
    UPGRADE.post(
        "upgrade before chunks", _SWITCH + b"x\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"
    ),
    UPGRADE.post(
        "upgrade after a length", b"Content-Length: 3\r\n" + _SWITCH + b"websocket", b"abc"
    ),
    UPGRADE.get("WebSocket with a length", _SWITCH + b"websocket\r\nContent-Length: 3"),
    UPGRADE.post("h2c with a length", _SWITCH + b"h2c\r\nContent-Length: 3", b"abc"),
)

EXPECT = About("9110 10.1.1", "T15", frozenset({417}))
EXPECTATIONS = (
    EXPECT.get("Expect of something else", b"Expect: tea"),
    EXPECT.get("Expect of a list", b"Expect: 100-continue, 100-continue"),
    EXPECT.get("Expect with a parameter", b"Expect: 100-continue;q=1"),
    EXPECT.get("Expect of a number", b"Expect: 100"),
    EXPECT.get("empty Expect", b"Expect:"),
    EXPECT.get("Expect with quotes", b'Expect: "100-continue"'),
    EXPECT.get("Expect, once right and once not", b"Expect: 100-continue\r\nExpect: x"),
)

LOOP = About("9110 7.6.3", "loops", frozenset({508}))
LOOPS = (LOOP.get("a way through forty proxies", b"Via: " + b",".join([b"1.1 a"] * 40)),)

CASES = (*NOMINATIONS, *UPGRADES, *EXPECTATIONS, *LOOPS)
