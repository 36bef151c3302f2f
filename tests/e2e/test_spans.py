"""Spans of real requests, as a receiver of OTLP gets them.

Names, parents, statuses and events for everything that can become of a request; the headers that
upstreams got name the very spans that are exported.
"""

from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .collecting import Span, received, trace_of
from .harness import (
    Client,
    Conversation,
    Message,
    Origin,
    Sidecar,
    answering,
    eventually,
    fetch,
    reply,
)

CONFIG = """
service: {name: orders, version: "1.2"}
inbound:
  listen: <inbound>
  app: http://<app>
  routes:
    - {name: reports, match: GET /reports/*}
    - {match: /limited, rate_limits: [{name: tight, limit: 1/h, burst: 1}]}
    - {match: /cached, cache: {}}
outbound:
  listen: <outbound>
  connect: {allow: ["127.0.0.1:*"], networks: [127.0.0.0/8]}
  services:
    users: {endpoints: [<app>], retry: {attempts: 3, backoff: {base: 1ms}}}
    shop: {endpoints: [<app>], prefix: /shop}
    gone: {endpoints: [<gone>], retry: off, fallback: {service: users}}
    lost:
      endpoints: [<gone>]
      retry: off
      circuit_breaker: {consecutive_failures: 1}
      fallback: {on: [connect-failure], static: {body: sorry}}
tracing:
  sample: 100%
  propagate: [tracecontext, b3, jaeger]
  export:
    url: otlp+http://<collector>
    headers: {x-api-key: sesame}
    resource: {deployment.environment.name: test}
    interval: 20ms
"""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SECRET = "CANARY"


@pytest.fixture(scope="module")
def collector() -> Iterator[Origin]:
    with Origin.running(answering(reply(200, b"{}"))) as running:
        yield running


@pytest.fixture(scope="module")
def sidecar(app: Origin, collector: Origin) -> Iterator[Sidecar]:
    given = {"app": app.address, "collector": collector.address}
    with Sidecar.running(CONFIG, **given) as running:
        yield running


def id_of(answer: Message) -> str:
    return answer.get("x-request-id") or ""


def names(span: Span) -> list[str]:
    return [name for name, _ in span.events]


def test_a_trace_goes_through_and_the_headers_name_its_spans(
    sidecar: Sidecar, origin: Origin, collector: Origin
) -> None:
    before = time.time_ns()
    answer = fetch(
        sidecar.inbound,
        f"/reports/7?token={SECRET}",
        headers={
            "traceparent": f"00-{TRACE}-{PARENT}-01",
            "User-Agent": "me/1",
            "Authorization": SECRET,
        },
    )
    server, client = trace_of(collector, id_of(answer), 2)
    assert (server.trace, client.trace) == (TRACE, TRACE)
    assert (server.parent, client.parent) == (PARENT, server.id)
    fields = origin.last
    assert fields.get("traceparent") == f"00-{TRACE}-{client.id}-01"
    assert fields.get("b3") == f"{TRACE}-{client.id}-1-{server.id}"
    assert fields.get("uber-trace-id") == f"{TRACE}:{client.id}:{server.id}:1"
    assert (server.name, server.kind, server.error) == ("GET /reports/*", "server", False)
    assert (client.name, client.kind, client.error) == ("GET", "client", False)
    assert server.said["http.route"] == "/reports/*"
    assert server.said["meshproxy.route"] == "reports"
    assert server.said["url.path"] == "/reports/7"
    assert server.said["user_agent.original"] == "me/1"
    assert client.said["url.full"] == f"http://{origin.address}/reports/7"
    assert before <= server.began <= client.began <= client.ended <= server.ended
    assert server.ended <= time.time_ns()
    assert server.events == []


def test_what_is_posted(sidecar: Sidecar, origin: Origin, collector: Origin) -> None:
    trace_of(collector, id_of(fetch(sidecar.inbound, "/x", headers={"Cookie": SECRET})), 2)
    message = collector.last
    assert (message.method, message.target) == ("POST", "/v1/traces")
    assert message.get("content-type") == "application/json"
    assert message.get("content-encoding") == "gzip"
    assert message.get("x-api-key") == "sesame"
    assert not [span for span in received(collector) if SECRET in repr(span)]


