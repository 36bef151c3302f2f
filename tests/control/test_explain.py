"""GET /explain: which questions are understood, and that the answer says all and leaks nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshproxy.control.admin import admin_application
from meshproxy.control.explain import BadQuestionError, read, shown
from meshproxy.core.foretold import Question
from meshproxy.core.ledger import Ledger
from meshproxy.core.route import Snapshot
from meshproxy.dataplane.foresight import foresee
from tests.settings.build import build

from .ports import Ask, Stage, talk

FILE = """
version: 1
trust: {forwarded_from: [10.0.0.0/8]}
inbound:
  app: http://127.0.0.1:8080
  rate_limits:
    - {name: per-client, limit: 1/s, burst: 3, per: "header:x-client-id"}
  faults: {inject: [{abort: 503, percent: 20%}]}
outbound:
  defaults:
    timeout: 2s
    retry: {attempts: 2, per_try_timeout: 800ms}
  services:
    users: {endpoints: [10.0.0.1:80, 10.0.0.2:80], listen: 127.0.0.1:15101}
    pay: {endpoints: [10.0.1.1:80], timeout: off, fallback: {service: users}}
"""
PLANS = ("inbound", "outbound", "outbound.services.users")


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return build(FILE, Ledger(), 50.0)


def told(snapshot: Snapshot, *asked: tuple[str, str]) -> dict[str, Any]:
    plan, question = read(asked, snapshot.plans)
    return shown(foresee(plan, question, 50.0))


@pytest.mark.parametrize(
    ("asked", "plan", "question"),
    [
        ({"url": "/x"}, "inbound", Question("GET", "/x", (("Host", "localhost"),))),
        (
            {"url": "http://users/v1?a=b", "method": "POST"}, "outbound",
            Question("POST", "/v1?a=b", (("Host", "users"),)),
        ),
        ({"url": "HTTP://users"}, "outbound", Question("GET", "/", (("Host", "users"),))),
        ({"url": "http://u:81?q"}, "outbound", Question("GET", "/?q", (("Host", "u:81"),))),
        ({"url": "http://[::1]:9/"}, "outbound", Question("GET", "/", (("Host", "[::1]:9"),))),
        (
            {"url": "http://users/x", "header": "host: other"}, "outbound",
            Question("GET", "http://users/x", (("host", "other"),)),
        ),
        (
            {"url": "a.test:443", "method": "CONNECT"}, "outbound",
            Question("CONNECT", "a.test:443", (("Host", "a.test:443"),)),
        ),
        (
            {"url": "/x", "listener": "outbound.services.users", "client": "::1"}, PLANS[2],
            Question("GET", "/x", (("Host", "localhost"),), "::1"),
        ),
        (
            {"url": "/x", "header": "A:  b  "}, "inbound",
            Question("GET", "/x", (("Host", "localhost"), ("A", "b"))),
        ),
    ],
)  # fmt: skip
def test_a_question_is_a_request_to_a_listener(
    snapshot: Snapshot, asked: dict[str, str], plan: str, question: Question
) -> None:
    assert read(list(asked.items()), snapshot.plans) == (snapshot.plans[plan], question)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([], "url: missing"),
        ([("url", "users/v1")], "url: write a path or http://"),
        ([("url", "https://users/")], "CONNECT and host:443"),
        ([("url", "/a b")], "percent-encode"),
        ([("url", "/a\r\nb: c")], "percent-encode"),
        ([("url", "http://me:pw@users/")], "leave user and password out"),
        ([("url", "http://[::1/")], "url: "),
        ([("url", "/x"), ("url", "/y")], "url: say it once"),
        ([("url", "/x"), ("headr", "a: b")], "headr: /explain takes"),
        ([("url", "/x"), ("header", "a")], "write 'Name: value'"),
        ([("url", "/x"), ("header", "a: b\r\nc: d")], "in one line"),
        ([("url", "/x"), ("header", "a\n: b")], "in one line"),
        ([("url", "/x"), ("method", "G ET")], "method: "),
        ([("url", "/x"), ("client", "here")], "client: write an IP address"),
        ([("url", "/x"), ("listener", "sideways")], "there are: inbound, outbound"),
    ],
)
def test_what_is_no_question_is_told_so(
    snapshot: Snapshot, asked: list[tuple[str, str]], said: str
) -> None:
    with pytest.raises(BadQuestionError) as raised:
        read(asked, snapshot.plans)
    assert said in str(raised.value)


def test_without_a_listener_nobody_can_be_asked() -> None:
    with pytest.raises(BadQuestionError, match="no listener"):
        read([("url", "/x")], {})


def test_the_only_direction_there_is_gets_the_question() -> None:
    only = build("version: 1\ninbound: {app: 'http://127.0.0.1:8080'}", Ledger())
    assert read([("url", "http://users/")], only.plans)[0].key == "inbound"


def test_all_parts_of_an_answer(snapshot: Snapshot) -> None:
    found = told(
        snapshot, ("url", "http://users/v1"), ("header", "connection: x-a"), ("header", "x-a: 1")
    )
    assert json.loads(json.dumps(found)) == found
    assert found["says"] == "forwarded to one of 2 endpoints of users"
    assert found["listener"]["name"] == "outbound"
    assert found["route"]["upstream"] == "users"
    assert found["verdict"]["action"] == "forward"
    assert found["rewrites"]["dropped"] == ["connection", "x-a"]
    assert {"name": "x-meshproxy-attempt", "value": "1"} in found["rewrites"]["added"]
    assert [each["address"] for each in found["endpoints"]] == ["10.0.0.1:80", "10.0.0.2:80"]
    assert {each["circuit"] for each in found["endpoints"]} == {"closed"}
    assert found["pick"]["kind"] == "random"
    clocks = {each["what"]: each for each in found["timeouts"]}
    assert clocks["timeout"] == {
        "what": "timeout", "seconds": 2.0, "rule": "outbound.defaults.timeout (f.yaml:11)",
    }  # fmt: skip
    assert (
        clocks["per_try_timeout"]["rule"] == "outbound.defaults.retry.per_try_timeout (f.yaml:12)"
    )
    assert clocks["idle_timeout"]["rule"].endswith("(default)")
    assert found["worst_case"] == {"attempts": 3, "seconds": 2.0, "says": "up to 3 attempts, 2s"}
    assert found["steps"][0]["policy"] == "tracing"


def test_a_fallback_is_part_of_the_worst_case(snapshot: Snapshot) -> None:
    worst = told(snapshot, ("url", "http://pay/"))["worst_case"]
    assert worst["attempts"] == 6
    # Three tries of 0.8 s and two pauses of up to 450 s that answers may ask for; then 2 s.
    assert worst["seconds"] == pytest.approx(904.4)
    assert "then users: up to 3 attempts, 2s" in worst["says"]


def test_a_limit_tells_its_key_and_a_chance_is_no_certainty(snapshot: Snapshot) -> None:
    found = told(snapshot, ("url", "/x"), ("header", "x-client-id: Secret7"))
    (limit,) = found["limits"]
    assert (limit["name"], limit["left"], limit["burst"]) == ("per-client", 3, 3)
    assert limit["key"].startswith("blake2:")
    assert limit["rule"] == "inbound.rate_limits[0] (f.yaml:7)"
    assert found["verdict"] == {
        "action": "forward", "status": None, "reason": "", "detail": "", "rule": "",
        "chance": 0.8, "waits_seconds": 0.0, "retry_after": None,
    }  # fmt: skip
    assert "(chance 80.0%)" in found["says"]


def test_a_refusal_has_its_rule(snapshot: Snapshot) -> None:
    found = told(snapshot, ("url", "http://nobody.test/"))
    assert found["verdict"]["action"] == "refuse"
    assert found["verdict"]["status"] == 404
    assert found["verdict"]["rule"] == "outbound (f.yaml:9)" == found["steps"][-1]["rule"]
    assert found["pick"] is None
    assert found["worst_case"]["attempts"] == 0


def test_values_that_the_asker_gave_are_not_told_again(snapshot: Snapshot) -> None:
    text = json.dumps(
        told(
            snapshot,
            ("url", "http://users/v1?token=canary"),
            ("header", "authorization: Bearer canary"),
            ("header", "cookie: a=canary"),
            ("header", "cookie: b=canary"),
            ("header", "x-client-id: canary"),
            ("header", "proxy-authorization: canary"),
        )
    )
    assert "canary" not in text


def test_whose_peer_is_trusted_is_told(snapshot: Snapshot) -> None:
    for client, trusted in (("10.1.2.3", True), ("192.0.2.1", False)):
        found = told(snapshot, ("url", "/x"), ("client", client))
        assert found["request"]["trusted"] is trusted
        assert {"name": "x-forwarded-for", "value": client} in found["rewrites"]["added"]


def test_the_page_answers_and_says_what_is_wrong(snapshot: Snapshot) -> None:
    stage = Stage(snapshot=snapshot)

    async def script(ask: Ask) -> None:
        good = await ask("/explain?method=GET&url=/x&header=a:+b&header=c:+d")
        assert good.status == 200
        assert good.json["request"]["fields"] == ["Host", "a", "c"]
        bad = await ask("/explain?url=nowhere")
        assert (bad.status, bad.json["error"][:4]) == (422, "url:")
        head = await ask("/explain?url=/x", "POST")
        assert head.status == 405

    talk(admin_application(stage), script)


def test_before_the_first_config_there_is_nobody_to_ask() -> None:
    async def script(ask: Ask) -> None:
        answer = await ask("/explain?url=/x")
        assert (answer.status, answer.json) == (
            422,
            {"error": "there is no listener in this config"},
        )

    talk(admin_application(Stage(snapshot=None)), script)
