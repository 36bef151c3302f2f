"""A caller gets something instead of a failure: an answer from the file, or another service's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .harness import (
    Client,
    Message,
    Origin,
    Sidecar,
    answering,
    closed_port,
    eventually,
    fetch,
    reply,
)

CONFIG = """
inbound:
  listen: <inbound>
  app: http://<closed>
  fallback: {static: {status: 503, headers: {retry-after: "30"}, body: closed for repairs}}
outbound:
  listen: <outbound>
  defaults: {retry: off, timeout: 5s, circuit_breaker: off}
  services:
    items:
      endpoints: [<closed>]
      fallback:
        static: {headers: {content-type: application/json}, body: '{"items": []}'}
      routes:
        - {match: /plain, fallback: off}
        - {match: /other, fallback: {service: spare}}
        - match: /file
          fallback: {static: {body: "file:<<body>>"}}
    failing: {endpoints: [<app>], fallback: {service: spare}}
    chosen: {endpoints: [<app>], fallback: {on: [reset], static: {body: instead}}}
    slow: {endpoints: [<app>], timeout: 200ms, fallback: {static: {body: instead}}}
    opens:
      endpoints: [<app>]
      circuit_breaker: {consecutive_failures: 2, open_for: 60s, max_open_for: 60s}
      fallback: {service: spare}
    prefixed: {endpoints: [<closed>], prefix: /p, listen: <own>, fallback: {service: spare}}
    kept:
      endpoints: [<app>]
      cache: {stale_while_revalidate: 0s}
      fallback: {service: spare}
    long:
      endpoints: [<app>]
      cache: {stale_while_revalidate: 0s, stale_if_error: 0s}
      fallback: {stale: 1h, on: [gateway-error], static: {body: instead}}
    both: {endpoints: [<closed>], fallback: {service: items}}
    guarded: {endpoints: [<closed>], fallback: {service: strict}}
    strict: {endpoints: [<spare>], rate_limits: [{name: few, limit: 2/h, burst: 2}]}
    spare: {endpoints: [<spare>]}
"""


@pytest.fixture(scope="module")
def spare() -> Iterator[Origin]:
    """The origin of the service that stands in."""
    with Origin.running() as running:
        yield running


@pytest.fixture(scope="module")
def sidecar(
    app: Origin, spare: Origin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sidecar]:
    body = tmp_path_factory.mktemp("fallback") / "items.txt"
    body.write_text("from a file\n")
    config = CONFIG.replace("<<body>>", str(body))
    given = {"app": app.address, "spare": spare.address, "closed": closed_port()}
    with Sidecar.running(config, **given) as running:
        yield running


@pytest.fixture
def other(spare: Origin) -> Iterator[Origin]:
    spare.forget()
    spare.script = answering(reply(body=b"from the spare"))
    yield spare
    spare.forget()


STALE_AT_ONCE = {"Cache-Control": "max-age=0"}


def ask(
    sidecar: Sidecar, host: str, target: str = "/", method: str = "GET", **more: Any
) -> Message:
    return fetch(sidecar.outbound, target, method, headers={"Host": host}, **more)


def logged(sidecar: Sidecar, answer: Message) -> dict[str, Any]:
    """The access log's line of the exchange that had this answer."""

    def lines() -> list[dict[str, Any]]:
        named = answer.get("x-request-id")
        return [line for line in sidecar.log_lines() if line.get("request_id") == named]

    eventually(lambda: bool(lines()), 5.0, "a log line")
    return lines()[0]


def test_a_written_answer_stands_in_for_a_service_that_is_gone(sidecar: Sidecar) -> None:
    answer = ask(sidecar, "items")
    assert (answer.status, answer.body) == (200, b'{"items": []}')
    assert answer.get("x-fallback") == "static"
    assert answer.get("content-type") == "application/json"
    assert answer.get("x-request-id") is not None
    assert logged(sidecar, answer)["reason"] == "UF"


