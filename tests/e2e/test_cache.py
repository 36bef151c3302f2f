"""The response cache on real sockets: stored, shared, validated, stale, and purged.

An origin that counts what it is asked stands behind; a second one is stopped in the middle.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from .harness import (
    Client,
    Conversation,
    Message,
    Origin,
    Sidecar,
    answering,
    closed_port,
    eventually,
    fetch,
    reply,
)
from .harness.client import request

CONFIG = """
inbound:
  listen: <inbound>
  app: http://<app>
  cache: {stale_while_revalidate: 0s, stale_if_error: 0s, max_body: 256KiB}
  routes:
    - {name: named, match: /named/*}
    - {name: swr, match: /swr, cache: {ttl: 100ms, stale_while_revalidate: 60s}}
    - {name: off, match: /off, cache: off}
outbound:
  listen: <outbound>
  services:
    dying: {endpoints: [<dying>], retry: off, cache: {ttl: 50ms, stale_while_revalidate: 0s}}
    dead: {endpoints: [<closed>], retry: off, cache: {}}
"""
FRESH = {"Cache-Control": "max-age=60"}


@pytest.fixture(scope="module")
def dying() -> Iterator[Origin]:
    with Origin.running() as running:
        yield running


@pytest.fixture(scope="module")
def sidecar(app: Origin, dying: Origin) -> Iterator[Sidecar]:
    with Sidecar.running(
        CONFIG, app=app.address, dying=dying.address, closed=closed_port()
    ) as running:
        yield running


def ask(sidecar: Sidecar, target: str, headers: dict[str, str] | None = None) -> Message:
    return fetch(sidecar.inbound, target, headers=headers)


def purge(sidecar: Sidecar, query: str = "") -> Message:
    return fetch(sidecar.admin, f"/cache/purge{query}", "POST", headers={"Host": "127.0.0.1"})


def purged(sidecar: Sidecar, query: str) -> int:
    return int(json.loads(purge(sidecar, query).body)["purged"])


@pytest.fixture(autouse=True)
def nothing_stored(sidecar: Sidecar) -> None:
    assert purge(sidecar).status == 200


def counted(origin: Origin, **headers: str) -> None:
    """Each answer has its number for a body."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()} or FRESH
    origin.script = answering(lambda seen: reply(body=b"%d" % len(origin.requests), headers=fields))


def test_what_is_stored_comes_again_without_the_origin(sidecar: Sidecar, origin: Origin) -> None:
    counted(origin)
    first, second = ask(sidecar, "/a"), ask(sidecar, "/a")
    assert (first.body, first.get("x-cache")) == (b"1", "MISS")
    assert (second.body, second.get("x-cache")) == (b"1", "HIT")
    assert second.get("age") is not None
    assert second.get("x-request-id") is not None
    assert len(origin.requests) == 1


def test_a_connection_goes_on_after_a_hit(sidecar: Sidecar, origin: Origin) -> None:
    counted(origin)
    ask(sidecar, "/a")
    with Client(sidecar.inbound) as client:
        client.send(request("GET", "/a") + request("HEAD", "/a") + request("GET", "/b"))
        assert client.response().body == b"1"
        assert client.response("HEAD").get("content-length") == "1"
        assert client.response().body == b"2"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_long_body_is_stored_to_the_byte(sidecar: Sidecar, origin: Origin, framing: str) -> None:
    body = bytes(range(256)) * 800

    def script(peer: Conversation) -> None:
        while peer.request() is not None:
            head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"
            if framing == "length":
                peer.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            elif framing == "chunked":
                peer.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
                for start in range(0, len(body), 50_000):
                    piece = body[start : start + 50_000]
                    peer.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
                peer.send(b"0\r\n\r\n")
            else:
                peer.send(head + b"Connection: close\r\n\r\n" + body)
                return

    origin.script = script
    assert ask(sidecar, "/long").body == body
    again = ask(sidecar, "/long")
    assert again.body == body
    assert (again.framing, again.get("x-cache")) == ("length", "HIT")
    assert len(origin.requests) == 1


def test_a_body_over_the_bound_comes_whole_each_time(sidecar: Sidecar, origin: Origin) -> None:
    body = b"x" * (256 * 1024 + 1)
    origin.script = answering(reply(body=body, headers=FRESH))
    assert [ask(sidecar, "/large").body == body for _ in range(2)] == [True, True]
    assert len(origin.requests) == 2


def test_fifty_clients_are_one_request(sidecar: Sidecar, origin: Origin) -> None:
    release = threading.Event()

    def script(peer: Conversation) -> None:
        while peer.request() is not None:
            assert release.wait(10)
            peer.send(reply(body=b"x" * 10_000, headers=FRESH))

    origin.script = script
    before = sidecar.total("meshproxy_cache_requests_total", result="coalesced")
    clients = [Client(sidecar.inbound) for _ in range(50)]
    try:
        for client in clients:
            client.send(request("GET", "/wave"))
        eventually(lambda: sidecar.total("meshproxy_in_flight_requests", direction="inbound") == 50)
        release.set()
        told = [client.response() for client in clients]
    finally:
        release.set()
        for client in clients:
            client.close()
    assert {(each.status, each.body) for each in told} == {(200, b"x" * 10_000)}
    assert sorted(each.get("x-cache") or "" for each in told) == ["HIT"] * 49 + ["MISS"]
    assert len(origin.requests) == 1
    assert sidecar.total("meshproxy_cache_requests_total", result="coalesced") == before + 49


def test_clients_that_leave_while_they_wait_take_nothing_along(
    sidecar: Sidecar, origin: Origin
) -> None:
    release = threading.Event()

    def script(peer: Conversation) -> None:
        while peer.request() is not None:
            release.wait(10)
            peer.send(reply(headers=FRESH))

    origin.script = script
    clients = [Client(sidecar.inbound) for _ in range(6)]
    for client in clients:
        client.send(request("GET", "/left"))
    eventually(lambda: sidecar.total("meshproxy_in_flight_requests", direction="inbound") == 6)
    for client in clients[:5]:
        client.reset()
    eventually(lambda: sidecar.total("meshproxy_in_flight_requests", direction="inbound") == 1)
    release.set()
    assert clients[5].response().status == 200
    clients[5].close()
    assert sidecar.total("meshproxy_in_flight_requests", direction="inbound") == 0


def test_a_caller_that_has_it_is_told_304(sidecar: Sidecar, origin: Origin) -> None:
    counted(origin, ETag='"v1"', Cache_Control="max-age=60")
    ask(sidecar, "/tagged")
    with Client(sidecar.inbound) as client:
        told = client.ask("GET", "/tagged", {"If-None-Match": '"v1"'})
        assert (told.status, told.get("etag"), told.get("x-cache")) == (304, '"v1"', "HIT")
        assert client.ask("GET", "/tagged").body == b"1"
    assert len(origin.requests) == 1


def test_the_origin_is_asked_whether_it_changed(sidecar: Sidecar, origin: Origin) -> None:
    fields = {"ETag": '"v1"', "Cache-Control": "no-cache"}

    def answer(seen: Message) -> bytes:
        if seen.get("if-none-match") == '"v1"':
            return b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\nCache-Control: no-cache\r\n\r\n'
        return reply(body=b"whole", headers=fields)

    origin.script = answering(answer)
    with Client(sidecar.inbound) as client:
        told = [client.ask("GET", "/asked") for _ in range(3)]
    assert [(each.status, each.body) for each in told] == [(200, b"whole")] * 3
    assert [each.get("x-cache") for each in told] == ["MISS", "HIT", "HIT"]
    assert [seen.get("if-none-match") for seen in origin.requests] == [None, '"v1"', '"v1"']
    assert origin.requests[2].connection == origin.requests[0].connection, (
        "a 304 ends no connection"
    )


def test_a_stale_answer_is_renewed_behind_the_callers_back(
    sidecar: Sidecar, origin: Origin
) -> None:
    counted(origin, Server="s")
    assert ask(sidecar, "/swr").body == b"1"
    stale = eventually(
        lambda: (told := ask(sidecar, "/swr")).get("x-cache") == "STALE" and told,
        what="a stale answer",
    )
    assert stale.body == b"1"
    origin.saw(2)
    eventually(lambda: ask(sidecar, "/swr").body != b"1", what="the renewed answer")


def test_a_stale_answer_stands_in_for_an_origin_that_is_gone(
    sidecar: Sidecar, dying: Origin
) -> None:
    host = {"Host": "dying"}
    assert fetch(sidecar.outbound, "/x", headers=host).body == b"ok"
    dying.stop()
    told = eventually(
        lambda: (told := fetch(sidecar.outbound, "/x", headers=host)).get("x-fallback") and told,
        what="a stale answer",
    )
    assert (told.status, told.body) == (200, b"ok")
    assert (told.get("x-cache"), told.get("x-fallback")) == ("STALE", "cache")
    assert told.get("age") is not None
    assert fetch(sidecar.outbound, "/never-seen", headers=host).status == 503
    assert sidecar.total("meshproxy_cache_requests_total", result="fallback") >= 1


def test_nothing_stored_leaves_a_failure_as_it_is(sidecar: Sidecar) -> None:
    told = fetch(sidecar.outbound, "/", headers={"Host": "dead"})
    assert (told.status, told.get("x-meshproxy-reason")) == (503, "UF")


def test_what_was_written_to_is_fetched_again(sidecar: Sidecar, origin: Origin) -> None:
    counted(origin)
    assert ask(sidecar, "/thing").body == b"1"
    fetch(sidecar.inbound, "/thing", "PUT", body=b"new")
    assert ask(sidecar, "/thing").body == b"3"


def test_a_purge_takes_a_route_or_a_prefix(sidecar: Sidecar, origin: Origin) -> None:
    counted(origin)
    for target in ("/named/1", "/named/2", "/other/1"):
        ask(sidecar, target)
    assert purged(sidecar, "?route=named&prefix=/named/2") == 1
    assert ask(sidecar, "/named/1").get("x-cache") == "HIT"
    assert purged(sidecar, "?route=named") == 1
    assert ask(sidecar, "/other/1").get("x-cache") == "HIT"
    assert purged(sidecar, "?prefix=/other/") == 1
    assert ask(sidecar, "/other/1").get("x-cache") == "MISS"


def test_a_purge_must_be_posted(sidecar: Sidecar, origin: Origin) -> None:
    counted(origin)
    ask(sidecar, "/kept")
    assert fetch(sidecar.admin, "/cache/purge", headers={"Host": "127.0.0.1"}).status == 405
    assert ask(sidecar, "/kept").get("x-cache") == "HIT"


def test_what_is_stored_is_told_and_counted(sidecar: Sidecar, origin: Origin) -> None:
    counted(origin)
    ask(sidecar, "/told")
    ask(sidecar, "/told")
    (report,) = (one for one in sidecar.admin_json("/cache") if one["scope"] == "inbound")
    assert (report["entries"], report["max_entries"]) == (1, 10_000)
    assert sidecar.total("meshproxy_cache_bytes", scope="inbound") == report["bytes"]
    assert sidecar.total("meshproxy_cache_entries", scope="inbound") == 1
    assert sidecar.total("meshproxy_cache_requests_total", route="default", result="hit") >= 1


def test_a_reload_keeps_what_is_stored(sidecar: Sidecar, origin: Origin) -> None:
    counted(origin)
    ask(sidecar, "/kept")
    assert sidecar.reload().status == 200
    assert ask(sidecar, "/kept").get("x-cache") == "HIT"


def test_a_route_without_it_knows_nothing_of_it(sidecar: Sidecar, origin: Origin) -> None:
    counted(origin)
    told = [ask(sidecar, "/off") for _ in range(2)]
    assert [each.body for each in told] == [b"1", b"2"]
    assert [each.get("x-cache") for each in told] == [None, None]
