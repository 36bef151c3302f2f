"""`explain` and the decision in an answer, by a real sidecar: what is told is what is done."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from .harness import Client, Message, Origin, Sidecar, eventually, fetch, reply
from .harness.origin import answering
from .harness.sidecar import run

CONFIG = """
trust: {forwarded_from: [127.0.0.2/32]}
inbound:
  listen: <inbound>
  app: http://<app>
  rate_limits: [{name: tight, limit: 3/h, burst: 3, per: "header:x-client-id"}]
outbound:
  listen: <outbound>
  defaults:
    timeout: 2s
    retry: {attempts: 2, backoff: {base: 1ms, jitter: none}}
    circuit_breaker: {consecutive_failures: 3, open_for: 30s, max_open_for: 60s}
  services:
    shop: {endpoints: [<app>], prefix: /shop}
    gone: {endpoints: [<gone>], fallback: {static: {status: 203}}}
    broken: {endpoints: [<app>]}
"""
ASK = {"x-meshproxy-explain": "1"}


def explained(sidecar: Sidecar, url: str, *headers: str, **more: str) -> dict[str, Any]:
    asked = urlencode([("url", url), *(("header", each) for each in headers), *more.items()])
    answer = fetch(sidecar.admin, f"/explain?{asked}", headers={"Host": "localhost"})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = json.loads(answer.body)
    return found


def told(answer: Message) -> dict[str, str]:
    """The fields of the decision in an answer."""
    line = answer.get("x-meshproxy-explain")
    assert line is not None, answer.head
    pairs = (part.partition("=") for part in line.split("; "))
    return {name: value for name, _, value in pairs}


def test_what_is_left_of_a_limit_is_what_is_then_admitted(sidecar: Sidecar, origin: Origin) -> None:
    for left in (3, 2, 1):
        for _ in range(3):  # asking spends nothing
            found = explained(sidecar, "/x", "x-client-id: one")
            assert found["limits"][0]["left"] == left
        assert fetch(sidecar.inbound, "/x", headers={"x-client-id": "one"}).status == 200
    found = explained(sidecar, "/x", "x-client-id: one")
    verdict = found["verdict"]
    assert verdict["action"] == "refuse"
    refused = fetch(sidecar.inbound, "/x", headers={"x-client-id": "one"})
    problem = json.loads(refused.body)
    assert (refused.status, problem["reason"]) == (verdict["status"], verdict["reason"])
    assert (problem["rule"], problem["detail"]) == (verdict["rule"], verdict["detail"])
    assert explained(sidecar, "/x", "x-client-id: two")["verdict"]["action"] == "forward"


def test_the_head_that_is_foretold_is_the_head_that_comes(sidecar: Sidecar, origin: Origin) -> None:
    lines = ("Connection: x-gone", "X-Gone: 1", "TE: trailers", "A: b", "Via: 1.0 old")
    found = explained(sidecar, "/shop/a/../b?q=1", *lines, listener="outbound")
    given = dict(line.split(": ") for line in lines)
    with Client(sidecar.outbound) as client:
        assert client.ask("GET", "/shop/a/../b?q=1", {"Host": "localhost", **given}).status == 200
    came, rewrites = origin.last, found["rewrites"]
    assert (came.target, rewrites["target"]) == ("/b?q=1", "/b?***")
    for each in (*rewrites["added"], *rewrites["changed"]):
        value = ", ".join(came.all(each["name"]))
        assert value == each["value"] or each["name"] in ("traceparent", "x-request-id")
    names = {name.decode().lower() for name in came.names}
    assert rewrites["dropped"] == ["connection", "x-gone", "te"]
    assert names == {each["name"] for each in rewrites["added"]} | {"host", "a", "via"}


def test_an_open_circuit_is_told_before_it_refuses(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(reply(503))
    assert explained(sidecar, "http://broken/")["endpoints"][0]["circuit"] == "closed"
    assert fetch(sidecar.outbound, "/", headers={"Host": "broken"}).status == 503
    found = explained(sidecar, "http://broken/")
    assert found["endpoints"][0]["circuit"] == "open"
    assert not found["endpoints"][0]["eligible"]
    assert (found["verdict"]["action"], found["verdict"]["reason"]) == ("refuse", "UO")
    answer = fetch(sidecar.outbound, "/", headers={"Host": "broken", **ASK})
    assert answer.status == found["verdict"]["status"]
    assert told(answer)["refused"] == "503 UO"


def test_an_answer_tells_a_trusted_peer_how_it_came_to_be(sidecar: Sidecar, origin: Origin) -> None:
    left = [1]

    def once_bad(message: Message) -> bytes:
        left[0] -= 1
        return reply(503 if left[0] >= 0 else 200)

    origin.script = answering(once_bad)
    found = told(fetch(sidecar.outbound, "/", headers={"Host": "shop", **ASK}))
    assert found["route"] == "default"
    assert (found["upstream"], found["attempts"], found["retried"]) == ("shop", "2", "503")
    assert found["endpoint"] == origin.address
    assert found["breaker"] == "closed"
    assert found["rule"].startswith("meshproxy.yaml:")
    assert all(seen.get("x-meshproxy-explain") is None for seen in origin.requests)


def test_an_answer_from_the_file_says_so(sidecar: Sidecar, origin: Origin) -> None:
    answer = fetch(sidecar.outbound, "/", headers={"Host": "gone", **ASK})
    assert (answer.status, told(answer)["served"]) == (203, "203")


@pytest.mark.parametrize("headers", [{}, ASK])
def test_an_untrusted_peer_is_told_nothing(
    sidecar: Sidecar, origin: Origin, headers: dict[str, str]
) -> None:
    answer = fetch(sidecar.inbound, "/", headers={"x-client-id": "x", **headers})
    assert answer.status == 200
    assert answer.get("x-meshproxy-explain") is None
    assert origin.last.get("x-meshproxy-explain") is None


def test_the_command_asks_the_file_and_the_running_one(sidecar: Sidecar, origin: Origin) -> None:
    client = "x-client-id: command"
    for _ in range(3):
        fetch(sidecar.inbound, "/y", headers={"x-client-id": "command"})
    file = ("-c", str(sidecar.file))
    done = run("explain", "GET", "/y", "-H", client, *file)
    assert (done.returncode, done.stderr) == (0, "")
    assert '"tight": 3 left of 3/h' in done.stdout
    done = run("explain", "GET", "/y", "-H", client, "--live", *file)
    assert (done.returncode, done.stderr) == (1, "")
    assert "refused with 429 RL" in done.stdout
    done = run("explain", "outbound.services.shop.timeout", *file)
    assert done.returncode == 0
    assert "2s" in done.stdout
    assert "outbound.defaults.timeout (meshproxy.yaml:" in done.stdout


def test_a_reload_is_explained_at_once(app: Origin) -> None:
    config = "inbound: {listen: <inbound>, app: 'http://<app>', timeout: 1s}"
    with Sidecar.running(config, app=app.address) as running:
        assert explained(running, "/")["timeouts"][0]["seconds"] == 1.0
        running.write(config.replace("1s", "4s"))
        eventually(
            lambda: explained(running, "/")["timeouts"][0]["seconds"] == 4.0, 10.0, "the reload"
        )
