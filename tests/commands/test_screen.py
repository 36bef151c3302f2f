"""What is drawn of an event: every figure, within the window, and nothing a terminal obeys."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from meshproxy.commands.arguments import SORTS as WORDS
from meshproxy.commands.screen import SORTS, Wanted, age, ordered, page, rate, share, time

from .streams import endpoint, event, route, upstream

VERSION = {"upstream": "payments", "requests": 5, "rps": 5.0, "errors": 0, "success": 1.0,
           "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0}  # fmt: skip


def drawn(told: dict[str, Any], width: int = 140, **wanted: Any) -> list[str]:
    out = Console(file=io.StringIO(), width=width, no_color=True, highlight=False)
    out.print(page(told, "127.0.0.1:15000", Wanted(**wanted), width))
    text = out.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


def row(lines: list[str], *words: str) -> list[str]:
    """The words of the only line that has these."""
    (found,) = [line for line in lines if all(word in line for word in words)]
    return found.split()


def test_the_first_line_says_whose_table_it_is() -> None:
    first, second, *_ = drawn(event())
    assert first == "orders 1.4  127.0.0.1:15000  generation 7  up 1h 2m"
    assert second.startswith("cpu 25%  memory 64 MiB  connections 12  files 40  loop lag 1.2ms")


def test_draining_and_a_failed_reload_are_told() -> None:
    errors = ["f.yaml:3:5: inbound.routes[0]: wrong\x1b[2J", "f.yaml:4:5: too"]
    reload = {"ok": False, "at": "2026-01-02T03:04:05.000+00:00", "errors": errors}
    lines = drawn(event(draining=True, reload=reload))
    assert lines[0].endswith("DRAINING")
    assert lines[2] == (
        "last reload failed at 03:04:05 UTC: f.yaml:3:5: inbound.routes[0]: wrong?[2J (and 1 more)"
    )


def test_a_route_is_told_with_all_its_figures() -> None:
    told = route("POST /orders", success=0.98765, rps=1234.5, p50_ms=2.54, p95_ms=45.6,
                 p99_ms=1234.5, limited=3, retries=2, in_flight=7)  # fmt: skip
    lines = drawn(event(routes=[told]))
    assert lines[3].split() == [
        "DIRECTION", "UPSTREAM", "ROUTE", "SUCCESS", "RPS", "P50", "P95", "P99", "RETRIES",
        "LIMITED", "IN", "FLIGHT",
    ]  # fmt: skip
    assert row(lines, "POST /orders") == [
        "inbound", "app", "POST", "/orders", "98.77%", "1234", "2.5ms", "46ms", "1.23s", "2", "3",
        "7",
    ]  # fmt: skip


def test_a_route_without_traffic_has_no_rate_of_success() -> None:
    quiet = route(success=None, rps=0.0, p50_ms=None, p95_ms=None, p99_ms=None)
    words = ["inbound", "app", "default", "-", "0", "-", "-", "-", "0", "0", "0"]
    assert row(drawn(event(routes=[quiet])), "default") == words


def test_endpoints_are_told_with_breaker_and_health() -> None:
    ends = [endpoint(), endpoint("10.0.0.2:80", circuit="open", healthy=False, version="v2"),
            endpoint("10.0.0.3:80", circuit=None)]  # fmt: skip
    lines = drawn(event(upstreams=[upstream(endpoints=ends, panic=True), upstream("search")]))
    assert row(lines, "10.0.0.2") == ["10.0.0.2:80", "v2", "open", "unhealthy", "2", "3"]
    assert row(lines, "10.0.0.3") == ["10.0.0.3:80", "-", "ok", "2", "3"]
    assert row(lines, "payments") == [
        "payments", "PANIC", "10.0.0.1:80", "closed", "ok", "2", "3", "10", "1", "1",
    ]  # fmt: skip
    assert row(lines, "search")[:2] == ["search", "10.0.0.1:80"]


def test_an_upstream_without_endpoints_is_told_too() -> None:
    lines = drawn(event(upstreams=[upstream("__unknown_hosts__", endpoints=[])]))
    assert row(lines, "__unknown_hosts__")[1:3] == ["none", "yet"]


def test_versions_are_told_where_there_are_some() -> None:
    versions = [{**VERSION, "version": "v1"}, {**VERSION, "version": None, "success": 0.5}]
    lines = drawn(event(versions=versions))
    assert row(lines, " v1 ")[:3] == ["payments", "v1", "100%"]
    assert row(lines, "(none)")[:3] == ["payments", "(none)", "50.00%"]
    assert not [line for line in drawn(event()) if "VERSION" in line]


@pytest.mark.parametrize("width", [80, 100, 140, 250])
def test_it_fits_the_width_and_only_names_are_cut(width: int) -> None:
    name = "GET /a/very/long/path/of/a/route/that/nobody/would/want/to/type/*"
    told = event(
        routes=[route(name, upstream="payments", rps=12345.6, success=0.99999, p99_ms=99_999.0)],
        upstreams=[upstream(endpoints=[endpoint("host.with.a.long.name.example.test:8080")])],
    )
    lines = drawn(told, width)
    assert max(map(len, lines)) <= width
    (found,) = [line for line in lines if "12.3k" in line]
    assert found.split()[-8:] == ["99.99%", "12.3k", "2.5ms", "4.8ms", "100.00s", "0", "0", "0"]
    assert ("…" in found) == (width < 250)
    (end,) = [line for line in lines if "closed" in line]
    assert end.split()[2:6] == ["closed", "ok", "2", "3"]


@pytest.mark.parametrize("height", range(10, 60, 3))
@pytest.mark.parametrize(("routes", "ends"), [(3, 3), (50, 3), (3, 50), (50, 50)])
def test_it_fits_the_height_and_says_what_is_left_out(height: int, routes: int, ends: int) -> None:
    told = event(
        routes=[route(f"r{n}") for n in range(routes)],
        upstreams=[upstream(endpoints=[endpoint(f"10.0.0.{n}:80") for n in range(ends)])],
        versions=[{**VERSION, "version": f"v{n}"} for n in range(3)],
    )
    lines = drawn(told, 100, height=height)
    assert len(lines) <= height
    shown = sum(line.startswith("in ") for line in lines)
    assert shown >= min(routes, 3)
    if shown < routes:
        assert f"... and {routes - shown} more" in lines
    ends_shown = sum("10.0.0." in line for line in lines)
    if 0 < ends_shown < ends:
        assert lines[-1] == f"... and {ends - ends_shown} more"


def test_a_limit_is_kept_wherever_there_is_room() -> None:
    lines = drawn(event(routes=[route(f"r{n}") for n in range(9)]), limit=2)
    assert [line.split()[2] for line in lines if line.startswith("inbound")] == ["r0", "r1"]
    assert "... and 7 more" in lines


def test_what_the_command_line_sorts_by_is_what_there_is() -> None:
    assert set(WORDS) == {"route", *SORTS}


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("route", "abc"),
        ("success", "bac"),
        ("rps", "bac"),
        ("errors", "bac"),
        ("p50", "cab"),
        ("p99", "cab"),
        ("retries", "bac"),
        ("limited", "cab"),
        ("in-flight", "acb"),
    ],
)
def test_the_worst_or_busiest_come_first(sort: str, order: str) -> None:
    a = route("a", success=0.9, rps=2.0, errors=1, p50_ms=5.0, p99_ms=5.0, in_flight=9)
    b = route("b", success=0.5, rps=3.0, errors=5, p50_ms=1.0, p99_ms=1.0, retries=1)
    c = route("c", success=None, rps=0.0, p50_ms=9.0, p99_ms=9.0, limited=1, in_flight=1)
    assert "".join(one["route"] for one in ordered([a, b, c], sort)) == order


@pytest.mark.parametrize(
    ("number", "text"),
    [(1.0, "100%"), (0.999999, "99.99%"), (0.9995, "99.95%"), (0.0, "0.00%"), (None, "-")],
)
def test_a_success_is_never_rounded_up_to_a_perfect_one(number: float | None, text: str) -> None:
    assert share(number).plain == text


def test_numbers_are_as_long_as_they_are_of_use() -> None:
    assert [rate(x).plain for x in (0, 0.25, 9.96, 12.3, 999.9, 12345.0)] == [
        "0", "0.2", "10.0", "12", "1000", "12.3k",
    ]  # fmt: skip
    assert [time(x).plain for x in (0.04, 9.87, 12.3, 999.0, 1500.0, None)] == [
        "0.0ms", "9.9ms", "12ms", "999ms", "1.50s", "-",
    ]  # fmt: skip
    assert [age(x) for x in (0.25, 59.9, 61, 3600, 90_000, 200_000)] == [
        "0.25s", "59.9s", "1m 1s", "1h 0m", "25h 0m", "2d 7h",
    ]  # fmt: skip
