"""What the sidecar tells: metrics that Prometheus accepts, in bounded number; a log of JSON lines.

No label and no line can be made by a stranger, whatever is sent.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from .harness import Client, Conversation, Origin, Sidecar, TruncatedError, eventually, fetch

CONFIG = """
service: {name: orders, version: "1.2"}
inbound:
  listen: <inbound>
  app: http://<app>
  rate_limits: [{name: all, limit: 100000/s}]
  routes:
    - {name: create-order, match: POST /orders}
    - match: GET /reports/*
    - {name: limited, match: GET /limited, rate_limits: [{name: tight, limit: 1/m, burst: 1}]}
outbound:
  listen: <outbound>
  services: {users: {endpoints: [<app>]}}
logs: {level: info, format: json, access: {errors: true, sample: 100%}}
"""
CONTRACT = {
    "meshproxy_requests_total",
    "meshproxy_request_duration_seconds",
    "meshproxy_time_to_first_byte_seconds",
    "meshproxy_in_flight_requests",
    "meshproxy_upstream_attempts_total",
    "meshproxy_retries_total",
    "meshproxy_rate_limited_total",
    "meshproxy_breaker_state",
    "meshproxy_breaker_transitions_total",
    "meshproxy_upstream_connections",
    "meshproxy_downstream_connections",
    "meshproxy_config_last_reload_successful",
    "meshproxy_config_last_reload_success_timestamp_seconds",
    "meshproxy_config_generation",
    "meshproxy_build_info",
}


def families(sidecar: Sidecar) -> dict[str, str]:
    text = sidecar.metrics_text()
    return {each.name: each.type for each in text_string_to_metric_families(text)}


def some_traffic(sidecar: Sidecar) -> None:
    fetch(sidecar.inbound, "/orders", "POST")
    fetch(sidecar.inbound, "/reports/7")
    fetch(sidecar.inbound, "/limited")
    fetch(sidecar.inbound, "/limited")
    fetch(sidecar.inbound, "/elsewhere")
    fetch(sidecar.outbound, "/", headers={"Host": "users"})
    fetch(sidecar.outbound, "/", headers={"Host": "nobody"})


def test_every_promised_metric_is_there(sidecar: Sidecar, origin: Origin) -> None:
    some_traffic(sidecar)
    found = families(sidecar)
    missing = {name for name in CONTRACT if name.removesuffix("_total") not in found}
    assert missing == set()


@pytest.mark.server("promtool")
def test_promtool_finds_nothing_to_complain_of(sidecar: Sidecar, origin: Origin) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: apt-get install prometheus")
    some_traffic(sidecar)
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=sidecar.metrics_text(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_a_scrape_may_ask_for_openmetrics(sidecar: Sidecar, origin: Origin) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = sidecar.probe("/metrics", accept)
    assert (answer.get("content-type") or "").startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")
    plain = sidecar.probe("/metrics")
    assert (plain.get("content-type") or "").startswith("text/plain")


def test_requests_are_counted_once_under_their_route(sidecar: Sidecar, origin: Origin) -> None:
    def count(**labels: str) -> float:
        return sidecar.total("meshproxy_requests_total", direction="inbound", **labels)

    before = count(route="create-order", method="POST", code="200")
    for _ in range(7):
        fetch(sidecar.inbound, "/orders", "POST")
    assert count(route="create-order", method="POST", code="200") == before + 7
    fetch(sidecar.inbound, "/reports/1")
    assert count(route="GET /reports/*", method="GET") >= 1
    fetch(sidecar.inbound, "/other", "PURGE")
    assert count(method="PURGE") == 0


def test_durations_are_observed(sidecar: Sidecar, origin: Origin) -> None:
    before = sidecar.total("meshproxy_request_duration_seconds_count")
    fetch(sidecar.inbound, "/orders", "POST")
    assert sidecar.total("meshproxy_request_duration_seconds_count") == before + 1
    assert sidecar.total("meshproxy_time_to_first_byte_seconds_count") >= 1


def test_requests_in_flight_return_to_none(sidecar: Sidecar, origin: Origin) -> None:
    release = threading.Event()

    def script(peer: Conversation) -> None:
        if peer.request() is not None:
            release.wait(10)

    origin.script = script
    with Client(sidecar.inbound) as client:
        client.send(b"GET /orders HTTP/1.1\r\nHost: a\r\n\r\n")
        origin.saw(1)
        assert sidecar.total("meshproxy_in_flight_requests") == 1
        release.set()
        try:
            client.response()
        except TruncatedError:
            pass
    eventually(lambda: sidecar.total("meshproxy_in_flight_requests") == 0)
    eventually(lambda: sidecar.total("meshproxy_downstream_connections") == 0)


@pytest.mark.slow
def test_strangers_cannot_mint_series(sidecar: Sidecar, origin: Origin) -> None:
    some_traffic(sidecar)
    draw = random.Random(7)
    count, batch = 20_000, 50
    for address in (sidecar.inbound, sidecar.outbound):
        with Client(address) as client:
            for _ in range(count // 2 // batch):
                client.send(b"".join(stranger(draw) for _ in range(batch)))
                for _ in range(batch):
                    client.response()
    text = sidecar.metrics_text()
    series = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(series) <= 1000
    assert "stranger" not in text


def stranger(draw: random.Random) -> bytes:
    word = f"stranger{draw.getrandbits(48):x}"
    method = draw.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "REPORT", "LOCK"])
    return (
        f"{method} /{word}?{word} HTTP/1.1\r\nHost: {word}.test\r\nX-Client-Id: {word}\r\n"
        f"User-Agent: {word}\r\nX-Request-Id: {word}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def logged(sidecar: Sidecar, needle: str) -> list[dict[str, object]]:
    return [line for line in sidecar.log_lines() if needle in json.dumps(line)]


def test_a_request_is_one_line_of_the_log(sidecar: Sidecar, origin: Origin) -> None:
    answer = fetch(sidecar.inbound, "/orders?secret=1", "POST")
    wanted = answer.get("x-request-id") or ""
    lines = eventually(lambda: logged(sidecar, wanted), what="the access log line")
    assert len(lines) == 1
    text = json.dumps(lines[0])
    assert "create-order" in text
    assert "POST" in text
    assert 200 in lines[0].values()
    trace = (origin.last.get("traceparent") or "").split("-")[1]
    assert trace in text


def test_a_refusal_is_logged_with_its_reason(sidecar: Sidecar, origin: Origin) -> None:
    answer = fetch(sidecar.outbound, "/", headers={"Host": "nobody"})
    wanted = answer.get("x-request-id") or ""
    lines = eventually(lambda: logged(sidecar, wanted), what="the access log line")
    assert "NR" in lines[0].values()
    assert 404 in lines[0].values()


def test_a_client_that_left_is_logged(sidecar: Sidecar, origin: Origin) -> None:
    def script(peer: Conversation) -> None:
        if peer.request() is not None:
            peer.until_left()

    origin.script = script
    with Client(sidecar.inbound) as client:
        client.send(b"GET /left-early HTTP/1.1\r\nHost: a\r\n\r\n")
        origin.saw(1)
        client.reset()
    left = eventually(lambda: logged(sidecar, '"DC"'), what="the access log line")
    assert 499 in left[-1].values()


HOSTILE = [
    b'"}\n{"event":"forged"}',
    b'\r\n{"event":"forged"}\r\n',
    b"\n2026-01-01T00:00:00.000Z ERROR forged",
    b"\x1b[2J\x1b]0;forged\x07",
    b"\x00",
    b"\x7f\x85\x9b31m",
    b"\xe2\x80\xa8\xe2\x80\xae",
    b"\xff\xfe\xc3\x28",
    b"\\u000a\\n%0a%1b",
    b"x" * 7900,
    b"\xff" * 7900,
]
REQUESTS = [
    b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a?%b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://%b/a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"%b /a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a HTTP/%b\r\nHost: a\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: %b\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: a\r\nUser-Agent: %b\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: a\r\nX-Request-Id: %b\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: a\r\nTraceparent: %b\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: %b\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: a\r\n%b: b\r\n\r\n",
]


def provoke(sidecar: Sidecar) -> int:
    """Send every hostile text in every place; how many requests that were, at the least."""
    sent = 0
    for address in (sidecar.inbound, sidecar.outbound):
        for text in HOSTILE:
            for form in REQUESTS:
                with Client(address) as client:
                    client.send_pieces([form % text])
                    try:
                        client.response()
                    except (ConnectionError, TruncatedError):
                        pass
                sent += 1
    return sent


def test_a_request_is_one_json_line_whatever_is_in_it(sidecar: Sidecar, origin: Origin) -> None:
    def requests() -> list[bytes]:
        whole = sidecar.log.read_bytes().rpartition(b"\n")[0].split(b"\n")
        return [line for line in whole if b'"event":"request"' in line]

    before = len(requests())
    sent = provoke(sidecar)
    eventually(lambda: len(requests()) >= before + sent, what="every access log line")
    for line in sidecar.log.read_bytes().rpartition(b"\n")[0].split(b"\n"):
        text = line.decode("ascii")
        assert text.isprintable()
        told = json.loads(text)
        assert told["event"] != "forged"
        assert all(len(value) <= 2048 for value in told.values() if isinstance(value, str))


EVENT = re.compile(r"\d{4}-[0-9T:.-]+Z (INFO|WARNING|ERROR) +[a-z_]+( \w+=|$)")
REQUEST = re.compile(
    r'\[\d{4}-[0-9T:.-]+Z\] "\S+ .* HTTP/1\.[01]" \d+ [A-Z,-]+ \d+ \d+ \d+ [0-9-]+'
    r'( "[^"]*"){5} (in|out)bound( "[^"]*"){2} \d+ ([0-9a-f]{32}|-)( "[^"]*"){2}'
)


def test_a_request_is_one_line_of_text_whatever_is_in_it(app: Origin) -> None:
    config = CONFIG.replace("format: json", "format: text")
    with Sidecar.running(config, app=app.address) as sidecar:
        provoke(sidecar)
        fetch(sidecar.inbound, "/the-last")
        eventually(lambda: "/the-last" in sidecar.logged(), what="the access log")
        lines = sidecar.log.read_bytes().rpartition(b"\n")[0].split(b"\n")
    for line in lines:
        text = line.decode("ascii")
        assert text.isprintable()
        assert EVENT.match(text) or REQUEST.fullmatch(text), text
        assert " forged" not in text.partition("=")[0].partition('"')[0]


def test_bad_requests_are_counted_by_what_was_wrong(sidecar: Sidecar, origin: Origin) -> None:
    def count(why: str) -> float:
        return sidecar.total("meshproxy_bad_requests_total", direction="inbound", why=why)

    before = count("bad-length"), count("both-framings")
    with Client(sidecar.inbound) as client:
        client.send(b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n")
        assert client.response().status == 400
    assert (count("bad-length"), count("both-framings")) == (before[0] + 1, before[1])
    eventually(lambda: logged(sidecar, '"why": "bad-length"'), what="the access log line")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz", "/health", "/health/live"])
def test_probes_answer(sidecar: Sidecar, origin: Origin, path: str) -> None:
    answer = sidecar.probe(path)
    assert answer.status == 200
    told = json.dumps(json.loads(answer.body))
    assert "orders" in told
    assert "1.2" in told


@pytest.mark.parametrize(
    "path", ["/info", "/config", "/routes", "/clusters", "/breakers", "/rate-limits", "/stats"]
)
def test_the_admin_port_tells_its_state(sidecar: Sidecar, origin: Origin, path: str) -> None:
    assert sidecar.admin_json(path) is not None


def test_the_admin_port_hears_no_stranger(sidecar: Sidecar, origin: Origin) -> None:
    for headers in ({"Host": "evil.test"}, {"Host": "127.0.0.1", "Origin": "http://evil.test"}):
        assert fetch(sidecar.admin, "/reload", "POST", headers).status == 403
    assert fetch(sidecar.admin, "/reload", headers={"Host": "127.0.0.1"}).status == 405
