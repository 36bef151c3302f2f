"""The admin port shows the state of the moment, obeys POST alone, and hears no stranger."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web

from meshproxy.control import admin
from meshproxy.control.admin import admin_application
from meshproxy.control.door import HEADERS, MAX_BODY
from meshproxy.control.reload import Outcome
from meshproxy.control.serving import Answer, Port, is_foreign, is_own_name
from meshproxy.core.exchange import Exchange
from meshproxy.core.route import Cluster, Endpoint, Limits, Phases, Plan, Route, Snapshot

from .ports import Ask, Stage, Told, ask, talk


class Series:
    def __init__(self) -> None:
        self.under_way = [0]

    def ended(self, row: int, exchange: Exchange, now: float) -> None: ...
    def sampled(self, row: int, exchange: Exchange, now: float) -> None: ...
    def attempted(self, result: str) -> None: ...


class Never:
    """A policy and a classifier of a route that nobody takes."""

    def admit(self, exchange: Exchange, now: float) -> None: ...
    def failed(self, exchange: Exchange) -> bool:
        return False

    def match(self, exchange: Exchange) -> Route:
        raise AssertionError


class Breaker:
    section = "breakers"

    def report(self, now: float) -> Mapping[str, Any]:
        return {"upstream": "payments", "endpoint": "10.0.0.1:1", "state": "open", "at": now}


class Retries:
    section = "retries"

    def report(self, now: float) -> Mapping[str, Any]:
        return {"upstream": "payments"}


def serving() -> Snapshot:
    """A snapshot with one route to one endpoint."""
    cluster = Cluster("payments", (Endpoint("10.0.0.1:1", "10.0.0.1", 1, 3),), Series())
    never = Never()
    route = Route(
        name="GET /a",
        direction="outbound",
        cluster=cluster,
        phases=Phases(admit=(never.admit,)),
        pick=lambda *_: None,
        classifier=never,
        series=Series(),
        timeout=5.0,
        rule="f.yaml:3",
        about={"match": "GET /a", "timeout": "5s"},
    )
    plan = Plan(
        "outbound", "outbound", "::1", 15001, never, route, {}, Limits(),
        lambda address: False, (route,),
    )  # fmt: skip
    return Snapshot(3, "abc", {"outbound": plan}, (cluster,), {"outbound": {}})


def told(stage: Stage, path: str, method: str = "GET", **more: Any) -> Told:
    answers: list[Told] = []

    async def script(ask: Ask) -> None:
        answers.append(await ask(path, method, **more))

    talk(admin_application(stage), script)
    return answers[0]


def test_info_says_who_it_is() -> None:
    body = told(Stage(), "/info").json
    assert body["service"] == {"name": "orders", "version": "1.2"}
    assert body["uptime_seconds"] == 12.5
    assert body["pid"] == os.getpid()
    assert body["workers"] == [os.getpid()]
    assert body["listeners"] == [{"key": "inbound", "address": "127.0.0.1:15006", "bound": True}]


def test_config_is_the_one_in_force_with_the_last_reload() -> None:
    body = told(Stage(), "/config").json
    assert (body["generation"], body["digest"], body["source"]) == (3, "abc", "meshproxy.yaml")
    assert body["config"] == {"inbound": {"app": ":1"}}
    assert body["last_reload"]["ok"] is True
    assert body["loaded_at"] == "1970-01-01T00:16:40+00:00"


def test_routes_are_told_with_their_policies_and_their_line() -> None:
    (plan,) = told(Stage(snapshot=serving()), "/routes").json
    assert (plan["listener"], plan["listen"]) == ("outbound", "[::1]:15001")
    (route,) = plan["routes"]
    assert route["name"] == route["match"] == "GET /a"
    assert (route["upstream"], route["rule"]) == ("payments", "f.yaml:3")
    assert route["timeout"] == "5s"
    assert route["phases"] == {"admit": ["Never"]}


def test_clusters_are_told_with_their_endpoints() -> None:
    (cluster,) = told(Stage(snapshot=serving()), "/clusters").json
    assert cluster["name"] == "payments"
    (endpoint,) = cluster["endpoints"]
    assert (endpoint["address"], endpoint["weight"], endpoint["tier"]) == ("10.0.0.1:1", 3, 0)
    assert endpoint["version"] is None
    assert endpoint["connections"]["open"] == 0


class Shown:
    """State of any section."""

    def __init__(self, section: str, **report: Any) -> None:
        self.section = section
        self._report = {"upstream": "payments", **report}

    def report(self, now: float) -> Mapping[str, Any]:
        return self._report


def test_clusters_tell_what_is_known_of_each_endpoint() -> None:
    at = {"endpoint": "10.0.0.1:1"}
    health = {"healthy": False, "checked": True, "last": "timeout"}
    state = [
        Shown("breakers", **at, state="open"),
        Shown("breakers", **at, state="half_open", mode="shadow"),
        Shown("health_checks", **at, **health, passes_in_a_row=0),
        Shown("panic", on=True),
    ]
    (cluster,) = told(Stage(snapshot=serving(), state=state), "/clusters").json
    assert cluster["panic"] is True
    (endpoint,) = cluster["endpoints"]
    assert (endpoint["circuit"], endpoint["health"]) == ("open", health)


def test_state_is_shown_under_its_section_and_the_rest_in_stats() -> None:
    stage = Stage(state=[Breaker(), object(), Retries()])
    assert told(stage, "/breakers").json == [
        {"upstream": "payments", "endpoint": "10.0.0.1:1", "state": "open", "at": 50.0}
    ]
    assert told(stage, "/rate-limits").json == []
    assert told(stage, "/stats").json == {
        "uptime_seconds": 12.5,
        "in_flight": 2,
        "connections": {},
        "services": [],
        "routes": [],
        "last_minute": {"window_seconds": 12.5, "services": [], "routes": []},
        "retries": [{"upstream": "payments"}],
    }


def test_failures_are_told_newest_first() -> None:
    stage = Stage()
    for number in range(3):
        stage.recent.add({"time": f"t{number}", "reason": "UF", "path": "/a", "client": "10.0.0.1"})
    found = told(stage, "/failures").json
    assert [each["at"] for each in found] == ["t2", "t1", "t0"]
    assert "client" not in found[0]


@pytest.mark.parametrize("path", ["/info", "/config", "/routes", "/clusters"])
def test_before_the_first_config_there_is_little_but_an_answer(path: str) -> None:
    assert told(Stage(snapshot=None), path).status == 200


def test_reload_answers_with_what_changed() -> None:
    stage = Stage()
    answer = told(stage, "/reload", "POST")
    assert (answer.status, stage.asked) == (200, ["admin"])
    assert (answer.json["generation"], answer.json["changes"]) == (4, ["a: 1 -> 2"])


def test_a_failed_reload_answers_with_the_errors() -> None:
    stage = Stage(outcome=Outcome(False, "admin", 3, "abc", ("meshproxy.yaml:3:5: wrong",)))
    answer = told(stage, "/reload", "POST")
    assert answer.status == 422
    assert answer.json["errors"] == ["meshproxy.yaml:3:5: wrong"]


def test_drain_begins_to_drain() -> None:
    stage = Stage()
    answer = told(stage, "/drain", "POST")
    assert (answer.status, answer.json, stage.draining) == (202, {"draining": True}, True)


def test_logging_sets_a_known_level_only() -> None:
    stage = Stage()
    assert told(stage, "/logging?level=debug", "POST").json == {"level": "debug"}
    assert stage.level == "debug"
    for query in ("", "?level=", "?level=loud"):
        assert told(stage, f"/logging{query}", "POST").status == 422
    assert stage.level == "debug"


class Stored:
    section = "cache"

    def __init__(self, count: int) -> None:
        self.count = count
        self.purged: list[tuple[str, str, float]] = []

    def report(self, now: float) -> Mapping[str, Any]:
        return {"entries": self.count}

    def purge(self, route: str, prefix: str, now: float) -> int:
        self.purged.append((route, prefix, now))
        return self.count


def test_what_is_stored_is_shown_and_purged() -> None:
    one, other = Stored(2), Stored(3)
    stage = Stage(state=[one, Breaker(), other])
    assert told(stage, "/cache").json == [{"entries": 2}, {"entries": 3}]
    assert told(stage, "/cache/purge?route=GET%20/a&prefix=/a/", "POST").json == {"purged": 5}
    assert told(stage, "/cache/purge", "POST").status == 200
    assert one.purged == other.purged == [("GET /a", "/a/", 50.0), ("", "", 50.0)]


def test_a_purge_that_is_not_understood_purges_nothing() -> None:
    stored = Stored(2)
    assert told(Stage(state=[stored]), "/cache/purge?path=/a", "POST").status == 422
    assert stored.purged == []


@pytest.mark.parametrize(("why", "status"), [("", 200), ("this is PID 1", 409)])
def test_an_upgrade_says_how_it_went(why: str, status: int) -> None:
    answer = told(Stage(why_no_upgrade=why), "/upgrade", "POST")
    assert (answer.status, answer.json) == (status, {"error": why} if why else {"upgraded": True})


@pytest.mark.parametrize(
    "path", ["/reload", "/drain", "/upgrade", "/logging?level=debug", "/cache/purge"]
)
def test_a_get_changes_nothing(path: str) -> None:
    stage = Stage()
    answer = told(stage, path)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert (stage.asked, stage.draining, stage.level) == ([], False, "info")


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:15000", "127.0.0.1", "127.0.0.1:1", "127.8.8.8", "[::1]", "[::1]:9"],
)
def test_loopback_names_are_ours(host: str) -> None:
    assert is_own_name(host)
    assert told(Stage(), "/info", host=host).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.test", "evil.test:15000", "localhost.evil.test", "127.0.0.1.evil.test", "10.0.0.1",
     "0.0.0.0:15000", "[::]", "", "localhost:x", "a@localhost", "2130706433", "127.0.0.1.nip.io",
     "evil@127.0.0.1", "127.0.0.1@evil.test", "127.1", "0x7f.1", "0177.0.0.1", "127.0.0.256",
     "127.0.0.1:", "127.0.0.1:80:80", "[127.0.0.1]", "::1", "[::1", "[::1%25lo]", "[::2]",
     "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "localhost.", "localhost,evil.test", "localhost/",
     "local host", "localhost:\u0661", "\u2460"],
)  # fmt: skip
def test_any_other_host_is_refused_even_for_reading(host: str) -> None:
    stage = Stage()
    assert not is_own_name(host)
    for path, method in (("/info", "GET"), ("/reload", "POST"), ("/nothing", "GET")):
        assert told(stage, path, method, host=host).status in (400, 403)
    assert stage.asked == []


def test_no_host_and_two_hosts_are_refused() -> None:
    assert told(Stage(), "/info", host=None).status == 403
    assert told(Stage(), "/info", host="localhost\r\nHost: localhost").status == 400


@pytest.mark.parametrize(
    "fields",
    [
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "https://127.0.0.1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "anything"},
        {"Origin": ""},
        {"Origin": "http://evil.test", "Content_Type": "text/plain"},
        {"Origin": "http://evil.test", "Content_Type": "application/json"},
    ],
)
def test_a_page_of_somewhere_else_is_refused(fields: dict[str, str]) -> None:
    stage = Stage()
    assert told(stage, "/reload", "POST", **fields).status == 403
    assert stage.asked == []


def test_our_own_page_and_curl_are_heard() -> None:
    assert not is_foreign({"Host": "127.0.0.1:15000"})
    assert not is_foreign({"Host": "127.0.0.1:15000", "Origin": "http://127.0.0.1:15000"})
    assert not is_foreign({"Host": "localhost", "Sec-Fetch-Site": "same-origin"})


@pytest.mark.parametrize(
    ("size", "status"), [(10, 200), (MAX_BODY, 200), (MAX_BODY + 1, 413), (1_000_000, 413)]
)
def test_a_body_that_is_too_large_is_refused(size: int, status: int) -> None:
    stage = Stage()
    assert told(stage, "/reload", "POST", body=b"x" * size).status == status
    assert bool(stage.asked) == (status == 200)


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data; boundary=x", "application/json", "x", '"', ""]
)
def test_what_a_body_says_it_is_means_nothing(kind: str) -> None:
    stage = Stage()
    answer = told(stage, "/logging?level=debug", "POST", body=b"level=error", Content_Type=kind)
    assert (answer.status, stage.level) == (200, "debug")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
@pytest.mark.parametrize(
    "path", ["/reload", "/drain", "/upgrade", "/logging?level=debug", "/%72eload", "/cache/purge"]
)
def test_only_a_post_changes_anything(path: str, method: str) -> None:
    stage = Stage()
    more = {"X_HTTP_Method_Override": "POST", "Access_Control_Request_Method": "POST"}
    answer = told(stage, path, method, **more)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert (stage.asked, stage.draining, stage.level) == ([], False, "info")


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "TRACE", "PUT"])
def test_a_page_is_only_read(method: str) -> None:
    answer = told(Stage(), "/info", method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET,HEAD")


def test_head_is_a_get_without_the_body() -> None:
    answer = told(Stage(), "/info", "HEAD")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("path", "method", "more"),
    [
        ("/info", "GET", {}),
        ("/nothing", "GET", {}),
        ("/explain?url=/x", "GET", {}),
        ("/reload", "GET", {}),
        ("/reload", "POST", {"Origin": "http://evil.test"}),
        ("/info", "OPTIONS", {"Access_Control_Request_Method": "GET"}),
        ("/info", "GET", {"host": "evil.test"}),
        ("/info", "GET", {"Transfer_Encoding": "chunked"}),
        ("/info", "GET", {"Expect": "a-miracle"}),
        ("//info", "GET", {}),
    ],
)
def test_no_answer_may_be_kept_sniffed_framed_or_read_by_another_page(
    path: str, method: str, more: dict[str, str]
) -> None:
    headers = told(Stage(), path, method, **more).headers
    for name, value in HEADERS.items():
        assert headers[name.lower()] == value
    assert headers["content-type"].startswith("application/json")
    assert not [name for name in headers if name.startswith("access-control-")]


def test_nothing_of_a_path_comes_back() -> None:
    assert b"script" not in told(Stage(), "/<script>alert(1)</script>").body


def test_a_bug_in_a_page_is_a_line_of_the_log() -> None:
    stage = Stage()
    stage.stats = lambda: 1 // 0  # type: ignore[assignment,return-value]
    answer = told(stage, "/stats")
    assert (answer.status, "ZeroDivisionError" in str(answer.body)) == (500, False)
    assert answer.headers["server"] == "meshproxy"
    ((event, fields),) = stage.told
    assert (event, fields["page"]) == ("bug", "/stats")
    assert fields["error"].startswith("ZeroDivisionError: ")
    assert any("1 // 0" in line for line in fields["trace"])


def test_what_aiohttp_complains_of_is_a_line_of_the_log_too() -> None:
    stage = Stage()

    async def whole() -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = Port(web.Application(middlewares=[broken]), stage.bugs.caught)
            await port.open(sock)
            await ask(sock.getsockname()[1], "/")
            await port.close()

    @web.middleware
    async def broken(request: web.Request, handler: Answer) -> web.StreamResponse:
        raise RuntimeError("odd")

    asyncio.run(whole())
    ((event, fields),) = stage.told
    assert (event, fields["error"]) == ("bug", "RuntimeError: odd")


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "PATIENCE", 0.01)
    stage = Stage()
    answer = told(stage, "/reload", "POST", Content_Length="5")
    assert (answer.status, stage.asked) == (408, [])


def test_a_connection_is_for_one_question() -> None:
    heard: list[bytes] = []

    async def whole() -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = Port(admin_application(stage), stage.bugs.caught)
            await port.open(sock)
            reader, writer = await asyncio.open_connection(*sock.getsockname()[:2])
            ask = b" HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"
            writer.write(b"GET /info" + ask + b"POST /drain" + ask)
            heard.append(await asyncio.wait_for(reader.read(), 10))
            writer.close()
            await port.close()

    stage = Stage()
    asyncio.run(whole())
    assert heard[0].count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in heard[0]
    assert not stage.draining
