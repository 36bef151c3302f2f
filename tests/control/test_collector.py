"""One POST to a receiver: what goes out, and what is made of what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any

import pytest

from meshproxy.control.collector import HttpCollector, rejected_of, seconds_of
from meshproxy.control.courier import Body, Verdict
from meshproxy.core.spans import Delivery

BODY = Body(b"spans", gzip=True, size=2)
WALL = 1_700_000_000.0

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(data: bytes, heads: list[bytes] | None = None) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if heads is not None:
                    heads.append(head)
                await reader.readexactly(len(BODY.data))
                writer.write(data)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    return serve


def said(
    serve: Serve, posts: int = 1, body: Body = BODY, path: str = "/v1/traces", **more: Any
) -> list[Verdict]:
    """What the collector made of the same answer, so many times."""

    ended: list[asyncio.Event] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(over := asyncio.Event())
        try:
            await serve(reader, writer)
            await writer.wait_closed()
        except ConnectionError:
            pass
        finally:
            over.set()

    async def whole() -> list[Verdict]:
        server = await asyncio.start_server(one, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        said = {"headers": {"x-api-key": "k"}, "resource": {}, "timeout": 5.0, **more}
        delivery = Delivery(f"http://127.0.0.1:{port}{path}", **said)
        collector = HttpCollector(lambda: WALL)
        try:
            return [await collector.post(delivery, body) for _ in range(posts)]
        finally:
            await collector.close()
            server.close()
            for over in ended:
                await asyncio.wait_for(over.wait(), 10)

    return asyncio.run(whole())


def response(status: int, body: bytes = b"{}", *fields: bytes) -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), lines, body)


def test_what_goes_out() -> None:
    heads: list[bytes] = []
    assert said(answering(response(200), heads), posts=2) == [Verdict(), Verdict()]
    lines = heads[0].decode().lower().split("\r\n")
    assert lines[0] == "post /v1/traces http/1.1"
    assert {
        "content-type: application/json",
        "content-encoding: gzip",
        "content-length: 5",
        "x-api-key: k",
        "accept-encoding: identity",
    } <= set(lines)
    assert sum(line.startswith("user-agent: meshproxy/") for line in lines) == 1


def test_what_is_not_compressed_says_nothing_of_it() -> None:
    heads: list[bytes] = []
    said(answering(response(200), heads), body=Body(b"spans", gzip=False, size=1))
    assert b"content-encoding" not in heads[0].lower()


def test_a_path_goes_out_as_it_is_written() -> None:
    heads: list[bytes] = []
    said(answering(response(200), heads), path="/a%2Fb/v1/traces")
    assert heads[0].startswith(b"POST /a%2Fb/v1/traces ")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_be_sent_again(status: int) -> None:
    (verdict,) = said(answering(response(status)))
    assert verdict == Verdict(f"it answered {status}", again=True)
    (verdict,) = said(answering(response(status, b"", b"Retry-After: 7")))
    assert verdict.retry_after == 7.0


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 413, 500, 501])
def test_what_is_refused_for_good(status: int) -> None:
    (verdict,) = said(answering(response(status, b"", b"Location: http://127.0.0.1:1/")))
    assert verdict == Verdict(f"it answered {status}")


def test_a_success_in_part() -> None:
    body = b'{"partialSuccess": {"rejectedSpans": "1", "errorMessage": "no"}}'
    assert said(answering(response(200, body))) == [Verdict(rejected=1)]


@pytest.mark.parametrize(
    "data",
    [b"", b"HTTP/1.1 200", b"garbage\r\n\r\n", b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nshort"],
)
def test_an_answer_that_is_none_may_be_asked_for_again(data: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        writer.close()

    (verdict,) = said(serve)
    assert verdict.again or data.endswith(b"short")
    assert len(verdict.why) <= 200


def test_a_receiver_that_hangs_is_given_up() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    (verdict,) = said(serve, timeout=0.05)
    assert verdict == Verdict("no answer within 0.05s", again=True)


def test_an_answer_that_never_ends_is_given_up_too() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)
        except ConnectionError:
            writer.close()

    assert said(serve, posts=2) == [Verdict(), Verdict()]


def test_a_port_where_nobody_listens() -> None:
    async def whole() -> Verdict:
        server = await asyncio.start_server(answering(b""), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        collector = HttpCollector()
        try:
            return await collector.post(Delivery(f"http://127.0.0.1:{port}/", {}, {}), BODY)
        finally:
            await collector.close()

    verdict = asyncio.run(whole())
    assert verdict.again
    assert "cannot connect" in verdict.why


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert said(answering(response(200))) == [Verdict()]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, -1.0),
        ("", -1.0),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("1.5", -1.0),
        ("-3", -1.0),
        ("soon", -1.0),
        ("9" * 30, 999999999.0),
        (formatdate(WALL + 30, usegmt=True), 30.0),
        (formatdate(WALL - 30, usegmt=True), 0.0),
    ],
)
def test_how_long_it_asks_us_to_wait(text: str | None, seconds: float) -> None:
    assert seconds_of(text, WALL) == seconds


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b"", 0),
        (b"{", 0),
        (b"[]", 0),
        (b"{}", 0),
        (b'{"partialSuccess": null}', 0),
        (b'{"partialSuccess": {}}', 0),
        (b'{"partialSuccess": {"rejectedSpans": "12"}}', 12),
        (b'{"partialSuccess": {"rejectedSpans": 12}}', 12),
        (b'{"partialSuccess": {"rejectedSpans": -1}}', 0),
        (b'{"partialSuccess": {"rejectedSpans": "x"}}', 0),
    ],
)
def test_how_many_it_rejected(body: bytes, count: int) -> None:
    assert rejected_of(body) == count