def test_the_caller_stays_connected(sidecar: Sidecar) -> None:
    with Client(sidecar.outbound) as client:
        bodies = [client.ask("GET", "/", {"Host": "items"}).body for _ in range(3)]
    assert bodies == [b'{"items": []}'] * 3


def test_head_gets_the_same_without_the_body(sidecar: Sidecar) -> None:
    answer = ask(sidecar, "items", method="HEAD")
    assert (answer.status, answer.get("content-length"), answer.body) == (200, "13", b"")


def test_a_post_with_its_body_gets_it_too(sidecar: Sidecar) -> None:
    with Client(sidecar.outbound) as client:
        first = client.ask("POST", "/", {"Host": "items"}, b"x" * 100_000)
        then = (
            client.ask("GET", "/", {"Host": "items"}) if first.get("connection") is None else first
        )
    assert (first.status, then.status) == (200, 200)


def test_a_route_may_do_without(sidecar: Sidecar) -> None:
    answer = ask(sidecar, "items", "/plain")
    assert (answer.status, answer.get("x-meshproxy-reason")) == (503, "UF")
    assert answer.get("x-fallback") is None


def test_a_body_may_come_from_a_file_and_is_no_secret(sidecar: Sidecar) -> None:
    assert ask(sidecar, "items", "/file").body == b"from a file"
    assert "from a file" in str(sidecar.admin_json("/config"))


def test_your_own_app_may_have_one(sidecar: Sidecar) -> None:
    answer = fetch(sidecar.inbound, "/x")
    assert (answer.status, answer.body) == (503, b"closed for repairs")
    assert (answer.get("retry-after"), answer.get("x-fallback")) == ("30", "static")
    assert answer.get("content-type") == "text/plain; charset=utf-8"


def test_another_service_stands_in_route_by_route(sidecar: Sidecar, other: Origin) -> None:
    answer = ask(sidecar, "items", "/other?q=1")
    assert (answer.status, answer.body) == (200, b"from the spare")
    assert answer.get("x-fallback") == "service"
    assert [one.target for one in other.requests] == ["/other?q=1"]
    line = logged(sidecar, answer)
    assert (line["reason"], line["upstream"]) == ("UF", "spare")


def test_an_answer_that_failed_is_not_seen_by_the_caller(
    sidecar: Sidecar, origin: Origin, other: Origin
) -> None:
    origin.script = answering(reply(502, b"broken"))
    answer = ask(sidecar, "failing")
    assert (answer.status, answer.body) == (200, b"from the spare")
    origin.forget()
    origin.script = answering(reply(500, b"my own mistake"))
    assert ask(sidecar, "failing").body == b"my own mistake"


def test_a_post_that_was_sent_is_not_sent_elsewhere(
    sidecar: Sidecar, origin: Origin, other: Origin
) -> None:
    origin.script = answering(reply(502, b"broken"))
    assert ask(sidecar, "failing", method="POST", body=b"once").status == 502
    assert other.requests == []


def test_a_put_is_sent_elsewhere_with_its_body(
    sidecar: Sidecar, origin: Origin, other: Origin
) -> None:
    origin.script = answering(reply(502, b"broken"))
    assert ask(sidecar, "failing", method="PUT", body=b"x" * 50_000).status == 200
    assert other.requests[0].body == b"x" * 50_000


def test_a_put_too_large_to_be_held_gets_the_failure(
    sidecar: Sidecar, origin: Origin, other: Origin
) -> None:
    origin.script = answering(reply(502, b"broken"))
    assert ask(sidecar, "failing", method="PUT", body=b"x" * 200_000).status == 502
    assert other.requests == []


