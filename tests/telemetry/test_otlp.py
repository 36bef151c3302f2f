"""Spans as OpenTelemetry's conventions for HTTP have them, read by opentelemetry-proto."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshproxy import __version__
from meshproxy.core.spans import Record
from meshproxy.core.verdict import Failure, Refusal
from meshproxy.logic.trace import Parent
from meshproxy.telemetry import otlp
from tests.telemetry.spans_scene import (
    SERVER,
    TRACE,
    attempt_of,
    attributes,
    parsed,
    record_of,
    route_of,
    spans_in,
)

EPOCH = 1_700_000_000_000_000_000
HEAD = otlp.head("orders", "1.2", {})
CALLER = Parent(TRACE, b"b7ad6b7169203331", True, state=b"a=1")


def body_of(*records: Record, head: bytes = HEAD) -> bytes:
    return b"".join(otlp.pieces(records, head, EPOCH))


def spans_of(record: Record) -> list[Any]:
    return spans_in(parsed(body_of(record)))


def server_of(record: Record) -> Any:
    return spans_of(record)[0]


def client_of(record: Record) -> Any:
    return spans_of(record)[-1]


def test_a_resource_names_the_service_and_the_scope_names_us() -> None:
    head = otlp.head("orders", "1.2", {"deployment.environment.name": "prod"})
    request = parsed(body_of(record_of(), head=head))
    (resource,) = request.resource_spans
    assert attributes(resource.resource) == {
        "deployment.environment.name": "prod",
        "service.name": "orders",
        "service.version": "1.2",
    }
    (scope,) = resource.scope_spans
    assert (scope.scope.name, scope.scope.version) == ("meshproxy", __version__)


def test_a_service_without_a_version_says_none() -> None:
    request = parsed(body_of(record_of(), head=otlp.head("orders", "", {})))
    assert attributes(request.resource_spans[0].resource) == {"service.name": "orders"}


def test_a_server_span_and_below_it_one_for_each_attempt() -> None:
    record = record_of(CALLER, route_of(path="/orders/*", name="GET /orders/*"))
    attempt_of(record, 503)
    attempt_of(record, 200, began=10.8)
    server, first, second = spans_of(record)
    assert server.trace_id.hex() == first.trace_id.hex() == TRACE.decode()
    assert server.span_id.hex() == SERVER.decode()
    assert server.parent_span_id.hex() == CALLER.span_id.decode()
    assert {first.parent_span_id, second.parent_span_id} == {server.span_id}
    assert [first.span_id.hex(), second.span_id.hex()] == ["0" * 15 + "1", "0" * 15 + "2"]
    assert {server.trace_state, first.trace_state} == {"a=1"}
    assert (server.kind, first.kind) == (server.SPAN_KIND_SERVER, server.SPAN_KIND_CLIENT)
    assert (server.name, first.name) == ("GET /orders/*", "GET")
    assert server.start_time_unix_nano == EPOCH + 10_000_000_000
    assert server.end_time_unix_nano == EPOCH + 11_000_000_000
    assert first.start_time_unix_nano == EPOCH + 10_250_000_000
    assert first.end_time_unix_nano == EPOCH + 10_750_000_000


def test_what_a_server_span_says() -> None:
    record = record_of(
        None,
        route_of(path="/orders/*", name="orders"),
        path=b"/orders/7",
        host=b"shop.test:8080",
        agent=b"me/1",
        flags="URX",
    )
    assert attributes(server_of(record)) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/orders/7",
        "http.route": "/orders/*",
        "http.response.status_code": 200,
        "server.address": "shop.test",
        "server.port": 8080,
        "client.address": "10.9.9.9",
        "network.peer.address": "10.1.2.3",
        "network.protocol.version": "1.1",
        "user_agent.original": "me/1",
        "meshproxy.direction": "inbound",
        "meshproxy.route": "orders",
        "meshproxy.reason": "URX",
        "meshproxy.request_id": "id-1",
    }


def test_what_a_client_span_says() -> None:
    record = record_of(None, route_of(strip=5), path=b"/shop/items")
    attempt_of(record, 200)
    attempt_of(record, 200, host="db.test")
    _, first, second = spans_of(record)
    assert attributes(first) == {
        "http.request.method": "GET",
        "url.full": "http://10.0.0.1:80/items",
        "server.address": "10.0.0.1",
        "server.port": 80,
        "network.peer.address": "10.0.0.1",
        "network.peer.port": 80,
        "network.protocol.version": "1.1",
        "http.response.status_code": 200,
        "meshproxy.upstream": "app",
    }
    again = attributes(second)
    assert again["http.request.resend_count"] == 1
    assert again["server.address"] == "db.test"
    assert "network.peer.address" not in again


def test_a_method_that_nobody_knows_is_no_name() -> None:
    server = server_of(record_of(None, route_of(path="/x"), method=b"BREW\xff" + b"W" * 100))
    said = attributes(server)
    assert server.name == "HTTP /x"
    assert said["http.request.method"] == "_OTHER"
    assert said["http.request.method_original"].startswith("BREW\\xffWW")
    assert len(said["http.request.method_original"]) < 50


def test_the_rest_of_a_service_has_no_route_in_its_name() -> None:
    server = server_of(record_of())
    assert server.name == "GET"
    assert "http.route" not in attributes(server)


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        (b"shop", "shop", 80),
        (b"shop:81", "shop", 81),
        (b"[::1]:81", "::1", 81),
        (b"[::1]", "::1", 80),
        (b"", None, None),
    ],
)
def test_the_host_that_was_asked_for(host: bytes, address: str | None, port: int | None) -> None:
    said = attributes(server_of(record_of(host=host)))
    assert (said.get("server.address"), said.get("server.port")) == (address, port)


REFUSED = Refusal(503, "UF", "could not connect", "outbound (f.yaml:1)")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"status": 200}, ""),
        ({"status": 404}, ""),
        ({"status": 429, "refusal": Refusal(429, "RL", "too many")}, ""),
        ({"status": 500}, "500"),
        ({"status": 503, "refusal": REFUSED, "failure": Failure.CONNECT}, "connect-failure"),
        ({"status": 503, "refusal": REFUSED}, "503"),
        ({"status": 499, "flags": "DC"}, ""),
        ({"status": 0, "flags": "FI"}, "FI"),
    ],
)
def test_when_a_server_span_is_an_error(said: dict[str, Any], error: str) -> None:
    server = server_of(record_of(**said))
    assert server.status.code == (server.status.STATUS_CODE_ERROR if error else 0)
    assert attributes(server).get("error.type", "") == error
    told = attributes(server).get("http.response.status_code", 0)
    assert told == (0 if said["status"] == 499 else said["status"])


@pytest.mark.parametrize(
    ("status", "failure", "error"),
    [
        (200, None, ""),
        (302, None, ""),
        (404, None, "404"),
        (503, None, "503"),
        (0, Failure.CONNECT, "connect-failure"),
        (0, Failure.TRY_TIMEOUT, "timeout"),
        (0, Failure.STALE, "stale"),
        (0, Failure.CLIENT_GONE, ""),
        (0, Failure.CLIENT_STALLED, ""),
        (0, Failure.OUTRUN, ""),
    ],
)
def test_when_a_client_span_is_an_error(status: int, failure: Failure | None, error: str) -> None:
    record = record_of()
    attempt_of(record, status, failure)
    client = client_of(record)
    assert client.status.code == (client.status.STATUS_CODE_ERROR if error else 0)
    assert attributes(client).get("error.type", "") == error
    expected = failure.condition if failure else None
    assert attributes(client).get("meshproxy.result") == expected


@pytest.mark.parametrize(
    ("code", "error"), [("UC", "reset"), ("UT", "timeout"), ("SI", "timeout"), ("DC", "")]
)
def test_an_answer_that_broke_off_is_an_error_unless_the_caller_left(code: str, error: str) -> None:
    record = record_of(answered=True, flags=code)
    attempt_of(record, 200, broke=code)
    server, client = spans_of(record)
    for span in (server, client):
        assert span.status.code == (span.status.STATUS_CODE_ERROR if error else 0)
        assert attributes(span).get("error.type", "") == error
        assert attributes(span)["http.response.status_code"] == 200


def test_a_target_that_was_never_read_shows_neither_user_nor_query() -> None:
    record = record_of(path=b"", target=b"http://me:secret@shop/?secret", status=400)
    assert b"secret" not in body_of(record)


def test_a_tunnel_has_no_path() -> None:
    record = record_of(method=b"CONNECT", path=b"", target=b"db.test:443", host=b"db.test:443")
    attempt_of(record, 200, host="db.test")
    assert attributes(client_of(record))["url.full"] == "http://db.test:80"


def test_the_flags_say_sampled_random_and_whether_the_parent_is_elsewhere() -> None:
    own = record_of()
    attempt_of(own, 200)
    assert [span.flags for span in spans_of(own)] == [0x103, 0x103]
    theirs = record_of(CALLER)
    attempt_of(theirs, 200)
    assert [span.flags for span in spans_of(theirs)] == [0x301, 0x101]


def test_a_record_for_the_cache_alone_has_no_server_span() -> None:
    record = record_of(serves=False)
    attempt_of(record, 304)
    (client,) = spans_of(record)
    assert client.parent_span_id.hex() == SERVER.decode()


def test_an_attempt_that_nobody_ended_ends_with_the_exchange() -> None:
    record = record_of()
    attempt_of(record, 0, ended=0.0)
    assert client_of(record).end_time_unix_nano == EPOCH + 11_000_000_000


def test_a_batch_is_one_request() -> None:
    records = [record_of() for _ in range(5)]
    assert len(spans_in(parsed(body_of(*records)))) == 5
    assert spans_in(parsed(body_of(record_of(serves=False)))) == []


ANY = st.binary(max_size=60)
TEXT = st.text(st.characters(codec="utf-8"), max_size=30)


@settings(max_examples=200)
@given(
    said=st.fixed_dictionaries(
        {},
        optional={
            "method": ANY, "path": ANY, "target": ANY, "host": ANY, "agent": ANY,
            "request_id": ANY, "status": st.integers(0, 599), "flags": st.sampled_from(["", "DC"]),
            "answered": st.booleans(), "rescued": st.booleans(), "minor": st.integers(0, 1),
            "failure": st.none() | st.sampled_from(list(Failure)),
            "refusal": st.none() | st.builds(Refusal, st.integers(400, 599), TEXT, TEXT, TEXT),
            "serves": st.booleans(),
        },
    ),
    attempts=st.lists(
        st.tuples(st.integers(0, 599), st.none() | st.sampled_from(list(Failure))), max_size=4
    ),
    parent=st.none() | st.builds(
        Parent, st.just(TRACE), st.just(SERVER), st.booleans(), st.booleans(), st.just(b"a=1")
    ),
    resource=st.dictionaries(TEXT.filter(bool), TEXT, max_size=3),
)  # fmt: skip
def test_whatever_is_noted_is_valid_otlp(
    said: dict[str, Any],
    attempts: list[tuple[int, Failure | None]],
    parent: Parent | None,
    resource: dict[str, str],
) -> None:
    record = record_of(parent, **said)
    for status, failure in attempts:
        attempt_of(record, status, failure)
    body = body_of(record, head=otlp.head("orders", "", resource))
    spans = spans_in(parsed(body))
    assert len(spans) == record.serves + len(attempts)
    for span in spans:
        assert span.name
        assert len(span.span_id) == 8
        assert span.end_time_unix_nano >= span.start_time_unix_nano
        attributes(span)
