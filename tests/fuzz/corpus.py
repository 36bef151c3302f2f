"""What the mutations start from: sound messages, known bad ones, and words that matter."""

from __future__ import annotations

from tests.conformance import answers, requests_refused, requests_taken

LONGEST = 2000
"""Bytes of a message taken from the corpus of bad requests; longer ones only cost time."""

_HOST = b" HTTP/1.1\r\nHost: a\r\n"
_B3 = b"X-B3-TraceId: 0af7651916cd43dd\r\nX-B3-SpanId: b7ad6b7169203331\r\nX-B3-Sampled: 1\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

REQUESTS = (
    b"GET /a?b=c" + _HOST + b"\r\n",
    b"GET /a" + _HOST + b"Connection: keep-alive, x\r\nX: 1\r\nAccept: */*\r\n\r\n",
    b"GET /stream/1" + _HOST + b"Accept: text/event-stream\r\n\r\n",
    b"HEAD /h" + _HOST + b"\r\n",
    b"OPTIONS *" + _HOST + b"\r\n",
    b"DELETE /b/x HTTP/1.1\r\nhost: c:80\r\nx-key: 1\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"POST /old HTTP/1.0\r\nHost: b\r\nContent-Length: 3\r\n\r\nold",
    b"GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://b?q" + _HOST + b"\r\n",
    b"GET /up" + _HOST + b"Upgrade: h2c\r\nHTTP2-Settings: x\r\nConnection: upgrade\r\n\r\n",
    b"POST /orders" + _HOST + b"Content-Length: 5\r\n\r\nhello",
    b"POST /e" + _HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /p" + _HOST + b"Content-Length: 0\r\nConnection: close\r\n\r\n",
    b"PUT /long" + _HOST + b"Content-Length: 600\r\n\r\n" + b"0123456789" * 60,
    b"PUT /x" + _HOST + _CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    b"POST /t" + _HOST + b"TE: trailers\r\nTrailer: T\r\n" + _CHUNKED
    + b"5;e=1\r\nhello\r\n1\r\n!\r\n0\r\nT: 1\r\n\r\n",
    b"QUERY /q" + _HOST + _CHUNKED + b"0\r\n\r\n",
    b"GET /trace" + _HOST + b"X-Request-Id: me\r\n"
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nb3: 0\r\n\r\n",
    b"GET /who" + _HOST + b"X-Forwarded-For: 1.2.3.4\r\nX-Key: k\r\nVia: 1.1 x\r\n\r\n",
    b"GET /drop" + _HOST + b"Connection: x-drop\r\nX-Drop: 1\r\nX-Keep: 2\r\n\r\n",
    b"\r\nGET /%41/../b%2e" + _HOST + b"Cookie: a=b; c=d\r\n\r\n",
    b"GET /b?x HTTP/1.1\r\nHost: nobody\r\nX-Tier: gold\r\n\r\n",
    b"GET /d HTTP/1.1\r\nHost: d\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: any.example\r\n" + _B3 + b"\r\n",
    b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
    b"TRACE /" + _HOST + b"Max-Forwards: 1\r\n\r\n",
    b"PUT /x" + _HOST + b"Content-Length: 100\r\n\r\n" + b"0123456789" * 9,
    b"POST /i" + _HOST + b"Idempotency-Key: 1\r\nContent-Length: 2\r\n\r\nok",
)  # fmt: skip

TUNNELS = (
    b"GET /ws" + _HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    b"CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n",
)

BIG = 300_000
BIG_REQUESTS = (
    b"PUT /big" + _HOST + b"Content-Length: %d\r\n\r\n" % BIG + b"b" * BIG,
    b"PUT /big" + _HOST + _CHUNKED + b"%x\r\n" % BIG + b"c" * BIG + b"\r\n0\r\n\r\n",
)

ODD_REQUESTS = tuple(case.data for case in requests_taken.ALL if len(case.data) <= LONGEST)
BAD_REQUESTS = tuple(case.data for case in requests_refused.ALL if len(case.data) <= LONGEST)

_OK = b"HTTP/1.1 200 OK\r\n"
_HELLO = b"Content-Length: 5\r\n\r\nhello"

