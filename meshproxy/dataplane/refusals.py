"""What a request is told that has no single meaning, with the section that says so.

Each closes the connection: nothing after such a head can be trusted to be a request. `why`
is what the counter of bad requests goes by.
"""

from __future__ import annotations

from meshproxy.core.verdict import Failure, Refusal


def _bad(why: str, detail: str, status: int = 400) -> Refusal:
    return Refusal(status, "IH", detail, close=True, why=why)


NO_HOST = _bad("no-host", "an HTTP/1.1 request needs exactly one Host field (RFC 9112 section 3.2)")
BAD_HOST = _bad(
    "bad-host", "the Host field is not a host with an optional port (RFC 9112 section 3.2)"
)
BAD_TARGET = _bad("bad-target", "the request target is not valid (RFC 9112 section 3.2)")
BAD_PATH = _bad("bad-path", "the path holds an escape or dot segment that has no single meaning")
BAD_LENGTH = _bad("bad-length", "Content-Length must be one plain number (RFC 9112 section 6.3)")
BOTH_FRAMINGS = _bad(
    "both-framings", "Content-Length and Transfer-Encoding together (RFC 9112 section 6.1)"
)
OLD_CHUNKED = _bad("old-chunked", "Transfer-Encoding in an HTTP/1.0 request (RFC 9112 section 6.1)")
BAD_ENCODING = _bad(
    "bad-encoding", "the only Transfer-Encoding taken is chunked (RFC 9112 section 6.1)", 501
)
BAD_EXPECT = _bad(
    "bad-expect", "the only expectation met is 100-continue (RFC 9110 section 10.1.1)", 417
)
BAD_NOMINATION = _bad("bad-nomination", "Connection names a field that must not be dropped")
BAD_NAME = _bad("bad-name", "a field name imitates a protected one with an underscore")
BAD_UPGRADE = _bad("bad-upgrade", "Upgrade on a request with a body (RFC 9931)")
BAD_CONNECT = _bad("bad-connect", "CONNECT takes host:port and no body (RFC 9110 section 9.3.6)")
BAD_METHOD = _bad("bad-method", "this method is not supported", 501)
BAD_SYNTAX = _bad("bad-syntax", "the request is not valid HTTP/1.1")
BAD_VERSION = _bad("bad-version", "only HTTP/1.0 and HTTP/1.1 are spoken here", 505)
LONG_HEAD = _bad("long-head", "the request head is larger than limits.header_bytes allows", 431)
MANY_FIELDS = _bad("many-fields", "the request has more fields than limits.headers allows", 431)
LONG_TARGET = _bad("long-target", "the request target is longer than limits.uri_bytes allows", 414)
LOOP = Refusal(508, "IH", "the request has passed through too many proxies", close=True, why="loop")
SLOW_HEAD = Refusal(
    408, "SI", "the request head took longer than limits.head_timeout", close=True, why="slow-head"
)
SLOW_BODY = Refusal(
    408, "SI", "the request body came slower than limits.body_rate", close=True, why="slow-body"
)
HEAVY = Refusal(
    503,
    "UO",
    "this proxy is short of memory, and this request was among those that held the most of it",
    rule="overload.memory",
    close=True,
    retry_after=1.0,
)
NO_TRACE = Refusal(
    405,
    "IH",
    "TRACE ends here (Max-Forwards: 0), and nothing is reflected: it may hold credentials",
    headers=b"allow: OPTIONS\r\n",
    close=True,
    why="trace",
)
BUG = Refusal(Failure.BUG.status, Failure.BUG.reason, Failure.BUG.detail, close=True)
"""Something of ours raised: what state the connection is in is not known any more."""
OPTIONS_HERE = Refusal(
    200,
    "",
    "the proxy's own answer to Max-Forwards: 0 (RFC 9110 section 7.6.2)",
    headers=b"allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n",
    close=True,
    body=b"",
)