def test_a_jaeger_trace_with_short_ids_goes_on(
    sidecar: Sidecar, origin: Origin, collector: Origin
) -> None:
    answer = fetch(sidecar.inbound, "/", headers={"uber-trace-id": "abc%3A12%3A0%3A1"})
    server, client = trace_of(collector, id_of(answer), 2)
    assert (server.trace, server.parent) == ("abc".rjust(32, "0"), "12".rjust(16, "0"))
    assert origin.last.get("uber-trace-id") == f"{server.trace}:{client.id}:{server.id}:1"


def test_what_the_caller_did_not_sample_is_not_exported(
    sidecar: Sidecar, origin: Origin, collector: Origin
) -> None:
    quiet = fetch(sidecar.inbound, "/quiet", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    trace_of(collector, id_of(fetch(sidecar.inbound, "/loud")), 2)
    ids = [span.said.get("meshproxy.request_id") for span in received(collector)]
    assert id_of(quiet) not in ids


def test_a_limit_is_an_event_of_the_server_span(
    sidecar: Sidecar, origin: Origin, collector: Origin
) -> None:
    fetch(sidecar.inbound, "/limited")
    answer = fetch(sidecar.inbound, "/limited")
    assert answer.status == 429
    (server,) = trace_of(collector, id_of(answer))
    assert not server.error
    ((name, more),) = server.events
    assert name == "meshproxy.refused"
    assert more["meshproxy.reason"] == "RL"
    assert more["meshproxy.rule"].startswith("inbound.routes[1].rate_limits[0] (meshproxy.yaml:")


def test_every_try_is_a_client_span(sidecar: Sidecar, origin: Origin, collector: Origin) -> None:
    tries = iter([503, 503, 200])
    origin.forget(answering(lambda message: reply(next(tries))))
    answer = fetch(sidecar.outbound, "/", headers={"Host": "users"})
    assert answer.status == 200
    server, *clients = trace_of(collector, id_of(answer), 4)
    assert not server.error
    assert names(server) == ["meshproxy.retry", "meshproxy.retry"]
    assert [span.error for span in clients] == [True, True, False]
    assert [span.said.get("error.type") for span in clients] == ["503", "503", None]
    assert [span.said.get("http.request.resend_count") for span in clients] == [None, 1, 2]
    got = [(message.get("traceparent") or "").split("-")[2] for message in origin.requests]
    assert got == [span.id for span in clients]


def test_another_service_stands_in(sidecar: Sidecar, origin: Origin, collector: Origin) -> None:
    answer = fetch(sidecar.outbound, "/", headers={"Host": "gone"})
    assert answer.status == 200
    server, first, second = trace_of(collector, id_of(answer), 3)
    assert names(server) == ["meshproxy.fallback"]
    assert first.said["error.type"] == "connect-failure"
    assert [one.said["meshproxy.upstream"] for one in (first, second)] == ["gone", "users"]


def test_a_written_answer_stands_in_and_a_breaker_opens(
    sidecar: Sidecar, origin: Origin, collector: Origin
) -> None:
    answer = fetch(sidecar.outbound, "/", headers={"Host": "lost"})
    assert answer.status == 200
    server, client = trace_of(collector, id_of(answer), 2)
    assert set(names(server)) == {"meshproxy.circuit_breaker", "meshproxy.fallback"}
    assert dict(server.events)["meshproxy.circuit_breaker"]["meshproxy.to"] == "open"
    assert client.error
    refused = fetch(sidecar.outbound, "/", headers={"Host": "lost"})
    assert (refused.status, refused.get("x-meshproxy-reason")) == (503, "UO")
    (server,) = trace_of(collector, id_of(refused))
    assert server.error
    assert server.said["error.type"] == "503"
    assert dict(server.events)["meshproxy.refused"]["meshproxy.reason"] == "UO"


def test_a_hit_of_the_cache_has_a_server_span_alone(
    sidecar: Sidecar, origin: Origin, collector: Origin
) -> None:
    origin.forget(answering(reply(200, b"x", {"Cache-Control": "max-age=60"})))
    first, second = fetch(sidecar.inbound, "/cached"), fetch(sidecar.inbound, "/cached")
    assert len(trace_of(collector, id_of(first), 2)) == 2
    (server,) = trace_of(collector, id_of(second))
    assert names(server) == ["meshproxy.cache"]


def test_a_prefix_is_not_part_of_what_was_sent(
    sidecar: Sidecar, origin: Origin, collector: Origin
) -> None:
    answer = fetch(sidecar.outbound, "/shop/items", headers={"Host": "127.0.0.1"})
    server, client = trace_of(collector, id_of(answer), 2)
    assert server.said["url.path"] == "/shop/items"
    assert client.said["url.full"] == f"http://{origin.address}/items"


def test_an_upstream_that_cuts_its_answer_off_is_an_error(
    sidecar: Sidecar, origin: Origin, collector: Origin
) -> None:
    def cut(peer: Conversation) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 Fine\r\nContent-Length: 9\r\n\r\nshort")
        peer.reset()

    origin.forget(cut)
    with Client(sidecar.inbound) as client:
        client.send(b"GET /cut HTTP/1.1\r\nHost: a\r\nx-request-id: cut-1\r\n\r\n")
        head = client.reader.response_head()
        assert head.status == 200
        server, attempt = trace_of(collector, "cut-1", 2)
    for span in (server, attempt):
        assert (span.error, span.said["error.type"]) == (True, "reset")


def test_a_caller_that_leaves_is_no_error(
    sidecar: Sidecar, origin: Origin, collector: Origin
) -> None:
    def wait(peer: Conversation) -> None:
        peer.request()
        peer.until_left()

    origin.forget(wait)
    with Client(sidecar.inbound) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nx-request-id: left-1\r\n\r\n")
        origin.saw(1)
        client.reset()
    server, attempt = trace_of(collector, "left-1", 2)
    assert (server.error, attempt.error) == (False, False)
    assert server.said["meshproxy.reason"] == "DC"
    assert attempt.said["meshproxy.result"] == "client-gone"


def test_a_request_that_cannot_be_read_has_a_span_without_its_secrets(
    sidecar: Sidecar, origin: Origin, collector: Origin
) -> None:
    answers = []
    for raw in (
        f"GET http://me:{SECRET}@a.test/?{SECRET} HTTP/1.1\r\nHost: a\r\n\r\n",
        f"BREW /pot?{SECRET} HTTP/1.1\r\nHost: a\r\n\r\n",
        f"GET /%zz?{SECRET} HTTP/1.1\r\nHost: a\r\nCookie: {SECRET}\r\n\r\n",
    ):
        with Client(sidecar.inbound) as client:
            client.send(raw.encode())
            answers.append(client.response())
    found = [trace_of(collector, id_of(answer))[0] for answer in answers]
    assert SECRET not in repr(found)
    assert [span.said["http.request.method"] for span in found] == ["GET", "_OTHER", "GET"]
    assert found[1].name == "HTTP"
    assert found[1].said["http.request.method_original"] == "BREW"


def test_a_tunnel_has_a_span_for_as_long_as_it_stands(
    sidecar: Sidecar, origin: Origin, collector: Origin
) -> None:
    with Client(sidecar.outbound) as client:
        client.send(f"CONNECT {origin.address} HTTP/1.1\r\nHost: {origin.address}\r\n\r\n".encode())
        answer = client.reader.response_head()
        assert answer.status == 200
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.response().status == 200
    server, attempt = trace_of(collector, id_of(answer), 2)
    assert (server.name, attempt.name) == ("CONNECT", "CONNECT")
    assert attempt.said["url.full"] == f"http://{origin.address}"


def test_what_was_sent_is_counted(sidecar: Sidecar, origin: Origin, collector: Origin) -> None:
    trace_of(collector, id_of(fetch(sidecar.inbound, "/")), 2)
    eventually(lambda: sidecar.total("meshproxy_spans_queued") == 0, what="an empty queue")
    sent = sidecar.total("meshproxy_spans_total", outcome="sent")
    assert sent > 2
    others = sidecar.total("meshproxy_spans_total") - sent
    assert others == 0


def test_no_page_shows_the_key_of_the_collector(sidecar: Sidecar, origin: Origin) -> None:
    shown = sidecar.admin_json("/config")
    assert "sesame" not in repr(shown)
    assert "x-api-key" in repr(shown)
    assert "sesame" not in sidecar.logged()
    assert "sesame" not in sidecar.metrics_text()


def test_a_reload_moves_the_export_and_loses_nothing(app: Origin, collector: Origin) -> None:
    with Origin.running(answering(reply(503, headers={"Retry-After": "60"}))) as busy:
        config = CONFIG.replace("<collector>", busy.address)
        with Sidecar.running(config, app=app.address) as sidecar:
            first = fetch(sidecar.inbound, "/before")
            busy.saw(1)
            sidecar.write(CONFIG.replace("<collector>", collector.address))
            assert sidecar.reload().status == 200
            assert len(trace_of(collector, id_of(first), 2)) == 2
            assert len(trace_of(collector, id_of(fetch(sidecar.inbound, "/after")), 2)) == 2
            sidecar.write(
                CONFIG.replace("<collector>", collector.address)
                .replace("sample: 100%", "sample: 100%\n  heed_callers: true")
                .partition("  export:")[0]
            )
            assert sidecar.reload().status == 200
            sent = sidecar.total("meshproxy_spans_total", outcome="sent")
            assert sent == 4, "a counter does not go back where the export is switched off"
            assert fetch(sidecar.inbound, "/unseen").status == 200


def test_what_waits_leaves_before_the_process_does(app: Origin, collector: Origin) -> None:
    config = CONFIG.replace("interval: 20ms", "interval: 1h")
    collector.forget(answering(reply(200, b"{}")))
    with Sidecar.running(config, app=app.address, collector=collector.address) as sidecar:
        answer = fetch(sidecar.inbound, "/last")
        assert received(collector) == []
        sidecar.process.terminate()
        assert sidecar.process.wait(10) == 0
        assert len(trace_of(collector, id_of(answer), 2)) == 2


def test_the_environment_alone_switches_the_export_on(
    app: Origin, collector: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{collector.address}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=sesame")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "from-outside")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")
    monkeypatch.setenv("OTEL_PROPAGATORS", "jaeger,baggage")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    config = "inbound: {listen: <inbound>, app: http://<app>}\nservice: {version: '1'}"
    collector.forget(answering(reply(200, b"{}")))
    with Sidecar.running(config, app=app.address) as sidecar:
        answer = fetch(sidecar.inbound, "/")
        server, client = trace_of(collector, id_of(answer), 2)
        assert app.last.get("uber-trace-id") == f"{server.trace}:{client.id}:{server.id}:1"
        assert app.last.get("traceparent") is None
        assert collector.last.get("x-api-key") == "sesame"
        assert "sesame" not in repr(sidecar.admin_json("/config"))
        assert b'"from-outside"' in sidecar.probe("/readyz").body


def test_spans_go_over_tls_with_the_system_s_certificates(
    app: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that nobody knows is not trusted; one that the system trusts is."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    def secured(peer: Conversation) -> None:
        peer._socket = context.wrap_socket(peer._socket, server_side=True)
        answering(reply(200, b"{}"))(peer)

    with Origin.running(secured) as receiver:
        config = CONFIG.replace("otlp+http://<collector>", f"https://localhost:{receiver.port}")
        with Sidecar.running(config, app=app.address) as sidecar:
            fetch(sidecar.inbound, "/")
            eventually(lambda: "spans_held_back" in sidecar.logged(), what="a refusal of it")
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        with Sidecar.running(config, app=app.address) as sidecar:
            answer = fetch(sidecar.inbound, "/")
            assert len(trace_of(receiver, id_of(answer), 2)) == 2