ANSWERS = (
    _OK + _HELLO,
    _OK + b"Content-Length: 0\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive\r\n\r\n",
    _OK + b"Connection: close\r\n" + _HELLO,
    _OK + b"Content-Length: 700\r\n\r\n" + b"0123456" * 100,
    _OK + _CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    _OK + _CHUNKED + b"1;x\r\na\r\nb\r\n0123456789a\r\n0\r\nT: 1\r\n\r\n",
    _OK + _CHUNKED + b"0\r\n\r\n",
    _OK + b"Content-Type: text/plain\r\n\r\nuntil the end",
    _OK + b"Connection: x-hop\r\nX-Hop: 1\r\n" + _HELLO,
    _OK + b"Content-Type: text/event-stream\r\n\r\ndata: 1\n\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + _HELLO,
    b"HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nETag: a\r\nContent-Length: 9\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + _OK + _HELLO,
    b"HTTP/1.1 100 Continue\r\n\r\n" + _OK + _HELLO,
    b"HTTP/1.1 100 \r\n\r\n" * 7 + b"HTTP/1.1 204 \r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\n" + _HELLO,
    b"HTTP/1.1 413 Too Large\r\nConnection: close\r\n" + _HELLO,
    b"HTTP/1.1 500 \r\n" + _HELLO,
    b"HTTP/1.1 502 Bad Gateway\r\n" + _HELLO,
    b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\n" + _HELLO,
    b"HTTP/1.1 503 Busy\r\n" + _CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 503 Busy\r\n\r\nuntil the end",
    b"HTTP/1.1 429 Slow\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
)

BIG_ANSWERS = (
    _OK + b"Content-Length: %d\r\n\r\n" % BIG + b"b" * BIG,
    _OK + _CHUNKED + b"%x\r\n" % BIG + b"c" * BIG + b"\r\n0\r\n\r\n",
    _OK + b"\r\n" + b"u" * BIG,
)

SWITCHES = (
    (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    ),
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    _OK + b"\r\n",
    b"\x81\x05hello",
)

ODD_ANSWERS = tuple(case.data for case in answers.ODD if len(case.data) <= LONGEST)
BAD_ANSWERS = tuple(case.data for case in answers.BAD if 0 < len(case.data) <= LONGEST)

WORDS = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\x00", b"\t", b"\x0b", b"\x7f", b"\xff", b" ", b":",
    b",", b";", b"0", b"-1", b"+1", b"1e1", b"0x5", b"00005", b"5, 5", b"4294967296",
    b"18446744073709551616", b"9" * 25, b"f" * 17, b"HTTP/1.0", b"HTTP/1.1", b"HTTP/0.9",
    b"HTTP/2.0", b"chunked", b"Chunked", b"gzip, chunked", b"identity", b"close",
    b"keep-alive", b"upgrade", b"websocket", b"h2c", b"100-continue", b"5\r\nhello\r\n",
    b"0\r\n\r\n", b"0\r\nX: 1\r\n\r\n", b"5;x=y\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"%2e%2e/", b"%00", b"//", b"#",
    b"\\", b"*", b"http://c/", b"[::1]", b"u@a", b"CONNECT", b"HEAD", b"a" * 1100,
)  # fmt: skip

LINES = (
    b"Content-Length: 5", b"Content-Length: 0", b"Content-Length: 4", b"Content-Length: 05",
    b"content-length:6", b"Transfer-Encoding: chunked", b"transfer-encoding:\tchunked ",
    b"Transfer_Encoding: chunked", b"Transfer-Encoding: identity", b"Connection: close",
    b"Connection: keep-alive", b"Connection: content-length", b"Connection: x-a, close",
    b"Connection: transfer-encoding", b"Connection: host", b"Connection: cookie",
    b"Keep-Alive: timeout=1", b"Host: b", b"Host: ", b"Host: A:80", b"Upgrade: websocket",
    b"Connection: upgrade", b"Expect: 100-continue", b"Expect: x", b"Trailer: X",
    b"TE: trailers", b"Via: 1.1 a, 1.1 b", b"X-Meshproxy-Attempt: 9", b"X_Forwarded_For: 1",
    b"X-Forwarded-For: x, y", b"X-Request-Id: \xff", b"traceparent: 00-zz", b"b3: 1",
    b"X: a\r\n b", b"X : 1", b": 1", b"X", b"X:", b"X: \x00", b"Retry-After: 3",
    b"Content-Length: 5\r\nX: y", b"Cookie: a=b", b"X-Key: 7", b"X-Tier: gold",
    b"X-B3-TraceId: 1", b"Max-Forwards: 0",
    b"Proxy-Connection: keep-alive", b"Proxy-Authorization: x", b"Content-Length : 5",
)  # fmt: skip
