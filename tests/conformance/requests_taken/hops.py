"""Fields that end at this hop, and switches of protocol that are not ours to make."""

from __future__ import annotations

from tests.conformance.taken import Seen, Taking

_HOP = Taking("9110 7.6.1", "T25")
_OLD = Taking("9112 C.2.2", "T25")
_SWITCH = Taking("9110 7.8", "T22")
_WAY = Taking("9110 7.6.3")
_OWN = Taking("stricter: such names are the proxy's to write", "T26")
_COUNT = Taking("9110 7.6.2")
_ASKED = Taking("9110 11.7.2")
_CREDENTIALS = b"Proxy-Authorization: Basic YTpi"

CONNECTIONS = (
    _HOP.get("close", [b"Connection: close"], []),
    _HOP.get("keep-alive", [b"Connection: keep-alive", b"Keep-Alive: timeout=5"], []),
    _HOP.get("an empty Connection", [b"Connection:"], []),
    _HOP.get("a nominated field", [b"Connection: X-Once", b"X-Once: 1", b"Y: 2"], [b"Y: 2"]),
    _HOP.get(
        "a field nominated after it came", [b"X-Once: 1", b"Y: 2", b"Connection: x-once"], [b"Y: 2"]
    ),
    _HOP.get(
        "a nominated field on several lines",
        [b"X-Once: 1", b"Y: 2", b"x-once: 3", b"Connection: close, X-ONCE", b"X-Once: 4"],
        [b"Y: 2"],
    ),
    _HOP.get(
        "nominations on two lines",
        [b"Connection: X-A", b"Connection: X-B", b"X-A: 1", b"X-B: 2", b"X-C: 3"],
        [b"X-C: 3"],
    ),
    _HOP.get("a nomination of what did not come", [b"Connection: X-None", b"Y: 1"], [b"Y: 1"]),
    _HOP.get("only the whole name is nominated", [b"Connection: X-A", b"X-AB: 1"], [b"X-AB: 1"]),
    _HOP.get("a nominated cookie", [b"Connection: cookie", b"Cookie: a=b"], []),
    _HOP.get("Connection nominates itself", [b"Connection: connection, close"], []),
    _HOP.get("TE", [b"Connection: TE", b"TE: trailers"], []),
    _HOP.get("TE without a nomination", [b"TE: trailers, chunked"], []),
    _HOP.get("a notice of trailers", [b"Trailer: X-Sum"], []),
    _OLD.get("a connection to proxies", [b"Proxy-Connection: keep-alive"], []),
    _ASKED.get("credentials for another proxy", [_CREDENTIALS], [_CREDENTIALS]),
)

SWITCHES = (
    _SWITCH.get(
        "h2c",
        [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"],
        [],
    ),
    _SWITCH.get("h2c without a nomination", [b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"], []),
    _SWITCH.get("settings of HTTP/2 alone", [b"HTTP2-Settings: AAMAAABk"], []),
    _SWITCH.get("h2c in capitals", [b"Connection: upgrade", b"Upgrade: H2C"], []),
    _SWITCH.get("h2c beside WebSocket", [b"Connection: upgrade", b"Upgrade: websocket, h2c"], []),
    _SWITCH.get(
        "h2c and WebSocket on two lines",
        [b"Connection: upgrade", b"Upgrade: h2c", b"Upgrade: websocket"],
        [],
    ),
    _SWITCH.get("TLS", [b"Connection: upgrade", b"Upgrade: TLS/1.0"], []),
    _SWITCH.get("an unknown protocol", [b"Connection: upgrade", b"Upgrade: x/1"], []),
    _SWITCH.get("an empty Upgrade", [b"Connection: upgrade", b"Upgrade:"], []),
    _SWITCH.get("WebSocket without a nomination", [b"Upgrade: websocket"], []),
    _SWITCH.raw(
        "WebSocket by POST",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        Seen(b"POST / HTTP/1.1"),
    ),
    _SWITCH.raw(
        "WebSocket in HTTP/1.0",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        Seen(),
    ),
)

OWN = (
    _OWN.get(
        "our own names",
        [b"X-Meshproxy-Attempt: 9", b"x-meshproxy-reason: RL", b"X-MESHPROXY-: 1", b"Y: 1"],
        [b"Y: 1"],
    ),
    _OWN.get("a name that begins almost like ours", [b"X-Meshproxyx: 1"]),
    _WAY.get("a way here", [b"Via: 1.0 first, 1.1 second"]),
    _WAY.get("a way here on two lines", [b"Via: 1.0 first", b"via: 1.1 second"]),
    _COUNT.get("a count of hops where it means nothing", [b"Max-Forwards: 0"]),
)

CASES = (*CONNECTIONS, *SWITCHES, *OWN)
