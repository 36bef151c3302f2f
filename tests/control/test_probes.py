"""Ready means: config in force, every listener bound, not draining; and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshproxy.control.door import HEADERS
from meshproxy.control.probes import (
    live,
    metrics_application,
    ready,
    startup,
    told,
    wants_openmetrics,
)
from meshproxy.control.reload import Standing
from meshproxy.control.serving import stranger
from meshproxy.control.view import Listening

from .ports import Ask, Stage, talk


def status(stage: Stage, checks: object) -> int:
    return told(stage, checks(stage))[0]  # type: ignore[operator]


def test_a_bound_and_configured_one_is_ready() -> None:
    code, body = told(Stage(), ready(Stage()))
    assert code == 200
    assert (body["status"], body["service"], body["version"]) == ("ok", "orders", "1.2")
    assert set(body["checks"]) == {"config", "listeners", "drain"}
    assert "127.0.0.1:15006" in body["checks"]["listeners"]["detail"]


def test_draining_ends_readiness_but_not_life() -> None:
    stage = Stage(draining=True)
    assert [status(stage, each) for each in (live, startup, ready)] == [200, 200, 503]


def test_before_the_first_config_it_has_not_started() -> None:
    stage = Stage(snapshot=None, listening=[])
    assert [status(stage, each) for each in (live, startup, ready)] == [200, 503, 503]


def test_a_listener_that_is_not_bound_is_named() -> None:
    stage = Stage(listening=[Listening("outbound", "127.0.0.1:15001", False)])
    code, body = told(stage, ready(stage))
    assert code == 503
    assert body["checks"]["listeners"]["detail"] == "not bound: outbound 127.0.0.1:15001"


def test_a_failed_reload_is_told_and_stays_ready() -> None:
    standing = Standing(3, "abc", False, "file", 2.0, 1.0, ("meshproxy.yaml:3:5: wrong",))
    code, body = told(Stage(), ready(Stage(standing=standing)))
    assert code == 200
    assert "meshproxy.yaml:3:5: wrong" in body["checks"]["config"]["detail"]


class Checked:
    """A health check's state, of which a probe reads three words."""

    section = "health_checks"

    def __init__(self, upstream: str, ready: bool, last: str) -> None:
        self._report = {"upstream": upstream, "ready": ready, "last": last}

    def report(self, now: float) -> dict[str, Any]:
        return self._report


@pytest.mark.parametrize(
    ("good", "last", "code", "detail"),
    [
        (True, "", 200, "not checked yet"),
        (True, "status 200", 200, "status 200"),
        (False, "timeout", 503, "timeout"),
    ],
)
def test_an_app_with_health_checks_is_part_of_readiness(
    good: bool, last: str, code: int, detail: str
) -> None:
    stage = Stage(state=[object(), Checked("app", good, last)])
    found, body = told(stage, ready(stage))
    assert (found, body["checks"]["app"]) == (code, {"ok": good, "detail": detail})
    assert [status(stage, each) for each in (live, startup)] == [200, 200]


def test_the_health_of_others_makes_nobody_unready() -> None:
    stage = Stage(state=[Checked("payments", False, "timeout")])
    assert status(stage, ready) == 200
    assert "app" not in ready(stage)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text; version=1.0.0", True),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3", True),
        ("text/plain;q=0.9, application/openmetrics-text;q=0.1", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=x", False),
        ("application/json", False),
    ],
)
def test_the_format_is_the_one_the_scraper_likes_best(accept: str, wanted: bool) -> None:
    assert wants_openmetrics(accept) is wanted


def test_of_many_errors_a_probe_tells_the_first() -> None:
    errors = tuple(f"meshproxy.yaml:{line}:1: wrong" for line in range(1, 1001))
    _, body = told(
        Stage(), ready(Stage(standing=Standing(3, "abc", False, "file", 2.0, 1.0, errors)))
    )
    assert ":5:1: wrong; and 995 more" in body["checks"]["config"]["detail"]


def test_the_port_answers_every_alias() -> None:
    async def script(ask: Ask) -> None:
        for path in ("/livez", "/readyz", "/startupz", "/health", "/health/live"):
            answer = await ask(path)
            assert (answer.status, answer.json["service"]) == (200, "orders")
        for path in ("/health/ready", "/health/startup"):
            assert (await ask(path)).status == 200
        assert (await ask("/readyz", "HEAD")).body == b""

    talk(metrics_application(Stage()), script)


def test_the_port_says_503_while_draining() -> None:
    async def script(ask: Ask) -> None:
        assert (await ask("/readyz")).status == 503
        assert (await ask("/health")).status == 503
        assert (await ask("/livez")).status == 200

    talk(metrics_application(Stage(draining=True)), script)


def test_a_scrape_is_answered_in_either_format() -> None:
    async def script(ask: Ask) -> None:
        plain = await ask("/metrics")
        assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert plain.body == b"up 1\n"
        other = await ask("/metrics", Accept="application/openmetrics-text")
        assert other.headers["content-type"].startswith("application/openmetrics-text; version=1")
        assert other.body == b"# EOF\n"

    talk(metrics_application(Stage()), script)


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/readyz", "/nothing"])
def test_a_page_of_somewhere_else_reads_nothing(path: str) -> None:
    async def script(ask: Ask) -> None:
        for fields in ({"Origin": "http://evil.test"}, {"Sec_Fetch_Site": "cross-site"}):
            answer = await ask(path, **fields)
            assert (answer.status, b"up 1" in answer.body) == (403, False)
        for host in ("evil.test", "127.0.0.1.nip.io", None):
            assert (await ask(path, host=host)).status == 403

    talk(metrics_application(Stage()), script)


def test_an_answer_has_every_header_of_the_control_ports() -> None:
    async def script(ask: Ask) -> None:
        for path, method in (("/metrics", "GET"), ("/livez", "HEAD"), ("/nothing", "TRACE")):
            headers = (await ask(path, method)).headers
            assert {(name.lower(), value) for name, value in HEADERS.items()} <= headers.items()

    talk(metrics_application(Stage()), script)


@pytest.mark.parametrize(
    ("address", "status"),
    [("127.0.0.1", 403), ("127.9.9.9", 403), ("::1", 403), ("::ffff:127.0.0.1", 403),
     ("10.1.2.3", None), ("::ffff:10.1.2.3", None), ("fd00::1", None), ("127", None)],
)  # fmt: skip
def test_a_scraper_from_elsewhere_may_use_any_name(address: str, status: int | None) -> None:
    asked = SimpleNamespace(
        headers={"Host": "orders.shop.svc:15020"},
        get_extra_info=lambda name: (address, 15020) if name == "sockname" else None,
    )
    refused = stranger(cast(Any, asked))
    assert (refused.status if refused is not None else None) == status


def test_what_is_not_there_is_said_in_json() -> None:
    async def script(ask: Ask) -> None:
        answer = await ask("/nothing")
        assert (answer.status, "error" in answer.json) == (404, True)
        answer = await ask("/metrics", "POST")
        assert (answer.status, answer.headers["allow"]) == (405, "GET,HEAD")

    talk(metrics_application(Stage()), script)