def test_only_what_is_named_is_replaced(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(reply(503, b"broken"))
    assert ask(sidecar, "chosen").body == b"broken"
    origin.forget()
    origin.script = lambda peer: peer.reset() if peer.request() else None
    assert ask(sidecar, "chosen").body == b"instead"


def test_time_that_is_up_is_a_failure_too(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = lambda peer: peer.until_left()
    answer = ask(sidecar, "slow")
    assert (answer.status, answer.body) == (200, b"instead")
    assert logged(sidecar, answer)["reason"] == "UT"


def test_an_open_breaker_sends_everyone_to_the_other(
    sidecar: Sidecar, origin: Origin, other: Origin
) -> None:
    origin.script = answering(reply(503, b"broken"))
    bodies = [ask(sidecar, "opens").body for _ in range(5)]
    assert bodies == [b"from the spare"] * 5
    assert len(origin.requests) == 2
    assert sidecar.total("meshproxy_fallbacks_total", upstream="opens", why="breaker-open") == 3
    assert sidecar.total("meshproxy_fallbacks_total", upstream="opens", why="503") == 2


def test_the_path_is_the_one_that_the_first_would_have_seen(
    sidecar: Sidecar, other: Origin
) -> None:
    ask(sidecar, "anything", "/p/orders/7")
    fetch(sidecar.where("own"), "/p/orders/8")
    assert [one.target for one in other.requests] == ["/orders/7", "/p/orders/8"]


def test_what_the_cache_still_has_goes_first(
    sidecar: Sidecar, origin: Origin, other: Origin
) -> None:
    origin.script = answering(reply(200, b"fresh", STALE_AT_ONCE))
    assert ask(sidecar, "kept", "/seen").body == b"fresh"
    origin.forget()
    origin.script = answering(reply(503, b"broken"))
    stale, never = ask(sidecar, "kept", "/seen"), ask(sidecar, "kept", "/never-seen")
    assert (stale.body, stale.get("x-fallback")) == (b"fresh", "cache")
    assert stale.get("age") is not None
    assert (never.body, never.get("x-fallback")) == (b"from the spare", "service")


def test_a_stale_answer_goes_before_a_written_one(sidecar: Sidecar, origin: Origin) -> None:
    origin.script = answering(reply(200, b"fresh", STALE_AT_ONCE))
    assert ask(sidecar, "long", "/seen").body == b"fresh"
    origin.forget()
    origin.script = answering(reply(503, b"broken"))
    stale, never = ask(sidecar, "long", "/seen"), ask(sidecar, "long", "/never-seen")
    assert (stale.body, stale.get("x-fallback"), stale.get("x-cache")) == (
        b"fresh", "cache", "STALE",
    )  # fmt: skip
    assert stale.get("age") is not None
    assert (never.body, never.get("x-fallback")) == (b"instead", "static")
    where = {"upstream": "long", "why": "503"}
    assert sidecar.total("meshproxy_fallbacks_total", kind="stale", **where) == 1
    assert sidecar.total("meshproxy_fallbacks_total", kind="static", **where) == 1


def test_the_other_service_s_own_limits_hold_for_who_is_passed_on(
    sidecar: Sidecar, other: Origin
) -> None:
    answers = [ask(sidecar, "guarded") for _ in range(3)]
    assert [one.status for one in answers] == [200, 200, 429]
    assert answers[2].get("x-meshproxy-reason") == "RL"
    assert len(other.requests) == 2
    assert sidecar.total("meshproxy_rate_limited_total", limit="few") == 1


def test_nobody_is_passed_on_twice(sidecar: Sidecar) -> None:
    answer = ask(sidecar, "both")
    assert (answer.status, answer.get("x-meshproxy-reason")) == (503, "UF")


def test_each_is_counted_by_kind_and_cause(sidecar: Sidecar) -> None:
    where = {"direction": "outbound", "route": "default", "upstream": "items"}
    how = {"kind": "static", "why": "connect-failure"}
    before = sidecar.total("meshproxy_fallbacks_total", **where, **how)
    ask(sidecar, "items")
    assert sidecar.total("meshproxy_fallbacks_total", **where, **how) == before + 1


def test_nothing_stays_in_flight(sidecar: Sidecar, other: Origin) -> None:
    for host in ("items", "both"):
        ask(sidecar, host)
    ask(sidecar, "items", "/other")
    assert sidecar.total("meshproxy_in_flight_requests") == 0
